"""Loading the firewall of a host, and changing one member of a group."""

import functools
import re
import tempfile

from suite import namespace, programs
from suite.benchmark import Benchmark, Case, Limit, Ratio, Row, Subject, Table

TEXT = """
The tables of nf_tables as they are compiled, loaded natively in one transaction.

- *members*: one interface whose group names another group of so many members. `nft -f` loads the very same tables from a
  file (what `nft list` prints, with the names that nft reads back); *limit* is a C program that sends a set with the same
  elements prebuilt and nothing else.
- *interfaces*: so many interfaces, each in 5 of 100 groups of 10 rules; *alike* means 10 different lists of groups,
  *different* a list each.

One more member is one element of one set: vpcctl compiles all, compares it with what it read before, and sends that
element.
"""


def options_of(case):
    return f"{case['interfaces']} {case['members']} {case['groups']} {case['lists']}"


def ours(case):
    figures = namespace.figures(namespace.inside(f"{programs.vpcbench()} firewall {options_of(case)}"))
    for suffix in ("", ".cpu"):
        figures["all" + suffix] = sum(figures[stage + suffix] for stage in ("compile", "plan", "load"))
    return figures


def limit(case):
    return namespace.figures(namespace.inside(f"{programs.limit('set')} {case['members']}"))


@functools.cache
def ruleset(options):
    """The case's tables as a file for nft."""
    text = namespace.inside(f"{programs.vpcbench()} firewall {options} >/dev/null; nft list ruleset")
    # nft prints what it does not read: a key's type is lost where its bytes are loaded by their position, and a zone's
    # where it is a map's value.
    for position, field in (("@nh,96,32", "ip saddr"), ("@nh,128,32", "ip daddr"), ("@nh,72,8", "ip protocol"),
                            ("@th,0,16", "th sport")):
        text = text.replace(position, field)
    for printed, meant in (("ifname : mark", "iifname : ct zone"),
                           ("ifname . ether_addr : mark", "iifname . ether saddr : ct zone"),
                           ("ifname . ether_addr . ipv4_addr : mark", "iifname . ether saddr . ip saddr : ct zone")):
        text = text.replace(f"type {printed}\n", f"typeof {meant}\n")
    file = tempfile.NamedTemporaryFile("w", suffix=".nft")
    file.write(text)
    file.flush()
    return file, re.search(r"set (members_\w+) ", text)[1]


def nft(case):
    file, members = ruleset(options_of(case))
    add = f"nft add element inet vpcctl {members} {{ 10.250.0.1 }}"
    script = f"{namespace.seconds_of(f'nft -f {file.name}')}\n{namespace.seconds_of(add).replace('seconds', 'add-one')}"
    figures = namespace.figures(namespace.inside(script))
    listed = int(namespace.inside(f"nft -f {file.name}; nft list ruleset | grep -c chain"))
    if listed < 4:
        raise RuntimeError("nft loaded nothing")
    return figures


def benchmark(options):
    sizes = options.sizes or ([1000] if options.quick else [1000, 10_000, 100_000])
    members = [
        Case(f"{size:,} members", {"interfaces": 1, "members": size, "groups": 1, "lists": 1}) for size in sizes
    ]
    count = 100 if options.quick else 1000
    grouped = [
        Case(f"{count} interfaces, {name}", {"interfaces": count, "members": 1, "groups": 100, "lists": lists})
        for name, lists in (("alike", 10), ("different", count))
    ]
    labels, grouped_labels = [case.label for case in members], [case.label for case in grouped]
    subjects = [
        Subject("vpcctl", ours),
        Subject("nft -f", nft),
        Subject("limit", limit, lambda case: None if case in members else "it has a set of members only"),
    ]
    tables = [
        Table("Loading, µs a member", [
            Row("vpcctl: compiling, planning, loading", "vpcctl", "all"),
            Row("vpcctl: loading alone", "vpcctl", "load"),
            Row("nft -f", "nft -f", "seconds"),
            Row("limit", "limit", "add"),
        ], scale=1e6, per="members", cases=labels),
        Table("One member more, ms", [
            Row("vpcctl: compiling", "vpcctl", "compile"),
            Row("vpcctl: comparing", "vpcctl", "plan-one"),
            Row("vpcctl: sending", "vpcctl", "add-one"),
            Row("nft add element", "nft -f", "add-one"),
            Row("limit", "limit", "add-one"),
        ], scale=1e3, digits=3, cases=labels),
        Table("Interfaces in five groups each, s", [
            Row("vpcctl: compiling", "vpcctl", "compile"),
            Row("vpcctl: planning", "vpcctl", "plan"),
            Row("vpcctl: loading", "vpcctl", "load"),
            Row("vpcctl: reading back", "vpcctl", "observe"),
            Row("nft -f", "nft -f", "seconds"),
        ], digits=3, cases=grouped_labels),
        Table("What is loaded", [
            Row("chains", "vpcctl", "chains"), Row("rules", "vpcctl", "rules"), Row("elements", "vpcctl", "elements"),
        ], digits=0),
    ]
    ratios = [
        Ratio("compiling, planning and loading / nft -f", ("vpcctl", "all"), ("nft -f", "seconds"), at_most=0.6),
        Ratio("loading / limit", ("vpcctl", "load"), ("limit", "add"), at_most=1.2, cases=labels[1:]),
        Ratio("the same, processor time", ("vpcctl", "load.cpu"), ("limit", "add.cpu"), at_most=1.2, cases=labels[1:]),
        Ratio("one member more: sending / nft", ("vpcctl", "add-one"), ("nft -f", "add-one"), cases=labels),
    ]
    limits = [
        Limit("one member more: messages", ("vpcctl", "add-one.writes"), 1, "message", cases=labels),
        Limit("one member more: sending", ("vpcctl", "add-one"), 1, "ms", scale=1e3, cases=labels),
        Limit("interfaces: compiling, planning and loading", ("vpcctl", "all"), 1, "s", cases=grouped_labels),
    ]
    return Benchmark(
        "firewall", "Loading a firewall, and one member more", TEXT, members + grouped, subjects, tables, ratios, limits,
        rounds=1 if options.quick else options.rounds or 7)
