"""Fresh network namespaces for programs that change the kernel. Needs root."""

import re
import subprocess
import sys
import time

# v0 stands for the device that routes leave by.
UNDERLAY = (
    "ip link set lo up && ip link add v0 type veth peer name v1 && ip link set v1 up && ip link set v0 up"
    " && ip addr add 172.31.255.254/16 dev v0"
)


def inside(command, prepare=UNDERLAY, mount=False):
    """Runs a shell command in a network namespace of its own; returns what it prints."""
    settle()
    unshare = ["unshare", "--net"] + (["--mount"] if mount else [])
    done = subprocess.run(
        unshare + ["bash", "-ec", f"{prepare}\n{command}"], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        sys.exit(f"{command}\nended with status {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def figures(text):
    """Lines of "NAME VALUE"."""
    return {name: float(value) for name, value in (line.split() for line in text.splitlines())}


def seconds_of(command):
    """Shell that prints the seconds a command takes."""
    return f"start=$(date +%s%N); {command} >/dev/null && echo seconds $(($(date +%s%N) - start))e-9"


def settle():
    """Waits until the kernel has taken apart the namespaces of runs before: a million routes take it seconds, in which
    whatever comes next is slowed down."""
    previous = None
    while True:
        now = leftovers()
        if now is None or previous is not None and now >= previous - 50:
            return
        previous = now
        time.sleep(0.3)


def leftovers():
    """Objects of the kernel that a dying namespace still gives back; None where it does not tell."""
    try:
        with open("/proc/slabinfo", encoding="ascii") as file:
            text = file.read()
    except OSError:
        return None
    return sum(int(count) for count in re.findall(r"^(?:ip_fib_alias|net_namespace|ip_fib_trie)\s+(\d+)", text, re.M))
