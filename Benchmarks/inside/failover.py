"""Two gateways of which one stands by, in the lab: what is lost when the active one goes, and what it takes the two to have
their connections in common. One argument: what is to be done, as JSON. Prints JSON."""

import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import sys
import time

from commands import run, wait_until

SERVER = "198.51.100.7"
# Of one echo a time; what a stream of datagrams takes to be a connection to the kernel (net.netfilter.nf_conntrack_udp_timeout).
STEP, YOUTH = 0.01, 4
# What ends with a reset is remembered for ten seconds.
CLOSED = 14


def inside(place, *words):
    return ["ip", "netns", "exec", place, *words]


# Roles of processes of this script's own.

def echo(port):
    """Sends datagrams back."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((SERVER, int(port)))
    while True:
        question = server.recvfrom(100)
        try:
            server.sendto(*question)
        except OSError:
            # There is no way back for a moment.
            pass


def talk(count):
    """Some connections and one stream of datagrams, until standard input ends: what became of them."""
    connections = [socket.create_connection((SERVER, 80), 20) for _ in range(int(count))]

    def asked(connection):
        try:
            connection.sendall(b"x")
            return connection.recv(1) == b"x"
        except OSError:
            return False

    assert all(asked(connection) for connection in connections)
    stream = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    stream.connect((SERVER, 53))
    stream.setblocking(False)
    begin = time.monotonic()
    sent = received = gap = 0
    last, following, end = begin, begin, None
    while end is None or time.monotonic() < end:
        now = time.monotonic()
        if now >= following and end is None:
            try:
                stream.send(b"%d" % sent)
            except OSError:
                pass
            sent += 1
            following += STEP
            if sent == round(YOUTH / STEP):
                gap = 0
                print("ready", flush=True)
        ready = select.select([stream] + ([sys.stdin] if end is None else []), [], [], max(0, following - time.monotonic()) % STEP)[0]
        if sys.stdin in ready:
            end = time.monotonic() + 1
        if stream in ready:
            try:
                while stream.recv(100):
                    received, now = received + 1, time.monotonic()
                    gap, last = max(gap, now - last), now
            except OSError:
                pass
    survivors = sum(asked(connection) for connection in connections)
    print(json.dumps({"gap": gap, "lost": sent - received, "survivors": survivors / len(connections)}))


# The pairs.

class Processes:
    """Those that are measured, by host; and what they have taken of the processor, in seconds."""

    def taken(self, host):
        numbers = self.numbers(host)
        tasks = [task for number in numbers for task in pathlib.Path(f"/proc/{number}/task").iterdir()]
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) * 1e-9


class Ours(Processes):
    """`Examples/nat-pair.yaml` as vpclab makes it, with vpcgw on both."""

    client, source, provider, active = "app1", "10.0.1.11", "internet-inet", "gw1"
    standby = "gw2"
    tracking = "vpc-gw1"
    folder = pathlib.Path("/run/vpclab/nat-pair")

    def __init__(self, work):
        self.work = work
        # Read from this machine's files, which takes no time that the lab's clock counts: it would run on by itself.
        for program in ("vpclab", "vpcctl", "vpcgw"):
            run(str(pathlib.Path(work["vpclab"]).with_name(program)), "--version")
        try:
            run(work["vpclab"], "up", "-q", "-f", work["example"])
        except SystemExit as failure:
            logs = [path.read_text() for path in sorted(self.folder.glob("*.vpcgw.log"))]
            sys.exit("\n".join([str(failure), *logs]))

    def numbers(self, host):
        return [(self.folder / f"{host}.vpcgw.pid").read_text().strip()]

    def kill(self):
        os.kill(int(self.numbers(self.active)[0]), signal.SIGKILL)

    def cut(self):
        for device in ("u0", "wan0"):
            run("ip", "-n", self.active, "link", "set", device, "down")

    def vanish(self):
        self.kill()
        for place in ("vpc-gw1", "gw1"):
            run("ip", "netns", "del", place)

    def copied(self):
        return int(run(*inside("vpc-gw2", "conntrack", "-C")))

    def hand_over(self):
        run(self.work["vpcctl"], "gateway", "failover", "internet", "--socket", str(self.folder / "gw1.vpcgw.sock"))


class ByHand(Processes):
    """Forwarding and one rule of nftables on both, keepalived for the addresses, conntrackd for the connections."""

    client, source, provider, active = "client", "10.0.1.11", "server", "gw1"
    standby = "gw2"
    tracking = "gw1"
    folder = pathlib.Path("/tmp/by-hand")

    def __init__(self, work):
        self.work, self.programs = work, {}
        self.folder.mkdir()
        for switch in ("inner", "outer", "between"):
            self.make(switch)
            run("ip", "-n", switch, "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
            run("ip", "-n", switch, "link", "set", "br0", "up")
        for host in ("client", "server", "gw1", "gw2"):
            self.make(host)
        self.plug("client", "eth0", "inner", "10.0.1.11/24")
        self.plug("server", "eth0", "outer", "192.0.2.1/24")
        run("ip", "-n", "server", "addr", "add", f"{SERVER}/32", "dev", "eth0")
        run("ip", "-n", "client", "route", "add", "default", "via", "10.0.1.254")
        run("ip", "-n", "server", "route", "add", "203.0.113.0/24", "via", "192.0.2.100")
        for number, host in enumerate(("gw1", "gw2"), 1):
            self.plug(host, "in0", "inner", f"10.0.1.25{number}/24")
            self.plug(host, "out0", "outer", f"192.0.2.1{number}/24")
            self.plug(host, "sy0", "between", f"192.168.9.{number}/24")
            run("ip", "-n", host, "route", "add", "default", "via", "192.0.2.1")
            self.shell(host, "nft 'table ip nat { chain out { type nat hook postrouting priority 100; "
                             "oifname out0 ip saddr 10.0.1.0/24 snat to 203.0.113.10; }; }'")
            self.start(host, number)
            # Whoever comes first has the addresses: they are taken from nobody.
            if number == 1:
                wait_until("gw1 active", self.holds)
        time.sleep(5)

    def make(self, name):
        run("ip", "netns", "add", name)
        run("ip", "-n", name, "link", "set", "lo", "up")
        self.shell(name, "sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0")

    def plug(self, place, device, switch, address):
        run("ip", "-n", switch, "link", "add", f"{place}-{device}", "type", "veth", "peer", "name", device, "netns", place)
        run("ip", "-n", switch, "link", "set", f"{place}-{device}", "master", "br0", "up")
        run("ip", "-n", place, "addr", "add", address, "dev", device)
        run("ip", "-n", place, "link", "set", device, "up")

    def shell(self, place, line):
        return run(*inside(place, "sh", "-ec", line))

    def holds(self):
        return "10.0.1.254" in run("ip", "-n", "gw1", "-4", "-o", "addr", "show", "in0")

    def start(self, host, number):
        """As conntrackd's own examples (doc/sync/ftfw, primary-backup.sh) and keepalived's have it."""
        folder, other = self.folder, 3 - number
        (folder / f"{host}.ct").write_text(f"""
