#!/usr/bin/env python3
"""Starts a daemon and waits until the kernel has that many IPv4 routes: wait_routes.py COUNT COMMAND…

Prints the seconds from the start, the daemon's share of the processor and its memory; then the daemon is killed. The
count is /proc/net/fib_triestat's, which takes no lock that a writer needs."""

import os
import re
import subprocess
import sys
import time


def routes():
    with open("/proc/net/fib_triestat", encoding="ascii") as file:
        return sum(int(count) for count in re.findall(r"Prefixes:\s+(\d+)", file.read()))


def main():
    count, command = int(sys.argv[1]), sys.argv[2:]
    before = routes()
    start = time.monotonic()
    daemon = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while routes() - before < count:
        if daemon.poll() is not None:
            sys.exit(f"{' '.join(command)} ended: {daemon.stderr.read().decode()[-1000:]}")
        time.sleep(0.02)
    seconds = time.monotonic() - start
    with open(f"/proc/{daemon.pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    with open(f"/proc/{daemon.pid}/status", encoding="ascii") as file:
        peak = int(re.search(r"VmHWM:\s+(\d+)", file.read())[1]) * 1024
    daemon.kill()
    daemon.wait()
    ticks = os.sysconf("SC_CLK_TCK")
    print(f"seconds {seconds}\nseconds.cpu {(int(fields[11]) + int(fields[12])) / ticks}\npeak {peak}")


main()
