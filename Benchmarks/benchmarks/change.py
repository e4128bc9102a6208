"""One change among many."""

from benchmarks.routes import options_of, short
from suite import namespace, programs
from suite.benchmark import Benchmark, Case, Limit, Ratio, Row, Subject, Table

TEXT = """
One interface moves to another host: a route is replaced. What is sent does not depend on how many others there are; what
compiles the host anew and compares it with what is known of the kernel does, and is shown beside it.
"""


def ours(case):
    figures = namespace.figures(namespace.inside(f"{programs.vpcbench()} change {options_of(case)}"))
    for suffix in ("", ".cpu"):
        figures["whole" + suffix] = sum(figures[stage + suffix] for stage in ("compile", "compare", "change"))
    return figures


def benchmark(options):
    sizes = options.sizes or ([10_000] if options.quick else [10_000, 100_000, 1_000_000])
    cases = [Case(short(size), {"routes": size, "hosts": 100, "tables": 1}) for size in sizes]
    first, last = cases[0].label, cases[-1].label
    tables = [
        Table("One interface moves, ms", [
            Row("compiling the host anew", "vpcctl", "compile"), Row("comparing", "vpcctl", "compare"),
            Row("sending", "vpcctl", "change"), Row("sending, processor time", "vpcctl", "change.cpu"),
            Row("all three, processor time", "vpcctl", "whole.cpu"),
        ], scale=1e3, digits=3),
        Table("Messages that change the kernel", [Row("one interface moves", "vpcctl", "change.writes")], digits=0),
    ]
    ratios = [] if len(cases) == 1 else [
        Ratio(f"sending: against {first}", ("vpcctl", "change"), ("vpcctl", "change"), base=first, at_most=1.2,
              cases=[last]),
        Ratio(f"all three: against {first}", ("vpcctl", "whole.cpu"), ("vpcctl", "whole.cpu"), base=first, at_most=1.2,
              cases=[last]),
    ]
    limits = [
        Limit("messages", ("vpcctl", "change.writes"), 1, "message"),
        Limit("sending: processor time", ("vpcctl", "change.cpu"), 1, "ms", scale=1e3),
        Limit("all three: processor time", ("vpcctl", "whole.cpu"), 1, "ms", scale=1e3),
    ]
    return Benchmark(
        "change", "One change among many", TEXT, cases, [Subject("vpcctl", ours)], tables, ratios, limits,
        rounds=1 if options.quick else options.rounds or 7)
