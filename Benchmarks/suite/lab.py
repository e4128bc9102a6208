"""Runs a program in the lab, on a kernel with GRE and VRF devices."""

import os
import subprocess
import sys
import tempfile

from .programs import CHECKOUT


# Where the running kernel has what it takes, it is the lab: what is made there must vanish with the command.
ISOLATED = ["unshare", "--net", "--mount", "sh", "-c", 'mkdir -p /run/netns; mount -t tmpfs netns /run/netns; exec "$@"', "sh"]


def run(*command, clock=None, kernel=None):
    """What a command prints there. `clock="instructions"`: its clock counts instructions, see scripts/lab.sh, which also
    has the kernels to insist on."""
    options = ["--kernel", kernel] if kernel else []
    environment = dict(os.environ)
    if clock:
        environment["VPCCTL_LAB_CLOCK"] = clock
    with tempfile.TemporaryDirectory(prefix="vpcctl-bench.") as folder:
        environment["VPCCTL_LAB_OUT"] = folder
        done = subprocess.run(
            [str(CHECKOUT / "scripts/lab.sh"), *options, "--", *ISOLATED, *command], capture_output=True, text=True, env=environment,
            stdin=subprocess.DEVNULL,
        )
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\nended in the lab with status {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout
