#!/usr/bin/env python3
"""Checks that every target imports only what Package.swift says it depends on, and depends on nothing it does not import.

A module that another dependency happens to bring is found by the compiler as well, until that dependency goes: then the
build breaks somewhere else. `swift package dump-package | scripts/check-imports.py`, which `make lint` runs.
"""
import json
import pathlib
import re
import sys

# What comes with the toolchain and the system.
TOOLCHAIN = {"Dispatch", "Foundation", "FoundationEssentials", "Glibc", "Swift", "Synchronization", "Testing"}
IMPORT = re.compile(
    r"^\s*(?:@\w+(?:\([^)]*\))?\s+)*(?:(?:public|package|internal|private|fileprivate)\s+)?"
    r"import\s+(?:(?:struct|class|enum|protocol|func|var|let|typealias)\s+)?(\w+)",
    re.MULTILINE,
)


def declared(target):
    """The modules that a target of the package's description depends on."""
    return {next(iter(dependency.values()))[0] for dependency in target["dependencies"]}


def imported(folder):
    """Module -> the first file of that folder that imports it."""
    found = {}
    for file in sorted(folder.rglob("*.swift")):
        for module in IMPORT.findall(file.read_text()):
            found.setdefault(module, file)
    return found


def problems(package, root):
    for target in package["targets"]:
        kind = target["type"]
        if kind in ("system", "binary"):
            continue
        name = target["name"]
        folder = root / (target.get("path") or ("Tests" if kind == "test" else "Sources") + "/" + name)
        modules = imported(folder)
        allowed = declared(target)
        for module in sorted(modules.keys() - allowed - TOOLCHAIN - {name}):
            yield f"{modules[module].relative_to(root)}: target {name} imports {module}, which it does not declare"
        # A target of C code names what it links in a way of its own.
        if modules:
            for module in sorted(allowed - modules.keys()):
                yield f"Package.swift: target {name} declares {module}, which it does not import"


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    found = list(problems(json.load(sys.stdin), root))
    for problem in found:
        print(problem, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
