#!/usr/bin/env python3
"""Checks that every suite of tests says how long its tests may take: check-suites.py, which `make lint` runs.

Without a limit a test that waits for what never comes is known only by the whole run's end, an hour later.
"""
import pathlib
import re
import sys

# A type of tests with the attribute before it, if any, up to where its body begins.
SUITE = re.compile(r"(@Suite\b[^{]*?)?\b(?:struct|class|actor)\s+(\w+Tests)\b[^{]*\{")


def problems(folder):
    for file in sorted(folder.rglob("*.swift")):
        text = file.read_text()
        if file.is_symlink() or "@Test" not in text:
            continue
        suites = list(SUITE.finditer(text))
        for suite in suites:
            if "timeLimit(" not in (suite[1] or ""):
                line = text.count("\n", 0, suite.start(2)) + 1
                yield f"{file}:{line}: suite {suite[2]} has no time limit: @Suite(.timeLimit(minutes: 10))"
        if not suites and not re.search(r"\bextension \w+Tests\b", text):
            yield f"{file}: tests outside of a suite have no time limit"


def main():
    found = list(problems(pathlib.Path("Tests")))
    for problem in found:
        print(problem, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
