#!/usr/bin/env python3
"""Sends packets over one kind of data path and says what a packet costs. Runs as root in a lab's kernel.

    paths.py SPECIFICATION      a JSON object, see `Specification`

Prints a JSON object: {"ns": nanoseconds a packet, "sent": …, "delivered": …}. Where the machine's clock counts
instructions (VPCCTL_LAB_CLOCK=instructions), the nanoseconds are instructions.

The network namespaces it makes have fixed names: call it in namespaces of its own (unshare --net --mount, with a tmpfs on
/run/netns).

Guest g1 sends from host h1 to guest g2 on host h2, each a network namespace; the underlay is a veth pair. A packet is
one of pktgen's (60 bytes and the checksum), made in g1 and dropped as soon as it has arrived in g2, so every figure
holds the making of the packet, one veth and one drop; the path "floor" is that and nothing else. There is one processor,
and pktgen's send returns when the packet has arrived: its time is the time of the whole path. Of TCP the packets are
acknowledgements, made by limit/frames, or a stream between two sockets ("bulk"): then it is nanoseconds a kB, and
{"segment": the bytes of its packets on the underlay, on average} is there, too.
"""

import dataclasses
import json
import os
import re
import subprocess
import sys
import tempfile
import time

from commands import batch, run, sysctl
from ovn import Ovn
import tcp

SENDER, RECEIVER = "10.0.0.11", "10.0.0.12"
GATEWAY, GATEWAY_MAC = "10.0.0.1", "02:00:5e:00:00:01"
UNDERLAY = {"h1": "172.31.0.1", "h2": "172.31.0.2"}
SENDER_MAC, RECEIVER_MAC = "02:05:0a:00:00:0b", "02:05:0a:00:00:0c"
PORT = 7777
NO_GATEWAY = {"floor", "ovn", "ovn-open"}
FIREWALLED = {"gre-firewall", "gre-flowtable", "vpcctl", "vpcctl-rules", "vpcctl-ttl", "linear", "ovn", "ovn-open"}
# Of a stream of TCP.
BULK = 64 << 20
# What its packets have on the underlay at least, on average.
SEGMENT = 20_000


@dataclasses.dataclass
class Specification:
    # floor, routed, gre, gre-firewall, gre-flowtable (the same with a flowtable), vxlan, vpcctl, vpcctl-open (without its
    # firewall), vpcctl-rules (without flowtables), vpcctl-ttl (the same, with what putting back the TTL inside a subnet would
    # cost), linear (naive chains), ovn, ovn-open (without ACLs)
    path: str
    # Whether packets end at the underlay device of h1, to see the sender's host alone.
    send_only: bool = False
    # "established": one connection that has been answered. "new": a connection a packet. "tcp": one of TCP, its
    # acknowledgements. "bulk": a stream of TCP.
    flow: str = "established"
    # On h1, beside each other: interfaces of one VPC, VPCs with an interface each.
    interfaces: int = 1
    vpcs: int = 1
    # In the security group of every interface, each direction.
    rules: int = 1
    # In the sender's table.
    routes: int = 2
    packets: int = 5000
    vpcctl: str = ""
    # limit/routes, limit/frames
    limit: str = ""
    frames: str = ""
    # The folder with OVN, for its paths.
    ovn: str = ""

    @property
    def is_ovn(self):
        return self.path.startswith("ovn")

    @property
    def is_product(self):
        return self.path.startswith("vpcctl") or self.path == "linear"

    @property
    def protocol(self):
        return "tcp" if self.flow in ("tcp", "bulk") else "udp"

    def place(self, host):
        """The namespace that forwards for the guests."""
        return f"vpc-{host}" if self.is_product else host


def nft(namespace, text):
    run("ip", "netns", "exec", namespace, "nft", "-f", "-", input=text)


# MARK: What all paths have


def mac(namespace, device):
    return json.loads(run("ip", "-n", namespace, "-j", "link", "show", device))[0]["address"]


