"""Text of EMBED's cells as ids, codes, numbers and dates; what cannot be read is refused or counted."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

import polars as pl

from data_modules.errors import TableError
from data_modules.mammography.embed.account import Account
from data_modules.mammography.embed.legend import LEGEND, WORDED, translations
from data_modules.mammography.embed.rules import EmbedRules

SCIENTIFIC = r"^\d+(\.\d+)?[eE]\+?\d+$"
WHOLE = r"^(\d+)\.0+$"
"""A whole number in a column that was written as floats, for some of its cells are empty."""
UNTOLD = r"(?i)unknown|unreported|unavailable|not recorded|declin|refuse"
"""What columns of race and ethnicity hold where nobody knows."""


@dataclass(frozen=True, slots=True)
class Cells:
    """A table's cells, and what reading them needs."""

    frame: pl.DataFrame
    """With column ``row``, counted from 0; the rest is text, null where empty."""
    file: str
    """For errors."""
    rules: EmbedRules
    account: Account

    def place(self, which: pl.Series, column: str) -> tuple[str, str]:
        """How errors name the first of some cells, and what it holds.

        Args:
            which: Rows, as booleans; at least one is true.
            column: Of the cell.
        """
        row, cell = self.frame.filter(which).select("row", column).row(0)
        return f"{self.file} row {row}, column {column}", str(cell)[:200]

    def codes(self, column: str, known: Mapping[str, int]) -> pl.Series:
        """What the code of each cell stands for, Int8; null where it is empty.

        Args:
            column: Its name.
            known: Number by code.

        Raises:
            TableError: For a code without a meaning.
        """
        return self._translated(column, lambda cells: _coded(cells, known), known, pl.Int8())

    def words(self, column: str, legend: Mapping[str, str]) -> pl.Series:
        """The words of each cell, which lists one code or several; null where it is empty.

        Args:
            column: Its name.
            legend: Words by code.

        Raises:
            TableError: For a code without a meaning.
        """
        return self._translated(column, lambda cells: translations(cells, words=legend), legend, pl.String())

    def _translated(
        self,
        column: str,
        translate: Callable[[Sequence[str]], tuple[dict[str, int] | dict[str, str], dict[str, list[str]]]],
        known: Mapping[str, int] | Mapping[str, str],
        kind: pl.DataType,
    ) -> pl.Series:
        text = self.frame[column].str.replace(WHOLE, "$1")
        present = [cell for cell in text.unique(maintain_order=True).to_list() if cell is not None]
        meanings, strange = translate(present)
        allowed = self.rules.unknown_codes.get(column, ())
        refused = [cell for cell, codes in strange.items() if not set(codes) <= set(allowed)]
        if refused:
            self._refuse(text.is_in(refused).fill_null(False), column, strange[refused[0]], known)
        untold = int(text.is_in(list(strange)).sum())
        self.account.touch(f"row with a code of {column} that is to be unknown", untold)
        return text.replace_strict(meanings, default=None, return_dtype=kind)

    def _refuse(self, which: pl.Series, column: str, codes: Sequence[str], known: Mapping[str, object]) -> NoReturn:
        where, _ = self.place(which, column)
        source = f" in {LEGEND}" if column in WORDED else ""
        raise TableError(
            f"{where}: {codes[0][:40]!r} has no meaning{source} ({int(which.sum())} rows hold such a code); known are "
            f"{', '.join(known)}. Complete the legend or correct the table, or read the code as an empty cell: "
            f"unknown_codes: {{{column}: [{codes[0][:40]!r}]}}"
        )

    def numbers(self, column: str) -> pl.Series:
        """Cells as Float64, null where empty.

        Raises:
            TableError: For a cell that is no number.
        """
        found = self.frame[column].cast(pl.Float64, strict=False)
        wrong = self.frame[column].is_not_null() & ~found.is_finite().fill_null(False)
        if wrong.any():
            where, cell = self.place(wrong, column)
            raise TableError(f"{where}: {cell!r} is no number; correct or empty it")
        return found

    def dates(self, column: str) -> pl.Series:
        """Cells such as ``2013-01-07`` or ``2013-01-07 00:00:00`` as dates; others are counted and unknown."""
        found = self.frame[column].str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False)
        unread = int((self.frame[column].is_not_null() & found.is_null()).sum())
        self.account.touch(f"row with a {column} that is no date: unknown", unread)
        return found


def _coded(cells: Sequence[str], known: Mapping[str, int]) -> tuple[dict[str, int], dict[str, list[str]]]:
    meanings = {cell: known[cell] for cell in cells if cell in known}
    return meanings, {cell: [cell] for cell in cells if cell not in known}


def ids(cells: Cells, columns: Sequence[str]) -> pl.DataFrame:
    """The frame, ids without the decimal point that a column with empty cells got when it was written as floats.

    Raises:
        TableError: If a spreadsheet program has rounded one (``3.6E+15``).
    """
    for column in columns:
        rounded = cells.frame[column].str.contains(SCIENTIFIC).fill_null(False)
        if rounded.any():
            where, cell = cells.place(rounded, column)
            raise TableError(f"{where}: {cell!r} was rounded by a spreadsheet program; copy the table anew")
    return cells.frame.with_columns(pl.col(columns).str.strip_suffix(".0"))


def told(column: str) -> pl.Expr:
    """Race or ethnicity, single-spaced; null where the cell says that it is not known."""
    text = pl.col(column).str.replace_all(r"\s+", " ")
    return pl.when(~text.str.contains(UNTOLD)).then(text)
