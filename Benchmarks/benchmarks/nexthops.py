"""Programming nexthop objects and groups."""

import tempfile

from benchmarks.routes import gateway, short
from suite import namespace, programs
from suite.benchmark import Benchmark, Case, Ratio, Row, Subject, Table

TEXT = """
Nexthop objects by a gateway each, and as many groups of four of them (hash-threshold) again, through the driver. With
groups most of `ip -batch`'s time is the kernel's: the limit itself misses the aim there.
"""


def ours(case):
    command = f"{programs.vpcbench()} nexthops {case['objects']} {case['kind']}"
    figures = namespace.figures(namespace.inside(command))
    for suffix in ("", ".cpu"):
        figures["all" + suffix] = figures["plan" + suffix] + figures["commit" + suffix]
        figures["pass" + suffix] = figures["observe" + suffix] + figures["plan-nothing" + suffix]
    return figures


def limit(case):
    command = f"{programs.limit('nexthops')} {case['objects']} {case['kind']}"
    return namespace.figures(namespace.inside(command))


def ip_batch(case):
    count = case["objects"]
    with tempfile.NamedTemporaryFile("w", suffix=".batch") as file:
        for index in range(count):
            file.write(f"nexthop add id {1000001 + index} via {gateway(index)} dev v0 onlink\n")
        for index in range(count if case["kind"] == "groups" else 0):
            members = "/".join(str(1000001 + (index + member) % count) for member in range(4))
            file.write(f"nexthop add id {1000001 + count + index} group {members}\n")
        file.flush()
        listing = namespace.seconds_of("ip nexthop show").replace("seconds", "dump")
        return namespace.figures(namespace.inside(f"{namespace.seconds_of(f'ip -batch {file.name}')}\n{listing}"))


def benchmark(options):
    sizes = options.sizes or ([1000] if options.quick else [10_000, 50_000])
    cases = [
        Case(f"{short(size)} {'objects' if kind == 'single' else 'objects and groups'}",
             {"objects": size, "kind": kind, "all": size * (1 if kind == "single" else 2)})
        for size in sizes for kind in ("single", "groups")
    ]
    subjects = [Subject("vpcctl", ours), Subject("limit", limit), Subject("ip -batch", ip_batch)]
    tables = [
        Table("Programming, µs an object or group", [
            Row("vpcctl: planning", "vpcctl", "plan"), Row("vpcctl: both", "vpcctl", "all"), Row("limit", "limit", "add"),
            Row("ip -batch", "ip -batch", "seconds"),
        ], scale=1e6, per="all"),
        Table("Nothing to do, µs an object or group", [
            Row("vpcctl: reading back and comparing", "vpcctl", "pass"), Row("bare dump", "limit", "dump"),
            Row("ip nexthop show", "ip -batch", "dump"),
        ], scale=1e6, per="all"),
    ]
    ratios = [
        Ratio("planning and programming / limit", ("vpcctl", "all"), ("limit", "add"), at_most=1.15),
        Ratio("the same, processor time", ("vpcctl", "all.cpu"), ("limit", "add.cpu"), at_most=1.15),
        Ratio("planning and programming / ip -batch", ("vpcctl", "all"), ("ip -batch", "seconds"), at_most=0.22),
        Ratio("limit / ip -batch", ("limit", "add"), ("ip -batch", "seconds")),
        Ratio("nothing to do / bare dump", ("vpcctl", "pass"), ("limit", "dump")),
    ]
    return Benchmark(
        "nexthops", "Programming nexthop objects and groups", TEXT, cases, subjects, tables, ratios,
        rounds=1 if options.quick else options.rounds or 5)
