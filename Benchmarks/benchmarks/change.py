"""One change among many."""

from benchmarks.routes import limit, options_of, short
from suite import namespace, programs
from suite.benchmark import Benchmark, Case, Limit, Ratio, Row, Subject, Table

TEXT = """
An interface moves to another host: a route is replaced. The first table is the way of `vpcd`: what differs in the text,
exchanged in the topology, followed in what was compiled, compared with what is known of the kernel, sent. 33 interfaces
from all over the set move one after the other, and the figure is the median of all but the first; the first, for which
nothing of the program and of what it works on is in the processor's caches, is below. Nexthops and routes only: devices
cannot be made natively, and *Keeping a host* has the whole of it.

*limit* is a C program that replaces a route among as many, again and again over one socket and with nothing else in
between; vpcctl opens a socket for each change and comes to it from other work.

The second table is that of an interface that comes: all that follow it in the lists of the topology and of the routes move
up. The third is a move without short cuts, as a program that is started for one change has it.

Nothing of the way of a move depends on how many others there are: of the routes, those that were exchanged and those that
the kernel has told of since are compared, and the others known to be as they shall be.
"""
STAGES = ("text", "resolve", "compile", "plan", "send")


def ours(case):
    program = programs.vpcbench()
    figures = namespace.figures(namespace.inside(f"{program} change {options_of(case)}"))
    figures |= namespace.figures(namespace.inside(f"{program} edit {options_of(case)}"))
    for suffix in ("", ".cpu"):
        for first in ("", "first."):
            figures[f"{first}move{suffix}"] = sum(figures[f"{first}move.{stage}{suffix}"] for stage in STAGES)
    figures["whole"] = sum(figures[stage] for stage in ("compile", "compare", "change"))
    return figures


def benchmark(options):
    sizes = options.sizes or ([10_000] if options.quick else [10_000, 100_000, 1_000_000])
    cases = [Case(short(size), {"routes": size, "hosts": 100, "tables": 1}) for size in sizes]
    first, last = cases[0].label, cases[-1].label
    tables = [
        Table("An interface moves, ms", [
            Row("reading what differs", "vpcctl", "move.text"), Row("resolving", "vpcctl", "move.resolve"),
            Row("compiling", "vpcctl", "move.compile"), Row("comparing", "vpcctl", "move.plan"),
            Row("sending", "vpcctl", "move.send"), Row("all", "vpcctl", "move"),
            Row("all, processor time", "vpcctl", "move.cpu"), Row("all, the first time", "vpcctl", "first.move"),
            Row("limit: sending", "limit", "change"), Row("limit: sending, the first time", "limit", "first.change"),
        ], scale=1e3, digits=3),
        Table("An interface comes, ms", [
            Row("reading what differs", "vpcctl", "first.add.text"), Row("resolving", "vpcctl", "first.add.resolve"),
            Row("compiling", "vpcctl", "first.add.compile"), Row("comparing", "vpcctl", "first.add.plan"),
            Row("sending", "vpcctl", "first.add.send"),
        ], scale=1e3, digits=3),
        Table("An interface moves, without short cuts, ms", [
            Row("compiling the host anew", "vpcctl", "compile"), Row("comparing", "vpcctl", "compare"),
            Row("sending", "vpcctl", "change"), Row("all three", "vpcctl", "whole"),
        ], scale=1e3, digits=3),
        Table("Messages that change the kernel", [Row("an interface moves", "vpcctl", "move.writes")], digits=0),
    ]

    def growth(label, subject, name, at_most=None):
        return Ratio(f"{label}: against {first}", (subject, name), (subject, name), base=first, at_most=at_most, cases=[last])

    ratios = [] if len(cases) == 1 else [
        growth("sending", "vpcctl", "move.send", 1.2), growth("all", "vpcctl", "move", 1.2),
        growth("all, processor time", "vpcctl", "move.cpu", 1.2), growth("all, the first time", "vpcctl", "first.move"),
        growth("limit: sending", "limit", "change"), growth("limit: sending, the first time", "limit", "first.change"),
    ]
    limits = [
        Limit("messages", ("vpcctl", "move.writes"), 1, "message"),
        Limit("all: processor time", ("vpcctl", "move.cpu"), 1, "ms", scale=1e3),
        Limit("all, the first time: processor time", ("vpcctl", "first.move.cpu"), 1, "ms", scale=1e3),
    ]
    return Benchmark(
        "change", "One change among many", TEXT, cases, [Subject("vpcctl", ours), Subject("limit", limit)], tables, ratios,
        limits,
        rounds=1 if options.quick else options.rounds or 7)
