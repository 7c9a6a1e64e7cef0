"""Derm7pt's tables (release_v0): meta/meta.csv and the three files of split indexes, read and checked.

Rows are counted as the index files count them, from 0; lines as an editor shows them, the header being line 1.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from data_modules.errors import DataError, DatasetNotFoundError, SplitLeakageError, TableError, nearest
from data_modules.skin.labels import CRITERIA, known_values
from data_modules.splits import Split

META = "meta/meta.csv"
INDEXES: Mapping[Split, str] = {
    "train": "meta/train_indexes.csv",
    "val": "meta/valid_indexes.csv",
    "test": "meta/test_indexes.csv",
}
MODALITIES = ("clinic", "derm")
TARGET_COLUMNS = ("diagnosis", *CRITERIA)


@dataclass(frozen=True, slots=True)
class Derm7ptRow:
    """One row of meta.csv: one lesion."""

    case_id: str
    """Column ``case_num``."""
    row: int
    diagnosis: str | None
    """One of ``DIAGNOSES``; None where the cell is empty or the column was not asked for."""
    criteria: Mapping[str, str | None]
    """By criterion, one of its known values or None."""
    images: Mapping[str, str]
    """By modality, path below ``images/``."""

    @property
    def where(self) -> str:
        """File, line and row, for errors."""
        return place(META, self.row)

    def value(self, column: str) -> str | None:
        """The diagnosis or a criterion."""
        return self.diagnosis if column == "diagnosis" else self.criteria.get(column)


def place(file: str, row: int) -> str:
    """How errors name a row of a table, counted from 0."""
    return f"{file} line {row + 2} (row {row})"


def check_root(root: Path) -> None:
    """Refuse a folder that is no Derm7pt.

    Raises:
        DatasetNotFoundError: Saying what to download, or how to make a look-alike.
    """
    if not (root / META).is_file():
        raise DatasetNotFoundError(
            f"Derm7pt not found: no {META} below {root}. Download release_v0 (docs/datasets/derm7pt.md), or try "
            f"without it: medlit data synth derm7pt --root {root}"
        )


def read_meta(
    root: Path,
    *,
    modalities: Sequence[str] = MODALITIES,
    targets: Sequence[str] = TARGET_COLUMNS,
    labelled: bool = True,
) -> list[Derm7ptRow]:
    """Read meta.csv; only the columns asked for have to exist and are checked.

    Args:
        root: Folder that holds ``meta/`` and ``images/``.
        modalities: Columns with image paths.
        targets: The diagnosis and criteria to read.
        labelled: Whether the target columns have to exist. Empty cells are None in either case.

    Raises:
        DatasetNotFoundError: If there is no meta.csv.
        TableError: If a column is missing, a cell holds an unknown value, or a case number appears twice.
    """
    check_root(root)
    columns = read_columns(root, META, ["case_num", *modalities, *(targets if labelled else ())])
    for fault in meta_faults(columns, modalities=modalities, targets=targets):
        raise fault
    known = {column: columns[column] for column in targets if column in columns}
    return [
        Derm7ptRow(
            case_id=case_id or "",
            row=row,
            diagnosis=known["diagnosis"][row] if "diagnosis" in known else None,
            criteria={column: values[row] for column, values in known.items() if column != "diagnosis"},
            images={modality: columns[modality][row] or "" for modality in modalities},
        )
        for row, case_id in enumerate(columns["case_num"])
    ]


def read_indexes(root: Path, *, rows: int) -> dict[Split, list[int]]:
    """Read the three index files.

    Args:
        root: Folder that holds ``meta/``.
        rows: Rows of meta.csv.

    Returns:
        Row positions by split, in the order of the files. They need not cover all rows.

    Raises:
        DatasetNotFoundError: If a file is missing.
        TableError: If an entry is no integer, names no row, or appears twice in its file.
        SplitLeakageError: If two files name the same row.
    """
    splits, faults = scan_indexes(root, rows=rows)
    for fault in faults:
        raise fault
    return splits


def scan_indexes(root: Path, *, rows: int) -> tuple[dict[Split, list[int]], list[DataError]]:
    """Read the three index files and go on after a fault.

    Args:
        root: Folder that holds ``meta/``.
        rows: Rows of meta.csv.

    Returns:
        The sound entries by split, in the order of the files, and what is wrong with the others.
    """
    splits: dict[Split, list[int]] = {split: [] for split in INDEXES}
    owner: dict[int, Split] = {}
    faults: list[DataError] = []
    for split, file in INDEXES.items():
        try:
            entries = read_columns(root, file, ["indexes"])["indexes"]
        except (DatasetNotFoundError, TableError) as error:
            faults.append(error)
            continue
        for line, text in enumerate(entries):
            try:
                row = _parse_index(text, where=f"{place(file, line)}, column indexes", rows=rows)
                _check_unowned(row, split, owner, where=f"{place(file, line)}, column indexes")
            except (TableError, SplitLeakageError) as error:
                faults.append(error)
                continue
            owner[row] = split
            splits[split].append(row)
    return splits, faults


def meta_faults(
    columns: Mapping[str, Sequence[str | None]], *, modalities: Sequence[str], targets: Sequence[str]
) -> Iterator[TableError]:
    """All that is wrong with the cells of meta.csv.

    Args:
        columns: The table; columns that it lacks are not looked at.
        modalities: Columns with image paths, which may not be empty.
        targets: The diagnosis and criteria, which may hold known values only.
    """
    yield from _repeated_cases(columns.get("case_num", ()))
    for column in targets:
        yield from _unknown_values(column, columns.get(column, ()))
    for modality in modalities:
        for row, path in enumerate(columns.get(modality, ())):
            if path is None:
                where = f"{place(META, row)}, column {modality}"
                yield TableError(f"{where}: no image; fill in its path or remove the row")


def read_columns(root: Path, file: str, needed: Sequence[str]) -> dict[str, list[str | None]]:
    """Columns of a table as lists of stripped strings, None where empty: no polars object may reach a worker.

    Args:
        root: Folder that holds ``meta/``.
        file: The table, below the root.
        needed: Columns that have to exist.

    Raises:
        DatasetNotFoundError: If there is no such file.
        TableError: If it is no CSV table, or lacks a column.
    """
    if not (root / file).is_file():
        raise DatasetNotFoundError(f"Derm7pt is incomplete: no {file} below {root}; copy it from release_v0")
    try:
        # Everything as text: types are checked here, cell by cell. Lossy: free-text notes may not be UTF-8.
        frame = pl.read_csv(root / file, infer_schema=False, encoding="utf8-lossy")
    except pl.exceptions.PolarsError as error:
        reason = str(error).strip().splitlines()[0]
        raise TableError(f"{root / file}: no CSV table ({reason}); copy it anew from release_v0") from error
    frame = frame.rename(str.strip)
    for column in needed:
        if column not in frame.columns:
            raise TableError(f"{root / file}: no column {column!r}; {nearest(column, frame.columns)}")
    stripped = frame.select(pl.all().str.strip_chars().replace("", None))
    return {name: stripped.get_column(name).to_list() for name in stripped.columns}


def _repeated_cases(case_ids: Sequence[str | None]) -> Iterator[TableError]:
    first: dict[str, int] = {}
    for row, case_id in enumerate(case_ids):
        where = f"{place(META, row)}, column case_num"
        if case_id is None:
            yield TableError(f"{where}: empty; give the case a number")
        elif case_id in first:
            yield TableError(f"{where}: {case_id!r} is on line {first[case_id] + 2} too; make them differ")
        else:
            first[case_id] = row


def _unknown_values(column: str, values: Sequence[str | None]) -> Iterator[TableError]:
    allowed = known_values(column)
    for row, value in enumerate(values):
        if value is not None and value not in allowed:
            where = f"{place(META, row)}, column {column}"
            yield TableError(f"{where}: unknown value {value!r}; {nearest(value, allowed)}")


def _parse_index(text: str | None, *, where: str, rows: int) -> int:
    try:
        row = int(text or "")
    except ValueError:
        raise TableError(f"{where}: {text!r} is no row number; copy the file anew from release_v0") from None
    if not 0 <= row < rows:
        raise TableError(f"{where}: {row} is out of range, {META} has rows 0 to {rows - 1}")
    return row


def _check_unowned(row: int, split: Split, owner: Mapping[int, Split], *, where: str) -> None:
    if owner.get(row) == split:
        raise TableError(f"{where}: {row} is there twice; remove one of the lines")
    if row in owner:
        raise SplitLeakageError(
            f"{where}: {row} is in {INDEXES[owner[row]]} too: a case may be in one split only; remove it from one of "
            "the files"
        )
