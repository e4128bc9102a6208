#!/usr/bin/env python3
"""Adds COUNT routes by GATEWAYS gateways, one call each, as programs that use pyroute2 do."""

import ipaddress
import os
import sys
import time

from pyroute2 import IPRoute

count, gateways = int(sys.argv[1]), int(sys.argv[2])
with IPRoute() as netlink:
    device = netlink.link_lookup(ifname="v0")[0]
    first, first_gateway = int(ipaddress.IPv4Address("10.0.1.0")), int(ipaddress.IPv4Address("172.31.0.1"))
    before = os.times()
    start = time.monotonic()
    for index in range(count):
        netlink.route(
            "add", dst=f"{ipaddress.IPv4Address(first + index)}/32", table=1000001, oif=device,
            gateway=str(ipaddress.IPv4Address(first_gateway + index % gateways)))
    seconds = time.monotonic() - start
    after = os.times()
    print(f"seconds {seconds}\nseconds.cpu {after.user + after.system - before.user - before.system}")
    start = time.monotonic()
    listed = sum(1 for _ in netlink.get_routes(table=1000001))
    print(f"dump {time.monotonic() - start}")
    if listed != count:
        sys.exit(f"{listed} of {count} routes listed")
