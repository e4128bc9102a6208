#!/usr/bin/env python3
"""What it takes vpcd of a gateway's host to bind an elastic IP among many. Runs as root in a lab's kernel.

    binding.py '{"eips": 10000, "vpcd": PATH}'

Prints a JSON object: seconds of processor time of each change, the kernel's included; where the machine's clock counts
instructions (VPCCTL_LAB_CLOCK=instructions), thousands of millions of these.

The network namespaces it makes have fixed names: call it in namespaces of its own (unshare --net --mount, with a tmpfs on
/run/netns).
"""

import json
import os
import statistics
import sys
import tempfile

from daemon import Daemon, wait_for
from edge import ELASTIC, PUBLIC, Manifest, common, make_namespaces, other

# In a file of manifests.
TOGETHER = 100
ROUNDS = 7


def files(eips):
    """Texts of manifests by the names of their files."""
    base = Manifest()
    common(base)
    base.add_vpc("v1", 5, {"addresses": [PUBLIC]}, "10.0.0.0/16", "10.1.0.0/16")
    texts = {"base.json": base.text}
    for first in range(0, eips, TOGETHER):
        part = Manifest()
        for number in range(first, min(first + TOGETHER, eips)):
            inside, public = other(number)
            part.add_interface("v1", f"o{number}", 2, "h2", inside, device=f"o{number}")
            # One has none, so that the address can be bound to it.
            if number not in (0, 1):
                part.add_elastic(f"o{number}", f"o{number}", public)
        texts[f"eips{first}.json"] = part.text
    return texts


def own(interface):
    manifest = Manifest()
    manifest.add("ElasticIP", "own", externalNetwork="internet", address=ELASTIC,
                 **({"interface": interface} if interface else {}))
    return manifest.text


def main():
    spec = json.loads(sys.argv[1])
    make_namespaces()
    with tempfile.TemporaryDirectory() as folder:
        daemon = Daemon(spec["vpcd"], folder, files(spec["eips"]) | {"own.json": own(None)}, host="gw")
        events = daemon.events()
        wait_for(events, "RevisionApplied")

        def taken(interface):
            before = daemon.processor_seconds()
            daemon.rewrite("own.json", own(interface))
            wait_for(events, "RevisionApplied")
            return daemon.processor_seconds() - before

        times = {"bind": [], "move": [], "unbind": []}
        for _ in range(ROUNDS):
            for change, interface in (("bind", "o0"), ("move", "o1"), ("unbind", None)):
                times[change].append(taken(interface))
        daemon.stop()
    print(json.dumps({change: statistics.median(values) for change, values in times.items()}))


if __name__ == "__main__":
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    main()
