#!/usr/bin/env python3
"""Counts the netlink messages of `vpcctl apply` when one thing of a manifest has changed. Runs as root in a lab's kernel.

    changes.py VPCCTL [INTERFACES…]

Prints a JSON object: for each number of interfaces elsewhere (100 unless given) an object with the figures of each
change, see `Watch.figures`. What is counted is what the kernel itself passes on: all that goes through an nlmon device in
the host's network namespace, and in that of the guest which comes and goes. The program is not asked.

The network namespaces it makes have fixed names: call it in namespaces of its own (unshare --net --mount, with a tmpfs on
/run/netns).
"""

import collections
import copy
import ctypes
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile

from commands import run

ETH_P_ALL = 3
CLONE_NEWNET = 0x40000000
SO_RCVBUFFORCE = 33
SOL_PACKET = 263
PACKET_STATISTICS = 6
# What a message to the kernel has and none from it (linux/netlink.h).
NLM_F_REQUEST = 1
# linux/netlink.h, linux/rtnetlink.h, linux/netfilter/nf_tables.h and nfnetlink_conntrack.h. Those that change something.
NETLINK_ROUTE, NETLINK_NETFILTER = 0, 12
ROUTE_CHANGES = {
    16: "NEWLINK", 17: "DELLINK", 19: "SETLINK", 20: "NEWADDR", 21: "DELADDR", 24: "NEWROUTE", 25: "DELROUTE",
    28: "NEWNEIGH", 29: "DELNEIGH", 32: "NEWRULE", 33: "DELRULE", 80: "NEWNETCONF", 88: "NEWNSID", 104: "NEWNEXTHOP",
    105: "DELNEXTHOP",
}
TABLES, CONNTRACK = 10, 1
TABLES_CHANGES = {
    0: "NEWTABLE", 2: "DELTABLE", 3: "NEWCHAIN", 5: "DELCHAIN", 6: "NEWRULE", 8: "DELRULE", 9: "NEWSET", 11: "DELSET",
    12: "NEWSETELEM", 14: "DELSETELEM", 18: "NEWOBJ", 20: "DELOBJ",
}
CONNTRACK_CHANGES = {0: "NEW", 2: "DELETE"}
BATCH = {16, 17}


# MARK: Counting


class Watch:
    """What goes over netlink in some network namespaces."""

    def __init__(self, namespaces):
        self.sockets = [tap(name) for name in namespaces]

    def add(self, namespace):
        self.sockets.append(tap(namespace))

    def figures(self):
        """All since the last call: messages that change something by kind, their bytes; all messages to the kernel and
        from it, and their bytes. A transaction's begin and end count as messages, not as changes."""
        kinds = collections.Counter()
        counts = collections.Counter()
        for packets in self.sockets:
            while True:
                try:
                    datagram, address = packets.recvfrom(1 << 20)
                except BlockingIOError:
                    break
                for length, message_type, flags in messages(datagram):
                    way = "sent" if flags & NLM_F_REQUEST else "received"
                    counts[f"messages {way}"] += 1
                    counts[f"bytes {way}"] += length
                    kind = change(address[1], message_type) if way == "sent" else None
                    if kind:
                        kinds[kind] += 1
                        counts["bytes of changes"] += length
            lost = struct.unpack("II", packets.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]
            if lost:
                sys.exit(f"{lost} packets were not counted")
        counts["changes"] = sum(kinds.values())
        return dict(sorted(kinds.items())) | {
            name: counts[name]
            for name in ("changes", "bytes of changes", "messages sent", "bytes sent", "messages received", "bytes received")
        }


# What the product makes for host h1.
OWN = "vpc-h1"


def tap(namespace):
    """A socket that gets what goes over netlink in a namespace."""
    run("ip", "-n", namespace, "link", "add", "nlmon0", "type", "nlmon")
    run("ip", "-n", namespace, "link", "set", "nlmon0", "up")
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net", "rb") as own, open(f"/run/netns/{namespace}", "rb") as other:
        if libc.setns(other.fileno(), CLONE_NEWNET) != 0:
            sys.exit(f"setns {namespace}: {os.strerror(ctypes.get_errno())}")
        packets = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        packets.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 256 << 20)
        packets.bind(("nlmon0", ETH_P_ALL))
        libc.setns(own.fileno(), CLONE_NEWNET)
    packets.setblocking(False)
    return packets


def messages(datagram):
    """Length, type and flags of each message in it."""
    offset = 0
    while offset + 16 <= len(datagram):
        length, message_type, flags = struct.unpack_from("=IHH", datagram, offset)
        yield length, message_type, flags
        offset += (max(length, 16) + 3) & ~3


def change(protocol, message_type):
    """What a message to the kernel changes, or None."""
    if protocol == NETLINK_ROUTE:
        return ROUTE_CHANGES.get(message_type)
    if protocol != NETLINK_NETFILTER or message_type in BATCH:
        return None
    kinds = {TABLES: TABLES_CHANGES, CONNTRACK: CONNTRACK_CHANGES}.get(message_type >> 8, {})
    name = kinds.get(message_type & 0xFF)
    return name and f"nf_tables {name}" if message_type >> 8 == TABLES else name and f"conntrack {name}"


# MARK: What changes


