"""One cloud, described twice: as vpcctl's manifests, and as commands of OVN.

Every VPC has 10.0.0.0/16 in two subnets, with ports that alternate between them, and two groups that all of its ports are
in: `sg`, ten rules of TCP ports, and `all`, whose members may ping each other and send what they like. Of each VPC one
port on each host is a guest, a network namespace that answers; the others are dummy devices. One more port of the first
VPC, `x1`, comes on the second host, and moves to the first and back."""

import dataclasses
import json

from commands import batch, run, sysctl

RULES = 10


@dataclasses.dataclass(frozen=True)
class Port:
    name: str
    vpc: int
    host: str
    # Among those of its VPC.
    number: int
    # The network namespace, where there is a guest.
    guest: str | None = None

    @property
    def subnet(self):
        return self.number % 2

    @property
    def address(self):
        among = self.number // 2
        return f"10.0.{self.subnet * 128 + among // 240}.{10 + among % 240}"

    @property
    def mac(self):
        return f"02:{self.vpc:02x}:" + ":".join(f"{int(octet):02x}" for octet in self.address.split("."))

    @property
    def device(self):
        return f"p-{self.name}"


def underlay(hosts):
    return {f"h{number}": f"172.31.0.{number}" for number in range(1, hosts + 1)}


class Cloud:
    def __init__(self, hosts, ports, vpcs):
        """`ports`: on each host."""
        self.hosts, self.vpcs = underlay(hosts), range(1, vpcs + 1)
        self.ports, counts = [], dict.fromkeys(self.vpcs, 0)
        for index, host in enumerate(self.hosts):
            for vpc in self.vpcs:
                mine = [Port(f"{host}n{number}", vpc, host, counts[vpc] + among)
                        for among, number in enumerate(range(vpc - 1, ports, vpcs))]
                # The first and the last in turn: some are in one subnet, between others there is a router.
                guest = -(index % 2)
                mine[guest] = dataclasses.replace(mine[guest], guest=f"g-{mine[guest].name}")
                counts[vpc] += len(mine)
                self.ports += mine
        self.comer = Port("x1", 1, "h2", counts[1], "g-x1")
        self.moved = dataclasses.replace(self.comer, host="h1", guest="g-x1b")

    def guests(self, vpc):
        """A port on every host."""
        return [port for port in self.ports if port.vpc == vpc and port.guest]

    def build(self):
        """Namespaces, underlay and devices; nothing of either network yet."""
        batch_here = ["link add ul type bridge", "link set ul mtu 1600 up"]
        for host in self.hosts:
            namespace(host)
            batch_here += [f"link add ul-{host} mtu 1600 type veth peer name u0 mtu 1600 netns {host}",
                           f"link set ul-{host} master ul up"]
        run("ip", "-batch", "-", input="\n".join(batch_here))
        for host, address in self.hosts.items():
            batch(host, ["link set lo up", "link set u0 up", f"addr add {address}/16 dev u0"] + [
                line for port in self.ports if port.host == host and not port.guest
                for line in (f"link add {port.device} type dummy", f"link set {port.device} up")])
        for port in [port for port in self.ports if port.guest] + [self.comer, self.moved]:
            namespace(port.guest)
            batch(port.host, [f"link add {port.device} type veth peer name eth0 address {port.mac} netns {port.guest}",
                              f"link set {port.device} up"])
            batch(port.guest, ["link set lo up", "link set eth0 mtu 1400 up", f"addr add {port.address}/17 dev eth0",
                               f"route add default via 10.0.{port.subnet * 128}.1"])


def namespace(name):
    run("ip", "netns", "add", name)
    sysctl(name, net__ipv6__conf__all__disable_ipv6=1, net__ipv6__conf__default__disable_ipv6=1)


# MARK: vpcctl


