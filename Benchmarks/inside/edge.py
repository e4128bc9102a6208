#!/usr/bin/env python3
"""Sends packets through the gateway of an external network and says what one costs its host. Runs as root in a lab's kernel.

    edge.py SPECIFICATION      a JSON object, see `Specification`

Prints a JSON object: {"out": …, "in": …}, nanoseconds that the gateway's host takes for a packet in each direction. Where
the machine's clock counts instructions (VPCCTL_LAB_CLOCK=instructions), these are instructions.

The network namespaces it makes have fixed names: call it in namespaces of its own (unshare --net --mount, with a tmpfs on
/run/netns).

Guest g1 of host h1 and `net`, the internet behind a provider's router, send to each other by the gateway's host gw. Packets
are one of pktgen's (60 bytes and the checksum), of one flow of UDP that has been answered. They are sent twice: to where they
leave gw, and to where they come to its devices; the difference is what gw takes.
"""

import dataclasses
import json
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile

from commands import batch, run, sysctl
from paths import GATEWAY_MAC, SENDER, SENDER_MAC, await_links, mac, nft, pktgen, plug

UNDERLAY = {"h1": "172.31.0.1", "h2": "172.31.0.2", "gw": "172.31.0.11"}
ROUTER, UPLINK, INTERNET, PUBLIC, ELASTIC = "192.0.2.1", "192.0.2.100", "198.51.100.7", "203.0.113.10", "203.0.113.50"
PORT, OWN_PORT = 7777, 5000


@dataclasses.dataclass
class Specification:
    # gateway, all (the same with everything that a gateway and elastic IPs can have), nat, stateless, passThrough (an elastic
    # IP of that mode), masquerade (by hand: a static GRE tunnel and one rule)
    path: str
    # Of other interfaces of the VPC, on another host.
    eips: int = 0
    # With a gateway each.
    vpcs: int = 1
    # Tracked ones of the gateway, beside the one that is sent by.
    connections: int = 0
    packets: int = 5000
    vpcctl: str = ""

    @property
    def is_product(self):
        return self.path != "masquerade"

    @property
    def place(self):
        """The namespace that forwards on the gateway's host."""
        return "vpc-gw" if self.is_product else "gw"

    @property
    def public(self):
        return UPLINK if self.path == "masquerade" else PUBLIC if self.path in ("gateway", "all") else ELASTIC

    @property
    def inside(self):
        return ELASTIC if self.path == "passThrough" else SENDER


# MARK: Manifests


class Manifest:
    def __init__(self):
        self.items = []

    def add(self, kind, name, **spec):
        self.items.append({"apiVersion": "vpcctl.dev/v1", "kind": kind, "metadata": {"name": name}, "spec": spec})

    def add_vpc(self, name, number, gateway, *cidrs, **limits):
        """A VPC with subnets of the given blocks that leave by a gateway."""
        self.add("VPC", name, id=number, cidrs=["10.0.0.0/8"])
        self.add("RouteTable", f"{name}-out", vpc=name,
                 routes=[{"destination": "0.0.0.0/0", "nextHops": [{"natGateway": f"{name}-nat"}]}])
        for position, cidr in enumerate(cidrs, 1):
            self.add("Subnet", f"{name}-{position}", vpc=name, cidr=cidr, routeTable=f"{name}-out")
        self.add("Subnet", f"{name}-edge", vpc=name, cidr="10.255.0.0/24")
        self.add("SecurityGroup", f"{name}-any", vpc=name,
                 ingress=[{"protocol": "all", "from": [{"cidr": "0.0.0.0/0"}]}],
                 egress=[{"protocol": "all", "to": [{"cidr": "0.0.0.0/0"}]}])
        self.add("NATGateway", f"{name}-nat", subnet=f"{name}-edge", address="10.255.0.11", externalNetwork="internet",
                 idleTimeouts={"udp": "168h"}, **gateway, **limits)

    def add_interface(self, vpc, name, subnet, host, address, **attachment):
        self.add("NetworkInterface", name, subnet=f"{vpc}-{subnet}", host=host, address=address,
                 securityGroups=[f"{vpc}-any"], attachment=attachment)

    def add_elastic(self, name, interface, address, mode="nat", **more):
        self.add("ElasticIP", name, externalNetwork="internet", interface=interface, address=address, mode=mode, **more)

    @property
    def text(self):
        return json.dumps({"apiVersion": "vpcctl.dev/v1", "kind": "List", "items": self.items})


