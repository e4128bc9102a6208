#!/usr/bin/env python3
"""What it takes vpcd to keep a host of a large VPC. Runs as root in a lab's kernel.

    keeping.py '{"interfaces": 10000, "vpcd": PATH}'

Prints a JSON object: memory in bytes and times in seconds, after the start, while nothing happens, and with one change.

The network namespace it makes has a fixed name: call it in namespaces of its own (unshare --net --mount, with a tmpfs on
/run/netns).
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from commands import run
from daemon import Daemon, wait_for

HOSTS = 100
MINUTE = 60
MOVES = 10


def underlay(host):
    return f"172.31.0.{host}"


def address(number):
    return f"10.{1 + number // 62500}.{number // 250 % 250}.{1 + number % 250}"


def common():
    hosts = [("Host", f"h{host}", {"underlay": {"address": underlay(host)}}) for host in range(1, HOSTS + 1)]
    rules = [{"protocol": "udp", "from": [{"securityGroup": "group"}]}]
    return hosts + [
        ("VPC", "v", {"id": 5, "cidrs": ["10.0.0.0/8"]}),
        ("Subnet", "s", {"vpc": "v", "cidr": "10.0.0.0/8"}),
        ("SecurityGroup", "group",
         {"vpc": "v", "ingress": rules, "egress": [{"protocol": "all", "to": [{"cidr": "0.0.0.0/0"}]}]}),
    ]


def interface(number, host):
    return ("NetworkInterface", f"i{number}",
            {"subnet": "s", "host": f"h{host}", "address": address(number), "securityGroups": ["group"],
             "attachment": {"device": f"n{number}"}})


def text(resources):
    items = [
        {"apiVersion": "vpcctl.dev/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        for kind, name, spec in resources
    ]
    return json.dumps({"apiVersion": "vpcctl.dev/v1", "kind": "List", "items": items})


def manifests(interfaces):
    """A file for each host."""
    files = {"common.json": text(common())}
    for host in range(1, HOSTS + 1):
        files[f"h{host}.json"] = text(interface(number, host) for number in range(host - 1, interfaces, HOSTS))
    return files


def moved(interfaces, is_away):
    """The files of two other hosts, with one interface at the one or the other."""
    second, third = (list(range(host - 1, interfaces, HOSTS)) for host in (2, 3))
    if is_away:
        third.append(second.pop())
    return {"h2.json": text(interface(number, 2) for number in second),
            "h3.json": text(interface(number, 3) for number in third)}


def set_up(interfaces):
    subprocess.run(["modprobe", "-qa", "ip_gre", "vrf", "nf_tables", "dummy"], check=False)
    run("ip", "netns", "add", "h1")
    run("ip", "-n", "h1", "link", "set", "lo", "up")
    lines = ["link add u0 type dummy", "link set u0 up", f"addr add {underlay(1)}/24 dev u0"]
    for number in range(0, interfaces, HOSTS):
        lines += [f"link add n{number} type dummy", f"link set n{number} up"]
    run("ip", "-n", "h1", "-batch", "-", input="\n".join(lines))


def main():
    spec = json.loads(sys.argv[1])
    interfaces = spec["interfaces"]
    set_up(interfaces)
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        daemon = Daemon(spec["vpcd"], folder, manifests(interfaces))
        events = daemon.events()
        wait_for(events, "RevisionApplied")
        # What follows from the start by itself: it is told of what it did.
        time.sleep(MINUTE)
        before = daemon.processor_seconds()
        time.sleep(MINUTE)
        figures["idle.cpu"] = (daemon.processor_seconds() - before) / MINUTE
        figures["idle.memory"] = daemon.memory("VmRSS")
        times = []
        for number in range(MOVES):
            # Two files are two changes to whoever watches a folder: each is whole by itself only together.
            files = moved(interfaces, number % 2 == 0)
            before = daemon.processor_seconds()
            for name, content in files.items():
                daemon.rewrite(name, content)
            wait_for(events, "RevisionApplied")
            times.append(daemon.processor_seconds() - before)
        figures["change.cpu"] = statistics.median(times)
        figures["change.memory"] = daemon.memory("VmRSS")
        figures["peak"] = daemon.memory("VmHWM")
        daemon.stop()
    print(json.dumps(figures))


if __name__ == "__main__":
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    main()
