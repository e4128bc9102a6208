"""Other programs to compare with: from Debian or PyPI, unpacked into the user's cache folder and run from there.
Nothing is installed, no service is started."""

import functools
import os
import pathlib
import shutil
import subprocess
import sys

from . import machine

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "vpcctl/peers"


def say(text):
    print(f"  {text}", file=sys.stderr, flush=True)


class Unavailable(Exception):
    pass


@functools.cache
def debian(*packages):
    """The folder with packages and those of their dependencies that this system lacks."""
    names = " and ".join(packages)
    folder = CACHE / "+".join(packages)
    if folder.exists():
        return folder
    say(f"unpacking {names} into {folder}")
    simulated = machine.output("apt-get", "install", "-s", "--no-install-recommends", *packages)
    if simulated is None:
        raise Unavailable(f"apt does not have {names}")
    needed = [line.split()[1] for line in simulated.splitlines() if line.startswith("Inst ")] or list(packages)
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    (part / "debs").mkdir(parents=True)
    download = ["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", *needed]
    if subprocess.run(download, cwd=part / "debs", stdout=subprocess.DEVNULL).returncode != 0:
        raise Unavailable(f"{', '.join(needed)} could not be downloaded")
    for deb in (part / "debs").iterdir():
        subprocess.run(["dpkg", "-x", deb, part], check=True)
    shutil.rmtree(part / "debs")
    part.rename(folder)
    return folder


def ovn():
    """The folder with OVN and Open vSwitch; what of them is installed is in its usual place."""
    return str(debian("ovn-central", "ovn-host"))


@functools.cache
def pypi(package):
    """The Python of an environment that has a package."""
    folder = CACHE / f"python-{package}"
    python = folder / "bin/python3"
    if python.exists():
        return python
    say(f"installing {package} into {folder}")
    try:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([python, "-m", "pip", "install", "-q", package], check=True, stdout=subprocess.DEVNULL)
    except subprocess.CalledProcessError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise Unavailable(f"{package} could not be installed: {error}") from error
    return python


@functools.cache
def program(package, path):
    """A program of a package: the installed one, or the unpacked one, with the variables that it needs to run."""
    installed = pathlib.Path("/") / path
    if installed.exists():
        return str(installed)
    folder = debian(package)
    unpacked = folder / path
    if not unpacked.exists():
        raise Unavailable(f"{package} has no {path}")
    libraries = [folder / place for place in ("usr/lib/x86_64-linux-gnu/frr", "usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu")]
    return f"env LD_LIBRARY_PATH={':'.join(map(str, libraries))} {unpacked}"


def why_not(*needs):
    """For `Subject.why_not`: the reason why one of them cannot be had. `needs` are functions without arguments."""

    def reason(_case):
        for need in needs:
            try:
                need()
            except Unavailable as error:
                return str(error)
        return None

    return reason


def unless_larger(parameter, greatest, because, otherwise=lambda case: None):
    """For `Subject.why_not`: leaves out cases that are too large for a program."""

    def reason(case):
        return because if case[parameter] > greatest else otherwise(case)

    return reason