def make_namespaces(spec):
    subprocess.run(["modprobe", "-qa", "pktgen", "ip_gre", "vrf", "vxlan", "nf_tables", "dummy"], check=False)
    for name in ("g1", "h1", "h2", "g2"):
        run("ip", "netns", "add", name)
        batch(name, ["link set lo up"])
        sysctl(name, net__ipv6__conf__all__disable_ipv6=1, net__ipv6__conf__default__disable_ipv6=1)
    if spec.path == "floor":
        return
    if spec.send_only:
        batch("h1", ["link add u0 type dummy"])
    else:
        batch("h1", ["link add u0 type veth peer name u0 netns h2"])
        batch("h2", ["link set u0 mtu 1600 up", f"addr add {UNDERLAY['h2']}/24 dev u0"])
    far = "02:00:00:00:00:02" if spec.send_only else mac("h2", "u0")
    batch(
        "h1",
        ["link set u0 mtu 1600 up", f"addr add {UNDERLAY['h1']}/24 dev u0",
         f"neigh replace {UNDERLAY['h2']} lladdr {far} dev u0 nud permanent"],
    )
    if not spec.send_only:
        batch("h2", [f"neigh replace {UNDERLAY['h1']} lladdr {mac('h1', 'u0')} dev u0 nud permanent"])


def drop_arrivals(namespace, device="eth0"):
    """Counts and drops what arrives, before the guest itself does anything with it."""
    nft(namespace, f"""
        table netdev arrivals {{
            counter arrived {{ }}
            chain ingress {{ type filter hook ingress device "{device}" priority 0; counter name arrived drop; }}
        }}""")


def arrivals(namespace):
    text = run("ip", "netns", "exec", namespace, "nft", "list", "counter", "netdev", "arrivals", "arrived")
    return int(re.search(r"packets (\d+)", text)[1])


# MARK: Paths that are set by hand


def plug(namespace, guest, address, hardware):
    """A guest on a host: a veth that the host routes to."""
    batch(namespace, [f"link add e0 address {GATEWAY_MAC} type veth peer name eth0 address {hardware} netns {guest}",
                      "link set e0 up"])
    far = RECEIVER if address == SENDER else SENDER
    batch(guest, ["link set eth0 up", f"addr add {address}/24 dev eth0", f"route add default via {GATEWAY}",
                  f"neigh replace {far} lladdr {GATEWAY_MAC} dev eth0 nud permanent"])
    batch(namespace, [f"addr add {GATEWAY}/32 dev e0", f"route add {address}/32 dev e0",
                      f"neigh replace {address} lladdr {hardware} dev e0 nud permanent"])
    sysctl(namespace, net__ipv4__ip_forward=1, net__ipv4__conf__all__rp_filter=0, net__ipv4__conf__e0__rp_filter=0,
           net__ipv4__conf__all__send_redirects=0, net__ipv4__conf__e0__send_redirects=0)


def set_up_floor():
    batch("g1", ["link add eth0 type veth peer name eth0 netns g2", f"addr add {SENDER}/24 dev eth0", "link set eth0 up"])
    batch("g2", ["link set eth0 up"])


def set_up_by_hand(spec, tunnel):
    """Plain routing, or one static tunnel that knows its other end: no VRF, no firewall."""
    hosts = ["h1"] if spec.send_only else ["h1", "h2"]
    plug("h1", "g1", SENDER, SENDER_MAC)
    if not spec.send_only:
        plug("h2", "g2", RECEIVER, RECEIVER_MAC)
    for host in hosts:
        other, far = ("h2", RECEIVER) if host == "h1" else ("h1", SENDER)
        if tunnel == "gre":
            batch(host, [f"link add t0 mtu 1500 type gre local {UNDERLAY[host]} remote {UNDERLAY[other]} key 5 ttl 64 dev u0",
                         "link set t0 up", f"route add {far}/32 dev t0"])
        elif tunnel == "vxlan":
            batch(host, [f"link add t0 address 02:00:00:00:01:0{host[1]} mtu 1500 type vxlan id 5 local {UNDERLAY[host]}"
                         f" remote {UNDERLAY[other]} dstport 4789 dev u0 nolearning",
                         "link set t0 up", f"addr add 192.168.9.{host[1]}/24 dev t0",
                         f"neigh replace 192.168.9.{other[1]} lladdr 02:00:00:00:01:0{other[1]} dev t0 nud permanent",
                         f"route add {far}/32 via 192.168.9.{other[1]}"])
        else:
            batch(host, [f"route add {far}/32 via {UNDERLAY[other]}"])


