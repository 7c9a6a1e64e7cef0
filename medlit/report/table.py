"""The table of a result: a row per model or head, a column per metric."""

import math
from collections.abc import Iterable, Mapping

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
    table.add_column("", overflow="fold")  # gives way to the numbers where the terminal is too narrow for both
    if cases is not None:
        table.add_column("cases", justify="right", no_wrap=True)
    for heading in COLUMNS.values():
        table.add_column(_NARROW.get(heading, heading), justify="right", no_wrap=True)
    for name, figures in rows.items():
        table.add_row(name, *_count(name, cases), *_cells(figures))
    return table


def figure_table(
    rows: Rows, columns: Mapping[str, str], *, title: str, decimals: int = 3, counts: Mapping[str, str] | None = None
) -> Table:
    """For the terminal, with columns of one's own.

    Args:
        rows: By name of the row, metrics by key.
        columns: Headings by key of the metric.
        title: Above the table.
        decimals: Digits after the point.
        counts: Columns of whole numbers, which come first.
    """
    table = Table(title=title, title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("", overflow="fold", max_width=26)
    for heading in [*(counts or {}).values(), *columns.values()]:
        table.add_column(heading, justify="right")
    for name, figures in rows.items():
        table.add_row(name, *_cells(figures, counts or (), decimals=0), *_cells(figures, columns, decimals=decimals))
    return table


def markdown_table(rows: Rows, *, cases: Mapping[str, int] | None = None, columns: Mapping[str, str] = COLUMNS) -> str:
    """For a README; arguments as in `result_table`, ``columns`` as in `figure_table`."""
    headings = [*([] if cases is None else ["cases"]), *columns.values()]
    lines = [
        "| | " + " | ".join(headings) + " |",
        "|---|" + "---:|" * len(headings),
        *(
            f"| {name} | " + " | ".join([*_count(name, cases), *_cells(row, columns)]) + " |"
            for name, row in rows.items()
        ),
    ]
    return "\n".join(lines)


def _count(name: str, cases: Mapping[str, int] | None) -> list[str]:
    """The cell with the number of cases; none without that column."""
    return [] if cases is None else [str(cases[name])]


def _cells(figures: Mapping[str, float], columns: Iterable[str] = COLUMNS, *, decimals: int = 3) -> list[str]:
    """Numbers; a dash where a metric is undefined or was not computed."""
    values = [figures.get(key, math.nan) for key in columns]
    return ["-" if math.isnan(value) else f"{value:.{decimals}f}" for value in values]
