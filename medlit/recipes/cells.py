"""Numbers and lines as the tables of recipes hold them."""

import csv
import io
import math
from collections.abc import Sequence


def decimal(value: float | None) -> str:
    """Three decimals; nothing where there is no number."""
    return "" if value is None or math.isnan(value) else f"{value:.3f}"


def exact(value: float | None) -> str:
    """All decimals; nothing where there is no number."""
    return "" if value is None or math.isnan(value) else repr(value)


def as_csv(lines: Sequence[Sequence[str]]) -> str:
    """Lines of cells as CSV, with the same line ends everywhere."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()
