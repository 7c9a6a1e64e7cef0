"""Parquet tables as plain lists of text, as if they were CSV."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data_modules.errors import DatasetNotFoundError, TableError, UnreadableFileError, nearest
from data_modules.table import Table

if TYPE_CHECKING:
    import polars as pl

MAX_ROWS = 10_000_000
"""A small file can claim any number of rows; larger tables are refused before their cells are read."""
MAX_TEXT_BYTES = 512 * 2**20
"""Of one column. Ten million paths of fifty letters."""


def read_parquet(
    root: Path, file: str, *, needed: Sequence[str] = (), optional: Sequence[str] = (), source: str
) -> Table:
    """Read columns of a Parquet table: text, numbers, booleans (as 0 and 1), dates.

    Whole numbers are written without a decimal point, also where empty cells made floats of them. polars reads; no
    process that has used it may fork, and none of its objects leaves this function.

    Args:
        root: Folder of the data set.
        file: The table, below the root.
        needed: Columns that have to exist.
        optional: Columns to read where they exist.
        source: Where a whole copy is to be had, for errors.

    Raises:
        DatasetNotFoundError: If there is no such file.
        UnreadableFileError: If there is one that cannot be read.
        TableError: If it is no Parquet table, is too long, lacks a column, or a column holds lists or objects.
    """
    import polars as pl  # half a second that sets without Parquet do not need

    path = root / file
    if not path.is_file():
        raise DatasetNotFoundError(f"no {file} below {root}; copy it from {source}")
    try:
        lazy = pl.scan_parquet(path, glob=False)
        names = lazy.collect_schema().names()
        for column in needed:
            if column not in names:
                raise TableError(f"{path}: no column {column!r}; {nearest(column, names)}")
        rows = int(lazy.select(pl.len()).collect().item())
        if rows > MAX_ROWS:
            raise TableError(f"{path}: {rows:,} rows, more than {MAX_ROWS:,}; is this the right file?")
        wanted = [name for name in dict.fromkeys((*needed, *optional)) if name in names]
        frame = lazy.select(wanted).collect()
    except OSError as error:
        raise UnreadableFileError(f"{path}: cannot be read ({error}); check its permissions") from error
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = " ".join(str(error).split())[:200]
        raise TableError(f"{path}: no Parquet table ({reason}); copy it anew from {source}") from error
    columns = {name: _cells(frame[name], where=f"{path}: column {name!r}") for name in wanted}
    return Table(file, columns, range(rows), has_lines=False)


def _cells(column: "pl.Series", *, where: str) -> list[str | None]:
    """Stripped text, None where empty.

    Raises:
        TableError: If the column holds something else than text, numbers, booleans or dates.
    """
    import polars as pl

    _check_length(column, where=where)
    kind = column.dtype
    if kind.is_float():
        return [None if number is None or number != number else _digits(number) for number in column.to_list()]
    if kind == pl.Boolean:
        column = column.cast(pl.Int8)
    elif not (kind.is_integer() or kind.is_temporal() or kind in (pl.String, pl.Categorical, pl.Enum, pl.Null)):
        raise TableError(f"{where} holds {kind}; store text, numbers, booleans or dates in it")
    return [None if cell is None else str(cell).strip() or None for cell in column.to_list()]


def _check_length(column: "pl.Series", *, where: str) -> None:
    """Refuse text that is far longer than a table's: a file stores what is repeated once, however long.

    Raises:
        TableError: If it is.
    """
    import polars as pl

    if column.dtype in (pl.String, pl.Categorical, pl.Enum):
        length = int(column.cast(pl.String).str.len_bytes().cast(pl.UInt64).sum())
        if length > MAX_TEXT_BYTES:
            raise TableError(f"{where} holds {length:,} bytes of text, more than {MAX_TEXT_BYTES:,}")


def _digits(number: float) -> str:
    return str(int(number)) if number.is_integer() else repr(number)
