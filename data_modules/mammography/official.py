"""What the readers of RSNA-Mammo, VinDr-Mammo and CBIS-DDSM share: strict cells, files below the root, the frame."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import polars as pl

from data_modules.errors import DatasetNotFoundError, TableError, UnsafePathError, nearest
from data_modules.links import HINT, stays_within
from data_modules.mammography.samples import SCHEMA
from data_modules.table import Table, read_table

T = TypeVar("T")

LATERALITIES = {"L": "L", "R": "R"}
DENSITIES = {"A": 1, "B": 2, "C": 3, "D": 4}
"""Letters of the BI-RADS atlas, 5th edition."""
CLINICAL_ORDER = (5, 4, 0, 6, 3, 2, 1)
"""BI-RADS categories, worst first: 6, known cancer, is history, and 0 is an assessment that is not complete."""
CONVERTED = (".png", ".jpg", ".jpeg")
"""Suffixes of images that somebody converted, in the order they are looked for."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table, its cells read strictly."""

    table: Table
    index: int

    def error(self, column: str, problem: str) -> TableError:
        """An error about a cell.

        Args:
            column: Which.
            problem: What is wrong with it, and what to do.
        """
        return TableError(f"{self.table.place(self.index, column)}: {problem}")

    def cell(self, column: str) -> str | None:
        """The text of a cell, None where it is empty."""
        return self.table.columns[column][self.index]

    def text(self, column: str, *, pattern: str, example: str) -> str:
        """A cell that has to be filled, and to look as the documentation says.

        Args:
            column: Which.
            pattern: Regular expression of the whole text.
            example: A text that it matches, for the error.

        Raises:
            TableError: If it is empty or looks otherwise.
        """
        found = self.cell(column)
        if found is None:
            raise self.error(column, f"it is empty; fill it in (such as {example!r}) or remove the row")
        if not re.fullmatch(pattern, found):
            raise self.error(
                column, f"{found[:80]!r} does not look like {example!r}; correct it or copy the table anew"
            )
        return found

    def choice(self, column: str, values: Mapping[str, T]) -> T:
        """What a cell means that has to hold one of some values.

        Raises:
            TableError: If it holds another value, or none.
        """
        found = self.choice_or_none(column, values)
        if found is None:
            raise self.error(column, f"it is empty; allowed are {', '.join(map(repr, values))}")
        return found

    def choice_or_none(self, column: str, values: Mapping[str, T]) -> T | None:
        """What a cell means that holds one of some values or is empty.

        Raises:
            TableError: If it holds another value.
        """
        found = self.cell(column)
        if found is None:
            return None
        if found not in values:
            raise self.error(column, f"{found[:80]!r} is unknown; {nearest(found, values)}")
        return values[found]

    def number_or_none(self, column: str, *, least: float, most: float) -> float | None:
        """A number within bounds, None where the cell is empty.

        Raises:
            TableError: If it is no number, or beyond the bounds.
        """
        found = self.cell(column)
        if found is None:
            return None
        try:
            number = float(found)
        except ValueError:
            raise self.error(column, f"{found[:80]!r} is no number") from None
        if not least <= number <= most:
            raise self.error(column, f"{found[:80]} is not from {least:g} to {most:g}; correct it or empty the cell")
        return number


def digits(values: Iterable[int]) -> dict[str, int]:
    """Whole numbers by how tables write them, ``1`` or, where empty cells made floats of a column, ``1.0``."""
    return {text: value for value in values for text in (str(value), f"{value}.0")}


def open_table(root: Path, file: str, *, needed: Sequence[str], name: str, title: str) -> Table:
    """Read an official table.

    Args:
        root: Folder of the data set, raw or prepared.
        file: The table, below the root.
        needed: Columns that have to exist.
        name: Of the set, on the command line.
        title: Of the set, for errors.

    Raises:
        DatasetNotFoundError: If there is no such table, saying how to get one.
        UnreadableFileError: If there is one that cannot be read.
        TableError: If it is no CSV table, or lacks a column.
    """
    if not (root / file).exists():
        raise DatasetNotFoundError(
            f"{title} not found: no {file} below {root}. Download it (docs/datasets/{name}.md), or try without it: "
            f"medlit data synth {name} --root {root}"
        )
    return read_table(root, file, needed=needed, source=f"the release (docs/datasets/{name}.md)")


def gather(table: Table, make: Callable[[Row], T], *, faults: list[TableError] | None) -> list[T]:
    """Make something of every row.

    Args:
        table: The table.
        make: From a row to whatever is made of it.
        faults: Where errors of rows go, which are then left out; None: the first one is raised.

    Raises:
        TableError: Of the first row that cannot be used, without ``faults``.
    """
    made = []
    for index in range(len(table)):
        try:
            made.append(make(Row(table, index)))
        except TableError as error:
            if faults is None:
                raise
            faults.append(error)
    return made


def refuse_twice(row: Row, column: str, value: str, lines: dict[str, int]) -> None:
    """Refuse a value that an earlier row has.

    Args:
        row: The row.
        column: Of the value, for the error.
        value: What no two rows may have.
        lines: Rows by their values so far; this one is added.

    Raises:
        TableError: If there is such a row.
    """
    first = lines.setdefault(value, row.index)
    if first != row.index:
        raise row.error(column, f"{value!r} is in {row.table.place(first)} too; remove one of the rows")


def to_frame(samples: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """The sample table's frame.

    Args:
        samples: By column of ``SCHEMA``; what a sample lacks is null.
    """
    return pl.DataFrame({name: [sample.get(name) for sample in samples] for name in SCHEMA}, schema=SCHEMA)


def file_below(root: Path, folder: str, relative: str) -> Path | None:
    """A file of a data set, or None.

    Args:
        root: Of the data set.
        folder: Below the root, where images lie; it may itself be a link to another place. Empty: the root.
        relative: The file, below ``folder``.

    Returns:
        The path, unless there is no such file.

    Raises:
        UnsafePathError: If it leaves the folder, by ``..`` or through a link.
    """
    base = root / folder
    path = base / relative
    if not path.is_file():
        return None
    if not stays_within(path, base):
        raise UnsafePathError(f"{relative!r} leaves the folder of images, by its name or through a link; {HINT}")
    return path


def find_converted(root: Path, folder: str, relative: str) -> Path | None:
    """A file of a data set, or else the file of the same name that somebody converted to PNG or JPEG.

    Args:
        root: Of the data set.
        folder: Below the root, where images lie.
        relative: The official file, below ``folder``.
    """
    stem = PurePosixPath(relative).with_suffix("")
    names = (relative, *(f"{stem}{suffix}" for suffix in CONVERTED))
    found = (file_below(root, folder, name) for name in names)
    return next((path for path in found if path is not None), None)
