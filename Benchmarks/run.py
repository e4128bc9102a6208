#!/usr/bin/env python3
"""Programs routes in fresh network namespaces: this product, the limit (a C program that sends the same messages
prebuilt) and `ip -batch`, in turn, and prints ratios with their median and spread.

    run.py VPCBENCH LIMIT [ROUTES [ROUNDS]]
"""

import json
import statistics
import subprocess
import sys
import tempfile

HOSTS = 100
PREPARE = (
    "ip link set lo up && ip link add v0 type veth peer name v1 && ip link set v1 up && ip link set v0 up"
    " && ip addr add 172.31.255.254/16 dev v0 && "
)


def inside(command):
    """Runs a shell command in a network namespace of its own that has v0; returns what it prints."""
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", PREPARE + command], capture_output=True, text=True
    )
    if done.returncode != 0:
        sys.exit(f"{command}: {done.stdout}{done.stderr}")
    return done.stdout


def product(program, routes):
    lines = (line.split() for line in inside(f"exec {program} {routes} {HOSTS}").splitlines())
    return {name: float(value) for name, value in lines}


def limit(program, routes):
    return float(inside(f"exec {program} {routes} {HOSTS - 1}"))


def ip_batch(routes):
    with tempfile.NamedTemporaryFile("w", suffix=".batch") as file:
        for index in range(HOSTS - 1):
            file.write(f"nexthop add id {1000001 + index} via 172.31.{index >> 8}.{(index & 255) + 1} dev v0 onlink\n")
        for index in range(routes):
            address = 0x0A000100 + index
            text = ".".join(str(address >> shift & 255) for shift in (24, 16, 8, 0))
            file.write(f"route add {text}/32 nhid {1000001 + index % (HOSTS - 1)} table 1000001\n")
        file.flush()
        script = f"start=$(date +%s%N); ip -batch {file.name} && echo $(($(date +%s%N) - start))"
        return int(inside(script)) * 1e-9


def spread(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main():
    program, limit_program = sys.argv[1:3]
    routes = int(sys.argv[3]) if len(sys.argv) > 3 else 100_000
    rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 5
    ours, bound, batch = [], [], []
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        ours.append(product(program, routes))
        bound.append(limit(limit_program, routes))
        batch.append(ip_batch(routes))

    print(f"{routes} routes, {HOSTS} hosts, {rounds} rounds; median microseconds a route:")
    stages = ["parse", "resolve", "compile", "plan", "commit", "observe", "plan-nothing"]
    for stage in stages:
        print(f"  {stage:<14}{statistics.median(run[stage] for run in ours) / routes * 1e6:8.3f}")
    print(f"  {'limit (C)':<14}{statistics.median(bound) / routes * 1e6:8.3f}")
    print(f"  {'ip -batch':<14}{statistics.median(batch) / routes * 1e6:8.3f}")
    ratios = {
        "commit / limit": [run["commit"] / other for run, other in zip(ours, bound)],
        "compile + plan + commit / limit": [
            (run["compile"] + run["plan"] + run["commit"]) / other for run, other in zip(ours, bound)
        ],
        "commit / ip -batch": [run["commit"] / other for run, other in zip(ours, batch)],
        "compile + plan / commit": [(run["compile"] + run["plan"]) / run["commit"] for run in ours],
    }
    print("ratios, median (least to greatest):")
    for name, values in ratios.items():
        print(f"  {name:<34}{spread(values)}")
    memory = statistics.median(run["peak-memory"] for run in ours) / routes
    print(f"peak memory beyond the manifest: {memory:.0f} bytes a route")
    print(json.dumps({"routes": routes, "ratios": {name: statistics.median(v) for name, v in ratios.items()}}), file=sys.stderr)


if __name__ == "__main__":
    main()
