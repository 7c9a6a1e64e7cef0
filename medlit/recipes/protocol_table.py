"""The table of a protocol, as Markdown for people and as CSV for programs."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean, stdev

from medlit.recipes.cells import as_csv, decimal, exact
from medlit.recipes.protocol_rows import WHOLE, Place, Row
from medlit.recipes.results import LOOK_ALIKE

MARKDOWN, TABLE, BY_SEED = "protocol.md", "protocol.csv", "protocol_by_seed.csv"

GENERAL = {
    "balanced_accuracy": "balanced accuracy",
    "auroc": "AUC",
    "weighted_kappa": "weighted kappa",
    "suspicious/auroc": "suspicious AUC",
}
"""Figures of the first table of a question, a column for each kind of unit."""
BY_PROBABILITY = {"auroc": "auroc_softmax"}
"""Of several classes, cases are ranked by probability as breasts and exams are, not by raw logits."""
POINTS = {"specificity_90": "90 %", "specificity_95": "95 %"}
SCREENING = {
    **{
        f"{point}/{name}": f"{heading} at {share}"
        for point, share in POINTS.items()
        for name, heading in {
            "sensitivity": "sensitivity",
            "ppv": "PPV",
            "npv": "NPV",
            "ppv_screening": "PPV, screening",
            "npv_screening": "NPV, screening",
        }.items()
    },
    "pf1": "pF1",
    "pf1_screening": "pF1, screening",
}
"""Figures of the second table, in which each kind of unit has a row."""

NOTE = (
    "n: seeds, each with its own draw of the labels. Figures: mean ± sample standard deviation (divisor n - 1) over "
    "them, on the test cases. Patients: of the training split, with a label; positives: those of them with what is "
    "looked for. Blank: not defined, or not measured; (2 of 5): defined for 2 of 5 seeds."
)
SCREENING_NOTE = (
    "At 90 % and 95 % specificity: thresholds from the validation. PPV, NPV and pF1 are those of the test cases as "
    "they came, and, where it says screening, of a prevalence of 5 in 1,000; of a balanced test there are none."
)


def write(out: Path, rows: Sequence[Row], *, title: str) -> str:
    """Write the table as Markdown and CSV, and the figures of each seed as CSV; the same rows give the same bytes.

    Args:
        out: The recipe's folder.
        rows: Of the table.
        title: Above the Markdown.

    Returns:
        The Markdown.
    """
    text = markdown(rows, title=title)
    (out / MARKDOWN).write_text(text, encoding="utf-8")
    (out / TABLE).write_text(_table(rows), encoding="utf-8")
    (out / BY_SEED).write_text(_by_seed(rows), encoding="utf-8")
    return text


def markdown(rows: Sequence[Row], *, title: str) -> str:
    """For people: a section for each question and stratum; mean ± standard deviation, three decimals."""
    lines = [f"# {title}"]
    screened = False
    for block in dict.fromkeys(row.block for row in rows):
        mine = [row for row in rows if row.block == block]
        for stratum in dict.fromkeys(place[0] for place in _places(mine)) or (WHOLE,):
            lines += ["", f"## {block.title}" + (f", {stratum}" if stratum else ""), "", *_general(mine, stratum)]
            if screening := _screening(mine, stratum):
                screened = True
                lines += ["", *screening]
    lines += ["", NOTE]
    lines += [SCREENING_NOTE] if screened else []
    lines += [LOOK_ALIKE] if any(row.synthetic for row in rows) else []
    return "\n".join(lines) + "\n"


def _places(rows: Iterable[Row]) -> dict[Place, None]:
    """Where any row has a figure, in the order in which they come."""
    return {place: None for row in rows for figures in row.figures.values() for place in figures}


def _units(rows: Sequence[Row], stratum: str) -> list[str]:
    return list(dict.fromkeys(place[1] for place in _places(rows) if place[0] == stratum))


def _general(rows: Sequence[Row], stratum: str) -> list[str]:
    """Every row, with the figures that any of them has."""
    there = _places(rows)
    columns = [(name, unit) for name in GENERAL for unit in _units(rows, stratum) if (stratum, unit, name) in there]
    head = ["method", "labels", "patients", "positives", "n", *(f"{GENERAL[name]}, {unit}" for name, unit in columns)]
    cells = [
        [
            row.method,
            row.labels,
            _span(row.patients.values()),
            _span(row.positives.values()),
            str(len(row.figures) or ""),
            *(_mean_and_deviation(row, _ranked(row, (stratum, unit, name))) for name, unit in columns),
        ]
        for row in rows
    ]
    return _lines(head, cells, texts=2)


def _ranked(row: Row, place: Place) -> list[float]:
    """Figures of the seeds, by probability where that makes a difference."""
    stratum, unit, name = place
    return row.values((stratum, unit, BY_PROBABILITY.get(name, name))) or row.values(place)


def _screening(rows: Sequence[Row], stratum: str) -> list[str]:
    """Every row and kind of unit that has a figure of a diagnostic test; nothing where none has."""
    there = _places(rows)
    columns = [name for name in SCREENING if any((stratum, unit, name) in there for unit in _units(rows, stratum))]
    cells = [
        [
            *(row.method, row.labels, unit),
            *(_mean_and_deviation(row, row.values((stratum, unit, name))) for name in columns),
        ]
        for row in rows
        for unit in _units(rows, stratum)
    ]
    cells = [line for line in cells if any(line[3:])]
    return _lines(["method", "labels", "by", *(SCREENING[name] for name in columns)], cells, texts=3) if cells else []


def _lines(head: Sequence[str], cells: Sequence[Sequence[str]], *, texts: int) -> list[str]:
    rule = "|" + "---|" * texts + "---:|" * (len(head) - texts)
    return [f"| {' | '.join(head)} |", rule, *(f"| {' | '.join(line)} |" for line in cells)]


def _mean_and_deviation(row: Row, values: Sequence[float]) -> str:
    """A cell; where not every seed has the figure it says how many have."""
    mean, deviation = _summary(values)
    some = f" ({len(values)} of {len(row.figures)})" if 0 < len(values) < len(row.figures) else ""
    return decimal(mean) + (f" ± {decimal(deviation)}" if not math.isnan(deviation) else "") + some


def _summary(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation; NaN where undefined."""
    known = [value for value in values if not math.isnan(value)]
    return (fmean(known) if known else math.nan), (stdev(known) if len(known) > 1 else math.nan)


