"""The page of documentation: every benchmark's tables, the machine, and how to repeat it."""

import re

from . import report

# As they are read; what is not named here comes last.
ORDER = ["routes", "nexthops", "firewall", "interfaces", "change", "keeping", "manifest", "policies", "datapath", "edge", "failover", "control"]

HEAD = """# Benchmarks

What `make bench` measured on one machine. Written by `make bench-docs` from the results of a run; do not edit.

- Everything that is compared was run side by side in one run, in turn, round after round, each time beginning with
  another. A figure is the median of the rounds, with the least and the greatest in parentheses; a ratio is taken within
  each round.
- **Ratios are what to read.** Times are this machine's, with what else it did meanwhile.
- Kernel work is done in fresh network namespaces. What needs GRE and VRF devices runs in the lab, an emulated machine
  with Debian's kernel where this one lacks them.
- ✗ marks what misses its aim; the text says why.

Repeat it, as root, on Debian 12 with Swift:

```
make bench                 # everything (hours: a million routes with every program)
make bench-routes          # one of them; `Benchmarks/run.py --list` names all
make bench-routes SIZES=10k ROUNDS=3
make bench QUICK=1         # small sizes, one round: minutes
make bench-docs            # this page from the results in Benchmarks/results; what has none there stays as it is
```

Some counts come out the same on any machine, so that CI can hold them: netlink messages and bytes after one change (exact),
instructions a packet in the lab (±2 %; six runs are within 0.13 %), instructions of parsing, compiling and comparing under
callgrind (±3 %; two runs are within 0.01 %, another compiler is not). `make test` compares the first two with
`Benchmarks/guard.json` (half a minute), `make bench-guard` all three (a release build more), `make guard-record` records
what is counted now.

Programs to compare with come from Debian and PyPI, unpacked into the cache folder without being installed; one that
cannot be had is left out, loudly.
"""


def order(names):
    return sorted(names, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))


def markdown(benchmarks, results, former=""):
    """`results` by name; what has none keeps its section of the former page."""
    sections = {text.split("\n", 1)[0]: f"## {text.rstrip()}\n" for text in former.split("\n## ")[1:]}
    for benchmark in benchmarks:
        if benchmark.name in results:
            sections[benchmark.title] = report.markdown(benchmark, results[benchmark.name])
    machines = former_machines(former, {benchmark.name for benchmark in benchmarks} - results.keys())
    for name in order(results):
        machines.setdefault(machine(results[name]), []).append(name)
    lines = [f"Machine of {', '.join(names)}: {text}" for text, names in machines.items()]
    return "\n".join([HEAD, *lines, *(sections[benchmark.title] for benchmark in benchmarks if benchmark.title in sections)])


def former_machines(page, names):
    """Those of a page by their text, with the names of the given benchmarks that they are of."""
    machines = {}
    for of, text in re.findall(r"^Machine of ([^:\n]*): (.*\n.*\n)", page, re.MULTILINE):
        kept = [name for name in of.split(", ") if name in names]
        if kept:
            machines[text] = kept
    return machines


def machine(result):
    facts = result["machine"]
    lines = [
        f"{facts['processor']}, {facts['processors']} processors"
        f"{' (virtual)' if facts['virtual'] else ''}, {facts['memory_gib']} GiB; Linux {facts['kernel']};"
        f" {facts['system']}; {result['date'][:10]}.",
        "Versions: " + "; ".join(facts["versions"].values()) + ".",
    ]
    return "\n".join(lines) + "\n"
