"""vpcd as a benchmark runs it in the lab: on a host that is a network namespace and there already."""

import http.client
import json
import os
import pathlib
import socket
import subprocess
import sys
import time


class Daemon:
    def __init__(self, program, folder, manifests, host="h1", watched=None, group=None):
        """Starts it with the given manifests, text by name of the file; its files go to `folder`. `watched`: a folder for
        manifests that several share; `group`: of processes, where what they use is counted together."""
        self.path = f"{folder}/vpcd.sock"
        self.manifests = watched or pathlib.Path(folder, "manifests")
        self.manifests.mkdir(exist_ok=True)
        for name, text in manifests.items():
            (self.manifests / name).write_text(text)
        configuration = {
            "apiVersion": "vpcctl.dev/v1", "kind": "AgentConfiguration", "host": host, "manifests": str(self.manifests),
            "stateDirectory": f"{folder}/state", "resyncSeconds": 86400, "socket": {"path": self.path},
        }
        pathlib.Path(folder, "vpcd.yaml").write_text(json.dumps(configuration))
        self.log = open(f"{folder}/log", "w+")
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", host, program, "--config", f"{folder}/vpcd.yaml"], stdout=self.log, stderr=self.log,
            preexec_fn=group.enter if group else None)

    def rewrite(self, name, text):
        """As an editor does it: a file beside, renamed into its place."""
        beside = self.manifests / f".{name}"
        beside.write_text(text)
        beside.rename(self.manifests / name)

    def connect(self, path):
        """A response of the API. Waits for the socket."""
        connection = http.client.HTTPConnection("vpcd")
        connection.sock = socket.socket(socket.AF_UNIX)
        while True:
            if self.process.poll() is not None:
                self.log.seek(0)
                sys.exit(f"vpcd ended: {self.log.read()}")
            try:
                connection.sock.connect(self.path)
                break
            except OSError:
                time.sleep(0.01)
        connection.request("GET", path)
        return connection.getresponse()

    def metric(self, name):
        """One number of /metrics."""
        for line in self.connect("/metrics").read().decode().splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[1])
        return sys.exit(f"vpcd has no metric {name}")

    def events(self):
        """Without end, as they happen."""
        for line in self.connect("/v1/events?follow=true"):
            yield json.loads(line)

    def memory(self, what):
        """A line of /proc/PID/status, in bytes: VmRSS, VmHWM."""
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(f"{what}:"):
                return int(line.split()[1]) * 1024
        return sys.exit(f"the kernel does not know {what}")

    def processor_seconds(self):
        """What all its threads have used so far, those that have ended not included."""
        total = 0
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            try:
                total += int((task / "schedstat").read_text().split()[0])
            except OSError:
                pass  # It has ended.
        return total / 1e9

    def stop(self):
        self.process.terminate()
        self.process.wait()


def wait_for(events, kind):
    for event in events:
        if event["type"] == kind:
            return event
        if event["type"] == "RevisionRejected":
            sys.exit(f"vpcd: {event['message']}")
    return sys.exit("the events ended")
