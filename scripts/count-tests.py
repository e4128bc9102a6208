#!/usr/bin/env python3
"""Adds up Swift Testing runs and says whether they passed: count-tests.py [--partial] NAME=STATUS=EVENTS …

STATUS is the exit status of the run's process, EVENTS the file it wrote to --event-stream-output-path: one JSON object
a line. The console's closing line is no
source for counts: it has the number of tests (some of the skipped ones among them) and of issues, but not of failed
tests. Here a test is a test function, with all its arguments, and it is
  failed   when it ended with a failure, began and did not end (the process died), or ended nowhere at all,
  skipped  when it was disabled or cancelled,
  passed   otherwise.

The status is 1 unless every run came to its end without a failure, had tests, and skipped none; --partial (a run of
selected tests) forgives runs without tests, but not all of them. The last line is "total: N passed, N failed", with
", N skipped" where there are any. --self-check tests this program.
"""
import json
import sys


class Run:
    """What one event stream says."""

    def __init__(self, name, lines, status=0):
        self.name = name
        self.status = status
        self.closing = None  # the closing line of the console
        self.broken = []  # why the run as a whole failed
        self.outcomes = {}  # test id -> passed, failed, skipped, or None while it has not ended
        try:
            for line in lines:
                self.read(json.loads(line))
        except ValueError:
            self.broken.append("the record of its events is cut off")
        if self.closing is None:
            self.broken.append("no closing line: the test process did not reach its end")
        self.unfinished = {test for test, outcome in self.outcomes.items() if outcome is None}
        for test in self.unfinished:
            self.outcomes[test] = "failed"

    def read(self, record):
        payload = record["payload"]
        test = payload.get("testID")
        if record["kind"] == "test":
            if payload["kind"] == "function":
                self.outcomes[payload["id"]] = None
            return
        symbols = {message["symbol"] for message in payload.get("messages", [])}
        if payload["kind"] == "runEnded":
            self.closing = payload["messages"][0]["text"]
            if "fail" in symbols and "failed" not in self.outcomes.values():
                # In a suite, say, or in a task that outlived its test.
                self.broken.append("an issue outside the tests")
        elif payload["kind"] == "issueRecorded" and test is None and "fail" in symbols:
            # From a thread that is no task: whichever test it belongs to may pass.
            self.broken.append("an issue of no test: " + " ".join(part["text"] for part in payload["messages"]))
        elif payload["kind"] == "testSkipped" and test in self.outcomes:
            self.outcomes[test] = "skipped"
        elif payload["kind"] == "testEnded" and test in self.outcomes:
            # A cancelled test ends with the symbol for skipped.
            self.outcomes[test] = "failed" if "fail" in symbols else "skipped" if "skip" in symbols else "passed"

    def tests(self, outcome):
        return sorted(test for test, its in self.outcomes.items() if its == outcome)


def tally(passed, failed, skipped):
    return f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else "")


def report(runs, partial):
    """The lines to print, and whether all is well."""
    lines, total, good = [], [0, 0, 0], True
    for run in runs:
        counts = [len(run.tests(outcome)) for outcome in ("passed", "failed", "skipped")]
        total = [a + b for a, b in zip(total, counts)]
        for test in run.tests("failed"):
            lines.append(f"{run.name}: {'did not end' if test in run.unfinished else 'failed'}: {test}")
        for test in run.tests("skipped"):
            lines.append(f"{run.name}: skipped: {test}")
        if counts[0] + counts[1] == 0:
            if not run.broken and not partial:
                run.broken.append("no test was run")
        elif run.status != 0 and counts[1] == 0:
            run.broken.append(f"the test process ended with status {run.status}")
        lines += [f"{run.name}: {reason}" for reason in run.broken]
        if run.broken or counts[1] or counts[2]:
            good = False
        lines.append(f"{run.name}: {sum(counts)} test{'' if sum(counts) == 1 else 's'}: {tally(*counts)}")
    if sum(total) == 0:
        lines.append("no test was run at all")
        good = False
    # A run that broke down without naming a test must not look like a clean sheet.
    if total[1] == 0 and any(run.broken for run in runs):
        total[1] = sum(1 for run in runs if run.broken)
    lines.append(f"total: {tally(*total)}")
    return lines, good


