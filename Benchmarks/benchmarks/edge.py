"""What a packet costs the host of a gateway to an external network, and what it takes to bind an elastic IP."""

import functools
import json

from benchmarks.routes import short
from suite import lab, programs
from suite.benchmark import Benchmark, Case, Limit, Ratio, Row, Subject, Table

TEXT = """
A guest of host h1 and the internet behind a provider's router send each other 64-byte packets (pktgen), of one flow of UDP that has
been answered, by the gateway's host. What is told is what that host takes: it is measured to where packets leave it, and to
where they come to its devices, and the difference is taken. The lab's machine counts instructions.

- *NAT gateway*, and elastic IPs of each mode.
- *NAT gateway, all rules*: with bandwidths of 5 Gbit/s and a port forward; elastic IPs of each mode with bandwidths; a gateway of another
  VPC with ports of a shared address, and one that gives each inside address a block of ports.
- *Masquerade by hand*: one static GRE tunnel to h1, `masquerade` at the uplink, and nothing else: one tenant.

The others grow one number: elastic IPs of other interfaces of the VPC, VPCs with a gateway of their own on the host, tracked
connections of the gateway. A million connections take room that Linux has not by itself: `net.netfilter.nf_conntrack_max`, and
`nf_conntrack_buckets`, here 2^20; they are told to the kernel by netlink, in the gateway's zone.

*Binding*: `vpcd` of the gateway's host, with a file of manifests that has the elastic IP, which is rewritten. It is
the processor time of the daemon from there to `RevisionApplied`, with what the kernel does for it: reading the file, checking it
against all others, what it changes, the transaction, and reading back. It misses its aim, and grows with the elastic IPs of
the host. What moving and unbinding took more was a list of all of them, made to judge connections by; it is not made any more,
and these two are as they were before.

The figures are of single runs of the two scripts (`inside/edge.py`, `inside/binding.py`), of several builds, and not of one run of
`make bench-edge`.
"""

# Title and specification (inside/edge.py) of what is compared.
PATHS = {
    "NAT gateway": "gateway",
    "NAT gateway, all rules": "all",
    "elastic IP": "nat",
    "elastic IP, stateless": "stateless",
    "elastic IP, passThrough": "passThrough",
    "masquerade by hand": "masquerade",
}
GROWING = "NAT gateway"
ONE = Case("one of everything")


def measure(path, case):
    specification = case.parameters | {"path": PATHS[path], "vpcctl": programs.vpcctl()}
    script = str(programs.FOLDER / "inside/edge.py")
    return json.loads(lab.run("python3", script, json.dumps(specification), clock="instructions"))


def bind(case):
    specification = {"eips": case["eips"], "vpcd": programs.vpcd()}
    script = str(programs.FOLDER / "inside/binding.py")
    return json.loads(lab.run("python3", script, json.dumps(specification), clock="instructions"))


def why_not(path, case):
    return None if path == GROWING or case == ONE else "measured with one of everything"


def benchmark(options):
    sizes = options.sizes or ([100] if options.quick else [1000, 10_000])
    elastic = [Case(f"{short(size)} elastic IPs", {"eips": size}) for size in sizes]
    others = [] if options.quick else [
        Case("1k VPCs", {"vpcs": 1000}), Case("1M connections", {"connections": 1_000_000})]
    grown = elastic + others
    cases = [ONE] + grown
    subjects = [
        Subject(path, functools.partial(measure, path), functools.partial(why_not, path)) for path in PATHS
    ] + [Subject("vpcd", bind, lambda case: None if "eips" in case.parameters else "no elastic IPs")]
    tables = [
        Table("Instructions a packet, both directions together",
              [Row(path, path, "both") for path in PATHS], digits=0, cases=[ONE.label]),
        Table("Out", [Row(path, path, "out") for path in PATHS], digits=0, cases=[ONE.label]),
        Table("In", [Row(path, path, "in") for path in PATHS], digits=0, cases=[ONE.label]),
        Table("Both directions, with more of something", [Row(GROWING, GROWING, "both")], digits=0),
        Table("Binding, ms of processor", [Row(change, "vpcd", change) for change in ("bind", "move", "unbind")],
              scale=1e3, digits=2, cases=[case.label for case in elastic]),
    ]
    ratios = [
        Ratio("NAT gateway: against one of everything", (GROWING, "both"), (GROWING, "both"), base=ONE.label, at_most=1.1,
              cases=[case.label for case in grown]),
        Ratio("NAT gateway / masquerade by hand", (GROWING, "both"), ("masquerade by hand", "both"), cases=[ONE.label]),
    ]
    limits = [
        Limit("NAT gateway, all rules, both directions", ("NAT gateway, all rules", "both"), 38_000, "instructions", cases=[ONE.label]),
        Limit("stateless elastic IP, both directions", ("elastic IP, stateless", "both"), 33_600, "instructions", cases=[ONE.label]),
    ] + [Limit("binding an elastic IP", ("vpcd", "bind"), 1, "ms", scale=1e3, cases=[case.label]) for case in elastic]
    return Benchmark(
        "edge", "The internet edge", TEXT, cases, subjects, tables, ratios, limits, is_repeatable=True, parallel=2)