def other(number):
    """The inside and the public address of another interface."""
    return f"10.1.{number // 240}.{10 + number % 240}", f"198.18.{number // 240}.{10 + number % 240}"


def common(manifest):
    for host, address in UNDERLAY.items():
        manifest.add("Host", host, underlay={"address": address})
    manifest.add("ExternalNetwork", "internet", pools=["203.0.113.0/24", "198.18.0.0/15"], nextHop=ROUTER,
                 uplinkAddress=UPLINK, gateways=[{"host": "gw", "device": "x0"}])


def manifest(spec):
    whole = Manifest()
    common(whole)
    limits = {}
    if spec.path == "all":
        caps = {"egress": "5Gbit", "ingress": "5Gbit"}
        limits = {"bandwidth": caps, "maxConnections": 2_000_000, "newConnectionsPerSecond": 100_000,
                  "portForwards": [{"address": PUBLIC, "protocol": "tcp", "port": 8022, "to": {"interface": "g1", "port": 22}}]}
    whole.add_vpc("v1", 5, {"addresses": [PUBLIC]}, "10.0.0.0/16", "10.1.0.0/16", **limits)
    whole.add_interface("v1", "g1", 1, "h1", SENDER, netns="g1", device="eth0")
    if spec.path in ("nat", "stateless", "passThrough"):
        whole.add_elastic("own", "g1", ELASTIC, spec.path)
    if spec.path == "all":
        for number, mode in enumerate(["nat", "stateless", "passThrough"]):
            whole.add_interface("v1", f"e{number}", 1, "h2", f"10.0.9.{1 + number}", device=f"e{number}")
            whole.add_elastic(f"e{number}", f"e{number}", f"203.0.113.{60 + number}", mode, bandwidth=caps)
        whole.add_vpc("w1", 6, {"shared": {"address": "203.0.113.30", "ports": "1024-5119"}}, "10.0.0.0/16")
        whole.add_vpc("w2", 7, {"addresses": ["203.0.113.31"], "portsPerInterface": 64}, "10.0.0.0/24")
    for number in range(spec.eips):
        inside, public = other(number)
        whole.add_interface("v1", f"o{number}", 2, "h2", inside, device=f"o{number}")
        whole.add_elastic(f"o{number}", f"o{number}", public)
    for number in range(2, spec.vpcs + 1):
        _, public = other(20_000 + number)
        whole.add_vpc(f"v{number}", 10 + number, {"addresses": [public]}, "10.0.0.0/16")
        whole.add_interface(f"v{number}", f"v{number}", 1, "h2", SENDER, device=f"v{number}")
    return whole.text


# MARK: The machines


def make_namespaces():
    subprocess.run(["modprobe", "-qa", "pktgen", "ip_gre", "vrf", "nf_tables", "dummy", "macvlan"], check=False)
    for name in ("g1", "h1", "gw", "net"):
        run("ip", "netns", "add", name)
        batch(name, ["link set lo up"])
        sysctl(name, net__ipv6__conf__all__disable_ipv6=1, net__ipv6__conf__default__disable_ipv6=1)
    batch("h1", ["link add u0 type veth peer name u0 netns gw"])
    batch("gw", ["link add x0 type veth peer name x0 netns net", "link set x0 up"])
    for host, far in (("h1", "gw"), ("gw", "h1")):
        batch(host, ["link set u0 mtu 1600 up", f"addr add {UNDERLAY[host]}/24 dev u0",
                     f"neigh replace {UNDERLAY[far]} lladdr {mac(far, 'u0')} dev u0 nud permanent"])
    batch("net", ["link set x0 up", f"addr add {ROUTER}/24 dev x0", f"addr add {INTERNET}/32 dev x0"])