def load(argument):
    name, status, path = argument.split("=", 2)
    try:
        with open(path, encoding="utf-8") as file:
            return Run(name, file, int(status))
    except FileNotFoundError:
        return Run(name, [], int(status))


def self_check():
    def function(name):
        return json.dumps({"kind": "test", "payload": {"kind": "function", "id": name}})

    def suite(name):
        return json.dumps({"kind": "test", "payload": {"kind": "suite", "id": name}})

    def event(kind, test=None, symbol=None, text=""):
        payload = {"kind": kind, "messages": [{"symbol": symbol, "text": text}] if symbol else []}
        if test:
            payload["testID"] = test
        return json.dumps({"kind": "event", "payload": payload})

    def check(expected, good, *runs, partial=False, status=0):
        lines, is_good = report([Run("run", lines, status) for lines in runs], partial)
        assert lines[-1] == expected and is_good == good, (lines, is_good)

    passing = [suite("S"), function("S/a"), event("testStarted", "S/a"), event("testEnded", "S/a", "pass")]
    end = event("runEnded", symbol="pass", text="Test run with 1 test in 1 suite passed")
    failed_end = event("runEnded", symbol="fail", text="Test run with 2 tests in 1 suite failed with 7 issues")
    failing = passing + [function("S/b"), event("issueRecorded", "S/b", "fail"), event("testEnded", "S/b", "fail")]
    skipping = passing + [function("S/c"), event("testSkipped", "S/c", "skip"), event("testSkipped", "S", "skip")]
    check("total: 1 passed, 0 failed", True, passing + [end])
    check("total: 2 passed, 0 failed", True, passing + [end], passing + [end])
    check("total: 1 passed, 1 failed", False, failing + [event("testEnded", "S", "fail"), failed_end])
    check("total: 3 passed, 1 failed", False, passing + [end], passing + [end], failing + [failed_end])
    check("total: 1 passed, 0 failed, 1 skipped", False, skipping + [end])
    known = [function("S/k"), event("testEnded", "S/k", "passWithKnownIssue")]
    check("total: 2 passed, 0 failed", True, passing + known + [end])
    cancelled = [function("S/x"), event("testCancelled", "S/x"), event("testEnded", "S/x", "skip")]
    check("total: 1 passed, 0 failed, 1 skipped", False, passing + cancelled + [end])
    # The process dies: inside a test, between tests, or before the first line.
    check("total: 1 passed, 1 failed", False, passing + [function("S/b"), event("testStarted", "S/b")])
    check("total: 1 passed, 1 failed", False, passing)
    check("total: 1 passed, 1 failed", False, passing + [end[:20]])
    check("total: 1 passed, 1 failed", False, passing + [end], [])
    # It ends, but not well.
    stray = event("issueRecorded", symbol="fail", text="a thread's")
    check("total: 1 passed, 1 failed", False, passing + [stray, failed_end])
    check("total: 1 passed, 1 failed", False, passing + [failed_end])
    check("total: 1 passed, 1 failed", False, passing + [function("S/never"), end])
    check("total: 1 passed, 1 failed", False, passing + [end], status=139)
    check("total: 1 passed, 1 failed", False, failing + [failed_end], status=1)
    # Nothing to run.
    check("total: 1 passed, 1 failed", False, passing + [end], [end])
    check("total: 1 passed, 0 failed", True, passing + [end], [end], partial=True)
    check("total: 0 passed, 0 failed", False, [end], partial=True, status=69)
    check("total: 0 passed, 0 failed", False, [end], [end], partial=True)


def main(arguments):
    if arguments == ["--self-check"]:
        self_check()
        return 0
    partial = "--partial" in arguments
    runs = [load(argument) for argument in arguments if argument != "--partial"]
    if not runs:
        sys.exit(__doc__)
    lines, good = report(runs, partial)
    print("\n".join(lines))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
