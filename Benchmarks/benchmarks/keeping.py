"""What it takes vpcd to keep a host, once everything is as it shall be."""

import json

from benchmarks.routes import short
from suite import lab, programs
from suite.benchmark import Benchmark, Case, Limit, Row, Subject, Table

TEXT = """
`vpcd` on one of a hundred hosts of a VPC, with a file of manifests for each host; all interfaces are in one security group
whose members may reach each other, so that the host knows every one of them as a route and as a member of a set. A hundredth
of them are its own. Once all is in force nothing happens for a minute: what is used then are timers, which look at
parameters and devices that the kernel does not tell of. Then one thing after the other is changed and changed back, five
times: a file is rewritten, JSON with the interfaces of one host, or with the policies of the VPC. There
is another VPC with interfaces on two other hosts only; what changes there is nothing to this host.

Before changes were taken in by pieces these took 347 to 754 ms, and what is nothing to this host 473. What still misses its
aim is of three kinds. A rule, a line, and what is nothing to this host take the same among a thousand interfaces as among a
hundred thousand. Interfaces that come and go elsewhere move memory in sorted lists and sets. With a guest's device that comes
or goes the kernel is asked for all routes by it, which it finds by looking at every route, and the machine for all devices
that are adopted. Memory after the changes depends on how the allocator came to lay it out: the daemon holds no more than at
its start.

Two figures have become worse since the tables were made. They are of a host that led its ports to chains by two maps, the
second of names of chains, which spared the kernel to look through all that a verdict map leads to: 55 ms for a rule, a line or
a guest on a host with a thousand ports, next to nothing with ten. `nft list` of Debian 12 could not read that (1.0.6 ends with
a failed assertion), so ports are led by one verdict map again.

The lab's machine counts instructions, one a nanosecond. Memory is what the kernel says of the process (VmRSS; VmHWM for the
most it ever had, which is while it reads everything at its start), the program itself included.
"""

# By the names that inside/keeping.py has for them.
CHANGES = [
    ("an interface elsewhere moves", "moves"),
    ("an interface elsewhere comes", "comes elsewhere"), ("and goes", "comes elsewhere.back"),
    ("an interface comes here", "comes here"), ("and goes", "comes here.back"),
    ("an interface leaves the group", "member"), ("and joins it", "member.back"),
    ("an interface here leaves the group", "member here"), ("and joins it", "member here.back"),
    ("the group gains a rule", "rule"), ("and loses it", "rule.back"),
    ("the ACL gains a line", "line"), ("and loses it", "line.back"),
    ("a custom route comes", "route"), ("and goes", "route.back"),
]
CHANGES_OF_OTHERS = [
    ("a group of the other VPC gains a rule", "rule of others"), ("its ACL gains a line", "line of others"),
    ("an interface of the other VPC comes", "comes to others"),
]


def measure(case):
    specification = case.parameters | {"vpcd": programs.vpcd()}
    script = str(programs.FOLDER / "inside/keeping.py")
    return json.loads(lab.run("python3", script, json.dumps(specification), clock="instructions"))


def benchmark(options):
    sizes = options.sizes or ([1000] if options.quick else [1000, 10_000, 100_000])
    cases = [Case(f"{short(size)} interfaces", {"interfaces": size}) for size in sizes]
    rows = [("after the start", "idle.memory"), ("after the changes", "change.memory"), ("the most", "peak")]
    tables = [
        Table("Memory, MB", [Row(title, "vpcd", figure) for title, figure in rows], scale=1e-6, digits=1),
        Table("Processor time, ms", [
            Row("nothing happens, a second of it", "vpcd", "idle.cpu"),
            *[Row(title, "vpcd", f"{figure}.cpu") for title, figure in CHANGES + CHANGES_OF_OTHERS],
        ], scale=1e3, digits=2),
    ]
    hundred = [case.label for case in cases if case["interfaces"] == 100_000]
    limits = [
        Limit(title, ("vpcd", figure), 100, "MB", scale=1e-6, cases=hundred)
        for title, figure in (("memory after the start", "idle.memory"), ("memory after the changes", "change.memory"))
        if hundred
    ]
    limits += [
        Limit(title, ("vpcd", f"{figure}.cpu"), bound, "ms", scale=1e3, cases=hundred)
        for changes, bound in ((CHANGES, 5), (CHANGES_OF_OTHERS, 1)) for title, figure in changes
        if hundred
    ]
    return Benchmark(
        "keeping", "Keeping a host", TEXT, cases, [Subject("vpcd", measure)], tables, limits=limits, is_repeatable=True,
        parallel=2)
