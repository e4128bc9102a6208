"""Counts the instructions of the product's stages with valgrind, which come out the same on any machine."""

import os
import re
import subprocess
import sys
import tempfile

from . import programs

# As vpcbench calls them: the first is what all others have.
STAGES = ["generate", "parse", "resolve", "compile", "plan", "nothing"]


def stages(interfaces, hosts=100):
    """Instructions by stage: those of a run that ends with it, less those of one that ends before it."""
    totals = [count(programs.vpcbench(), "stages", stage, str(interfaces), str(hosts), "1") for stage in STAGES]
    return {stage: total - before for stage, before, total in zip(STAGES[1:], totals, totals[1:])}


def count(*command):
    """Instructions that a program executes outside the kernel."""
    # Else Swift's dictionaries have another order in every process.
    environment = os.environ | {"SWIFT_DETERMINISTIC_HASHING": "1"}
    with tempfile.TemporaryDirectory() as folder:
        valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out"]
        done = subprocess.run([*valgrind, *command], capture_output=True, text=True, env=environment)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or not found:
        sys.exit(f"{' '.join(command)} under valgrind: {done.stdout}{done.stderr}")
    return int(found[1])


def shell(program, arguments):
    """Shell that prints the instructions of a program, for where it is not run from here. Its status does not matter."""
    bare = tempfile.NamedTemporaryFile(delete=False).name
    # Not every valgrind reads the debug information of every compiler.
    subprocess.run(["strip", "--strip-debug", "-o", bare, program], check=True)
    valgrind = "SWIFT_DETERMINISTIC_HASHING=1 valgrind --tool=callgrind --callgrind-out-file=/dev/null"
    return (
        f"{valgrind} {bare} {arguments} 2>&1 >/dev/null | sed -n 's/.*Collected : /instructions /p'; rm {bare}"
    )
