"""A user's table: its rows as cases, its splits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from data_modules.cases import Case, ImageFile, check_units
from data_modules.errors import DatasetNotFoundError, DataSettingsError, TableError, nearest
from data_modules.parquet import read_parquet
from data_modules.splits import SPLITS, Split
from data_modules.table import Table, read_table
from data_modules.tabular.classes import ClassColumn, LabelColumns
from data_modules.variables import Variables

SOURCE = "where it was made"
SPLIT_NAMES: Mapping[str, Split] = {
    **{split: split for split in SPLITS},
    "valid": "val",
    "validation": "val",
}
"""What the cells of a split column may say, without regard to case."""


@dataclass(frozen=True, slots=True)
class Columns:
    """What the columns of a table are."""

    images: Mapping[str, str]
    """By modality, the column with the paths of its images."""
    labels: ClassColumn | LabelColumns
    case: str | None
    """Ids of the cases; None takes the number of the row."""
    group: str | None
    """Ids of the groups; None makes each case its own."""
    split: str | None
    variables: Variables | None
    units: Mapping[str, str]
    """By kind of unit (breast, exam), the column with its ids, the smaller kind first."""


def check_file(file: str) -> None:
    """Refuse a table that is neither CSV nor Parquet, or lies outside the root.

    Raises:
        DataSettingsError: Saying what it should be.
    """
    path = PureWindowsPath(file)
    if path.anchor or ".." in path.parts or not path.parts:
        raise DataSettingsError(f"table is {file!r}; name a file below the root, for example table.csv")
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise DataSettingsError(f"table is {file!r}; it has to be a .csv or a .parquet file")


def read_rows(root: Path, file: str, columns: Columns, *, labelled: bool, split: bool, name: str) -> Table:
    """Read the columns of a table.

    Args:
        root: Folder of the table.
        file: The table, CSV or Parquet.
        columns: What to read.
        labelled: Whether the columns of labels have to exist.
        split: Whether the column of splits has to.
        name: The set's name, for errors.

    Raises:
        DatasetNotFoundError: If there is no such file.
        UnreadableFileError: If it cannot be read.
        TableError: If it is no table, lacks a column, or has no row.
    """
    encoded = columns.variables.columns if columns.variables is not None else []
    keys = [columns.case, columns.group, *columns.units.values(), columns.split if split else None]
    needed = [*columns.images.values(), *encoded, *(column for column in keys if column is not None)]
    labels = columns.labels.columns
    try:
        if file.lower().endswith(".parquet"):
            table = read_parquet(root, file, needed=needed, optional=labels, source=SOURCE)
        else:
            table = read_table(root, file, needed=needed, source=SOURCE)
    except DatasetNotFoundError as error:
        raise DatasetNotFoundError(
            f"{name} not found: no {file} below {root}. Name its folder as root (docs/datasets/table.md), or try a "
            "set drawn by medlit: medlit data synth derm7pt --root data/derm7pt-synth"
        ) from error
    for column in labels if labelled else ():
        if column not in table.columns:
            raise TableError(
                f"{root / file}: no column {column!r}; {nearest(column, table.columns)}; to predict without labels, "
                "set predict_split: all"
            )
    if not len(table):
        raise TableError(f"{root / file}: it holds no case, a header alone")
    return table


def make_cases(table: Table, columns: Columns, *, allow_missing: bool) -> list[Case]:
    """The rows as cases.

    Args:
        table: Its columns of labels may be missing.
        columns: What they are.
        allow_missing: Whether cells with image paths may be empty.

    Raises:
        TableError: Naming the first cell that cannot be used.
    """
    ids = _ids(table, columns.case)
    groups = ids if columns.group is None else _filled(table, columns.group, "name the patient, or whatever it groups")
    labelled = all(column in table.columns for column in columns.labels.columns)
    variables = [None] * len(table) if columns.variables is None else columns.variables.encode(table)
    units = {kind: _filled(table, column, f"name its {kind}") for kind, column in columns.units.items()}
    own = f", column {columns.labels.columns[0]}" if labelled and isinstance(columns.labels, ClassColumn) else ""
    cases = [
        Case(
            case_id=ids[row],
            group_id=groups[row],
            images=_images(table, row, columns.images, allow_missing=allow_missing),
            label=columns.labels.label(table, row) if labelled else None,
            where=table.place(row) + own,
            variables=variables[row],
            units={kind: names[row] for kind, names in units.items()} or None,
        )
        for row in range(len(table))
    ]
    check_units(cases)
    return cases


def split_rows(table: Table, column: str) -> dict[Split, list[int]]:
    """Rows by split; those with an empty cell are in none.

    Raises:
        TableError: If a cell names no split.
    """
    rows: dict[Split, list[int]] = {split: [] for split in SPLITS}
    for row, cell in enumerate(table.columns[column]):
        if cell is None:
            continue
        if cell.casefold() not in SPLIT_NAMES:
            known = nearest(cell, SPLIT_NAMES)
            raise TableError(f"{table.place(row, column)}: {cell!r} is no split; {known}; leave it empty for none")
        rows[SPLIT_NAMES[cell.casefold()]].append(row)
    return rows


def _images(
    table: Table, row: int, images: Mapping[str, str], *, allow_missing: bool
) -> dict[str, tuple[ImageFile, ...]]:
    """By modality, the files that the row names; several are separated by semicolons."""
    found: dict[str, tuple[ImageFile, ...]] = {}
    for modality, column in images.items():
        where = table.place(row, column)
        paths = [path.strip() for path in (table.columns[column][row] or "").split(";") if path.strip()]
        if paths:
            found[modality] = tuple(ImageFile(path, where) for path in paths)
        elif not allow_missing:
            raise TableError(
                f"{where}: no image of {modality}; fill in its path, remove the row, or set allow_missing: true"
            )
    return found


def _ids(table: Table, column: str | None) -> Sequence[str]:
    """Ids of the cases, each once."""
    if column is None:
        return [str(row) for row in range(len(table))]
    ids = _filled(table, column, "give the case an id")
    first: dict[str, int] = {}
    for row, case_id in enumerate(ids):
        if first.setdefault(case_id, row) != row:
            other = table.place(first[case_id])
            raise TableError(f"{table.place(row, column)}: {case_id!r} is in {other} too; a case is one row")
    return ids


def _filled(table: Table, column: str, advice: str) -> list[str]:
    cells = []
    for row, cell in enumerate(table.columns[column]):
        if cell is None:
            raise TableError(f"{table.place(row, column)}: empty; {advice}")
        cells.append(cell)
    return cells