def text(resources):
    items = [{"apiVersion": "vpcctl.dev/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
             for kind, name, spec in resources]
    return json.dumps({"apiVersion": "vpcctl.dev/v1", "kind": "List", "items": items})


def interface(port):
    return ("NetworkInterface", port.name, {
        "subnet": f"v{port.vpc}s{port.subnet}", "host": port.host, "address": port.address, "mac": port.mac,
        "securityGroups": [f"sg{port.vpc}", f"all{port.vpc}"], "attachment": {"device": port.device}, "mtu": 1400})


def common(cloud, ping, first):
    """What is not a port: whether members of the first VPC may ping each other, and the TCP port of its first rule."""
    resources = [("Host", host, {"underlay": {"address": address}}) for host, address in cloud.hosts.items()]
    for vpc in cloud.vpcs:
        rules = [{"protocol": "tcp", "ports": [8000 + number], "from": [{"cidr": f"10.0.{number}.0/24"}]} for number in range(RULES)]
        members = [{"protocol": "icmp", "from": [{"securityGroup": f"all{vpc}"}]}]
        if vpc == 1:
            rules[0]["ports"] = [first]
            members = members if ping else []
        resources += [
            ("VPC", f"v{vpc}", {"id": 100 + vpc, "cidrs": ["10.0.0.0/16"]}),
            *[("Subnet", f"v{vpc}s{subnet}", {"vpc": f"v{vpc}", "cidr": f"10.0.{subnet * 128}.0/17"}) for subnet in (0, 1)],
            ("SecurityGroup", f"sg{vpc}", {"vpc": f"v{vpc}", "ingress": rules}),
            ("SecurityGroup", f"all{vpc}", {"vpc": f"v{vpc}", "ingress": members,
                                            "egress": [{"protocol": "all", "to": [{"cidr": "0.0.0.0/0"}]}]}),
        ]
    return text(resources)


def manifests(cloud, ports, ping=True, first=8000):
    """Text by name of the file: one for each host's ports, then what they refer to."""
    files = {f"{host}.json": text([interface(port) for port in ports if port.host == host]) for host in cloud.hosts}
    return files | {"common.json": common(cloud, ping, first)}


# MARK: OVN


def match(vpc, number, port):
    """Of a rule of `sg`."""
    return f"outport == @sg{vpc} && tcp && ip4.src == 10.0.{number}.0/24 && tcp.dst == {port}"


def ping_rule(vpc):
    """The words after acl-add and acl-del."""
    return [f"all{vpc}", "to-lport", "1001", f"outport == @all{vpc} && icmp4 && ip4.src == $all{vpc}_ip4"]


def acls(vpc):
    rules = [["acl-add", f"sg{vpc}", "to-lport", "1001", match(vpc, number, 8000 + number), "allow-related"]
             for number in range(RULES)]
    return rules + [
        ["acl-add", *ping_rule(vpc), "allow-related"],
        ["acl-add", f"all{vpc}", "from-lport", "1001", f"inport == @all{vpc} && ip4", "allow-related"],
        ["acl-add", f"all{vpc}", "to-lport", "1000", f"outport == @all{vpc} && ip", "drop"],
        ["acl-add", f"all{vpc}", "from-lport", "1000", f"inport == @all{vpc} && ip", "drop"],
    ]


def logical_port(port):
    end = f"{port.mac} {port.address}"
    return [["lsp-add", f"v{port.vpc}s{port.subnet}", port.name], ["lsp-set-addresses", port.name, end],
            ["lsp-set-port-security", port.name, end]]


def logical_network(cloud):
    """Commands of ovn-nbctl that make all of it."""
    commands = []
    for vpc in cloud.vpcs:
        router = f"v{vpc}"
        commands.append(["lr-add", router])
        for subnet in (0, 1):
            switch = f"{router}s{subnet}"
            commands += [
                ["ls-add", switch],
                ["lrp-add", router, f"r-{switch}", f"02:00:5e:00:{vpc:02x}:0{subnet + 1}", f"10.0.{subnet * 128}.1/17"],
                ["lsp-add", switch, f"{switch}-r"], ["lsp-set-type", f"{switch}-r", "router"],
                ["lsp-set-addresses", f"{switch}-r", "router"],
                ["lsp-set-options", f"{switch}-r", f"router-port=r-{switch}"],
            ]
        ports = [port for port in cloud.ports if port.vpc == vpc]
        commands += [command for port in ports for command in logical_port(port)]
        for group in ("sg", "all"):
            commands.append(["pg-add", f"{group}{vpc}", *(port.name for port in ports)])
        commands += acls(vpc)
    return commands
