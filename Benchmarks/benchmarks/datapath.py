"""What a packet costs on its way, in instructions and in time."""

import functools
import json

from suite import lab, peers, programs
from suite.benchmark import Benchmark, Case, Limit, Ratio, Row, Subject, Table

TEXT = """
A guest of host h1 sends 64-byte packets (pktgen) to a guest of host h2; hosts, guests and the underlay between them are
network namespaces of one machine with one processor, so the figure is the whole way: two veth pairs of guests, one of the
underlay, both hosts' work. The lab's machine is emulated and its clock counts instructions: the figures come out the same
on any machine, to about 0.1 %; those of OVN and of *linear chains* are 280 higher in some runs than in others. They do not
see cache misses.

- *floor*: making a packet, one veth, one drop. It is part of every other figure.
- *plain routing*: two hosts that forward, without tunnel, VRF or firewall.
- *static GRE*, *VXLAN*: one tunnel device that knows its other end, as one would set it up by hand for two hosts.
- *static GRE, same firewall*: with hand-written nftables rules that do the work of ours: anti-spoofing and conntrack zone
  in one lookup, connection tracking, the policy's verdict kept in the connection's mark, the host closed to its guests.
  *With a flowtable*: and a flowtable beside them that established connections pass by, in both directions; what one gets by
  hand for two hosts and one tenant.
- *vpcctl*: what `vpcctl apply` makes: anti-spoofing, security groups, VRF, a GRE key per VPC, nexthop objects, a flowtable per
  VPC, in a network namespace of its own. *By the rules*: the same with `dataPlane.offload: false`, as go ICMP, what gateways
  get, and what is never answered. *Without firewall*: with our tables deleted.
- *OVN*: of Debian 12 (23.03, with Open vSwitch 3.1), over Geneve; a port of one logical switch on either host, with port
  security and, in a port group, ACLs (`allow-related`) that say at either end what our group says. *Without ACLs*: with port
  security alone. In *new* its caches know all that is to be known of every port; the first connection that they do not know
  takes two processes on either host to be decided about.
- *linear chains*: our data path with the same rules written one after the other, as iptables would have them; half of the
  interfaces come before the sender's. It has one verdict for a connection, ours one for each end of it.

*Established* is a connection that has been answered, *new* a connection with every packet, *sender only* a stream that
nobody answers, seen on the sender's host: it never gets into a flowtable. *TCP* is an established connection's
acknowledgements, sent by a program and not by pktgen, which makes UDP alone: its floor is another, so ratios are also
given *beyond the floor*. Such packets have 16 bytes of room before them, and the kernel makes room twice on our way,
some 700 instructions; a TCP socket and a tap device leave more. *Bulk TCP* is a stream of 64 MiB between two sockets,
by guests with MTU 1500 on an underlay of 1600; the guests' own work is most of it. A case changes one number and leaves
the others at 1 (2 routes): interfaces, VPCs on the host, rules of the group (each direction), routes in the sender's
table.

OVN runs in a machine of its own like every other path, and has to: before Linux 6.12, loading the module openvswitch turns
connection tracking on in every network namespace, for whoever forwards there, tunnel packets included. That is part of
what OVN takes here, 1,100 instructions, and would have been part of the others: tried by hand, plain routing took 24 % more,
a static GRE tunnel 30 %.

**OVN is ahead** where every packet is a connection's first. What a flowtable by hand has ahead of ours is what a VPC takes: VRFs,
a key and a far host that the packet chooses, and a namespace between the tenants and the machine.

**Flowtables.** Whatever takes a permission away has every connection judged anew ([security.md](security.md#past-the-rules)). That is a
transaction of one message for each VPC concerned, two writes of a parameter, and another message when all is done:
78,000 instructions, with ten ports of the VPC on the host as with 1,000. Before, the flowtable was deleted and made
again. What that takes the kernel, counted with the same messages (`FlowtableTests` prints it for the driver as a
whole):

| ports of the VPC | deleted and made, in the order of before | in the best order | of that, made |
|---|---|---|---|
| 10 | 102,000 | 106,000 | 54,000 |
| 100 | 385,000 | 394,000 | 193,000 |
| 250 | 1,160,000 | 1,004,000 | 533,000 |
| 1,000 | 9,010,000 | 5,840,000 | 4,035,000 |

*The best order* is what is left for flowtables that are made for the first time, or put right: devices are named in the
order in which the kernel has them, the last ones first, so that each is found at once; and the message that makes the
flowtable has none, because each device of a further message is compared with those of the first one twice. What remains
is 5.3 instructions for each pair of devices: 6.1 compares a device that comes with all that come in the same
transaction.

It cannot be had for less by deleting. All at once is hardly cheaper (6.07 million for 6.39, with the making in one
transaction), and what the kernel tells of it, the names of all devices, does not fit into a page then, and it tells
every listener of nf_tables that something was lost (ENOBUFS), ours and everybody else's. Several flowtables for a VPC
are no way out: a connection is in one of them, and a packet is looked for in that of the device it comes by. And Linux
6.12 waits for a grace period, 12 ms, for each device that leaves a flowtable: 12 s for 1,000, inside of the
transaction.

A device that goes down, anybody's on the machine, has the kernel look through all flowtables of all namespaces, with
the lock of all devices held: 66,000 instructions without any, 194,000 with 10, 1.34 million with 100 and 12.8 million
with 1,000 (6.12: 11.3), empty ones; each connection in them comes on top. On a host with a thousand VPCs every
container that ends takes that.
"""

