"""Derm7pt's tables (release_v0): meta/meta.csv and the three files of split indexes, read and checked.

Rows are counted as the index files count them, from 0; lines as an editor shows them, the header being line 1.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_modules.errors import DataError, DatasetNotFoundError, SplitLeakageError, TableError, nearest
from data_modules.skin.labels import CRITERIA, known_values
from data_modules.splits import SPLITS, Split
from data_modules.table import Table, read_table
from data_modules.variables import Variables

META = "meta/meta.csv"
INDEXES: Mapping[Split, str] = {
    "train": "meta/train_indexes.csv",
    "val": "meta/valid_indexes.csv",
    "test": "meta/test_indexes.csv",
}
RELEASE = "release_v0"
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
    """By modality, path below ``images/``; no key where the cell is empty."""
    variables: tuple[float, ...] | None
    """The clinical variables that were asked for, encoded; None where all are unknown."""
    where: str
    """File, line and row, for errors."""

    def value(self, column: str) -> str | None:
        """The diagnosis or a criterion."""
        return self.diagnosis if column == "diagnosis" else self.criteria.get(column)


def read_meta_table(root: Path, *, needed: Sequence[str] = ()) -> Table:
    """Read meta.csv, cells unchecked.

    Args:
        root: Folder that holds ``meta/`` and ``images/``.
        needed: Columns that have to exist.

    Raises:
        DatasetNotFoundError: Saying which root to name, what to download, or how to make a look-alike.
        UnreadableFileError: If the file cannot be read.
        TableError: If it is no CSV table, lacks a column, or has no row.
    """
    try:
        table = read_table(root, META, needed=needed, source=RELEASE)
    except DatasetNotFoundError as error:
        raise DatasetNotFoundError(f"Derm7pt not found: no {META} below {root}. {_advice(root)}") from error
    if not len(table):
        raise TableError(f"{root / META}: it holds no case, a header alone; copy it anew from {RELEASE}")
    return table


def _advice(root: Path) -> str:
    inside = root / RELEASE
    if os.path.isfile(inside / META):
        return f"It is one folder down: use root {inside}"
    return f"Download {RELEASE} (docs/datasets/derm7pt.md), or try without it: medlit data synth derm7pt --root {root}"


def read_meta(
    root: Path,
    *,
    modalities: Sequence[str] = MODALITIES,
    targets: Sequence[str] = TARGET_COLUMNS,
    labelled: bool = True,
    allow_missing: bool = False,
    encoder: Variables | None = None,
) -> list[Derm7ptRow]:
    """Read meta.csv; only the columns asked for have to exist and are checked.

    Args:
        root: Folder that holds ``meta/`` and ``images/``.
        modalities: Columns with image paths.
        targets: The diagnosis and criteria to read.
        labelled: Whether the target columns have to exist. Empty cells are None in either case.
        allow_missing: Whether cells of the modalities may be empty.
        encoder: The clinical variables to read; their columns have to exist, cells may be empty.

    Raises:
        DatasetNotFoundError: If there is no meta.csv.
        UnreadableFileError: If it cannot be read.
        TableError: If a column or every row is missing, a cell holds an unknown value, or a case number appears twice.
    """
    needed = [*modalities, *(encoder.columns if encoder else ()), *(targets if labelled else ())]
    table = read_meta_table(root, needed=["case_num", *needed])
    for fault in (*case_faults(table, modalities=() if allow_missing else modalities), *value_faults(table, targets)):
        raise fault
    columns = table.columns
    known = {column: columns[column] for column in targets if column in columns}
    variables = encoder.encode(table) if encoder else [None] * len(table)
    return [
        Derm7ptRow(
            case_id=case_id or "",
            row=row,
            diagnosis=known["diagnosis"][row] if "diagnosis" in known else None,
            criteria={column: values[row] for column, values in known.items() if column != "diagnosis"},
            images={modality: path for modality in modalities if (path := columns[modality][row])},
            variables=variables[row],
            where=table.place(row),
        )
        for row, case_id in enumerate(columns["case_num"])
    ]


def read_indexes(root: Path, *, rows: int, splits: Sequence[Split] = SPLITS) -> dict[Split, list[int]]:
    """Read the index files.

    Args:
        root: Folder that holds ``meta/``.
        rows: Rows of meta.csv.
        splits: Those to read; the files of others need not exist.

    Returns:
        Row positions by split, in the order of the files. They need not cover all rows.

    Raises:
        DatasetNotFoundError: If a file is missing.
        UnreadableFileError: If a file cannot be read.
        TableError: If an entry is no integer, names no row, or appears twice in its file.
        SplitLeakageError: If two files name the same row.
    """
    indexes, faults = scan_indexes(root, rows=rows, splits=splits)
    for fault in faults:
        raise fault
    return indexes


def scan_indexes(
    root: Path, *, rows: int, splits: Sequence[Split] = SPLITS
) -> tuple[dict[Split, list[int]], list[DataError]]:
    """Read the index files and go on after a fault.

    Args:
        root: Folder that holds ``meta/``.
        rows: Rows of meta.csv.
        splits: Those to read.

    Returns:
        The sound entries by split, in the order of the files, and what is wrong with the others.
    """
    indexes: dict[Split, list[int]] = {split: [] for split in splits}
    owner: dict[int, Split] = {}
    faults: list[DataError] = []
    for split in splits:
        try:
            table = read_table(root, INDEXES[split], needed=["indexes"], source=RELEASE)
        except DataError as error:
            faults.append(error)
            continue
        for entry, text in enumerate(table.columns["indexes"]):
            where = table.place(entry, "indexes")
            try:
                row = _parse_index(text or "", where=where, rows=rows)
                _check_unowned(row, split, owner, where=where)
            except (TableError, SplitLeakageError) as error:
                faults.append(error)
                continue
            owner[row] = split
            indexes[split].append(row)
    return indexes, faults


def case_faults(table: Table, *, modalities: Sequence[str]) -> Iterator[TableError]:
    """Case numbers and image paths of meta.csv that cannot be used; columns that it lacks are not looked at.

    Args:
        table: meta.csv.
        modalities: Columns whose image paths may not be empty.
    """
    first: dict[str, int] = {}
    for row, case_id in enumerate(table.columns.get("case_num", ())):
        where = table.place(row, "case_num")
        if case_id is None:
            yield TableError(f"{where}: empty; give the case a number")
        elif case_id in first:
            yield TableError(f"{where}: {case_id!r} is on line {table.lines[first[case_id]]} too; make them differ")
        else:
            first[case_id] = row
    for modality in modalities:
        for row, path in enumerate(table.columns.get(modality, ())):
            if path is None:
                yield TableError(
                    f"{table.place(row, modality)}: no image; fill in its path, remove the row, or set "
                    "allow_missing: true"
                )


def value_faults(table: Table, columns: Sequence[str]) -> Iterator[TableError]:
    """Values of meta.csv that its documentation does not know.

    Args:
        table: meta.csv.
        columns: The diagnosis or criteria; those that the table lacks are not looked at.
    """
    for column in columns:
        allowed = known_values(column)
        for row, value in enumerate(table.columns.get(column, ())):
            if value is not None and value not in allowed:
                where = table.place(row, column)
                yield TableError(f"{where}: unknown value {value!r}; {nearest(value, allowed)}")


def _parse_index(text: str, *, where: str, rows: int) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise TableError(f"{where}: {text!r} is no row number; copy the file anew from {RELEASE}")
    row = int(text)
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
