#!/usr/bin/env python3
"""Runs benchmarks, prints their tables and keeps their results.

    run.py [NAME…]                  all of them without names; --list says which there are
        --sizes 10k,100k            instead of a benchmark's own sizes
        --rounds 3                  how often everything is repeated
        --quick                     small sizes and one round, to try it out
        --results FOLDER            where the results (NAME.json) go: results/ beside this file
    run.py --page FILE              writes the page of documentation from the results that are there; what has none there
                                    keeps the section it has in FILE
"""

import argparse
import importlib
import json
import os
import pathlib
import pkgutil
import sys

import benchmarks
from suite import measure, page, report

FOLDER = pathlib.Path(__file__).resolve().parent


def size(text):
    """10k, 1M, 250"""
    factor = {"k": 1000, "m": 1000_000}.get(text[-1:].lower())
    return int(text[:-1]) * factor if factor else int(text)


def names():
    return [module.name for module in pkgutil.iter_modules(benchmarks.__path__)]


def load(name, options):
    return importlib.import_module(f"benchmarks.{name}").benchmark(options)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--sizes", type=lambda text: [size(word) for word in text.split(",")])
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--results", type=pathlib.Path, default=FOLDER / "results")
    parser.add_argument("--page", type=pathlib.Path)
    options = parser.parse_args()
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    if options.list:
        print("\n".join(names()))
        return
    unknown = set(options.names) - set(names())
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(names())}")
    if options.page:
        stored = {name: options.results / f"{name}.json" for name in names()}
        results = {name: json.loads(path.read_text()) for name, path in stored.items() if path.exists()}
        former = options.page.read_text() if options.page.exists() else ""
        every = [load(name, options) for name in page.order(names())]
        options.page.write_text(page.markdown(every, results, former))
        return
    if os.geteuid() != 0:
        sys.exit("run.py: benchmarks change network namespaces: run this as root")
    options.results.mkdir(parents=True, exist_ok=True)
    failures = 0
    for name in options.names or page.order(names()):
        benchmark = load(name, options)
        measure.say(f"{name}: {len(benchmark.cases)} cases, {benchmark.rounds} rounds")
        result = measure.measured(benchmark)
        (options.results / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
        print(report.text(benchmark, result), flush=True)
        failures += len(result["failures"])
    if failures:
        sys.exit(f"run.py: {failures} measurements failed")


if __name__ == "__main__":
    main()