# MARK: Paths that the product sets


def manifest(spec):
    documents = []

    def add(kind, name, **content):
        documents.append({"apiVersion": "vpcctl.dev/v1", "kind": kind, "metadata": {"name": name}, "spec": content})

    for host, address in UNDERLAY.items():
        offloads = {"dataPlane": {"offload": False}} if spec.path in ("vpcctl-rules", "vpcctl-ttl") else {}
        add("Host", host, underlay={"address": address}, **offloads)
    add("VPC", "v1", id=5, cidrs=["10.0.0.0/8"])
    add("Subnet", "s1", vpc="v1", cidr="10.0.0.0/16", gateway=GATEWAY)
    add("SecurityGroup", "group", vpc="v1", ingress=group_rules(spec, "from"), egress=group_rules(spec, "to"))

    def interface(name, subnet, host, address, groups, **attachment):
        add("NetworkInterface", name, subnet=subnet, host=host, address=address, securityGroups=groups,
            attachment=attachment)

    interface("g1", "s1", "h1", SENDER, ["group"], netns="g1", device="eth0")
    interface("g2", "s1", "h2", RECEIVER, ["group"], netns="g2", device="eth0")
    for name, address in neighbors(spec):
        interface(name, "s1", "h1", address, ["group"], device=name)
    for number in range(2, spec.vpcs + 1):
        add("VPC", f"v{number}", id=4 + number, cidrs=["10.0.0.0/8"])
        add("Subnet", f"s{number}", vpc=f"v{number}", cidr="10.0.0.0/16")
        for host in UNDERLAY:
            interface(f"v{number}{host}", f"s{number}", host, f"10.0.0.1{host[1]}", [], device=f"v{number}")
    return json.dumps({"apiVersion": "vpcctl.dev/v1", "kind": "List", "items": documents})


def neighbors(spec):
    """The interfaces beside the sender's: device and address."""
    return [(f"n{number}", f"10.0.{1 + number // 200}.{10 + number % 200}") for number in range(2, spec.interfaces + 1)]


def group_rules(spec, far):
    """`rules` rules of which the last is the packets'."""
    rules = [{"protocol": "udp", "ports": [10000 + number], far: [{"cidr": rule_block(number)}]}
             for number in range(spec.rules - 1)]
    return rules + [{"protocol": spec.protocol, "ports": [PORT], far: [{"cidr": "10.0.0.0/16"}]}]


def rule_block(number):
    return f"10.{1 + number // 250}.{number % 250}.0/24"


def set_up_product(spec):
    devices = [name for name, _ in neighbors(spec)] + [f"v{number}" for number in range(2, spec.vpcs + 1)]
    hosts = ["h1"] if spec.send_only else ["h1", "h2"]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(manifest(spec))
        file.flush()
        for host in hosts:
            mine = devices if host == "h1" else [name for name in devices if name[0] == "v"]
            batch(host, [line for name in mine for line in (f"link add {name} type dummy", f"link set {name} up")])
            run("ip", "netns", "exec", host, spec.vpcctl, "apply", "-q", "-f", file.name, "--host", host)
            if spec.path in ("vpcctl-open", "linear"):
                nft(spec.place(host), "delete table inet vpcctl_flow; delete table inet vpcctl; delete table arp vpcctl")
            if spec.path == "vpcctl-ttl":
                nft(spec.place(host), kept_ttl())


def kept_ttl():
    """What it would take to put back what forwarding has taken, where both ends are in one subnet: the field, mapped to
    one that is larger by one, and the checksum. nft(8) has no map of a field of one byte; the length, which is mapped to
    itself, costs the same."""
    steps = ", ".join(f"{number} : {number}" for number in range(20, 274))
    return f"insert rule inet vpcctl forward ip saddr 10.0.0.0/16 ip daddr 10.0.0.0/16 ip length set ip length map {{ {steps} }}"