Sync {{
  Mode FTFW {{ DisableExternalCache off }}
  UDP {{
    IPv4_address 192.168.9.{number}
    IPv4_Destination_Address 192.168.9.{other}
    Port 3780
    Interface sy0
    SndSocketBuffer 8388608
    RcvSocketBuffer 8388608
    Checksum on
  }}
}}
General {{
  HashSize 65536
  HashLimit 524288
  LockFile {folder}/{host}.lock
  UNIX {{ Path {folder}/{host}.ctl }}
  NetlinkBufferSize 8388608
  NetlinkBufferSizeMaxGrowth 67108864
  Filter From Userspace {{
    Protocol Accept {{ TCP
      UDP }}
    Address Ignore {{ IPv4_address 127.0.0.1
      IPv4_address 192.168.9.1
      IPv4_address 192.168.9.2 }}
    State Accept {{ ESTABLISHED CLOSED TIME_WAIT CLOSE_WAIT for TCP }}
  }}
}}
""")
        control = f"{self.work['conntrackd']} -C {folder}/{host}.ct"
        script = folder / f"{host}.sh"
        script.write_text(f"""#!/bin/sh
case $1 in
    primary) for command in -c -f -R -B; do {control} $command; done ;;
    *) for command in -t -n; do {control} $command; done ;;
esac
exit 0
""")
        script.chmod(0o700)
        (folder / f"{host}.ka").write_text(f"""
