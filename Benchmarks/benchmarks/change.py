"""One change among many."""

from benchmarks.routes import options_of, short
from suite import namespace, programs
from suite.benchmark import Benchmark, Case, Limit, Ratio, Row, Subject, Table

TEXT = """
One interface moves to another host: a route is replaced. The first table is the way of `vpcd`: what differs in the text,
exchanged in the topology, followed in what was compiled, compared with what is known of the kernel, sent. The second is
that of an interface that comes: all that follow it in the lists of the topology and of the routes move up. Below them the
same without short cuts, as a program that is started for one change has it.

Nothing of the way of a move depends on how many others there are: of the routes, those that were exchanged and those that
the kernel has told of since are compared, and the others known to be as they shall be. Sending to a table of a million
takes longer than to one of ten thousand though the message is the same: the kernel's own tree is no longer in the
processor's cache. That is most of what misses the aim of the same cost at both.
"""
FOLLOWED = ("move.text", "move.resolve", "move.compile", "move.plan", "change")


def ours(case):
    program = programs.vpcbench()
    figures = namespace.figures(namespace.inside(f"{program} change {options_of(case)}"))
    figures |= namespace.figures(namespace.inside(f"{program} edit {options_of(case)}"))
    for suffix in ("", ".cpu"):
        figures["followed" + suffix] = sum(figures[stage + suffix] for stage in FOLLOWED)
        figures["whole" + suffix] = sum(figures[stage + suffix] for stage in ("compile", "compare", "change"))
    return figures


def benchmark(options):
    sizes = options.sizes or ([10_000] if options.quick else [10_000, 100_000, 1_000_000])
    cases = [Case(short(size), {"routes": size, "hosts": 100, "tables": 1}) for size in sizes]
    first, last = cases[0].label, cases[-1].label
    tables = [
        Table("One interface moves, ms", [
            Row("reading what differs", "vpcctl", "move.text"), Row("resolving", "vpcctl", "move.resolve"),
            Row("compiling", "vpcctl", "move.compile"), Row("comparing", "vpcctl", "move.plan"),
            Row("sending", "vpcctl", "change"), Row("all", "vpcctl", "followed"),
            Row("all, processor time", "vpcctl", "followed.cpu"),
        ], scale=1e3, digits=3),
        Table("One interface comes, ms", [
            Row("reading what differs", "vpcctl", "add.text"), Row("resolving", "vpcctl", "add.resolve"),
            Row("compiling", "vpcctl", "add.compile"), Row("comparing", "vpcctl", "add.plan"),
        ], scale=1e3, digits=3),
        Table("Without short cuts, ms", [
            Row("compiling the host anew", "vpcctl", "compile"), Row("comparing", "vpcctl", "compare"),
            Row("sending, processor time", "vpcctl", "change.cpu"),
            Row("all three, processor time", "vpcctl", "whole.cpu"),
        ], scale=1e3, digits=3),
        Table("Messages that change the kernel", [Row("one interface moves", "vpcctl", "change.writes")], digits=0),
    ]
    ratios = [] if len(cases) == 1 else [
        Ratio(f"sending: against {first}", ("vpcctl", "change"), ("vpcctl", "change"), base=first, at_most=1.2,
              cases=[last]),
        Ratio(f"all, processor time: against {first}", ("vpcctl", "followed.cpu"), ("vpcctl", "followed.cpu"), base=first,
              at_most=1.2, cases=[last]),
    ]
    limits = [
        Limit("messages", ("vpcctl", "change.writes"), 1, "message"),
        Limit("sending: processor time", ("vpcctl", "change.cpu"), 1, "ms", scale=1e3),
        Limit("all: processor time", ("vpcctl", "followed.cpu"), 1, "ms", scale=1e3),
    ]
    return Benchmark(
        "change", "One change among many", TEXT, cases, [Subject("vpcctl", ours)], tables, ratios, limits,
        rounds=1 if options.quick else options.rounds or 7)