def fill_table(spec):
    """Routes that nothing is sent by, beside those of the product or of the main table."""
    if spec.routes <= 2:
        return
    table = 254
    place = spec.place("h1")
    if spec.is_product:
        table = json.loads(run("ip", "-n", place, "-j", "-d", "link", "show", "type", "vrf"))
        table = table[0]["linkinfo"]["info_data"]["table"]
    batch("h1", ["nexthop add id 77 via 172.31.0.2 dev u0"])
    run("ip", "netns", "exec", "h1", spec.limit, "--table", str(table), "--nexthop", "77", str(spec.routes), "0")


# MARK: Paths that OVN sets


def set_up_ovn(spec):
    """A port of the same switch on either host, with port security, and in a port group whose ACLs are the rules of the
    product's group."""
    ovn = Ovn(spec.ovn, UNDERLAY)
    commands = [["ls-add", "s1"]]
    for host, guest, address, hardware in (("h1", "g1", SENDER, SENDER_MAC), ("h2", "g2", RECEIVER, RECEIVER_MAC)):
        batch(host, [f"link add e-{guest} type veth peer name eth0 address {hardware} netns {guest}", f"link set e-{guest} up"])
        batch(guest, ["link set eth0 up", f"addr add {address}/16 dev eth0"])
        ovn.plug(host, {f"e-{guest}": guest})
        commands += [["lsp-add", "s1", guest], ["lsp-set-addresses", guest, f"{hardware} {address}"],
                     ["lsp-set-port-security", guest, f"{hardware} {address}"]]
    if spec.path == "ovn":
        commands.append(["pg-add", "group", "g1", "g2"])
        for way, port, far in (("from-lport", "inport", "ip4.dst"), ("to-lport", "outport", "ip4.src")):
            allowed = f"{port} == @group && {spec.protocol} && {far} == 10.0.0.0/16 && {spec.protocol}.dst == {PORT}"
            commands += [["acl-add", "group", way, "1001", allowed, "allow-related"],
                         ["acl-add", "group", way, "1000", f"{port} == @group && ip", "drop"]]
    ovn.tell(commands)
    ovn.await_ports()
    return ovn


def upcalls(ovn):
    """Packets that were looked at outside the kernel so far."""
    return sum(int(re.search(r"missed:(\d+)", ovn.appctl(host, "dpctl/show"))[1]) for host in UNDERLAY)


def learn(ovn, ports):
    """What is learnt of a connection's first packet holds a prefix of its source port (port security has an exemption for
    DHCP's): packets of many, slowly, so that there is nothing to learn when new connections are counted."""
    pktgen("g1", "eth0", count=400, delay=2_000_000, flag="UDPSRC_RND", **packets(RECEIVER_MAC, ports))
    time.sleep(1)
    for host in UNDERLAY:
        ovn.appctl(host, "dpctl/flush-conntrack")


# MARK: Firewalls to compare with


