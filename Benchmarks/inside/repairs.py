#!/usr/bin/env python3
"""Damages what vpcd keeps, kind by kind, and says how long each repair took. Runs as root in a lab's kernel.

    repairs.py '{"interfaces": 100, "rounds": 20, "vpcctl": PATH, "vpcd": PATH}'

Prints a JSON object: for every kind of damage the seconds from the kernel's notification to the end of the repair, one
a round, as vpcd's own histogram has them (vpcctl_repair_latency_seconds).

The network namespaces it makes have fixed names: call it in namespaces of its own (unshare --net --mount, with a tmpfs on
/run/netns).
"""

import json
import os
import subprocess
import sys
import tempfile
import time

from commands import run
from daemon import Daemon, wait_for

TABLE, NEXTHOP = 1000001, 1000001
HOSTS = {"h1": "172.31.0.1", "h2": "172.31.0.2"}
# vpcd answers more and more slowly who does the same again and again (five times in a minute).
PEACE = 61


def local(number):
    return f"n{number}", f"10.0.{1 + number // 200}.{20 + number % 200}"


def remote(number):
    return f"10.1.{1 + number // 200}.{20 + number % 200}"


def manifest(spec):
    documents = []

    def add(kind, name, **content):
        documents.append({"apiVersion": "vpcctl.dev/v1", "kind": kind, "metadata": {"name": name}, "spec": content})

    for host, address in HOSTS.items():
        add("Host", host, underlay={"address": address})
    add("VPC", "v", id=5, cidrs=["10.0.0.0/8"])
    rules = [{"protocol": "udp", "from": [{"cidr": "10.0.0.0/8"}]}]
    add("SecurityGroup", "group", vpc="v", ingress=rules, egress=[{"protocol": "all", "to": [{"cidr": "0.0.0.0/0"}]}])
    for number, host in enumerate(HOSTS):
        add("Subnet", host, vpc="v", cidr=f"10.{number}.0.0/16")
    add("NetworkInterface", "guest", subnet="h1", host="h1", address="10.0.0.11", securityGroups=["group"],
        attachment={"netns": "guest", "device": "eth0"})
    for number in range(spec["interfaces"] // 2):
        name, address = local(number)
        add("NetworkInterface", name, subnet="h1", host="h1", address=address, securityGroups=["group"],
            attachment={"device": name})
        add("NetworkInterface", f"r{number}", subnet="h2", host="h2", address=remote(number),
            attachment={"device": f"r{number}"})
    return json.dumps({"apiVersion": "vpcctl.dev/v1", "kind": "List", "items": documents})


def damages(round_number):
    """What is damaged, where and how; each round does it to another interface."""
    port, address = local(round_number)
    far = remote(round_number)
    return [
        ("route deleted", "h1", f"ip route del {far} table {TABLE}"),
        ("route changed", "h1", f"ip route replace blackhole {far} table {TABLE} proto 118"),
        ("route added", "h1", f"ip route add 10.9.{round_number}.1 dev vpc-gx table {TABLE} proto 118"),
        ("rule deleted", "h1", "ip rule del pref 1001"),
        ("rule added", "h1", f"ip rule add pref {70 + round_number} lookup 77 proto 118"),
        ("nexthop deleted", "h1", f"ip nexthop del id {NEXTHOP}"),
        ("nexthop changed", "h1",
         f"ip nexthop replace id {NEXTHOP} encap ip id 7 dst 172.31.0.2 dev vpc-gx proto 118"),
        ("neighbour deleted", "h1", f"ip neigh del {address} dev {port}"),
        ("neighbour changed", "h1", f"ip neigh replace {address} lladdr 02:00:00:00:00:77 dev {port} nud permanent"),
        ("port down", "h1", f"ip link set {port} down"),
        ("port taken from its VRF", "h1", f"ip link set {port} nomaster"),
        ("port deleted", "h1", "ip link del e-guest"),
        ("tunnel deleted", "h1", "ip link del vpc-g5"),
        ("tunnel's MTU changed", "h1", "ip link set vpc-g5 mtu 1300"),
        ("sending device deleted", "h1", "ip link del vpc-gx"),
        ("VRF deleted", "h1", f"ip link del vpc-v{TABLE}"),
        ("element deleted", "h1", f"nft delete element inet vpcctl ports '{{ {port} }}'"),
        ("element added", "h1", f"nft add element inet vpcctl hosts '{{ 192.0.2.{round_number} }}'"),
        ("firewall rule added", "h1", "nft insert rule inet vpcctl forward accept"),
        ("chain emptied", "h1", "nft flush chain inet vpcctl forward"),
        ("table deleted", "h1", "nft delete table inet vpcctl"),
        ("guest's address deleted", "guest", "ip addr flush dev eth0"),
        ("guest's route deleted", "guest", "ip route del default"),
        ("guest's device down", "guest", "ip link set eth0 down"),
    ]


def latency(daemon):
    """Sum and number of the repairs so far."""
    return [daemon.metric(f"vpcctl_repair_latency_seconds_{figure}") for figure in ("sum", "count")]


def set_up(spec):
    subprocess.run(["modprobe", "-qa", "ip_gre", "vrf", "nf_tables", "dummy"], check=False)
    for name in ("h1", "guest"):
        run("ip", "netns", "add", name)
        run("ip", "-n", name, "link", "set", "lo", "up")
    lines = ["link add u0 type dummy", "link set u0 up", f"addr add {HOSTS['h1']}/24 dev u0"]
    for number in range(spec["interfaces"] // 2):
        name, _ = local(number)
        lines += [f"link add {name} type dummy", f"link set {name} up"]
    run("ip", "-n", "h1", "-batch", "-", input="\n".join(lines))


def is_whole(daemon):
    return not json.load(daemon.connect("/v1/plan"))["operations"]


def main():
    spec = json.loads(sys.argv[1])
    set_up(spec)
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        daemon = Daemon(spec["vpcd"], folder, {"all.json": manifest(spec)})
        events = daemon.events()
        wait_for(events, "RevisionApplied")
        for number in range(spec["rounds"]):
            if number % 4 == 3:
                time.sleep(PEACE)
            for what, place, line in damages(number):
                before = latency(daemon)
                run("ip", "netns", "exec", place, "sh", "-c", line)
                wait_for(events, "DriftRepaired")
                while not is_whole(daemon):
                    wait_for(events, "DriftRepaired")
                after = latency(daemon)
                repairs = after[1] - before[1]
                # The slowest of them where one damage took several passes is not told; their sum is more.
                figures.setdefault(what, []).append(after[0] - before[0] if repairs else None)
        daemon.stop()
    print(json.dumps(figures))


if __name__ == "__main__":
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    main()
