"""What a figure was taken on."""

import functools
import platform
import re
import subprocess


def output(*command):
    """What a command prints, or None where it cannot be run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return (done.stdout + done.stderr).strip() if done.returncode == 0 else None


def first_line(*command):
    text = output(*command)
    return text.splitlines()[0] if text else None


def field(path, pattern):
    with open(path, encoding="utf-8") as file:
        found = re.search(pattern, file.read(), re.MULTILINE)
    return found[1] if found else None


@functools.cache
def facts():
    memory = int(field("/proc/meminfo", r"^MemTotal:\s+(\d+)") or 0)
    hypervisor = " hypervisor " in (field("/proc/cpuinfo", r"^flags\s*:(.*)$") or "") + " "
    versions = {
        "swift": first_line("swift", "--version"),
        "cc": first_line("cc", "--version"),
        "ip": first_line("ip", "-V"),
        "nft": first_line("nft", "-v"),
        "qemu": first_line("qemu-system-x86_64", "--version"),
        "python": platform.python_version(),
        "vpcctl": first_line("git", "rev-parse", "--short", "HEAD"),
    }
    return {
        "processor": field("/proc/cpuinfo", r"^model name\s*:\s*(.*)$"),
        "processors": int(output("nproc") or 1),
        "virtual": hypervisor,
        "memory_gib": round(memory / 2**20),
        "kernel": platform.release(),
        "system": field("/etc/os-release", r'^PRETTY_NAME="?([^"\n]*)'),
        "versions": {name: version for name, version in versions.items() if version},
    }
