"""Programming routes, and the pass after it that has nothing to do."""

import pathlib
import tempfile

from suite import namespace, peers, programs
from suite.benchmark import Benchmark, Case, Limit, Ratio, Row, Subject, Table

INSIDE = programs.FOLDER / "inside"
TEXT = """
One VPC whose interfaces are /32 routes by a nexthop object per host; a case with 1000 VPCs has a table each. Natively,
so without VRF and GRE devices: the nexthop objects lead to a veth instead, all else is what the compiler made.

- *limit*: a C program that sends the same messages, prebuilt, 256 to a send, and does nothing else.
- *vpcctl*: planning is compiling, and comparing with what is there; programming sends it.
- `ip -batch` has the same nexthop objects. BIRD and systemd-networkd start, read their configuration and have every
  route by a gateway; zebra imports a table that the kernel has already (its static routes take time that grows with the
  square of their number). pyroute2 makes a call for each route.

Then everything is read back and compared: *nothing to do*. Beside it stands the bare dump, received and not even read.

BIRD's time is missed with many routes: it takes less a route the more there are, and the limit itself, which does nothing
but the kernel's part, takes a fifth of it (*limit / BIRD*). The kernel's own work on a route is what would have to become
less. A pass where there is nothing to do decodes and keeps what it reads, where the bare dump uses one buffer again and
again: within the aim with a million routes, not in every smaller case, which take milliseconds.
"""


def options_of(case):
    return f"{case['routes']} {case['hosts']} {case['tables']}"


def ours(case):
    program = programs.vpcbench()
    figures = namespace.figures(namespace.inside(f"{program} routes {options_of(case)}"))
    for suffix in ("", ".cpu"):
        figures["planning" + suffix] = figures["compile" + suffix] + figures["plan" + suffix]
        figures["all" + suffix] = figures["planning" + suffix] + figures["commit" + suffix]
        figures["pass" + suffix] = figures["observe" + suffix] + figures["plan-nothing" + suffix]
    return figures


def limit(case):
    program = programs.limit("routes")
    nexthops = (case["hosts"] - 1) * case["tables"]
    command = f"{program} --tables {case['tables']} {case['routes']} {nexthops}"
    return namespace.figures(namespace.inside(command))


def address(number):
    return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))


def destinations(case):
    return (address(0x0A000100 + index) for index in range(case["routes"]))


def gateway(index):
    return address(0xAC1F0001 + index)


def ip_batch(case):
    gateways = case["hosts"] - 1
    with tempfile.NamedTemporaryFile("w", suffix=".batch") as file:
        for index in range(gateways):
            file.write(f"nexthop add id {1000001 + index} via {gateway(index)} dev v0 onlink\n")
        for index, destination in enumerate(destinations(case)):
            file.write(f"route add {destination}/32 nhid {1000001 + index % gateways} table 1000001\n")
        file.flush()
        listing = namespace.seconds_of("ip route show table 1000001").replace("seconds", "dump")
        return namespace.figures(namespace.inside(f"{namespace.seconds_of(f'ip -batch {file.name}')}\n{listing}"))


def waiting(case, command):
    return f"python3 {INSIDE}/wait_routes.py {case['routes']} {command}"


def bird(case):
    program = peers.program("bird2", "usr/sbin/bird")
    gateways = case["hosts"] - 1
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/bird.conf", "w", encoding="ascii") as file:
            file.write("router id 1.2.3.4;\nprotocol device {}\n"
                       "protocol kernel { ipv4 { export all; }; kernel table 1000001; }\nprotocol static { ipv4;\n")
            for index, destination in enumerate(destinations(case)):
                file.write(f"route {destination}/32 via {gateway(index % gateways)};\n")
            file.write("}\n")
        command = f"{program} -f -c {folder}/bird.conf -s {folder}/bird.ctl -P {folder}/bird.pid"
        return namespace.figures(namespace.inside(waiting(case, command)))


def zebra(case):
    program = peers.program("frr", "usr/lib/frr/zebra")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "zebra.conf").write_text("ip import-table 100\n")
        batch = folder / "batch"
        with open(batch, "w", encoding="ascii") as file:
            for index, destination in enumerate(destinations(case)):
                file.write(f"route add {destination}/32 via {gateway(index % (case['hosts'] - 1))} dev v0 table 100\n")
        # It insists on a group that only its package makes.
        prepare = f"""{namespace.UNDERLAY}
            sed '$a frrvty:x:64999:root' /etc/group >{folder}/group
            mount --bind {folder}/group /etc/group
            mount -t tmpfs run /run
            mkdir -p /run/frr
            ip -batch {batch}"""
        command = f"{program} -u root -g root -f {folder}/zebra.conf -z {folder}/api -i {folder}/pid --vty_socket {folder}"
        return namespace.figures(namespace.inside(waiting(case, command), prepare, mount=True))


def networkd(case):
    program = peers.program("systemd", "lib/systemd/systemd-networkd")
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/10-v0.network", "w", encoding="ascii") as file:
            file.write("[Match]\nName=v0\n[Network]\nKeepConfiguration=yes\nLinkLocalAddressing=no\n")
            for index, destination in enumerate(destinations(case)):
                file.write(f"[Route]\nDestination={destination}/32\nGateway={gateway(index % (case['hosts'] - 1))}\n"
                           "GatewayOnLink=yes\nTable=1000001\n")
        # With /sys writable it waits for udev.
        prepare = f"""{namespace.UNDERLAY}
            mount -t sysfs -o ro sysfs /sys
            mount -t tmpfs run /run
            mkdir -p /run/systemd/network /run/systemd/netif
            cp {folder}/10-v0.network /run/systemd/network/"""
        return namespace.figures(namespace.inside(waiting(case, program), prepare, mount=True))