def manifest(elsewhere):
    """20 interfaces on host h1, the others on h2 and h3; security groups by address and by member, an ACL."""
    documents = {}

    def add(kind, name, **content):
        documents[f"{kind}/{name}"] = {
            "apiVersion": "vpcctl.dev/v1", "kind": kind, "metadata": {"name": name}, "spec": content}

    for number in (1, 2, 3):
        add("Host", f"h{number}", underlay={"address": f"172.31.0.{number}"})
    add("VPC", "blue", id=5, cidrs=["10.0.0.0/8"])
    add("NetworkACL", "edge", vpc="blue", ingress=lines(4), egress=lines(4))
    add("Subnet", "s", vpc="blue", cidr="10.0.0.0/16", acl="edge")
    add("SecurityGroup", "clients", vpc="blue")
    add("SecurityGroup", "web", vpc="blue", ingress=[port(443), port(5432, {"securityGroup": "clients"})],
        egress=[{"protocol": "all", "to": [{"cidr": "0.0.0.0/0"}]}])
    for number in range(1, 21):
        add("NetworkInterface", f"w{number}", subnet="s", host="h1", address=f"10.0.0.{10 + number}", securityGroups=["web"],
            attachment={"device": f"w{number}"})
    for number in range(elsewhere):
        add("NetworkInterface", f"c{number}", subnet="s", host=f"h{2 + number % 2}",
            address=f"10.0.{1 + number // 200}.{10 + number % 200}", securityGroups=["clients"] if number % 2 else [],
            attachment={"device": f"c{number}"})
    return documents


def port(number, far=None):
    return {"protocol": "tcp", "ports": [number], "from": [far or {"cidr": "0.0.0.0/0"}]}


def lines(count):
    return [{"priority": 100 * (number + 1), "action": "deny" if number % 2 else "allow", "protocol": "tcp",
             "ports": [f"{1000 * (number + 1)}-{1000 * (number + 1) + 99}"], "cidr": f"10.{number}.0.0/16"}
            for number in range(count)]


def interface(host, address, **attachment):
    return {"apiVersion": "vpcctl.dev/v1", "kind": "NetworkInterface", "metadata": {"name": "new"},
            "spec": {"subnet": "s", "host": host, "address": address, "securityGroups": ["web"], "attachment": attachment}}


def change_here(documents):
    documents["NetworkInterface/new"] = interface("h1", "10.0.0.200", netns="new", device="eth0")


def change_elsewhere(documents):
    documents["NetworkInterface/new"] = interface("h2", "10.0.0.200", netns="new", device="eth0")


def change_away_again(documents):
    documents["NetworkInterface/new"]["spec"]["host"] = "h3"


def change_remove(documents):
    del documents["NetworkInterface/new"]


def change_rule(documents):
    documents["SecurityGroup/web"]["spec"]["ingress"].append(port(8443))


def change_member(documents):
    documents["NetworkInterface/c0"]["spec"]["securityGroups"] = ["clients"]


def change_line(documents):
    documents["NetworkACL/edge"]["spec"]["ingress"] += lines(5)[4:]


# One after the other; each is applied to what the one before has left.
CHANGES = {
    "nothing": lambda documents: None,
    "an interface is added here": change_here,
    "it moves to another host": change_elsewhere,
    "it moves between other hosts": change_away_again,
    "it moves here": change_here,
    "it is removed": change_remove,
    "an interface is added elsewhere": change_elsewhere,
    "it is removed elsewhere": change_remove,
    "a rule is added to a group": change_rule,
    "a member joins a group": change_member,
    "a line is added to an ACL": change_line,
    "nothing, in the end": lambda documents: None,
}


def measure(vpcctl, elsewhere):
    host, guest = f"host{elsewhere}", "new"
    for name in (host, guest):
        run("ip", "netns", "add", name)
        run("ip", "-n", name, "link", "set", "lo", "up")
    commands = ["link add u0 mtu 1600 type dummy", "link set u0 up", "addr add 172.31.0.1/24 dev u0"]
    commands += [line for number in range(1, 21) for line in (f"link add w{number} type dummy", f"link set w{number} up")]
    run("ip", "-n", host, "-batch", "-", input="\n".join(commands))
    documents = manifest(elsewhere)
    watch = Watch([host, guest])
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/manifest.json"

        def apply():
            with open(path, "w", encoding="ascii") as file:
                json.dump({"apiVersion": "vpcctl.dev/v1", "kind": "List", "items": list(documents.values())}, file)
            watch.figures()
            run("ip", "netns", "exec", host, vpcctl, "apply", "-q", "--yes", "-f", path, "--host", "h1")
            return watch.figures()

        apply()
        # From here on it is there.
        watch.add(OWN)
        for name, edit in CHANGES.items():
            documents = copy.deepcopy(documents)
            edit(documents)
            figures[name] = apply()
    for name in (host, guest, OWN):
        run("ip", "netns", "del", name)
    return figures


def main():
    subprocess.run(["modprobe", "-qa", "nlmon", "ip_gre", "vrf", "nf_tables", "dummy"], check=False)
    sizes = [int(word) for word in sys.argv[2:]] or [100]
    print(json.dumps({str(size): measure(sys.argv[1], size) for size in sizes}))


if __name__ == "__main__":
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    main()