# Title and specification (inside/paths.py) of what is compared.
PATHS = {
    "floor": {"path": "floor"},
    "plain routing": {"path": "routed"},
    "static GRE": {"path": "gre"},
    "VXLAN": {"path": "vxlan"},
    "vpcctl without firewall": {"path": "vpcctl-open"},
    "static GRE, same firewall": {"path": "gre-firewall"},
    "static GRE, same firewall, with a flowtable": {"path": "gre-flowtable"},
    "vpcctl": {"path": "vpcctl"},
    "vpcctl by the rules": {"path": "vpcctl-rules"},
    "OVN": {"path": "ovn"},
    "OVN without ACLs": {"path": "ovn-open"},
    "linear chains": {"path": "linear"},
}
OVN = ["OVN", "OVN without ACLs"]
ESTABLISHED, NEW, SENDER = Case("established"), Case("new", {"flow": "new"}), Case("sender only", {"send_only": True})
TCP, BULK = Case("TCP", {"flow": "tcp"}), Case("bulk TCP", {"flow": "bulk"})
SINGLE = [ESTABLISHED, TCP, BULK, NEW, SENDER]
# Beside which there is nothing to grow.
FLOWTABLE, RULES = "static GRE, same firewall, with a flowtable", "vpcctl by the rules"
# What cases with more than one of something are compared for.
GROWING = ["vpcctl", "linear chains"]


def measure(path, case):
    specification = PATHS[path] | case.parameters | {
        "vpcctl": programs.vpcctl(), "limit": programs.limit("routes"), "frames": programs.limit("frames")}
    if path in OVN:
        specification["ovn"] = peers.ovn()
    script = str(programs.FOLDER / "inside/paths.py")
    figures = json.loads(lab.run("python3", script, json.dumps(specification), clock="instructions"))
    taken = {"instructions": figures["ns"]} | {name: figures[name] for name in ("segment",) if name in figures}
    if case in (ESTABLISHED, TCP) and path != "floor":
        taken["beyond"] = figures["ns"] - floor(case.label)["instructions"]
    return taken


@programs.once
def floor(label):
    """What making and dropping a packet takes."""
    return measure("floor", {ESTABLISHED.label: ESTABLISHED, TCP.label: TCP}[label])


def why_not(path, case):
    firewall = path in ("static GRE, same firewall", FLOWTABLE, "vpcctl", RULES, "OVN", "linear chains")
    if case == BULK:
        return "it has no underlay" if path == "floor" else "its policies are for UDP" if path == "linear chains" else None
    if case == TCP:
        return "its policies are for UDP" if path == "linear chains" else None
    if case.label == "new":
        return None if firewall else "without a firewall there are no connections"
    if case.label == "sender only":
        if path in OVN or path == FLOWTABLE:
            return "measured on both hosts"
        return "its receiver is part of it" if path in ("floor", "linear chains") else None
    if case.label == "established" or path == "vpcctl":
        return None
    if "routes" in case.parameters:
        return None if path == "plain routing" else "its routes are those of vpcctl"
    if path != "linear chains":
        return "there is one of everything"
    return "the firewall does not know of VPCs" if "vpcs" in case.parameters else None


def title(count, noun):
    return f"{count:,} {noun}"


