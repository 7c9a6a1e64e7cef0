"""Text of EMBED's cells as ids, codes, numbers and dates; what cannot be read is refused or counted."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from data_modules.errors import TableError
from data_modules.mammography.embed.account import Account
from data_modules.mammography.embed.legend import LEGEND, WORDED, codes_of, translate
from data_modules.mammography.embed.rules import EmbedRules

SCIENTIFIC = r"^\d+(\.\d+)?[eE]\+?\d+$"
WHOLE = r"^(\d+)\.0+$"
"""A whole number in a column that was written as floats, for some of its cells are empty."""
UNTOLD = r"(?i)unknown|unreported|unavailable|not recorded|declin|refuse"
"""What columns of race and ethnicity hold where nobody knows."""
MOST_NAMED = 10
"""Codes that a count of rows names."""


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
        cells = self._distinct(column)
        empty = self._read_as_empty(column, cells, known)
        strange = {cell: cell for cell in cells if cell not in known and cell not in empty}
        meanings = {cell: known[cell] for cell in cells if cell in known and cell not in empty}
        return self._translated(column, meanings, strange, known)

    def words(self, column: str, legend: Mapping[str, str]) -> pl.Series:
        """The words of each cell, which lists one code or several; null where it is empty.

        Args:
            column: Its name.
            legend: Words by code.

        Raises:
            TableError: For a code without a meaning.
        """
        cells = self._distinct(column)
        empty = self._read_as_empty(column, cells, legend)
        told, strange = translate(cells, words=legend, unknown=empty)
        return self._translated(column, told, strange, legend)

    def _distinct(self, column: str) -> list[str]:
        return self._text(column).drop_nulls().unique(maintain_order=True).to_list()

    def _text(self, column: str) -> pl.Series:
        return self.frame[column].str.replace(WHOLE, "$1")

    def _read_as_empty(self, column: str, cells: Sequence[str], known: Collection[str]) -> Collection[str]:
        """The codes of a column that the rules read as empty cells; rows that have one are counted."""
        listed = self.rules.unknown_codes
        codes_by_cell = {cell: codes_of(cell) if column in WORDED else [cell] for cell in cells}
        codes = sorted({code for codes in codes_by_cell.values() for code in codes})
        empty = [code for code in codes if (code not in known if listed == "all" else code in listed.get(column, ()))]
        touched = [cell for cell, codes in codes_by_cell.items() if not set(codes).isdisjoint(empty)]
        if touched:
            count = int(self._text(column).is_in(touched).sum())
            named = ", ".join(map(repr, empty[:MOST_NAMED])) + (", ..." if len(empty) > MOST_NAMED else "")
            self.account.touch(f"row with a code of {column} that is read as an empty cell ({named})", count)
        return empty

    def _translated(
        self,
        column: str,
        meanings: Mapping[str, int] | Mapping[str, str],
        strange: Mapping[str, str],
        known: Mapping[str, int] | Mapping[str, str],
    ) -> pl.Series:
        """The meaning of each cell; one that has none is refused."""
        text = self._text(column)
        if strange:
            which = text.is_in(list(strange)).fill_null(False)
            where, _ = self.place(which, column)
            codes = [code[:40] for code in dict.fromkeys(strange.values())]
            source = f" in {LEGEND}" if column in WORDED else ""
            remedy = "Correct it, add its meaning there" if column in WORDED else "Correct it"
            raise TableError(
                f"{where}: {codes[0]!r} has no meaning{source} (rows with such a code: {int(which.sum())}); known are "
                f"{', '.join(known)}. {remedy}, or read such as empty cells by the rules of EMBEDDataModule: "
                f"unknown_codes: {{{column}: {codes}}}"
            )
        kind = pl.String() if column in WORDED else pl.Int8()
        return text.replace_strict(meanings, default=None, return_dtype=kind)

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