def set_up_product(spec):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(manifest(spec))
        file.flush()
        for host in ("h1", "gw"):
            run("ip", "netns", "exec", host, spec.vpcctl, "apply", "-q", "-f", file.name, "--host", host)
    uplink = json.loads(run("ip", "-n", "vpc-gw", "-j", "link", "show", "type", "macvlan"))[0]
    batch("vpc-gw", [f"neigh replace {ROUTER} lladdr {mac('net', 'x0')} dev {uplink['ifname']} nud permanent"])
    return uplink["address"]


def set_up_by_hand():
    plug("h1", "g1", SENDER, SENDER_MAC)
    for host, far in (("h1", "gw"), ("gw", "h1")):
        batch(host, [f"link add t0 mtu 1500 type gre local {UNDERLAY[host]} remote {UNDERLAY[far]} key 5 ttl 64 dev u0",
                     "link set t0 up"])
    batch("h1", ["route add default dev t0"])
    batch("gw", [f"route add {SENDER}/32 dev t0", f"addr add {UPLINK}/24 dev x0", f"route add default via {ROUTER}",
                 f"neigh replace {ROUTER} lladdr {mac('net', 'x0')} dev x0 nud permanent"])
    sysctl("gw", net__ipv4__ip_forward=1, net__ipv4__conf__all__rp_filter=0, net__ipv4__conf__t0__rp_filter=0)
    nft("gw", """
        table ip nat {
            chain postrouting { type nat hook postrouting priority srcnat; oifname "x0" masquerade; }
        }""")
    return mac("gw", "x0")


# MARK: Connections


def attribute(kind, content, nested=False):
    length = 4 + len(content)
    return struct.pack("=HH", length, kind | (0x8000 if nested else 0)) + content + b"\0" * (-length % 4)


def fill(spec, zone):
    """Connections of the gateway beside the one that is sent by, told to the kernel (IPCTNL_MSG_CT_NEW)."""
    # The machine's first namespace has the room for all.
    for name, value in (("nf_conntrack_max", 2 * spec.connections), ("nf_conntrack_buckets", 1 << 20)):
        run("nsenter", "-t", "1", "-n", "sysctl", "-qw", f"net.netfilter.{name}={value}")

    def tuple_of(source, destination, source_port, destination_port):
        addresses = attribute(1, source) + attribute(2, destination)
        ports = attribute(1, bytes([socket.IPPROTO_UDP])) + attribute(2, source_port) + attribute(3, destination_port)
        return attribute(1, addresses, True) + attribute(2, ports, True)

    inside, outside, public = (socket.inet_aton(address) for address in ("10.1.0.7", "198.51.101.0", PUBLIC))
    port = b"\xAA\xAA"
    body = attribute(1, tuple_of(inside, outside, port, b"\0\x35"), True)
    body += attribute(2, tuple_of(outside, public, b"\0\x35", port), True)
    # SEEN_REPLY, ASSURED and CONFIRMED, for a week.
    body += attribute(3, struct.pack(">I", 0xE)) + attribute(7, struct.pack(">I", 604_800)) + attribute(18, struct.pack(">H", zone))
    body = struct.pack("=BBH", socket.AF_INET, 0, 0) + body
    # NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL
    message = bytearray(struct.pack("=IHHII", 16 + len(body), 0x100, 0x601, 0, 0) + body)
    places = [found.start() for found in re.finditer(re.escape(port), message)]
    peers = [found.start() + 2 for found in re.finditer(re.escape(outside[:3]), message)]
    script = f"""
import socket, sys
message, places, peers = bytearray(bytes.fromhex("{message.hex()}")), {places}, {peers}
kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
kernel.setsockopt(socket.SOL_SOCKET, 32, 1 << 20)
left, pieces, size = {spec.connections}, [], 0
for peer in range(64):
    for place in peers: message[place + 1] = peer
    for port in range(1024, 65536):
        if not left: break
        high, low = port >> 8, port & 255
        for place in places: message[place], message[place + 1] = high, low
        pieces.append(bytes(message)); left -= 1
        if len(pieces) == 200:
            kernel.send(b"".join(pieces)); pieces.clear()
if pieces: kernel.send(b"".join(pieces))
"""
    run("ip", "netns", "exec", "vpc-gw", sys.executable, "-c", script)


def tracked():
    return int(run("ip", "netns", "exec", "vpc-gw", "sysctl", "-n", "net.netfilter.nf_conntrack_count"))