def pyroute2(case):
    python = peers.pypi("pyroute2")
    return namespace.figures(
        namespace.inside(f"{python} {INSIDE}/pyroute2_routes.py {case['routes']} {case['hosts'] - 1}"))


def short(count):
    for factor, letter in ((1000_000, "M"), (1000, "k")):
        if count % factor == 0:
            return f"{count // factor}{letter}"
    return str(count)


def only_compared(reason):
    """Other programs are run in the cases with 100 hosts and one table."""
    return lambda case: reason(case) if case["hosts"] == 100 and case["tables"] == 1 else "run with 100 hosts and one VPC only"


def benchmark(options):
    sizes = options.sizes or ([10_000] if options.quick else [10_000, 100_000, 1_000_000])
    cases = []
    for routes in sizes:
        for hosts in (100,) if options.quick else (10, 100, 1000):
            cases.append(Case(f"{short(routes)}, {hosts} hosts", {"routes": routes, "hosts": hosts, "tables": 1}))
        if routes >= 100_000:
            cases.append(Case(f"{short(routes)}, 10 hosts, 1000 VPCs", {"routes": routes, "hosts": 10, "tables": 1000}))
    subjects = [
        Subject("vpcctl", ours),
        Subject("limit", limit),
        Subject("ip -batch", ip_batch, only_compared(lambda case: None)),
        Subject("BIRD", bird, only_compared(peers.why_not(lambda: peers.program("bird2", "usr/sbin/bird")))),
        Subject("zebra", zebra, only_compared(peers.why_not(lambda: peers.program("frr", "usr/lib/frr/zebra")))),
        Subject("systemd-networkd", networkd, only_compared(peers.unless_larger(
            "routes", 10_000, "its time grows with the square of the number of routes",
            peers.why_not(lambda: peers.program("systemd", "lib/systemd/systemd-networkd"))))),
        Subject("pyroute2", pyroute2, only_compared(peers.unless_larger(
            "routes", 10_000, "it takes minutes", peers.why_not(lambda: peers.pypi("pyroute2"))))),
    ]
    compared = [case.label for case in cases if case["hosts"] == 100]
    largest = [case.label for case in cases if case["routes"] == max(sizes)]
    tables = [
        Table("Programming, µs a route", [
            Row("vpcctl: planning", "vpcctl", "planning"),
            Row("vpcctl: programming", "vpcctl", "commit"),
            Row("vpcctl: both", "vpcctl", "all"),
            Row("limit", "limit", "add"),
            Row("ip -batch", "ip -batch", "seconds"),
            Row("BIRD", "BIRD", "seconds"),
            Row("zebra", "zebra", "seconds"),
            Row("systemd-networkd", "systemd-networkd", "seconds"),
            Row("pyroute2", "pyroute2", "seconds"),
        ], scale=1e6, per="routes"),
        Table("Processor time of programming, µs a route (the kernel's part included)", [
            Row("vpcctl: both", "vpcctl", "all.cpu"),
            Row("limit", "limit", "add.cpu"),
            Row("BIRD", "BIRD", "seconds.cpu"),
            Row("zebra", "zebra", "seconds.cpu"),
            Row("pyroute2", "pyroute2", "seconds.cpu"),
        ], scale=1e6, per="routes"),
        Table("Nothing to do, µs a route", [
            Row("vpcctl: reading back", "vpcctl", "observe"),
            Row("vpcctl: comparing", "vpcctl", "plan-nothing"),
            Row("bare dump", "limit", "dump"),
            Row("ip route show", "ip -batch", "dump"),
            Row("pyroute2", "pyroute2", "dump"),
        ], scale=1e6, per="routes"),
        Table("One table among all read back, ms", [
            Row("vpcctl: reading and comparing", "vpcctl", "one-table"),
            Row("bare dump", "limit", "dump-table"),
        ], scale=1e3),
    ]
    ratios = [
        Ratio("planning and programming / limit", ("vpcctl", "all"), ("limit", "add"), at_most=1.15),
        Ratio("the same, processor time", ("vpcctl", "all.cpu"), ("limit", "add.cpu"), at_most=1.15),
        Ratio("planning and programming / ip -batch", ("vpcctl", "all"), ("ip -batch", "seconds"), at_most=0.22,
              cases=compared),
        Ratio("… / BIRD", ("vpcctl", "all"), ("BIRD", "seconds"), at_most=0.2, cases=compared),
        Ratio("… / zebra", ("vpcctl", "all"), ("zebra", "seconds"), at_most=0.2, cases=compared),
        Ratio("… / systemd-networkd", ("vpcctl", "all"), ("systemd-networkd", "seconds"), cases=compared),
        Ratio("… / pyroute2", ("vpcctl", "all"), ("pyroute2", "seconds"), cases=compared),
        Ratio("limit / BIRD", ("limit", "add"), ("BIRD", "seconds"), cases=compared),
        Ratio("nothing to do / bare dump", ("vpcctl", "pass"), ("limit", "dump"), at_most=1.2),
        Ratio("the same, processor time", ("vpcctl", "pass.cpu"), ("limit", "dump.cpu"), at_most=1.2),
    ]
    limits = [
        Limit("one table of 1000 read and compared", ("vpcctl", "one-table"), 2, "ms", scale=1e3,
              cases=[label for label in largest if "VPCs" in label]),
    ]
    return Benchmark(
        "routes", "Programming routes, and nothing to do", TEXT, cases, subjects, tables, ratios, limits,
        rounds=1 if options.quick else options.rounds or 5)
