#!/usr/bin/env python3
"""What a cloud's control plane takes from empty to all ports working, and for one change at a time. Runs as root in a lab's
kernel.

    control.py '{"side": "vpcd", "hosts": 10, "ports": 10, "vpcs": 2, "vpcd": PATH}'
    control.py '{"side": "ovn", "hosts": 10, "ports": 10, "vpcs": 2, "ovn": FOLDER}'

Prints a JSON object: seconds of the processor of all processes of all hosts, a step at a time, as a whole (`STEP`) and by
what they are (`STEP.ROLE`); `memory` in bytes, `processes`, and `idle`, seconds of the processor a second. A step ends when
packets show its effect (vpcd: and every host says that it is done) and three seconds more have passed. What takes place
anyhow, when nothing happens, is not counted, but for the first step.

The network namespaces it makes have fixed names: call it in namespaces of its own (unshare --net --mount, with a tmpfs on
/run/netns).
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

import cloud as model
from commands import wait_until
from daemon import Daemon
from ovn import Ovn, last_words
from processes import Group

# Of the machine's clock.
AFTERWARDS = 3
MINUTE = 60


class Vpcd:
    """One on each host, and a folder of manifests that all of them watch."""

    def __init__(self, cloud, program, folder):
        self.cloud, self.group = cloud, Group("vpcd")
        self.groups = {"vpcd": self.group}
        self.manifests, self.files = pathlib.Path(folder, "manifests"), {}
        self.manifests.mkdir()
        pathlib.Path(program).read_bytes()
        subprocess.run([program, "--version"], stdout=subprocess.DEVNULL, check=True)
        self.daemons = [self.start(host, program, folder) for host in cloud.hosts]
        self.accepted, self.applied = [0] * len(self.daemons), [0] * len(self.daemons)
        for number, daemon in enumerate(self.daemons):
            daemon.connect("/v1/status").read()  # It has started.
            threading.Thread(target=self.follow, args=(number, daemon.events()), daemon=True).start()

    def start(self, host, program, folder):
        own = pathlib.Path(folder, host)
        own.mkdir()
        return Daemon(program, own, {}, host=host, watched=self.manifests, group=self.group)

    def follow(self, number, events):
        for event in events:
            if event["type"] == "RevisionAccepted":
                self.accepted[number] = event["revision"]
            elif event["type"] == "RevisionApplied":
                self.applied[number] = event["revision"]
            elif event["type"] in ("RevisionRejected", "ApplyFailed"):
                print(event, file=sys.stderr)

    def put(self, ports, **options):
        """Changes the files that say something else now, all of which are written before the first takes its place. They
        take it in the order of their hosts."""
        files = model.manifests(self.cloud, ports, **options)
        changed = {name: text for name, text in files.items() if self.files.get(name) != text}
        for name, text in changed.items():
            (self.manifests / f".{name}").write_text(text)
        self.before, self.ports, self.files = list(self.applied), ports, files
        for name in changed:
            (self.manifests / f".{name}").rename(self.manifests / name)

    def await_hosts(self):
        wait_until("every host to be done", lambda: self.applied == self.accepted and all(
            now > before for now, before in zip(self.applied, self.before)), limit=1800)

    def last_words(self):
        return "\n".join(pathlib.Path(daemon.log.name).read_text()[-500:] for daemon in self.daemons)

    def create(self):
        self.put(self.cloud.ports)

    def add(self, port):
        self.put(self.ports + [port])

    def move(self, old, new):
        self.put([new if port is old else port for port in self.ports])

    def remove(self, port):
        self.put([other for other in self.ports if other is not port])

    def allow_ping(self, is_allowed):
        self.put(self.ports, ping=is_allowed)

    def change_rule(self, port):
        self.put(self.ports, first=port)


class Central:
    """OVN, told by its own clients, as little as there is to tell."""

    def __init__(self, cloud, folder):
        self.cloud, self.ovn = cloud, Ovn(folder, cloud.hosts)
        self.groups = self.ovn.groups

    def await_hosts(self):
        """Asking them would be work of its own for all of them; whatever they have to do for a change takes less than the
        seconds that follow."""

    def last_words(self):
        return last_words()

    def create(self):
        self.ovn.tell(model.logical_network(self.cloud))
        for host in self.cloud.hosts:
            self.ovn.plug(host, {port.device: port.name for port in self.cloud.ports if port.host == host})
        self.ovn.await_ports()

    def add(self, port):
        groups = [word for group in ("sg", "all") for word in ("--", "add", "port_group", f"{group}{port.vpc}", "ports", "@port")]
        end = f'"{port.mac} {port.address}"'
        self.ovn.nbctl("--id=@port", "create", "logical_switch_port", f"name={port.name}", f"addresses={end}",
                       f"port_security={end}", "--", "add", "logical_switch", f"v{port.vpc}s{port.subnet}", "ports", "@port",
                       *groups)
        self.ovn.plug(port.host, {port.device: port.name})

    def move(self, old, new):
        self.ovn.unplug(old.host, old.device)
        self.ovn.plug(new.host, {new.device: new.name})

    def remove(self, port):
        self.ovn.unplug(port.host, port.device)
        self.ovn.nbctl("lsp-del", port.name)

    def allow_ping(self, is_allowed):
        rule = model.ping_rule(1)
        self.ovn.nbctl(*(["acl-add", *rule, "allow-related"] if is_allowed else ["acl-del", *rule]))

    def change_rule(self, port):
        old = model.match(1, 0, 8000)
        found = self.ovn.ask("--bare", "--columns=_uuid", "find", "acl", f'match="{old}"')
        self.ovn.nbctl("set", "acl", found.strip(), f'match="{model.match(1, 0, port)}"')


# MARK: What packets show


def inside(guest, *command):
    return subprocess.run(["ip", "netns", "exec", guest, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode


def pings(guest, address):
    return inside(guest, "ping", "-n", "-q", "-c", "1", "-W", "1", address) == 0


def is_refused(guest, address, port):
    """The other guest, which has nobody at the port, says so: the rules let it through."""
    return inside(guest, "timeout", "1", "bash", "-c", f"exec 3<>/dev/tcp/{address}/{port}") == 1


class Reachability:
    """Of every guest, from the first host's of its VPC."""

    def __init__(self, cloud):
        self.missing = [(first.guest, other.address) for first, *others in map(cloud.guests, cloud.vpcs) for other in others]

    def is_complete(self):
        while self.missing and pings(*self.missing[0]):
            self.missing.pop(0)
        return not self.missing


