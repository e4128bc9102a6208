"""The programs that are measured: where they are, and how they are built."""

import functools
import pathlib
import subprocess
import sys
import threading

FOLDER = pathlib.Path(__file__).resolve().parent.parent
CHECKOUT = FOLDER.parent


def once(function):
    """Like functools.cache, for benchmarks that run several subjects at once: the others wait for the first."""
    lock = threading.Lock()
    cached = functools.cache(function)

    @functools.wraps(function)
    def locked(*arguments):
        with lock:
            return cached(*arguments)

    return locked


class BuildFailed(Exception):
    """Ends the run: without its programs there is nothing to measure."""


def build(*command, cwd):
    if subprocess.run(command, cwd=cwd, stdout=sys.stderr).returncode != 0:
        raise BuildFailed(" ".join(command))


@once
def vpcbench():
    """The product's stages one by one, with the time of each."""
    build("swift", "build", "-c", "release", "--product", "vpcbench", cwd=FOLDER)
    return str(FOLDER / ".build/release/vpcbench")


@once
def vpcctl():
    build("swift", "build", "-c", "release", "--product", "vpcctl", cwd=CHECKOUT)
    return str(CHECKOUT / ".build/release/vpcctl")


@once
def vpcd():
    build("swift", "build", "-c", "release", "--product", "vpcd", cwd=CHECKOUT)
    return str(CHECKOUT / ".build/release/vpcd")


@once
def vpclab():
    """With vpcgw beside it, where it looks for that."""
    for product in ("vpcgw", "vpclab"):
        build("swift", "build", "-c", "release", "--product", product, cwd=CHECKOUT)
    return str(CHECKOUT / ".build/release/vpclab")


@once
def limit(name):
    """A program in C that does the kernel's part of some work and nothing else."""
    folder = FOLDER / ".build/limit"
    folder.mkdir(parents=True, exist_ok=True)
    libraries = ["-lyaml"] if name == "yaml" else []
    build("cc", "-O2", "-Wall", "-Wextra", "-o", str(folder / name), f"limit/{name}.c", *libraries, cwd=FOLDER)
    return str(folder / name)


def run_into(file, *command):
    """Writes what a command prints to a file that is open."""
    if subprocess.run(command, stdout=file).returncode != 0:
        sys.exit(f"{' '.join(command)} failed")
