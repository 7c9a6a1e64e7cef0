"""Counts of what the rules left out and of what they touched."""

from dataclasses import dataclass, field

import polars as pl


@dataclass(slots=True)
class Account:
    """Rows by reason, in the order the reasons came up."""

    dropped: dict[str, int] = field(default_factory=dict)
    """Rows of the table of images that are no samples."""
    touched: dict[str, int] = field(default_factory=dict)
    """Rows, breasts or exams (each reason says which) that a rule decided about."""

    def drop(self, frame: pl.DataFrame, which: pl.Expr, reason: str) -> pl.DataFrame:
        """The rows that stay; the others are counted under a reason.

        Args:
            frame: Rows of the table of images.
            which: True for the rows to leave out; an unknown is no.
            reason: Why.
        """
        kept = frame.filter(~which.fill_null(False))
        self._add(self.dropped, reason, len(frame) - len(kept))
        return kept

    def touch(self, reason: str, count: int) -> None:
        """Count what a rule decided about; nothing is noted where that was nothing."""
        self._add(self.touched, reason, count)

    @staticmethod
    def _add(counts: dict[str, int], reason: str, count: int) -> None:
        if count:
            counts[reason] = counts.get(reason, 0) + count


def count(frame: pl.DataFrame, which: pl.Expr) -> int:
    """Rows for which an expression is true."""
    return int(frame.select(which.fill_null(False).sum()).item() or 0)
