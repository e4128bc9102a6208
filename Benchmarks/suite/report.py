"""Turns a result into tables: for a terminal, or for a page of documentation."""

import statistics


class Figures:
    """The samples of a result by case, subject and figure: a value per round."""

    def __init__(self, result):
        self.labels = [case["label"] for case in result["cases"]]
        self.parameters = {case["label"]: case["parameters"] for case in result["cases"]}
        self.values = {}
        for sample in result["samples"]:
            for name, value in sample["figures"].items():
                key = sample["case"], sample["subject"], name
                self.values.setdefault(key, {})[sample["round"]] = value

    def of(self, case, subject, figure, scale=1, per=None):
        """A value per round; nothing where it was not measured."""
        if case not in self.parameters:
            return {}
        divisor = self.parameters[case][per] if per else 1
        rounds = self.values.get((case, subject, figure), {})
        return {number: value * scale / divisor for number, value in rounds.items()}

    def ratios(self, ratio, case):
        above = self.of(case, *ratio.above, per=ratio.per)
        below = self.of(ratio.base or case, *ratio.below, per=ratio.per)
        return [above[number] / below[number] for number in sorted(above.keys() & below.keys()) if below[number]]

    def bounded(self, limit, case):
        return list(self.of(case, *limit.figure, limit.scale, limit.per).values())


def number(value, digits):
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if 0 < abs(value) < 0.1:
        digits += 2
    return f"{value:.{digits}f}"


def with_spread(values, digits=2):
    """Median, and least to greatest where there are several."""
    if not values:
        return "–"
    text = number(statistics.median(values), digits)
    if len(values) > 1 and number(min(values), digits) != number(max(values), digits):
        text += f" ({number(min(values), digits)}–{number(max(values), digits)})"
    return text


def aim(bound):
    if getattr(bound, "at_least", None) is not None:
        return f"≥ {bound.at_least}"
    return f"≤ {bound.at_most} {getattr(bound, 'unit', '')}".rstrip() if bound.at_most is not None else ""


def verdict(bound, values):
    """Whether the median is where it was aimed at; None without values or aim."""
    if not values:
        return None
    median = statistics.median(values)
    if getattr(bound, "at_least", None) is not None:
        return median >= bound.at_least
    return median <= bound.at_most if bound.at_most is not None else None


def judged(bound, values):
    return with_spread(values) + {None: "", True: "", False: " ✗"}[verdict(bound, values)]


def grids(benchmark, result):
    """(title, head, rows) of everything there is to show; texts."""
    figures = Figures(result)
    for table in benchmark.tables:
        columns = [case for case in figures.labels if table.cases is None or case in table.cases]
        rows = []
        for row in table.rows:
            cells = [
                with_spread(list(figures.of(case, row.subject, row.figure, table.scale, table.per).values()), table.digits)
                for case in columns
            ]
            if any(cell != "–" for cell in cells):
                rows.append([row.title] + cells)
        if rows:
            yield table.title, [""] + columns, rows
    yield from bounds("Ratios, median of the rounds (least–greatest)", benchmark.ratios, figures, figures.ratios)
    yield from bounds("Bounds", benchmark.limits, figures, figures.bounded)


def bounds(title, items, figures, values):
    """Grids of ratios or limits, one for all that have the same cases."""
    groups = {}
    for item in items:
        columns = tuple(case for case in figures.labels if item.cases is None or case in item.cases)
        groups.setdefault(columns, []).append(item)
    for columns, group in groups.items():
        rows = []
        for item in group:
            cells = [judged(item, values(item, case)) for case in columns]
            if any(cell != "–" for cell in cells):
                rows.append([item.title, aim(item)] + cells)
        if rows:
            yield title, ["", "aim"] + list(columns), rows


def missed(benchmark, result):
    """The aims that were not reached, a line each."""
    figures = Figures(result)
    lines = []
    for items, of in ((benchmark.ratios, figures.ratios), (benchmark.limits, figures.bounded)):
        for item in items:
            for case in figures.labels:
                values = of(item, case)
                if (item.cases is None or case in item.cases) and verdict(item, values) is False:
                    lines.append(f"{case}: {item.title}: {with_spread(values)}, aim {aim(item)}")
    return lines


def left_out(result):
    """What was not measured, a line per subject and reason."""
    lines = {}
    for item in result["left_out"]:
        lines.setdefault((item["subject"], item["reason"]), []).append(item["case"])
    every = len(result["cases"])
    return [
        f"{subject}{'' if len(cases) == every else ' (' + '; '.join(cases) + ')'}: {reason}"
        for (subject, reason), cases in lines.items()
    ]


def text(benchmark, result):
    """For a terminal."""
    lines = [f"{benchmark.title} ({result['rounds']} round{'s' * (result['rounds'] != 1)}, {result['seconds']} s)"]
    for title, head, rows in grids(benchmark, result):
        widths = [max(len(row[column]) for row in [head] + rows) for column in range(len(head))]
        lines += ["", title]
        for row in [head] + rows:
            cells = [cell.ljust(width) if column == 0 else cell.rjust(width)
                     for column, (cell, width) in enumerate(zip(row, widths))]
            lines.append("  " + "  ".join(cells).rstrip())
    lines += ["", *(f"not measured: {line}" for line in left_out(result))]
    lines += [f"aim missed: {line}" for line in missed(benchmark, result)]
    return "\n".join(lines).rstrip() + "\n"


def markdown(benchmark, result):
    """A section of a page."""
    lines = [f"## {benchmark.title}", "", benchmark.text.strip(), ""]
    for title, head, rows in grids(benchmark, result):
        lines += [f"{title}:", "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        lines += ["| " + " | ".join(row) + " |" for row in rows] + [""]
    for line in left_out(result):
        lines.append(f"- not measured: {line}")
    for line in missed(benchmark, result):
        lines.append(f"- aim missed: {line}")
    return "\n".join(lines).rstrip() + "\n"
