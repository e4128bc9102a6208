"""OVN as a benchmark runs it in the lab, from the folder its packages were unpacked into: a central in this network
namespace, and hosts that are network namespaces already, each with its own database, switch (one datapath of the
kernel's per namespace) and controller. All databases are on Unix sockets: no TCP, no TLS, no RAFT."""

import os
import pathlib
import shutil
import subprocess
import sys

from commands import run, wait_until
from processes import Group

RUN = pathlib.Path("/run/ovn")
PROGRAMS = ("ovsdb-server", "ovsdb-tool", "ovs-vswitchd", "ovs-vsctl", "ovs-appctl", "ovn-northd", "ovn-controller", "ovn-nbctl",
            "ovn-sbctl")
# What is counted together: the same programs of all hosts.
ROLES = ("databases", "northd", "ovsdb", "vswitchd", "controller", "clients")
# What its packages would load.
MODULES = ("openvswitch", "vport_geneve", "nf_conntrack_netlink")


class Ovn:
    def __init__(self, folder, hosts):
        """Starts everything; `hosts`: the underlay address by namespace."""
        self.folder, self.hosts = pathlib.Path(folder), hosts
        self.groups = {role: Group(role) for role in ROLES}
        places = [self.folder / place for place in ("usr/lib/openvswitch-switch", "usr/sbin", "usr/bin")]
        self.environment = os.environ | {
            "PATH": ":".join([*map(str, places), os.environ["PATH"]]),
            "LD_LIBRARY_PATH": str(self.folder / "usr/lib/x86_64-linux-gnu"),
        }
        subprocess.run(["modprobe", "-qa", *MODULES], check=False)
        self.preload()
        self.start_central()
        for host in hosts:
            self.start_host(host)
        self.nbctl("--wait=sb", "sync")
        wait_until("all hosts to have registered", lambda: len(self.chassis()) == len(hosts), last_words=last_words)

    def chassis(self):
        return self.client("ovn-sbctl", f"--db={self.south}", "--bare", "--columns=name", "find", "chassis").split()

    def preload(self):
        """With a clock that counts instructions time leaps while a file is read: not in the middle of it, then."""
        for program in PROGRAMS:
            path = shutil.which(program, path=self.environment["PATH"])
            if not path:
                sys.exit(f"there is no {program} in {self.folder}, nor is it installed")
            pathlib.Path(path).read_bytes()
            run(path, "--version", env=self.environment)

    def schema(self, path):
        """A database's, unpacked or installed."""
        unpacked = self.folder / "usr/share" / path
        return str(unpacked if unpacked.exists() else pathlib.Path("/usr/share", path))

    def start(self, role, place, namespace, *command, name=None):
        folder, name = RUN / place, name or role
        environment = self.environment | {"OVS_RUNDIR": str(folder), "OVN_RUNDIR": str(folder), "OVS_LOGDIR": str(folder)}
        inside = ["ip", "netns", "exec", namespace] if namespace else []
        with open(folder / f"{name}.out", "w") as log:
            subprocess.Popen(
                [*inside, *command, f"--log-file={folder}/{name}.log", "-vconsole:off"], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, env=environment, preexec_fn=self.groups[role].enter)

    def start_database(self, role, place, namespace, name, schema):
        """Returns how to reach it."""
        database, socket = RUN / place / f"{name}.db", RUN / place / f"{name}.sock"
        run("ovsdb-tool", "create", str(database), self.schema(schema), env=self.environment)
        self.start(role, place, namespace, "ovsdb-server", str(database), f"--remote=punix:{socket}",
                   f"--unixctl={RUN}/{place}/{name}.ctl", name=name)
        wait_until(socket, socket.exists, last_words=last_words)
        return f"unix:{socket}"

    def start_central(self):
        (RUN / "central").mkdir(parents=True)
        self.north = self.start_database("databases", "central", None, "nb", "ovn/ovn-nb.ovsschema")
        self.south = self.start_database("databases", "central", None, "sb", "ovn/ovn-sb.ovsschema")
        self.start("northd", "central", None, "ovn-northd", f"--ovnnb-db={self.north}", f"--ovnsb-db={self.south}",
                   f"--unixctl={RUN}/central/northd.ctl")
        self.nbctl("init")

    def start_host(self, host):
        (RUN / host).mkdir()
        database = self.start_database("ovsdb", host, host, "conf", "openvswitch/vswitch.ovsschema")
        # Flows stay: the clock of instructions leaps when nothing happens.
        self.vsctl(host, "--no-wait", "init", "--", "set", "open_vswitch", ".", f"external_ids:system-id={host}",
                   f"external_ids:hostname={host}", f"external_ids:ovn-remote={self.south}",
                   "external_ids:ovn-encap-type=geneve", f"external_ids:ovn-encap-ip={self.hosts[host]}",
                   "external_ids:ovn-bridge=br-int", "other_config:max-idle=86400000", "--", "add-br", "br-int", "--", "set",
                   "bridge", "br-int", "fail-mode=secure", "other-config:disable-in-band=true")
        self.start("vswitchd", host, host, "ovs-vswitchd", database, f"--unixctl={RUN}/{host}/vswitchd.ctl")
        self.start("controller", host, host, "ovn-controller", database)

    def client(self, *command):
        return run(*command, env=self.environment, preexec_fn=self.groups["clients"].enter)

    def nbctl(self, *words):
        return self.client("ovn-nbctl", f"--db={self.north}", *words)

    def ask(self, *words):
        """Like nbctl, for what is none of a cloud's work: the clients' group does not have it."""
        return run("ovn-nbctl", f"--db={self.north}", *words, env=self.environment)

    def vsctl(self, host, *words):
        return self.client("ovs-vsctl", f"--db=unix:{RUN}/{host}/conf.sock", *words)

    def appctl(self, host, *words):
        return self.client("ovs-appctl", "-t", f"{RUN}/{host}/vswitchd.ctl", *words)

    def tell(self, commands, *options, chunk=1500):
        """Commands of ovn-nbctl, lists of words, as one transaction; a few where they are more than a command line has
        room for."""
        for first in range(0, len(commands), chunk):
            self.nbctl(*options, *(word for command in commands[first:first + chunk] for word in ("--", *command)))

    def plug(self, host, ports):
        """`ports`: the logical port by the device's name; one transaction."""
        words = (word for device, port in ports.items() for word in
                 ("--", "add-port", "br-int", device, "--", "set", "interface", device, f"external_ids:iface-id={port}"))
        self.vsctl(host, *words)

    def unplug(self, host, device):
        self.vsctl(host, "del-port", "br-int", device)

    def await_ports(self):
        """Until every port is up, and every host has what it is told."""
        wait_until("ports to be up", lambda: not self.ask("--bare", "--columns=name", "find", "logical_switch_port", "up=false"),
                   limit=1800, pause=1, last_words=last_words)
        self.ask("--wait=hv", "sync")


def last_words():
    logs = sorted(RUN.glob("*/*.log")) + sorted(RUN.glob("*/*.out"))
    return "\n".join(f"{log}:\n" + "\n".join(log.read_text().splitlines()[-5:]) for log in logs)
