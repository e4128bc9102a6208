"""Attaching guests to a host, and taking them away."""

import tempfile

from suite import namespace, programs
from suite.benchmark import Benchmark, Case, Ratio, Row, Subject, Table

TEXT = """
Guests in network namespaces of their own, natively, so without VRF: a veth pair each with its settings on both ends, the
gateway's address, a permanent neighbour, a /32 route, the guest's address and default route; then all devices are taken
away again. The namespaces are there before.

- *vpcctl* waits until every port is operational before it sets routes to it, and reads all namespaces back.
- `ip -batch` does the same without any of the checks: one batch on the host and a call for each guest.
- *bare veth pairs* is a C program that makes the pairs, with no settings, and deletes them by their group.
"""


def guests(case):
    return f"""{namespace.UNDERLAY}
        mkdir -p /run/netns
        mount -t tmpfs netns /run/netns
        seq 0 {case['interfaces'] - 1} | sed 's/^/netns add n/' | ip -batch -"""


def ours(case):
    command = f"{programs.vpcbench()} interfaces {case['interfaces']}"
    figures = namespace.figures(namespace.inside(command, guests(case), mount=True))
    for suffix in ("", ".cpu"):
        figures["all" + suffix] = figures["plan" + suffix] + figures["commit" + suffix]
        figures["pass" + suffix] = figures["observe" + suffix] + figures["plan-nothing" + suffix]
    return figures


def limit(case):
    command = f"{programs.limit('veths')} {case['interfaces']}"
    return namespace.figures(namespace.inside(command, guests(case), mount=True))


def address(index):
    return f"10.0.{1 + index // 250}.{index % 250 + 1}"


def ip_batch(case):
    with tempfile.NamedTemporaryFile("w", suffix=".batch") as host, tempfile.NamedTemporaryFile("w") as guest:
        for index in range(case["interfaces"]):
            mac = f"02:05:{index >> 24 & 255:02x}:{index >> 16 & 255:02x}:{index >> 8 & 255:02x}:{index & 255:02x}"
            host.write(
                f"link add e{index} address 02:00:5e:00:00:01 type veth peer name eth0 address {mac} netns n{index}\n"
                f"link set e{index} alias i{index} group 10 up\naddr add 10.0.0.1/32 dev e{index}\n"
                f"neigh add {address(index)} lladdr {mac} dev e{index} nud permanent\n")
            guest.write(f"printf 'link set eth0 up\\naddr add {address(index)}/8 dev eth0\\n"
                        f"route add default via 10.0.0.1\\n' | ip -n n{index} -batch -\n")
            # The route needs the device, which is up when both ends are.
            guest.write(f"ip route add {address(index)}/32 dev e{index} table 1000001\n")
        host.flush()
        guest.flush()
        script = f"""start=$(date +%s%N)
            ip -batch {host.name}
            sh -e {guest.name}
            echo seconds $(($(date +%s%N) - start))e-9"""
        return namespace.figures(namespace.inside(script, guests(case), mount=True))


def benchmark(options):
    sizes = options.sizes or ([100] if options.quick else [100, 1000, 10_000])
    cases = [Case(f"{size:,} interfaces", {"interfaces": size}) for size in sizes]
    subjects = [
        Subject("vpcctl", ours),
        Subject("limit", limit),
        Subject("ip -batch", ip_batch),
    ]
    tables = [
        Table("Attaching, ms an interface", [
            Row("vpcctl: planning, programming, waiting", "vpcctl", "all"),
            Row("vpcctl: the same, processor time", "vpcctl", "all.cpu"),
            Row("ip -batch", "ip -batch", "seconds"),
            Row("bare veth pairs", "limit", "add"),
        ], scale=1e3, per="interfaces", digits=3),
        Table("Nothing to do, ms an interface", [
            Row("vpcctl: reading back and comparing", "vpcctl", "pass"),
        ], scale=1e3, per="interfaces", digits=3),
        Table("Taking away, ms an interface", [
            Row("vpcctl", "vpcctl", "remove"), Row("bare veth pairs, by group", "limit", "remove"),
        ], scale=1e3, per="interfaces", digits=3),
    ]
    ratios = [
        Ratio("attaching / ip -batch", ("vpcctl", "all"), ("ip -batch", "seconds")),
        Ratio("attaching / bare veth pairs", ("vpcctl", "all"), ("limit", "add")),
        Ratio("taking away / bare veth pairs", ("vpcctl", "remove"), ("limit", "remove")),
    ]
    return Benchmark(
        "interfaces", "Attaching guests, and taking them away", TEXT, cases, subjects, tables, ratios,
        rounds=1 if options.quick else options.rounds or 3)
