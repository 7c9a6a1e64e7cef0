"""The table of a result: a row per model or head, a column per metric."""

import math
from collections.abc import Mapping

from rich.box import SIMPLE
from rich.table import Table

COLUMNS = {
    "map": "mAP",
    "auroc": "AUROC",
    "balanced_accuracy": "balanced accuracy",
    "f1": "F1",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "accuracy": "accuracy",
}
"""Metrics of the table by their key, with the heading of their column."""

_NARROW = {
    "balanced accuracy": "balanced\naccuracy",
    "sensitivity": "sensi-\ntivity",
    "specificity": "speci-\nficity",
}
"""Headings in two lines, so that the table fits a terminal of 80 columns."""

Rows = Mapping[str, Mapping[str, float]]
"""By name of the row, metrics by key; keys that are no column are not shown."""


def result_table(rows: Rows, *, title: str | None = None, cases: Mapping[str, int] | None = None) -> Table:
    """For the terminal.

    Args:
        rows: By name of the row, metrics by key.
        title: Above the table.
        cases: By name of the row, the number of cases behind it, for a column of its own.
    """
    table = Table(title=title, title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    if cases is not None:
        table.add_column("cases", justify="right")
    for heading in COLUMNS.values():
        table.add_column(_NARROW.get(heading, heading), justify="right")
    for name, figures in rows.items():
        table.add_row(name, *_count(name, cases), *_cells(figures))
    return table


def markdown_table(rows: Rows, *, cases: Mapping[str, int] | None = None) -> str:
    """For a README; arguments as in `result_table`."""
    headings = [*([] if cases is None else ["cases"]), *COLUMNS.values()]
    lines = [
        "| | " + " | ".join(headings) + " |",
        "|---|" + "---:|" * len(headings),
        *(f"| {name} | " + " | ".join([*_count(name, cases), *_cells(row)]) + " |" for name, row in rows.items()),
    ]
    return "\n".join(lines)


def _count(name: str, cases: Mapping[str, int] | None) -> list[str]:
    """The cell with the number of cases; none without that column."""
    return [] if cases is None else [str(cases[name])]


def _cells(figures: Mapping[str, float]) -> list[str]:
    """Three decimals; a dash where a metric is undefined or was not computed."""
    values = [figures.get(key, math.nan) for key in COLUMNS]
    return ["-" if math.isnan(value) else f"{value:.3f}" for value in values]
