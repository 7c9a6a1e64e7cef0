"""CSV tables as plain lists of text, each row with the line that an editor shows.

The standard library reads them: it knows the line of a row even where a quoted cell spans several, and unlike polars it
leaves nothing behind that a forked process could hang on.
"""

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_modules.errors import DatasetNotFoundError, TableError, UnreadableFileError, nearest

MAX_FILE_BYTES = 512 * 2**20
"""The longest tables of the sets that are read whole, EMBED's clinical ones, take a few hundred megabytes."""
COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"x\x01", b"x^", b"x\x9c", b"x\xda")
"""How files of gzip, zstd and zlib begin: polars unpacks them unasked, to any size."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table's cells, stripped, None where empty. Rows are counted from 0; lines from 1, the header's included."""

    file: str
    """Below the root of the data set, for errors."""
    columns: Mapping[str, Sequence[str | None]]
    lines: Sequence[int]
    """Line that each row starts on."""
    has_lines: bool = True
    """Whether the file is text, whose lines an editor shows."""

    def __len__(self) -> int:
        """Rows."""
        return len(self.lines)

    def place(self, row: int, column: str | None = None) -> str:
        """How errors name a row, or a cell of it."""
        named = f"{self.file} line {self.lines[row]} (row {row})" if self.has_lines else f"{self.file} row {row}"
        return named if column is None else f"{named}, column {column}"


def read_table(root: Path, file: str, *, needed: Sequence[str] = (), source: str) -> Table:
    """Read a CSV table with a header.

    Blank lines are no rows. Bytes that are not UTF-8 are replaced: free text may be in any encoding.

    Args:
        root: Folder of the data set.
        file: The table, below the root.
        needed: Columns that have to exist.
        source: Where a whole copy is to be had, for errors.

    Raises:
        DatasetNotFoundError: If there is no such file.
        UnreadableFileError: If there is one that cannot be read.
        TableError: If it is no CSV table, or lacks a column.
    """
    path = root / file
    header, rows, lines = _parse(_read(path, f"no {file} below {root}; copy it from {source}"), path, source=source)
    names = [name.strip() for name in header]
    twice = [name for name, times in Counter(names).items() if name and times > 1]
    if twice:
        raise TableError(f"{path}: two columns called {twice[0]!r}; remove or rename one")
    for column in needed:
        if column not in names:
            raise TableError(f"{path}: no column {column!r}; {nearest(column, names)}")
    return Table(file, {name: [row[i] for row in rows] for i, name in enumerate(names)}, lines)


def check_head(head: bytes, path: Path) -> None:
    """Refuse what is no CSV table in UTF-8, for those who read the rest otherwise.

    Args:
        head: Beginning of the file, its header's line included.
        path: For errors.

    Raises:
        TableError: If it is in another encoding, or something else than commas separates its columns.
    """
    _check_encoding(head, path)
    line = head.decode("utf-8-sig", errors="replace").partition("\n")[0]
    _check_separator([line] if "," not in line else [], path)


def check_size(path: Path, *, most: int = MAX_FILE_BYTES) -> None:
    """Refuse a file that is larger than any table of its kind, before it is read.

    Args:
        path: The file.
        most: Bytes.

    Raises:
        UnreadableFileError: If it is.
        OSError: If it is not there, or may not be looked at.
    """
    if path.stat().st_size > most:
        raise UnreadableFileError(f"{path}: larger than {most:,} bytes; is this the right file?")


def _check_encoding(content: bytes, path: Path) -> None:
    if content.startswith(COMPRESSED):
        raise TableError(f"{path}: it is compressed; unpack it first")
    if b"\0" in content[:1000]:
        raise TableError(f"{path}: no UTF-8 text (UTF-16, or no text at all); save it anew as CSV UTF-8")


def _check_separator(header: Sequence[str], path: Path) -> None:
    """Spreadsheets of many countries write semicolons where others write commas."""
    for separator, name in ((";", "semicolons"), ("\t", "tabs")):
        if len(header) == 1 and separator in header[0]:
            raise TableError(f"{path}: {name} separate its columns; save it anew with commas")


def _read(path: Path, missing: str) -> str:
    try:
        check_size(path)
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DatasetNotFoundError(missing) from error
    except UnreadableFileError:
        raise
    except OSError as error:
        raise UnreadableFileError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    _check_encoding(content, path)
    return content.decode("utf-8-sig", errors="replace")


def _parse(text: str, path: Path, *, source: str) -> tuple[list[str], list[list[str | None]], list[int]]:
    """Header, rows of the header's length and the lines they start on."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    rows: list[list[str | None]] = []
    lines: list[int] = []
    line = 1
    try:
        for cells in reader:
            if cells and not header:
                header = cells
                _check_separator(header, path)
            elif cells:
                rows.append(_fit(cells, len(header), line=line))
                lines.append(line)
            line = reader.line_num + 1
        if not header:
            raise csv.Error("it is empty")
    except csv.Error as error:
        raise TableError(f"{path}: no CSV table ({error}); copy it anew from {source}") from error
    while rows and not any(rows[-1]):
        rows.pop()
        lines.pop()
    return header, rows, lines


def _fit(cells: list[str], length: int, *, line: int) -> list[str | None]:
    if len(cells) > length:
        raise csv.Error(f"line {line} has {len(cells)} cells, the header {length}")
    return [cell.strip() or None for cell in cells] + [None] * (length - len(cells))
