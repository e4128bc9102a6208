#!/usr/bin/env python3
"""Compares counts that come out the same on any machine and under any load with those that are recorded in guard.json.

    guard.py [NAME…]            all of them without names
        changes                 netlink messages and bytes of `vpcctl apply` after one change of the manifest
        packets                 instructions of a packet of an established connection, from guest to guest
        instructions            instructions of parsing, compiling and comparing (callgrind; needs a release build)
        --vpcctl FILE           the program to watch, any build of it; a release build is made without
        --record                writes what was measured into guard.json
        --events FILE           what was compared, as scripts/count-tests.py reads it

The status is 1 where a figure is not as recorded. A figure that got better fails as well, so that the record stays true:
record it and commit guard.json with the change that moved it.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import sys

from suite import callgrind, lab, programs

RECORD = pathlib.Path(__file__).resolve().parent / "guard.json"
# The counts depend on it, a little.
KERNEL = "6.1"
# How far a figure may be from the record, as a part of it. Everything that is not named here has to be exact.
TOLERANCE = {
    # Six runs of one path were within 0.13 %; the kernel of the next Debian update is not this one to the last
    # instruction, either.
    "packets": 0.02,
    # Two runs differ by less than 0.01 %; another update of the compiler or of the C library moves more.
    "instructions": 0.03,
    # What is read before and after the change grows with the rules that there are, and is to be recorded when it is a
    # quarter more or less: when something is read twice, say.
    "messages sent": 0.25,
    "bytes sent": 0.25,
    "messages received": 0.25,
    "bytes received": 0.25,
}
INTERFACES = (100, 1000)


def changes(vpcctl):
    script = str(programs.FOLDER / "inside/changes.py")
    output = json.loads(lab.run("python3", script, vpcctl, *map(str, INTERFACES), kernel=KERNEL))
    return {
        f"{change}, {size} interfaces elsewhere": counts for size, figures in output.items() for change, counts in figures.items()
    }


def packets(vpcctl):
    script = str(programs.FOLDER / "inside/paths.py")
    specification = json.dumps({"path": "vpcctl", "vpcctl": vpcctl})
    figures = json.loads(lab.run("python3", script, specification, clock="instructions", kernel=KERNEL))
    return {"established, from guest to guest": {"instructions a packet": round(figures["ns"])}}


def instructions(_vpcctl):
    return {stage: {"instructions": count} for stage, count in callgrind.stages(interfaces=2000).items()}


# Cases with their figures by name, of each.
GUARDS = {"changes": changes, "packets": packets, "instructions": instructions}


def judged(guard, figure, measured, recorded):
    """What is to be said of a figure, and whether it is as recorded."""
    if measured is None or recorded is None:
        return f"{figure} {measured}, recorded {recorded}", False
    allowed = TOLERANCE.get(guard, TOLERANCE.get(figure, 0))
    text = f"{figure} {measured:,}"
    if measured != recorded:
        text += f", recorded {recorded:,}" + (f" ({measured / recorded - 1:+.2%}, allowed ±{allowed:.0%})" if recorded else "")
    return text, abs(measured - recorded) <= allowed * recorded


def compare(guard, measured, recorded):
    """Prints a line for each case; returns whether all is as recorded."""
    good = True
    for case in dict.fromkeys([*recorded, *measured]):
        one, other = measured.get(case, {}), recorded.get(case, {})
        figures = [judged(guard, name, one.get(name), other.get(name)) for name in dict.fromkeys([*other, *one])]
        moved = [text for text, fits in figures if not fits]
        good = good and not moved
        print(f"  {'MOVED' if moved else 'ok   '} {case}: {'; '.join(moved or (text for text, _ in figures))}")
    return good


def written(record):
    """A case a line, so that a difference can be read."""
    guards = []
    for name, cases in record.items():
        lines = [f"  {json.dumps(case)}: {json.dumps(figures)}" for case, figures in cases.items()]
        guards.append(f" {json.dumps(name)}: {{\n" + ",\n".join(lines) + "\n }")
    return "{\n" + ",\n".join(guards) + "\n}\n"


def events(results):
    """The lines of Swift Testing's event stream that scripts/count-tests.py looks at."""
    def line(record, **payload):
        return json.dumps({"kind": record, "payload": payload}) + "\n"

    for name, good in results.items():
        symbol = "pass" if good else "fail"
        yield line("test", kind="function", id=f"guard/{name}")
        yield line("event", kind="testEnded", testID=f"guard/{name}", messages=[{"symbol": symbol}])
    symbol = "pass" if all(results.values()) else "fail"
    yield line("event", kind="runEnded", messages=[{"symbol": symbol, "text": f"{len(results)} guards"}])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(GUARDS))
    parser.add_argument("--vpcctl")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--events", type=pathlib.Path)
    options = parser.parse_args()
    unknown = set(options.names) - set(GUARDS)
    if unknown:
        parser.error(f"no guard {', '.join(sorted(unknown))}; there are {', '.join(GUARDS)}")
    names = options.names or list(GUARDS)
    vpcctl = os.path.abspath(options.vpcctl) if options.vpcctl else programs.vpcctl()
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    results = {}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = {name: pool.submit(GUARDS[name], vpcctl) for name in names}
    for name, job in jobs.items():
        measured = job.result()
        print(f"{name}:")
        results[name] = compare(name, measured, record.get(name, {}))
        if options.record:
            record[name] = measured
    if options.record:
        RECORD.write_text(written(record))
        print(f"written to {RECORD}; `git diff` shows what moved")
        return
    if options.events:
        options.events.write_text("".join(events(results)))
    if not all(results.values()):
        sys.exit("Counts are not as recorded. If that is meant, `make guard-record` and commit Benchmarks/guard.json.")


if __name__ == "__main__":
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    main()
