"""Runs a benchmark: every subject of a case in turn, round after round, so that what else the machine does meanwhile
hits all of them alike."""

import concurrent.futures
import datetime
import os
import sys
import time

from . import machine


def say(text):
    print(text, file=sys.stderr, flush=True)


def measured(benchmark):
    """The result as a value that goes to JSON as it is: description, machine, what was left out, all samples."""
    began = time.monotonic()
    rounds = 1 if benchmark.is_repeatable else benchmark.rounds
    left_out, wanted = [], []
    for case in benchmark.cases:
        for subject in benchmark.subjects:
            reason = subject.why_not(case)
            if reason is None:
                wanted.append((case, subject))
            else:
                left_out.append({"case": case.label, "subject": subject.name, "reason": reason})
    for reason in dict.fromkeys(f"{item['subject']}: {item['reason']}" for item in left_out):
        say(f"  NOT MEASURED {reason}")
    samples = []
    with concurrent.futures.ThreadPoolExecutor(benchmark.parallel) as pool:
        for number in range(rounds):
            jobs = [pool.submit(sample, case, subject, number) for case, subject in order(wanted, number)]
            samples += [job.result() for job in jobs]
    failed = [sample for sample in samples if "failure" in sample]
    for name in dict.fromkeys((sample["case"], sample["subject"]) for sample in failed):
        left_out.append({"case": name[0], "subject": name[1], "reason": "it failed"})
    return {
        "benchmark": benchmark.name,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - began),
        "machine": machine.facts(),
        "rounds": rounds,
        "cases": [{"label": case.label, "parameters": case.parameters} for case in benchmark.cases],
        "left_out": left_out,
        "samples": [sample for sample in samples if "failure" not in sample],
        "failures": failed,
    }


def order(wanted, number):
    """Case by case; within a case another subject begins in every round."""
    ordered = []
    for case in dict.fromkeys(case.label for case, _ in wanted):
        group = [pair for pair in wanted if pair[0].label == case]
        first = number % len(group)
        ordered += group[first:] + group[:first]
    return ordered


def sample(case, subject, number):
    began = time.monotonic()
    try:
        figures = subject.run(case)
    except SystemExit as failure:
        # The hours that all others have taken are not to be lost.
        say(f"  FAILED {case.label}: {subject.name}: {failure}")
        return {"case": case.label, "subject": subject.name, "round": number, "failure": str(failure)}
    seconds = time.monotonic() - began
    say(f"  round {number + 1}: {case.label}: {subject.name} ({seconds:.1f} s)")
    load = os.getloadavg()[0]
    return {"case": case.label, "subject": subject.name, "round": number, "load": load, "figures": figures}