def linear_firewall(spec):
    """What writing the same rules down one after the other gives, as iptables-based clouds do."""
    ports = [(name, address, "02:05:" + ":".join(f"{int(octet):02x}" for octet in address.split(".")))
             for name, address in neighbors(spec)]
    # The sender is like any other: on average half of them come before it.
    ports.insert(len(ports) // 2, ("e-g1", SENDER, SENDER_MAC))

    def rules(field):
        lines = [f"{field} {rule_block(number)} udp dport {10000 + number} accept" for number in range(spec.rules - 1)]
        return lines + [f"{field} 10.0.0.0/16 udp dport {PORT} accept", "drop"]

    def chain(name, lines):
        return f"chain {name} {{\n" + "\n".join(lines) + "\n}\n"

    def table(ports):
        text = "table inet linear {\n"
        for name, _, _ in ports:
            # The egress check must not end the packet's way: the receiver may be here, too.
            text += chain(f"{name}-out", [line.replace("accept", "return") for line in rules("ip daddr")])
            text += chain(f"{name}-in", rules("ip saddr"))
        text += chain("raw", [
            "type filter hook prerouting priority -300; policy accept;", "meta iifkind vrf accept",
            "iifname \"u0\" meta l4proto gre notrack accept"
        ] + [f"iifname {name} ether saddr {hardware} ip saddr {address} accept" for name, address, hardware in ports]
            + ["meta iifgroup 10 drop"])
        text += chain("output", ["type filter hook output priority -300; policy accept;", "meta l4proto gre notrack"])
        text += chain("forward", ["type filter hook forward priority 0; policy accept;",
                                  "ct state established,related accept"]
                      + [f"meta sdifname {name} jump {name}-out" for name, _, _ in ports]
                      + [f"oifname {name} jump {name}-in" for name, _, _ in ports])
        return text + "}\n"

    return {"h1": table(ports), "h2": table([("e-g2", RECEIVER, RECEIVER_MAC)])}


def flowtable():
    """Established connections pass all of it by, both ways."""
    return """
    table inet passing {
        flowtable ports { hook ingress priority 0; devices = { e0, t0 }; }
        chain forward { type filter hook forward priority 10; policy accept
            meta l4proto { tcp, udp } ct state established flow add @ports
        }
    }"""


def same_firewall(host, protocol):
    """The work of the product's tables for a path without VRF: anti-spoofing and zone in one lookup, connection
    tracking, the connection's mark, then the policy from maps."""
    address, hardware = (SENDER, SENDER_MAC) if host == "h1" else (RECEIVER, RECEIVER_MAC)
    return f"""
    table inet same {{
        counter spoofed {{ }}
        map port_zone {{ typeof iifname . ether saddr . ip saddr : ct zone; elements = {{ "e0" . {hardware} . {address} : 1 }} }}
        map dev_zone {{ typeof iifname : ct zone; elements = {{ "t0" : 1 }} }}
        set ports {{ type ifname; elements = {{ "e0" }} }}
        set hosts {{ type ipv4_addr; elements = {{ {UNDERLAY['h1']}, {UNDERLAY['h2']} }} }}
        set epoch_full {{ type mark; elements = {{ 0xc0000007 }} }}
        set epoch_half {{ typeof ct direction . ct mark; elements = {{ original . 0x40000007, reply . 0x80000007 }} }}
        map epoch_promote {{ typeof ct direction . ct mark : ct mark
            elements = {{ original . 0x80000007 : 0xc0000007, reply . 0x40000007 : 0xc0000007 }} }}
        map epoch_fresh {{ typeof ct direction : ct mark; elements = {{ original : 0x40000007, reply : 0x80000007 }} }}
        map allowed {{ type ipv4_addr . inet_proto . inet_service : verdict; flags interval
            elements = {{ 10.0.0.0/16 . {protocol} . {PORT} : return }} }}
        map sg_in {{ type ifname : verdict; elements = {{ "e0" : jump group_in }} }}
        map sg_out {{ type ifname : verdict; elements = {{ "e0" : jump group_out }} }}
        chain group_in {{ ip saddr . ip protocol . th dport vmap @allowed
            drop
        }}
        chain group_out {{ ip daddr . ip protocol . th dport vmap @allowed
            drop
        }}
        chain pass {{
            ct mark set ct direction . ct mark map @epoch_promote accept
            ct mark set ct direction map @epoch_fresh accept
            accept
        }}
        chain raw {{ type filter hook prerouting priority -300; policy accept
            meta iifgroup 10 ct zone set iifname . ether saddr . ip saddr map @port_zone accept
            meta iifgroup 10 counter name spoofed drop
            meta iifgroup 20 ct zone set iifname map @dev_zone accept
            meta l4proto gre ip daddr {UNDERLAY[host]} ip saddr @hosts notrack accept
        }}
        chain output {{ type filter hook output priority -300; policy accept
            meta l4proto gre ip saddr {UNDERLAY[host]} notrack accept
        }}
        chain input {{ type filter hook input priority 0; policy accept
            meta iifgroup 10 jump guest_to_host
        }}
        chain guest_to_host {{ icmp type echo-request limit rate 1000/second accept
            ct state established,related accept
            drop
        }}
        chain forward {{ type filter hook forward priority 0; policy accept
            ct mark @epoch_full accept
            ct direction . ct mark @epoch_half accept
            meta oifgroup 10 oifname != @ports drop
            ct state established,related goto pass
            iifname vmap @sg_out
            oifname vmap @sg_in
            goto pass
        }}
    }}"""


# MARK: Sending


def pktgen(namespace, device, **settings):
    """Sends packets from a namespace and returns nanoseconds a packet."""
    lines = [("kpktgend_0", "rem_device_all"), ("kpktgend_0", f"add_device {device}")]
    lines += [(device, f"{name} {value}" if value != "" else name) for name, value in settings.items()]
    lines.append(("pgctrl", "start"))
    # The sender must not be put to sleep in between, nor keep those waiting who process its packets.
    script = "for thread in $(pgrep kpktgend); do chrt -f -p 1 $thread; done; chrt -f -p 2 $(pgrep ksoftirqd)\n"
    script += "\n".join(f"echo '{line}' >/proc/net/pktgen/{file}" for file, line in lines)
    script += f"\ncat /proc/net/pktgen/{device}"
    text = run("ip", "netns", "exec", namespace, "sh", "-ec", script)
    result = re.search(r"Result: OK: (\d+)\(.*?\) \w+, (\d+) ", text)
    if not result:
        sys.exit(f"pktgen: {text}")
    return int(result[1]) * 1000 / int(result[2])


def packets(hardware, ports):
    """From sender to receiver, as pktgen's settings have it."""
    return {
        "pkt_size": 60, "clone_skb": 0, "dst_mac": hardware, "src_min": SENDER, "src_max": SENDER, "dst_min": RECEIVER,
        "dst_max": RECEIVER, "udp_src_min": ports[0], "udp_src_max": ports[1], "udp_dst_min": PORT, "udp_dst_max": PORT,
    }


def send(spec, count, ports):
    gateway = RECEIVER_MAC if spec.path in NO_GATEWAY else GATEWAY_MAC
    cost = pktgen("g1", "eth0", count=count, delay=0, **packets(gateway, ports))
    if spec.is_ovn:
        # A process looks at the first packet of a flow, and gets to it when pktgen has ended.
        time.sleep(1)
    return cost


def answer(spec):
    """One packet back, which makes the connection an established one."""
    gateway = SENDER_MAC if spec.path in NO_GATEWAY else GATEWAY_MAC
    pktgen(
        "g2", "eth0", count=1, pkt_size=60, clone_skb=0, delay=0, dst_mac=gateway, src_min=RECEIVER,
        src_max=RECEIVER, dst_min=SENDER, dst_max=SENDER, udp_src_min=PORT, udp_src_max=PORT, udp_dst_min=9,
        udp_dst_max=9)
    if spec.is_ovn:
        time.sleep(1)
    if arrivals("g1") != 1:
        sys.exit(f"{spec}: the answer did not arrive")


def await_links(namespaces=("g1", "h1", "h2", "g2")):
    """Until then a device that is up drops what it should send: the kernel gives it its queue a little later, at most
    once a second for all devices."""
    for namespace in namespaces:
        while "state DOWN" in run("ip", "-n", namespace, "link", "show", "up"):
            time.sleep(0.1)


def keep_connections(namespace):
    """Where the clock counts instructions it leaps whenever there is nothing to execute: while a program is read from
    the disk, connections would time out."""
    sysctl(namespace, net__netfilter__nf_conntrack_udp_timeout=86400, net__netfilter__nf_conntrack_udp_timeout_stream=86400)


def underlay():
    """What left h1: packets and bytes."""
    return json.loads(run("ip", "-n", "h1", "-j", "-s", "link", "show", "u0"))[0]["stats64"]["tx"]


def transmitted():
    """Packets that left h1, where they end there."""
    return underlay()["packets"]


def begin_tcp(spec):
    """A connection that both ends have been heard of, and an answer more: what is remembered of it is complete."""
    next_hops = (RECEIVER_MAC, SENDER_MAC) if spec.path in NO_GATEWAY else (GATEWAY_MAC, GATEWAY_MAC)
    connection = tcp.Connection(
        spec.frames, ("g1", "g2"), (SENDER, RECEIVER), (SENDER_MAC, RECEIVER_MAC), next_hops, PORT)
    steps = [(tcp.SYN, True), (tcp.SYN | tcp.ACK, False), (tcp.ACK, True), (tcp.ACK, False), (tcp.ACK, True), (tcp.ACK, False)]
    answered = [flags for flags, from_originator in steps if not from_originator and spec.path != "floor"]
    for flags, from_originator in steps:
        if from_originator or answered:
            connection.send(flags, from_originator)
        if spec.is_ovn:
            time.sleep(1)
    if arrivals("g1") != len(answered):
        sys.exit(f"{spec}: {arrivals('g1')} of {len(answered)} answers arrived")
    return connection


def measure_stream(spec):
    """Of the second stream: the first one has everything looked up that is to be."""
    places, addresses = ("g1", "g2"), (SENDER, RECEIVER)
    tcp.stream(places, addresses, PORT, BULK // 64)
    before = underlay()
    spent = tcp.stream(places, addresses, PORT, BULK)
    after = underlay()
    count = after["packets"] - before["packets"]
    segment = (after["bytes"] - before["bytes"]) / count
    # One that was cut up would have cost each hop as many packets.
    if spec.is_product and segment < SEGMENT:
        sys.exit(f"{spec}: packets on the underlay have {segment:.0f} bytes on average")
    return {"ns": spent / (BULK / 1000), "segment": segment, "sent": count}


def measure(spec, ovn):
    if spec.flow == "bulk":
        return measure_stream(spec)
    arrived = transmitted if spec.send_only else lambda: arrivals("g2")
    first = spec.packets // 10
    connection = None
    if spec.flow == "tcp":
        connection = begin_tcp(spec)
        connection.send(tcp.ACK, count=first)
        ports = None
    elif spec.flow == "established":
        send(spec, 1, (9, 9))
        if not spec.send_only and spec.path != "floor":
            answer(spec)
        if ovn:
            send(spec, 1, (9, 9))
        send(spec, first, (9, 9))
        ports = (9, 9)
    else:
        # Every packet has a port of its own; pktgen counts them up.
        ports = (1001 + first, 1000 + first + spec.packets)
        if ovn:
            learn(ovn, ports)
        else:
            send(spec, first, (1, first))
    before, missed = arrived(), upcalls(ovn) if ovn else 0
    cost = connection.send(tcp.ACK, count=spec.packets) if connection else send(spec, spec.packets, ports)
    delivered = arrived() - before
    if delivered != spec.packets:
        sys.exit(f"{spec}: {delivered} of {spec.packets} packets arrived")
    if ovn and upcalls(ovn) != missed:
        sys.exit(f"{spec}: {upcalls(ovn) - missed} packets were new to OVN")
    return {"ns": cost, "sent": spec.packets, "delivered": delivered}


def main():
    spec = Specification(**json.loads(sys.argv[1]))
    make_namespaces(spec)
    ovn = None
    if spec.path == "floor":
        set_up_floor()
    elif spec.is_product:
        set_up_product(spec)
    elif spec.is_ovn:
        ovn = set_up_ovn(spec)
    else:
        set_up_by_hand(spec, spec.path.split("-")[0])
    fill_table(spec)
    hosts = ["h1"] if spec.send_only else ["h1", "h2"]
    for host in hosts:
        if spec.path == "linear":
            nft(spec.place(host), linear_firewall(spec)[host])
        elif spec.path in ("gre-firewall", "gre-flowtable"):
            batch(host, ["link set e0 group 10", "link set t0 group 20"])
            nft(host, same_firewall(host, spec.protocol))
            if spec.path == "gre-flowtable":
                nft(host, flowtable())
    for guest in ("g1", "g2"):
        if spec.flow != "bulk" and (guest == "g1" or not spec.send_only or spec.path == "floor"):
            drop_arrivals(guest)
    await_links()
    if spec.path in FIREWALLED:
        for host in hosts:
            keep_connections(spec.place(host))
    print(json.dumps(measure(spec, ovn)))


if __name__ == "__main__":
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    main()
