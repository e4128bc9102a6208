"""What a benchmark is: cases, subjects that do the same work side by side, and tables and ratios of what they took."""

import dataclasses
import typing


@dataclasses.dataclass(frozen=True)
class Case:
    """One amount of work; a column of the tables."""

    label: str
    parameters: dict = dataclasses.field(default_factory=dict)

    def __getitem__(self, name):
        return self.parameters[name]


@dataclasses.dataclass(frozen=True)
class Subject:
    """One way of doing a case's work."""

    name: str
    # Does a case once and returns its figures by name: seconds, bytes, counts.
    run: typing.Callable[[Case], dict]
    # Why a case is left out, or None: programs that are missing or would take hours.
    why_not: typing.Callable[[Case], str | None] = lambda case: None


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of a table: one figure of one subject over all cases."""

    title: str
    subject: str
    figure: str


@dataclasses.dataclass(frozen=True)
class Table:
    title: str
    rows: list
    # A figure is multiplied by this, and divided by that parameter of its case.
    scale: float = 1
    per: str | None = None
    digits: int = 2
    # Only these cases (labels); all without.
    cases: list | None = None


@dataclasses.dataclass(frozen=True)
class Ratio:
    """One figure divided by another of the same round."""

    title: str
    # (subject, figure)
    above: tuple
    below: tuple
    # The least and the most that is aimed at.
    at_least: float | None = None
    at_most: float | None = None
    # Only in these cases (labels); in all without.
    cases: list | None = None
    # The figure below is taken from this case: how cost grows.
    base: str | None = None
    # Divide both by this parameter of their cases first.
    per: str | None = None


@dataclasses.dataclass(frozen=True)
class Limit:
    """A figure by itself that has a bound: a count, say, or a time the issue of which is absolute."""

    title: str
    figure: tuple
    at_most: float
    unit: str
    scale: float = 1
    per: str | None = None
    cases: list | None = None


@dataclasses.dataclass
class Benchmark:
    name: str
    title: str
    # Paragraphs of Markdown: what is done, how, what to make of it.
    text: str
    cases: list
    subjects: list
    tables: list
    ratios: list = dataclasses.field(default_factory=list)
    limits: list = dataclasses.field(default_factory=list)
    rounds: int = 5
    # Figures that come out the same in every round on any machine need no second one.
    is_repeatable: bool = False
    # How many runs may go on at once: only where no figure is a time of this machine's.
    parallel: int = 1
