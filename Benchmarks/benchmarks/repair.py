"""How long a damage lasts that somebody else does to what vpcd keeps."""

import json
import statistics

from suite import lab, programs
from suite.benchmark import Benchmark, Case, Limit, Row, Subject, Table

TEXT = """
`vpcd` keeps host h1 of two hosts with a VPC between them; half of the interfaces are on either. Somebody else deletes,
changes or adds an object of each kind, another one in each round. The time is the daemon's own
(`vpcctl_repair_latency_seconds`): from the kernel's notification to the end of the repair, all passes that it took. The
lab's machine counts instructions, one a nanosecond, of the daemon and the kernel together, so the figures are the same on
any machine. Parameters (sysctls) are missing: the kernel does not tell of them, vpcd looks every four seconds.

A VRF that is deleted takes its ports' neighbours, routes and nexthops with it, those of 500 of a thousand interfaces. That
one kind misses the aim there: two thirds of it are the kernel's, which takes 115 ms to delete the VRF, from the first
notification on and with its lock held, and 115 ms to give it its ports again, because both take every port down and up.
"""

# In the order of inside/repairs.py.
KINDS = [
    "route deleted", "route changed", "route added", "rule deleted", "rule added", "nexthop deleted", "nexthop changed",
    "neighbour deleted", "neighbour changed", "port down", "port taken from its VRF", "port deleted", "tunnel deleted",
    "tunnel's MTU changed", "sending device deleted", "VRF deleted", "element deleted", "element added",
    "firewall rule added", "chain emptied", "table deleted", "guest's address deleted", "guest's route deleted",
    "guest's device down",
]


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def measure(case):
    specification = case.parameters | {"vpcd": programs.vpcd()}
    script = str(programs.FOLDER / "inside/repairs.py")
    found = json.loads(lab.run("python3", script, json.dumps(specification), clock="instructions"))
    figures = {}
    for kind, values in found.items():
        figures[f"{kind}.median"] = statistics.median(values)
        figures[f"{kind}.worst"] = max(values)
    every = [value for values in found.values() for value in values]
    return figures | {"all.median": statistics.median(every), "all.p99": percentile(every, 0.99)}


def benchmark(options):
    sizes = options.sizes or ([20] if options.quick else [100, 1000])
    rounds = options.rounds or (2 if options.quick else 20)
    cases = [Case(f"{size:,} interfaces", {"interfaces": size, "rounds": rounds}) for size in sizes]
    tables = [
        Table(f"{title} of {rounds} repairs, ms", [Row(kind, "vpcd", f"{kind}.{figure}") for kind in KINDS], scale=1e3)
        for title, figure in (("Median", "median"), ("Worst", "worst"))
    ]
    tables.append(Table("All kinds together, ms", [Row("median", "vpcd", "all.median"), Row("p99", "vpcd", "all.p99")],
                        scale=1e3))
    limits = [Limit("p99", ("vpcd", "all.p99"), 100, "ms", scale=1e3)]
    return Benchmark("repair", "Repair", TEXT, cases, [Subject("vpcd", measure)], tables, limits=limits,
                     is_repeatable=True, parallel=2)
