"""Derm7pt's tables (release_v0): meta/meta.csv and the three files of split indexes, read and checked.

Rows are counted as the index files count them, from 0; lines as an editor shows them, the header being line 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from data_modules.errors import DatasetNotFoundError, SplitLeakageError, TableError, nearest
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
    needed = ["case_num", *modalities, *(targets if labelled else ())]
    columns = _read_csv(root, META, needed)
    _check_unique(columns["case_num"])
    known = {column: columns[column] for column in targets if column in columns}
    for column, values in known.items():
        _check_known(column, values)
    for modality in modalities:
        _check_filled(modality, columns[modality])
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
    splits: dict[Split, list[int]] = {}
    owner: dict[int, Split] = {}
    for split, file in INDEXES.items():
        splits[split] = []
        for line, text in enumerate(_read_csv(root, file, ["indexes"])["indexes"]):
            row = _parse_index(text, where=place(file, line), rows=rows)
            if owner.get(row) == split:
                raise TableError(f"{place(file, line)}, column indexes: {row} is there twice; remove one of the lines")
            if row in owner:
                raise SplitLeakageError(
                    f"{place(file, line)}, column indexes: {row} is in {INDEXES[owner[row]]} too: a case may be in one "
                    "split only; remove it from one of the files"
                )
            owner[row] = split
            splits[split].append(row)
    return splits


def _read_csv(root: Path, file: str, needed: Sequence[str]) -> dict[str, list[str | None]]:
    """Columns as lists of stripped strings, None where empty, so that no polars object reaches a worker."""
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


def _check_unique(case_ids: Sequence[str | None]) -> None:
    first: dict[str, int] = {}
    for row, case_id in enumerate(case_ids):
        if case_id is None:
            raise TableError(f"{place(META, row)}, column case_num: empty; give the case a number")
        if case_id in first:
            earlier = first[case_id]
            raise TableError(
                f"{place(META, row)}, column case_num: {case_id!r} is on line {earlier + 2} too; make them differ"
            )
        first[case_id] = row


def _check_known(column: str, values: Sequence[str | None]) -> None:
    allowed = known_values(column)
    for row, value in enumerate(values):
        if value is not None and value not in allowed:
            raise TableError(f"{place(META, row)}, column {column}: unknown value {value!r}; {nearest(value, allowed)}")


def _check_filled(modality: str, paths: Sequence[str | None]) -> None:
    for row, path in enumerate(paths):
        if path is None:
            raise TableError(f"{place(META, row)}, column {modality}: no image; fill in its path or remove the row")


def _parse_index(text: str | None, *, where: str, rows: int) -> int:
    try:
        row = int(text or "")
    except ValueError:
        raise TableError(
            f"{where}, column indexes: {text!r} is no row number; copy the file anew from release_v0"
        ) from None
    if not 0 <= row < rows:
        raise TableError(f"{where}, column indexes: {row} is out of range, {META} has rows 0 to {rows - 1}")
    return row
