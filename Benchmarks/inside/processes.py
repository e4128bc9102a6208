"""Processes whose use of the processor and of memory is counted together."""

import pathlib
import re


class Group:
    """A control group: the kernel counts what all of its processes use, those that have ended included."""

    def __init__(self, name):
        self.folder = pathlib.Path("/sys/fs/cgroup", name)
        self.folder.mkdir()

    def enter(self):
        """Called in a process between fork and exec."""
        (self.folder / "cgroup.procs").write_text("0")

    def seconds(self):
        """Of the processor."""
        usage = re.search(r"^usage_usec (\d+)", (self.folder / "cpu.stat").read_text(), re.MULTILINE)
        return int(usage[1]) / 1e6

    def processes(self):
        return (self.folder / "cgroup.procs").read_text().split()

    def memory(self):
        """Bytes; what several processes share is divided among them (PSS)."""
        return 1024 * sum(
            int(re.search(r"^Pss:\s+(\d+)", pathlib.Path(f"/proc/{process}/smaps_rollup").read_text(), re.MULTILINE)[1])
            for process in self.processes())