def _span(numbers: Iterable[int]) -> str:
    """One number, or the smallest and the largest."""
    different = sorted(set(numbers))
    return " to ".join(str(number) for number in dict.fromkeys((different[0], different[-1]))) if different else ""


NAMED = ("set", "target", "method", "labels")
PLACED = ("stratum", "unit", "figure")


def _named(row: Row) -> list[str]:
    return [row.block.set_name, row.block.target, row.method, row.labels]


def _table(rows: Sequence[Row]) -> str:
    """A line for each figure of each row, all of them, all decimals."""
    spans = ["patients_min", "patients_max", "positives_min", "positives_max"]
    lines = [[*NAMED, *spans, *PLACED, "n", "mean", "sd"]]
    for row in rows:
        counts = (row.patients.values(), row.positives.values())
        ends = [str(end(numbers)) if numbers else "" for numbers in counts for end in (min, max)]
        for place in _places([row]):
            values = row.values(place)
            lines.append([*_named(row), *ends, *place, str(len(values)), *map(exact, _summary(values))])
    return as_csv(lines)


def _by_seed(rows: Sequence[Row]) -> str:
    lines = [[*NAMED, "seed", "patients", "positives", *PLACED, "value"]]
    for row in rows:
        for seed, figures in row.figures.items():
            counts = [str(numbers.get(seed, "")) for numbers in (row.patients, row.positives)]
            lines += [[*_named(row), str(seed), *counts, *place, exact(value)] for place, value in figures.items()]
    return as_csv(lines)
