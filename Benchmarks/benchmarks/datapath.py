"""What a packet costs on its way, in instructions and in time."""

import functools
import json

from suite import lab, peers, programs
from suite.benchmark import Benchmark, Case, Ratio, Row, Subject, Table

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
- *vpcctl*: what `vpcctl apply` makes: anti-spoofing, security groups, VRF, a GRE key per VPC, nexthop objects.
  *without firewall*: the same with our tables deleted.
- *OVN*: of Debian 12 (23.03, with Open vSwitch 3.1), over Geneve; a port of one logical switch on either host, with port
  security and, in a port group, ACLs (`allow-related`) that say at either end what our group says. *Without ACLs*: with port
  security alone. In *new* its caches know all that is to be known of every port; the first connection that they do not know
  takes two processes on either host to be decided about.
- *linear chains*: our data path with the same rules written one after the other, as iptables would have them; half of the
  interfaces come before the sender's. It has one verdict for a connection, ours one for each end of it.

*Established* is a connection that has been answered, *new* a connection with every packet. A case changes one number and
leaves the others at 1 (2 routes): interfaces, VPCs on the host, rules of the group (each direction), routes in the sender's table.

OVN runs in a machine of its own like every other path, and has to: before Linux 6.12, loading the module openvswitch turns
connection tracking on in every network namespace, for whoever forwards there, tunnel packets included. That is part of
what OVN takes here, 1,100 instructions, and would have been part of the others: tried by hand, plain routing took 24 % more,
a static GRE tunnel 30 %.

*vpcctl* in the tables is the data path as it was, in the machine's own network namespace and with every packet by the rules;
they have not been made again yet. Since established connections go past the rules
([datapath.md](datapath.md#established-connections)), counted one by one on the same kernel (`make bench-guard`, and
`Benchmarks/inside/paths.py` for the others): established 15,070, with 100 interfaces the same; bare static GRE without a
firewall 15,116; with the same firewall 23,690, that is 1.57 times as much; OVN 25,106. *New* is 43,231, 1.05 of the table's,
and OVN's is less, 37,663.

**OVN is ahead** where every packet is a connection's first, by an eighth. Of established connections it was until these went
past the rules; what takes 5,000 instructions more than static GRE where they do not (`dataPlane.offload: false`, ICMP, what
goes to gateways) was found by taking parts away on the hosts in the lab:

| instructions | what for |
|---|---|
| 1,065 | the receiver looks up the source of every tunnel packet, because the host has routing rules (`l3mdev`) that a host with one static tunnel does not need; `net.ipv4.conf.DEVICE.accept_local=1` on the underlay device spares it (*vpcctl, accept_local*), and is the host's to set |
| 2,100 | the same rules before each of the three other lookups, the VRF's own pass, the key and the far host from a nexthop object instead of from the device |
| 1,150 | hooks and connection tracking see a packet once more as the VRF's, on either host |
| 420 | the tunnel's device is asked for with the address that packets come from |
| 290 | more rules: 85 for each that does not match |

That is the VRF's price. *vpcctl, flowtable by hand* has one flowtable with the guests' ports beside what the product made then:
only the sender's host gains by it, for what arrives by the tunnel comes in on another device than answers leave by.

A prototype of this path without a firewall took 8,005 instructions more than its floor on the sender's host and 15,536 on
both, with `accept_local` on the underlay device (its floor was higher: other boot options). The same here is *vpcctl without
firewall* less *floor*: 6,310 and 15,467, without `accept_local`.
"""

# Title and specification (inside/paths.py) of what is compared.
PATHS = {
    "floor": {"path": "floor"},
    "plain routing": {"path": "routed"},
    "static GRE": {"path": "gre"},
    "VXLAN": {"path": "vxlan"},
    "vpcctl without firewall": {"path": "vpcctl-open"},
    "static GRE, same firewall": {"path": "gre-firewall"},
    "vpcctl": {"path": "vpcctl"},
    "vpcctl, accept_local": {"path": "vpcctl-accept-local"},
    "vpcctl, flowtable by hand": {"path": "vpcctl-flowtable"},
    "OVN": {"path": "ovn"},
    "OVN without ACLs": {"path": "ovn-open"},
    "linear chains": {"path": "linear"},
}
OVN = ["OVN", "OVN without ACLs"]
ESTABLISHED, NEW, SENDER = Case("established"), Case("new", {"flow": "new"}), Case("sender only", {"send_only": True})
# What would bring more, set by hand beside what the product made.
VARIANTS = ["vpcctl, accept_local", "vpcctl, flowtable by hand"]
# What cases with more than one of something are compared for.
GROWING = ["vpcctl", "linear chains"]


def measure(path, case):
    specification = PATHS[path] | case.parameters | {"vpcctl": programs.vpcctl(), "limit": programs.limit("routes")}
    if path in OVN:
        specification["ovn"] = peers.ovn()
    script = str(programs.FOLDER / "inside/paths.py")
    figures = json.loads(lab.run("python3", script, json.dumps(specification), clock="instructions"))
    return {"instructions": figures["ns"]}


def why_not(path, case):
    firewall = path in ("static GRE, same firewall", "vpcctl", "OVN", "linear chains")
    if path in OVN and case.label not in ("established", "new"):
        return "measured with one of everything, on both hosts"
    if path in VARIANTS:
        return None if case.label == "established" else "measured with one established connection"
    if case.label == "new":
        return None if firewall else "without a firewall there are no connections"
    if case.label == "sender only":
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
    cases = [ESTABLISHED, NEW, SENDER] + [case for group in grown.values() for case in group]
    if options.quick:
        cases = [ESTABLISHED, NEW] + grown["rules"]
    unless_missing = peers.why_not(peers.ovn)
    subjects = [
        Subject(path, functools.partial(measure, path),
                lambda case, path=path: why_not(path, case) or (unless_missing(case) if path in OVN else None)) for path in PATHS
    ]
    labels = [case.label for case in (ESTABLISHED, NEW, SENDER)]
    tables = [Table("Instructions a packet", [Row(path, path, "instructions") for path in PATHS], digits=0, cases=labels)]
    ratios = [
        Ratio("static GRE, same firewall / vpcctl (packets a second)", ("static GRE, same firewall", "instructions"),
              ("vpcctl", "instructions"), at_least=0.95, cases=labels),
        Ratio("vpcctl / OVN", ("vpcctl", "instructions"), ("OVN", "instructions"), at_most=1.0, cases=labels[:2]),
        Ratio("static GRE, same firewall / vpcctl, flowtable by hand", ("static GRE, same firewall", "instructions"),
              ("vpcctl, flowtable by hand", "instructions"), cases=[ESTABLISHED.label]),
        Ratio("static GRE / vpcctl without firewall", ("static GRE", "instructions"),
              ("vpcctl without firewall", "instructions"), cases=labels),
        Ratio("VXLAN / vpcctl without firewall", ("VXLAN", "instructions"),
              ("vpcctl without firewall", "instructions"), cases=labels),
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
        "datapath", "The way of a packet", TEXT, cases, subjects, tables, ratios, is_repeatable=True, parallel=2)
