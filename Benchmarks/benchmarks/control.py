"""What a cloud's control plane takes."""

import functools
import json
import sys

from suite import lab, peers, programs
from suite.benchmark import Benchmark, Case, Ratio, Row, Subject, Table

TEXT = """
The same cloud by vpcctl and by OVN of Debian 12 (23.03, with Open vSwitch 3.1): hosts with ports that are spread over VPCs,
each of which has two subnets and the router between them, a group of ten rules and one whose members may ping each other;
all ports are in both groups of their VPC and held to their addresses. One port of each VPC on each host is a guest that
answers, the others are dummy devices. Hosts are network namespaces of one machine with one processor.

- *vpcd* runs on every host; all watch one folder, in which files are renamed into place: one with the ports of each host, one
  with all else. Nothing else runs. A port that moves changes two files, of which that of the first host is renamed first:
  on its way there the port is twice in the set for a moment, on its way back in none of the files.
- *OVN*: ovn-northd and two databases as the central; on every host a database, ovs-vswitchd and ovn-controller. Everything
  on Unix sockets, without TCP, TLS and RAFT. What there is to tell is told in one transaction, and one more on each host that
  gets ports: its best case.

A figure is what all processes of all hosts execute in the lab's machine, which counts instructions; the kernel's work for
them is in it, the packets' is not. *From empty*: from nothing but daemons that have started until every guest of a VPC
answers a ping of the first host's, across subnets, too. Then one thing after the other changes, each until a packet
shows it (a ping is answered, or no longer; a closed TCP port answers that it is) and three seconds more have passed, for
what comes later; every vpcd has said by then that it is done. What is used anyhow when nothing happens is taken off.

The time that passes until then is not given: the lab's clock leaps while files are read.

**OVN is ahead** where the aim is missed below: with ten hosts, where what changes is little. Its central finds out what that
is and passes it on; here every vpcd reads and judges by itself what a file says anew, ten of them ten times. A move to the
first host is the worst: in between the same port is there twice, which is not valid. With the files renamed in the other
order the same move took 979 million among a thousand ports.
"""

STEPS = {
    "from empty to all ports working": "create",
    "a port comes": "add",
    "it moves to the first host": "move",
    "it moves back": "move back",
    "a rule goes: members may not ping": "rule removed",
    "it comes back": "rule added",
    "a rule has another port": "rule changed",
    "a port goes": "remove",
}
ROLES = {
    "ovs-vswitchd": "vswitchd", "ovn-controller": "controller", "the central's databases": "databases", "ovn-northd": "northd",
    "the hosts' databases": "ovsdb", "ovn-nbctl and ovs-vsctl": "clients",
}
# By the number of all ports: hosts, ports of each, VPCs.
CLOUDS = {20: (2, 10, 2), 100: (10, 10, 2), 200: (2, 100, 2), 1000: (10, 100, 4)}


def measure(side, needs, case):
    specification = case.parameters | {"side": side} | needs()
    script = str(programs.FOLDER / "inside/control.py")
    return json.loads(lab.run("python3", script, json.dumps(specification), clock="instructions"))


def case(size):
    if size not in CLOUDS:
        sys.exit(f"control: no cloud of {size} ports; there are {', '.join(map(str, CLOUDS))}")
    hosts, ports, vpcs = CLOUDS[size]
    return Case(f"{hosts} hosts × {ports} ports, {vpcs} VPCs", {"hosts": hosts, "ports": ports, "vpcs": vpcs})


def benchmark(options):
    cases = [case(size) for size in options.sizes or ([20] if options.quick else [100, 200, 1000])]
    subjects = [
        Subject("vpcd", functools.partial(measure, "vpcd", lambda: {"vpcd": programs.vpcd()})),
        Subject("OVN", functools.partial(measure, "ovn", lambda: {"ovn": peers.ovn()}), peers.why_not(peers.ovn)),
    ]
    names = [subject.name for subject in subjects]
    tables = [
        Table("Instructions of all processes of all hosts, millions",
              [Row(f"{title}: {name}", name, step) for title, step in STEPS.items() for name in names], scale=1e3, digits=0),
        Table("Those of OVN by program, from empty, millions",
              [Row(title, "OVN", f"create.{role}") for title, role in ROLES.items()], scale=1e3, digits=0),
        Table("Those of OVN by program, a rule goes, millions",
              [Row(title, "OVN", f"rule removed.{role}") for title, role in ROLES.items()], scale=1e3, digits=0),
        Table("Nothing happens: instructions a second, millions", [Row(name, name, "idle") for name in names], scale=1e3),
        Table("Memory of all processes, MB (PSS)", [Row(name, name, "memory") for name in names], scale=1e-6, digits=0),
        Table("Processes", [Row(name, name, "processes") for name in names], digits=0),
    ]
    figures = STEPS | {"memory": "memory", "nothing happens": "idle"}
    ratios = [Ratio(f"OVN / vpcd: {title}", ("OVN", figure), ("vpcd", figure), at_least=1) for title, figure in figures.items()]
    return Benchmark(
        "control", "The control plane of a cloud", TEXT, cases, subjects, tables, ratios, is_repeatable=True, parallel=2)