def benchmark(options):
    sizes = options.sizes or ([100] if options.quick else [100, 1000])
    grown = {
        "interfaces": [Case(title(size, "interfaces"), {"interfaces": size}) for size in sizes],
        "VPCs": [Case(title(size, "VPCs"), {"vpcs": size}) for size in sizes],
        "rules": [Case(title(size, "rules"), {"rules": size}) for size in sizes],
        "rules, new": [Case(title(size, "rules, new"), {"rules": size, "flow": "new"}) for size in sizes],
        "routes": [Case(title(size, "routes"), {"routes": size})
                   for size in ([100] if options.quick else [100, 10_000, 1_000_000])],
    }
    cases = SINGLE + [case for group in grown.values() for case in group]
    if options.quick:
        cases = [ESTABLISHED, TCP, BULK, NEW] + grown["rules"]
    unless_missing = peers.why_not(peers.ovn)
    subjects = [
        Subject(path, functools.partial(measure, path),
                lambda case, path=path: why_not(path, case) or (unless_missing(case) if path in OVN else None)) for path in PATHS
    ]
    labels = [case.label for case in SINGLE if case != BULK]
    answered = [ESTABLISHED.label, TCP.label]
    tables = [
        Table("Instructions a packet", [Row(path, path, "instructions") for path in PATHS], digits=0, cases=labels),
        Table("Bulk TCP, instructions a kB", [Row(path, path, "instructions") for path in PATHS if path not in ("floor", "linear chains")],
              digits=0, cases=[BULK.label]),
        Table("Bulk TCP, bytes of a packet on the underlay",
              [Row(path, path, "segment") for path in PATHS if path not in ("floor", "linear chains")], digits=0, cases=[BULK.label]),
    ]
    ratios = [
        Ratio("static GRE, same firewall / vpcctl (packets a second)", ("static GRE, same firewall", "instructions"),
              ("vpcctl", "instructions"), at_least=1.5, cases=[ESTABLISHED.label]),
        Ratio("the same beyond the floor", ("static GRE, same firewall", "beyond"), ("vpcctl", "beyond"), at_least=1.5, cases=answered),
        Ratio("the same where no flowtable helps", ("static GRE, same firewall", "instructions"), ("vpcctl", "instructions"),
              at_least=0.95, cases=[NEW.label, SENDER.label]),
        Ratio("vpcctl / static GRE without firewall", ("vpcctl", "instructions"), ("static GRE", "instructions"), at_most=1.0,
              cases=answered),
        Ratio("vpcctl / OVN", ("vpcctl", "instructions"), ("OVN", "instructions"), at_most=1.0, cases=labels[:-1] + [BULK.label]),
        Ratio("vpcctl / static GRE, same firewall, with a flowtable", ("vpcctl", "instructions"), (FLOWTABLE, "instructions"),
              cases=labels[:-1] + [BULK.label]),
        Ratio("vpcctl / vpcctl by the rules", ("vpcctl", "instructions"), (RULES, "instructions"), cases=labels[:-1] + [BULK.label]),
        Ratio("static GRE / vpcctl without firewall", ("static GRE", "instructions"),
              ("vpcctl without firewall", "instructions"), cases=labels),
        Ratio("VXLAN / vpcctl without firewall", ("VXLAN", "instructions"),
              ("vpcctl without firewall", "instructions"), cases=labels),
    ]
    limits = [
        Limit("vpcctl, established", ("vpcctl", "instructions"), 15_200, "instructions", cases=[ESTABLISHED.label]),
        # A tenth more than before there were flowtables and a namespace for all of it.
        Limit("vpcctl, new", ("vpcctl", "instructions"), 45_420, "instructions", cases=[NEW.label]),
    ]
    for noun, group in grown.items():
        base = NEW if noun.endswith("new") else ESTABLISHED
        columns = [base.label] + [case.label for case in group]
        paths = ["vpcctl", "plain routing"] if noun == "routes" else GROWING
        tables.append(Table(f"Instructions a packet, by {noun}", [Row(path, path, "instructions") for path in paths],
                            digits=0, cases=columns))
        for path in paths:
            ratios.append(Ratio(f"{path}: against one of everything", (path, "instructions"), (path, "instructions"),
                                base=base.label, at_most=1.1 if path == "vpcctl" else None, cases=columns[1:]))
    return Benchmark(
        "datapath", "The way of a packet", TEXT, cases, subjects, tables, ratios, limits, is_repeatable=True, parallel=2)