global_defs {{
  router_id {host}
  script_user root
  enable_script_security
  vrrp_version 3
  vrrp_garp_master_repeat 2
}}
vrrp_sync_group both {{
  group {{
    inner
    outer
  }}
  notify_master "{script} primary"
  notify_backup "{script} backup"
  notify_fault "{script} fault"
}}
""" + "".join(f"""
vrrp_instance {name} {{
  interface {device}
  state BACKUP
  nopreempt
  virtual_router_id {identity}
  priority {200 - number}
  advert_int 0.3
  virtual_ipaddress {{ {address} dev {device} }}
}}
""" for name, device, identity, address in (("inner", "in0", 51, "10.0.1.254/24"), ("outer", "out0", 52, "192.0.2.100/24"))))
        log = open(folder / f"{host}.log", "w")
        conntrackd = subprocess.Popen(inside(host, *control.split()), stdout=log, stderr=log)
        wait_until("conntrackd", (folder / f"{host}.ctl").exists)
        keepalived = subprocess.Popen(
            inside(host, *self.work["keepalived"].split(), "-P", "-n", "-l", "-f", f"{folder}/{host}.ka", "-p",
                   f"{folder}/{host}.pid", "-r", f"{folder}/{host}.vrrp"), stdout=log, stderr=log)
        self.programs[host] = (conntrackd, keepalived)

    def numbers(self, host):
        return [self.programs[host][0].pid]

    def kill(self):
        for number in (self.folder / f"{self.active}.vrrp").read_text().split() + [str(self.programs[self.active][1].pid)]:
            os.kill(int(number), signal.SIGKILL)

    def cut(self):
        for device in ("in0", "out0"):
            run("ip", "-n", self.active, "link", "set", device, "down")

    def vanish(self):
        self.kill()
        self.programs[self.active][0].kill()
        run("ip", "netns", "del", self.active)

    def copied(self):
        """What the other one has is in its own cache until it serves."""
        return len(run(*inside(self.standby, *f"{self.work['conntrackd']} -C {self.folder}/{self.standby}.ct -e ct".split())).splitlines())

    def hand_over(self):
        self.programs[self.active][1].terminate()


# What is measured.

def lose(pair, way):
    """What is lost when the active one goes in some way."""
    words = inside(pair.client, sys.executable, __file__, "talk", "100")
    talking = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if talking.stdout.readline() != "ready\n":
        sys.exit("the client did not get ready")
    time.sleep(2)
    {"links": pair.cut, "process": pair.kill, "host": pair.vanish, "asked": pair.hand_over}[way]()
    time.sleep(9)
    talking.stdin.close()
    return json.loads(talking.stdout.read())


def share(pair, count):
    """What a connection takes the processes of both, to begin and to end."""
    sides = {"active": pair.active, "standby": pair.standby}

    def taken():
        return {side: pair.taken(host) for side, host in sides.items()}, time.monotonic()

    time.sleep(2)
    first, since = taken()
    time.sleep(10)
    idle, now = taken()
    rest = {side: (idle[side] - first[side]) / (now - since) for side in sides}
    before, since = taken()
    words = inside(pair.client, pair.work["connections"], "run", pair.source, SERVER, "80", str(count))
    done = int(run(*words))
    if done < count:
        sys.exit(f"{done} of {count} connections")
    time.sleep(1)
    copied = pair.copied() / int(run(*inside(pair.tracking, "conntrack", "-C")))
    time.sleep(CLOSED)
    after, now = taken()
    figures = {side: (after[side] - before[side] - rest[side] * (now - since)) / count for side in sides}
    return figures | {"copied": copied}


def main():
    work = json.loads(sys.argv[1])
    pair = {"ours": Ours, "by hand": ByHand}[work["pair"]](work)
    servers = [
        subprocess.Popen(inside(pair.provider, work["connections"], "serve", "80")),
        subprocess.Popen(inside(pair.provider, sys.executable, __file__, "echo", "53")),
    ]
    time.sleep(1)
    figures = share(pair, work["count"]) if "count" in work else lose(pair, work["way"])
    for server in servers:
        server.kill()
    print(json.dumps(figures))


if __name__ == "__main__":
    roles = {"talk": talk, "echo": echo}
    if sys.argv[1] in roles:
        roles[sys.argv[1]](*sys.argv[2:])
    else:
        main()
