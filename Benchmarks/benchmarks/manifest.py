"""From the text of a manifest to a plan."""

import functools
import tempfile

from benchmarks.routes import short
from suite import machine, programs
from suite.benchmark import Benchmark, Case, Limit, Ratio, Row, Subject, Table
from suite.namespace import figures

TEXT = """
A file with so many network interfaces of one VPC on 100 hosts becomes the plan of one host that has nothing yet: reading
and validating every document, resolving and validating the whole, compiling, planning. YAML is a document per resource,
JSON one list. *libyaml* is its events alone, of the same file, thrown away. Memory is the most that the process had, its
program and the text itself (170 bytes an interface) included.
"""


@functools.cache
def manifest(file_format, interfaces):
    file = tempfile.NamedTemporaryFile("wb", suffix=f".{file_format}")
    programs.run_into(file, programs.vpcbench(), "generate", file_format, str(interfaces), "100", "1")
    return file


def ours(file_format, case):
    values = figures(machine.output(programs.vpcbench(), "manifest", manifest(file_format, case["interfaces"]).name))
    stages = ("parse", "resolve", "compile", "plan")
    for suffix in ("", ".cpu"):
        values["all" + suffix] = sum(values[stage + suffix] for stage in stages)
    values["peak"] = max(values[stage + ".peak"] for stage in stages)
    return values


def libyaml(file_format, case):
    return figures(machine.output(programs.limit("yaml"), manifest(file_format, case["interfaces"]).name))


def benchmark(options):
    sizes = options.sizes or ([1000, 10_000] if options.quick else [1000, 10_000, 100_000, 1_000_000])
    cases = [Case(short(size), {"interfaces": size}) for size in sizes]
    subjects = [Subject(file_format, functools.partial(ours, file_format)) for file_format in ("yaml", "json")]
    subjects += [
        Subject(f"libyaml, {file_format}", functools.partial(libyaml, file_format)) for file_format in ("yaml", "json")
    ]
    stages = (("parse", "reading and validating"), ("resolve", "resolving and validating"), ("compile", "compiling"),
              ("plan", "planning"), ("all", "all"))
    tables = []
    for file_format in ("yaml", "json"):
        rows = [Row(title, file_format, stage) for stage, title in stages]
        rows.append(Row("libyaml's events", f"libyaml, {file_format}", "parse"))
        tables.append(Table(f"{file_format.upper()}, µs an interface", rows, scale=1e6, per="interfaces"))
    formats = ("yaml", "json")
    tables += [
        Table("Memory, bytes an interface",
              [Row(file_format.upper(), file_format, "peak") for file_format in formats], per="interfaces", digits=0),
        Table("All of it, processor seconds", [Row(name.upper(), name, "all.cpu") for name in formats], digits=3),
    ]
    hundred, largest = short(100_000), short(max(sizes))
    ratios = [
        Ratio(f"{name.upper()}: an interface of {largest} / one of {hundred}, processor time", (name, "all.cpu"),
              (name, "all.cpu"), base=hundred, per="interfaces", at_most=1.2, cases=[largest])
        for name in formats if max(sizes) > 100_000
    ]
    limits = [
        Limit(f"{name.upper()}: all of it", (name, "all"), 1.5, "s", cases=[hundred]) for name in formats
    ] + [
        Limit(f"{name.upper()}: memory an interface", (name, "peak"), 1000, "bytes", per="interfaces",
              cases=[case.label for case in cases if case["interfaces"] >= 100_000]) for name in formats
    ]
    return Benchmark(
        "manifest", "From a manifest to a plan", TEXT, cases, subjects, tables, ratios, limits,
        rounds=1 if options.quick else options.rounds or 5)