# MARK: Steps


class Measurement:
    def __init__(self, side):
        self.side, self.figures = side, {}
        self.idle = dict.fromkeys(side.groups, 0)

    def seconds(self):
        return {role: group.seconds() for role, group in self.side.groups.items()}

    def taken(self, before, began):
        elapsed = time.monotonic() - began
        return {role: now - before[role] - self.idle[role] * elapsed for role, now in self.seconds().items()}

    def step(self, name, do, effect):
        time.sleep(1)
        before, began = self.seconds(), time.monotonic()
        do()
        wait_until(name, effect, limit=1800, pause=0.01, last_words=self.side.last_words)
        self.side.await_hosts()
        time.sleep(AFTERWARDS)
        taken = self.taken(before, began)
        self.figures |= {f"{name}.{role}": seconds for role, seconds in taken.items()} | {name: sum(taken.values())}
        print(f"{name}: {sum(taken.values()):.3f}", file=sys.stderr, flush=True)

    def rest(self):
        """When nothing happens."""
        before, began = self.seconds(), time.monotonic()
        time.sleep(MINUTE)
        taken, elapsed = self.taken(before, began), time.monotonic() - began
        self.idle = {role: seconds / elapsed for role, seconds in taken.items()}
        self.figures["idle"] = sum(self.idle.values())
        self.figures["memory"] = sum(group.memory() for group in self.side.groups.values())
        self.figures["processes"] = sum(len(group.processes()) for group in self.side.groups.values())


def measure(cloud, side):
    measurement = Measurement(side)
    # The first of VPC 1, and one of its others on another host.
    (first, *_, last), comer, moved = cloud.guests(1), cloud.comer, cloud.moved
    guest = first.guest
    measurement.step("create", side.create, Reachability(cloud).is_complete)
    measurement.rest()
    measurement.step("add", lambda: side.add(comer), lambda: pings(guest, comer.address))
    measurement.step("move", lambda: side.move(comer, moved), lambda: pings(guest, moved.address))
    measurement.step("move back", lambda: side.move(moved, comer), lambda: pings(guest, comer.address))
    measurement.step("rule removed", lambda: side.allow_ping(False), lambda: not pings(guest, last.address))
    measurement.step("rule added", lambda: side.allow_ping(True), lambda: pings(guest, last.address))
    measurement.step("rule changed", lambda: side.change_rule(9000), lambda: is_refused(guest, last.address, 9000))
    measurement.step("remove", lambda: side.remove(comer), lambda: not pings(guest, comer.address))
    return measurement.figures


def main():
    spec = json.loads(sys.argv[1])
    cloud = model.Cloud(spec["hosts"], spec["ports"], spec["vpcs"])
    subprocess.run(["modprobe", "-qa", "ip_gre", "vrf", "nf_tables", "dummy", "veth", "bridge"], check=False)
    cloud.build()
    with tempfile.TemporaryDirectory() as folder:
        side = Vpcd(cloud, spec["vpcd"], folder) if spec["side"] == "vpcd" else Central(cloud, spec["ovn"])
        print(json.dumps(measure(cloud, side)), flush=True)
        # The machine ends with this, and whatever runs on it.
        os._exit(0)


if __name__ == "__main__":
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    main()
