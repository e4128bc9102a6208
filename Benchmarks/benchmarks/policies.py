"""Planning long lists of security groups and ACLs."""

import functools
import ipaddress
import json
import random
import tempfile

from suite import callgrind, namespace, programs
from suite.benchmark import Benchmark, Case, Limit, Ratio, Row, Subject, Table

TEXT = """
`vpcctl plan` as a whole, from reading the manifest (JSON) to the printed plan, for a host that has nothing yet and one
interface with one long list; [security.md](security.md#long-lists) says what becomes of it.

- *blocks × ports*: one rule of a group that allows so many ports to so many blocks of a published list.
- *lines at random*: an ACL whose lines have blocks of 8 to 24 bits, any protocol, and ports. Ten times the lines meet each
  other more than ten times as often: there is more than ten times as much for the kernel, and a warning for each line
  that others hide.
- *grid*: an ACL of which half the lines deny a port to everybody, the others allow TCP from an address.
- *ports*: an ACL whose lines are a port each, for everybody.

Instructions are counted by callgrind and come out the same on any machine, less those of a plan with an empty list.
"""
VERSION = "vpcctl.dev/v1"
UNDERLAY = f"{namespace.UNDERLAY}; ip link add tap0 type veth peer name tap1; ip link set tap0 up; ip link set tap1 up"


def published(count, dice):
    """Disjoint blocks, as clouds publish them."""
    blocks = set()
    while len(blocks) < count:
        length = dice.choice([20, 22, 24, 24, 26])
        block = ipaddress.ip_network((dice.getrandbits(32) >> (32 - length) << (32 - length), length))
        if block.is_global and not block.is_multicast:
            blocks.add(block)
    return [str(block) for block in sorted(ipaddress.collapse_addresses(blocks))]


def at_random(count, dice):
    lines = []
    for _ in range(count):
        length = dice.choice([8, 10, 12, 16, 20, 24, 24, 24])
        block = ipaddress.ip_network((dice.getrandbits(32) >> (32 - length) << (32 - length), length))
        port = dice.randrange(1, 65000)
        traffic = dice.choice([
            {"protocol": "all"}, {"protocol": "tcp"}, {"protocol": "tcp", "ports": [port]},
            {"protocol": "udp", "ports": [f"{port}-{port + 500}"]}, {"protocol": "icmp", "icmpType": port & 255},
        ])
        lines.append(traffic | {"cidr": str(block), "action": dice.choice(["allow", "deny"])})
    return lines


def ports(count):
    return [{"action": "deny", "protocol": "tcp", "ports": [2 * i + 1], "cidr": "0.0.0.0/0"} for i in range(count)]


def addresses(count):
    blocks = (str(ipaddress.ip_address(0x0B000000 + 2 * i)) for i in range(count))
    return [{"action": "allow", "protocol": "tcp", "cidr": f"{block}/32"} for block in blocks]


def policy(case):
    """A group's rules, an ACL's lines."""
    count, dice = case["count"], random.Random(3)
    if case["shape"] == "blocks":
        peers = [{"cidr": block} for block in published(count, dice)]
        return [{"protocol": "tcp", "ports": [1000 + 7 * i for i in range(case["ports"])], "from": peers}], []
    lines = {
        "random": lambda: at_random(count, dice), "ports": lambda: ports(count),
        "grid": lambda: ports(count // 2) + addresses(count // 2),
    }[case["shape"]]()
    return [], [line | {"priority": 1 + number} for number, line in enumerate(lines)]


@functools.cache
def manifest(*parameters):
    rules, lines = policy(dict(parameters))
    kinds = {
        "Host": ("h1", {"underlay": {"address": "172.31.255.254"}}),
        "VPC": ("blue", {"id": 1, "cidrs": ["10.0.0.0/16"]}),
        "SecurityGroup": ("edge", {"vpc": "blue", "ingress": rules}),
        "NetworkACL": ("edge", {"vpc": "blue", "ingress": lines}),
        "Subnet": ("front", {"vpc": "blue", "cidr": "10.0.1.0/24", "acl": "edge"}),
        "NetworkInterface": ("web", {
            "subnet": "front", "host": "h1", "address": "10.0.1.11", "securityGroups": ["edge"],
            "attachment": {"device": "tap0"},
        }),
    }
    file = tempfile.NamedTemporaryFile("w", suffix=".json")
    items = [
        {"apiVersion": VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}
        for kind, (name, spec) in kinds.items()
    ]
    json.dump({"apiVersion": VERSION, "kind": "List", "items": items}, file)
    file.flush()
    return file


def plan(**parameters):
    file = manifest(*parameters.items()).name
    arguments = f"plan --filename {file} --host h1 --no-agent --output json"
    # 2: there is something to do.
    command = f"{{ {programs.vpcctl()} {arguments} || [ $? = 2 ]; }}"
    script = f"""{namespace.seconds_of(command)}
        {callgrind.shell(programs.vpcctl(), arguments)}
        echo elements $({command} | grep -c '"object": "element ')"""
    return namespace.figures(namespace.inside(script, prepare=UNDERLAY))


@functools.cache
def empty():
    return plan(shape="ports", count=0)["instructions"]


def ours(case):
    figures = plan(**case.parameters)
    instructions = figures["instructions"] - empty()
    return figures | {"instructions": instructions, "instructions.element": instructions / figures["elements"]}


def benchmark(options):
    def pair(shape, count, title, **more):
        return [Case(title.format(size), {"shape": shape, "count": size, **more}) for size in (count // 10, count)]

    pairs = [
        pair("blocks", 8000, "{:,} blocks × 2 ports", ports=2),
        pair("blocks", 3000, "{:,} blocks × 30 ports", ports=30),
        pair("random", 1000, "{:,} lines at random"),
        pair("grid", 1000, "grid of {:,} lines"),
        pair("ports", 3000, "{:,} lines of a port"),
    ]
    cases = [case for both in pairs for case in both]
    subjects = [Subject("vpcctl", ours)]
    tables = [
        Table("Planning, ms", [Row("vpcctl plan", "vpcctl", "seconds")], scale=1e3, digits=0),
        Table("Instructions, millions", [Row("vpcctl plan", "vpcctl", "instructions")], scale=1e-6, digits=0),
        Table("Elements that the plan adds", [Row("vpcctl plan", "vpcctl", "elements")], digits=0),
    ]
    def growth(small, large, what, figure, **aim):
        return Ratio(f"{large.label} / {small.label}, {what}", ("vpcctl", figure), ("vpcctl", figure), base=small.label,
                     cases=[large.label], **aim)

    ratios = [
        growth(*both, "instructions an element", "instructions.element") if both[0]["shape"] == "random"
        else growth(*both, "instructions", "instructions", at_most=12)
        for both in pairs
    ]
    limits = [Limit("a published list", ("vpcctl", "seconds"), 0.2, "s", cases=[pairs[0][1].label])]
    return Benchmark(
        "policies", "Planning long lists", TEXT, cases, subjects, tables, ratios, limits,
        rounds=1 if options.quick else options.rounds or 5)