def zone_of_flow():
    text = run("ip", "netns", "exec", "vpc-gw", "conntrack", "-L", "-p", "udp", "--orig-port-src", str(OWN_PORT))
    found = re.search(rf"dst={re.escape(PUBLIC)} .*zone=(\d+)", text)
    return int(found[1]) if found else sys.exit(f"no connection: {text}")


# MARK: Sending


def count_arrivals(namespace, device, name, verdict="drop"):
    nft(namespace, f"""
        table netdev {name} {{
            counter arrived {{ }}
            chain ingress {{
                type filter hook ingress device "{device}" priority -500
                meta protocol ip counter name arrived {verdict}
            }}
        }}""")


def arrivals(namespace, name):
    text = run("ip", "netns", "exec", namespace, "nft", "list", "counter", "netdev", name, "arrived")
    return int(re.search(r"packets (\d+)", text)[1])


class Ways:
    def __init__(self, spec, uplink):
        udp = {"pkt_size": 60, "clone_skb": 0, "delay": 0}
        self.out = ("g1", "eth0", udp | self.ends(spec.inside, INTERNET, OWN_PORT, PORT) | {"dst_mac": GATEWAY_MAC})
        self.back = ("net", "x0", udp | self.ends(INTERNET, spec.public, PORT, OWN_PORT) | {"dst_mac": uplink})

    @staticmethod
    def ends(source, destination, source_port, destination_port):
        return {"src_min": source, "src_max": source, "dst_min": destination, "dst_max": destination,
                "udp_src_min": source_port, "udp_src_max": source_port, "udp_dst_min": destination_port,
                "udp_dst_max": destination_port}


def send(way, count):
    namespace, device, settings = way
    return pktgen(namespace, device, count=count, **settings)


def check_arrival(way, namespace, name, count):
    before = arrivals(namespace, name)
    cost = send(way, count)
    delivered = arrivals(namespace, name) - before
    if delivered != count:
        sys.exit(f"{delivered} of {count} packets arrived in {namespace}")
    return cost


def measure(spec, uplink):
    ways = Ways(spec, uplink)
    count_arrivals("net", "x0", "far")
    count_arrivals("g1", "eth0", "guest", "accept")
    # The connection is known, and has been answered.
    for _ in range(3):
        check_arrival(ways.out, "net", "far", 1)
        check_arrival(ways.back, "g1", "guest", 1)
    figures = {}
    if spec.connections:
        zone = zone_of_flow()
        fill(spec, zone)
        figures["connections"] = tracked()
        if figures["connections"] < spec.connections:
            sys.exit(f"{figures['connections']} of {spec.connections} connections")
    count_arrivals("h1", "u0", "far")
    places = {"out": (ways.out, "net", "far"), "in": (ways.back, "h1", "far")}
    whole = {}
    for name, (way, namespace, table) in places.items():
        check_arrival(way, namespace, table, spec.packets // 10)
        whole[name] = check_arrival(way, namespace, table, spec.packets)
    count_arrivals("gw", "u0", "near_u")
    count_arrivals("gw", "x0", "near_x")
    for name, way, table in (("out", ways.out, "near_u"), ("in", ways.back, "near_x")):
        check_arrival(way, "gw", table, spec.packets // 10)
        figures[name] = whole[name] - check_arrival(way, "gw", table, spec.packets)
    return figures | {"both": figures["out"] + figures["in"]}


def main():
    spec = Specification(**json.loads(sys.argv[1]))
    make_namespaces()
    uplink = set_up_product(spec) if spec.is_product else set_up_by_hand()
    await_links_of(spec)
    for place in (["vpc-h1", "vpc-gw"] if spec.is_product else ["gw"]):
        # Where the clock counts instructions it leaps whenever there is nothing to execute.
        sysctl(place, net__netfilter__nf_conntrack_udp_timeout=86400, net__netfilter__nf_conntrack_udp_timeout_stream=86400)
    print(json.dumps(measure(spec, uplink)))


def await_links_of(spec):
    await_links(("g1", "h1", "gw", "net") + (("vpc-gw", "vpc-h1") if spec.is_product else ()))


if __name__ == "__main__":
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    main()
