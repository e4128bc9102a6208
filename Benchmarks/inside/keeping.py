#!/usr/bin/env python3
"""What it takes vpcd to keep a host of a large VPC. Runs as root in a lab's kernel.

    keeping.py '{"interfaces": 10000, "vpcd": PATH}'

Prints a JSON object: memory in bytes and times in seconds, after the start, while nothing happens, and with each change.

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
ROUNDS = 5


def underlay(host):
    return f"172.31.0.{host}"


def address(number):
    return f"10.{1 + number // 62500}.{number // 250 % 250}.{1 + number % 250}"


def common(vpc, id, ports=(), lines=1, routes=1):
    """What the interfaces of a VPC have in common.

    ports: of further rules of the group, lines: of the ACL, routes: of the route table."""
    rules = [{"protocol": "udp", "from": [{"securityGroup": f"{vpc}-group"}]}]
    rules += [{"protocol": "tcp", "ports": [port], "from": [{"cidr": "10.0.0.0/8"}]} for port in ports]
    allowed = [{"priority": 100, "action": "allow", "protocol": "all", "cidr": "0.0.0.0/0"}]
    denied = [{"priority": line, "action": "deny", "protocol": "tcp", "ports": [line], "cidr": "0.0.0.0/0"} for line in range(1, lines + 1)]
    return [
        ("VPC", vpc, {"id": id, "cidrs": ["10.0.0.0/8"]}),
        ("Subnet", f"{vpc}-subnet", {"vpc": vpc, "cidr": "10.0.0.0/8", "routeTable": f"{vpc}-routes", "acl": f"{vpc}-acl"}),
        ("RouteTable", f"{vpc}-routes",
         {"vpc": vpc, "routes": [
             {"destination": f"192.168.{number}.0/24", "nextHops": [{"interface": f"{vpc}{HOSTS + 1}"}]}
             for number in range(routes)]}),
        ("NetworkACL", f"{vpc}-acl", {"vpc": vpc, "ingress": denied + allowed, "egress": allowed}),
        ("SecurityGroup", f"{vpc}-group",
         {"vpc": vpc, "ingress": rules, "egress": [{"protocol": "all", "to": [{"cidr": "0.0.0.0/0"}]}]}),
    ]


def interface(vpc, number, host, groups=True):
    spec = {"subnet": f"{vpc}-subnet", "host": f"h{host}", "address": address(number),
            "attachment": {"device": f"{vpc}{number}"}}
    if groups:
        spec["securityGroups"] = [f"{vpc}-group"]
    # The target of routes.
    if number == HOSTS + 1:
        spec["sourceDestCheck"] = False
    return ("NetworkInterface", f"{vpc}{number}", spec)


def text(resources):
    items = [
        {"apiVersion": "vpcctl.dev/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        for kind, name, spec in resources
    ]
    return json.dumps({"apiVersion": "vpcctl.dev/v1", "kind": "List", "items": items})


class Network:
    """A VPC `n` on every host, the first of them included, and `o`, which is on the second and third only."""

    def __init__(self, interfaces):
        hosts = [("Host", f"h{host}", {"underlay": {"address": underlay(host)}}) for host in range(1, HOSTS + 1)]
        self.files = {"hosts.json": text(hosts), "n.json": text(common("n", 5)), "o.json": text(common("o", 6))}
        self.of_host = {
            host: [interface("n", number, host) for number in range(host - 1, interfaces, HOSTS)]
            for host in range(1, HOSTS + 1)
        }
        for host in (2, 3):
            self.of_host[host] += [interface("o", number, host) for number in (host, HOSTS - 1 + host)]
        for host, resources in self.of_host.items():
            self.files[f"h{host}.json"] = text(resources)
        self.interfaces = interfaces

    def host(self, host, extra=(), other=()):
        """A file with more resources at its end, and others in the place of those of the same names."""
        other = {resource[1]: resource for resource in other}
        resources = [other.get(resource[1], resource) for resource in self.of_host[host]]
        return {f"h{host}.json": text(resources + list(extra))}

    def changes(self):
        """By name: the files of a change, and those that take it back; each is one file."""
        def both(change):
            return change, {name: self.files[name] for name in change}

        new, moved = self.interfaces + 2 * HOSTS, self.interfaces - HOSTS + 1
        return {
            "moves": both(self.host(2, other=[interface("n", moved, 3)])),
            "comes here": both(self.host(1, [interface("n", new, 1)])),
            "comes elsewhere": both(self.host(2, [interface("n", new, 2)])),
            "member": both(self.host(2, other=[interface("n", 1, 2, groups=False)])),
            "member here": both(self.host(1, other=[interface("n", 0, 1, groups=False)])),
            "rule": both({"n.json": text(common("n", 5, ports=[80]))}),
            "line": both({"n.json": text(common("n", 5, lines=2))}),
            "route": both({"n.json": text(common("n", 5, routes=2))}),
            "rule of others": both({"o.json": text(common("o", 6, ports=[80]))}),
            "line of others": both({"o.json": text(common("o", 6, lines=2))}),
            "comes to others": both(self.host(2, [interface("o", new, 2)])),
        }


def set_up(interfaces):
    subprocess.run(["modprobe", "-qa", "ip_gre", "vrf", "nf_tables", "dummy"], check=False)
    run("ip", "netns", "add", "h1")
    run("ip", "-n", "h1", "link", "set", "lo", "up")
    lines = ["link add u0 type dummy", "link set u0 up", f"addr add {underlay(1)}/24 dev u0"]
    for number in [*range(0, interfaces, HOSTS), interfaces + 2 * HOSTS]:
        lines += [f"link add n{number} type dummy", f"link set n{number} up"]
    run("ip", "-n", "h1", "-batch", "-", input="\n".join(lines))


def main():
    spec = json.loads(sys.argv[1])
    interfaces = spec["interfaces"]
    set_up(interfaces)
    figures = {}
    network = Network(interfaces)
    with tempfile.TemporaryDirectory() as folder:
        daemon = Daemon(spec["vpcd"], folder, network.files)
        events = daemon.events()
        wait_for(events, "RevisionApplied")
        # What follows from the start by itself: it is told of what it did.
        time.sleep(MINUTE)
        before = daemon.processor_seconds()
        time.sleep(MINUTE)
        figures["idle.cpu"] = (daemon.processor_seconds() - before) / MINUTE
        figures["idle.memory"] = daemon.memory("VmRSS")

        def taken(files):
            """The processor time of a change."""
            before = daemon.processor_seconds()
            for name, content in files.items():
                daemon.rewrite(name, content)
            wait_for(events, "RevisionApplied")
            return daemon.processor_seconds() - before

        for name, (there, back) in network.changes().items():
            if spec.get("only") and name not in spec["only"]:
                continue
            times = [(taken(there), taken(back)) for _ in range(ROUNDS)]
            figures[f"{name}.cpu"] = statistics.median(there for there, _ in times)
            figures[f"{name}.back.cpu"] = statistics.median(back for _, back in times)
        figures["change.memory"] = daemon.memory("VmRSS")
        figures["peak"] = daemon.memory("VmHWM")
        daemon.stop()
    print(json.dumps(figures))


if __name__ == "__main__":
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    main()
