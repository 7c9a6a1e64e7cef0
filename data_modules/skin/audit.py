"""Audit of Derm7pt: its tables cell by cell, all its images, and the release's known quirks.

What training on the chosen target would stumble over is a fault; what is wrong with other targets' columns, a quirk.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from data_modules.audit import Audit, Severity, Track, audit_images
from data_modules.audit_cases import note_telling_names
from data_modules.cases import Case, ImageFile
from data_modules.errors import DataError, DatasetNotFoundError, SplitLeakageError, UnreadableFileError
from data_modules.images import ImageFolder
from data_modules.skin.labels import (
    VARIABLE_VALUES,
    Target,
    check_target,
    class_names,
    class_of,
    column_of,
    known_values,
)
from data_modules.skin.tables import (
    INDEXES,
    META,
    MODALITIES,
    TARGET_COLUMNS,
    case_faults,
    read_meta_table,
    scan_indexes,
    value_faults,
)
from data_modules.splits import Split
from data_modules.synthetic.tree import MARKER
from data_modules.table import Table
from data_modules.variables import Variables

OFFICIAL_ROWS = 1011
OFFICIAL_COUNTS: Mapping[str, Mapping[str, int]] = {
    "BCC": {"train": 19, "val": 7, "test": 16},
    "NEV": {"train": 256, "val": 100, "test": 219},
    "MEL": {"train": 90, "val": 61, "test": 101},
    "SK": {"train": 16, "val": 10, "test": 19},
    "MISC": {"train": 32, "val": 25, "test": 40},
}
"""Cases of release_v0 by class and split."""
UNLABELLED, NO_SPLIT = "no label", "no split"


def audit_derm7pt(root: str | Path, *, target: Target = "diagnosis", track: Track = iter) -> Audit:
    """Look through a copy of Derm7pt.

    Args:
        root: Folder that holds ``meta/`` and ``images/``.
        target: What is to be trained on.
        track: Shows the progress over the images, each of which is decoded.

    Returns:
        Counts and findings: faults are what training on the target, testing or both would stumble over.

    Raises:
        DataSettingsError: If there is no such target.
        DatasetNotFoundError: If there is no meta.csv.
        UnreadableFileError: If it cannot be read.
        TableError: If it is no CSV table, or has no row.
    """
    check_target(target)
    root = Path(root)
    table = read_meta_table(root)
    audit = Audit(f"Derm7pt in {root}, target {target}")
    if (root / MARKER).is_file():
        audit.add("note", "look-alike", ["drawn by medlit: figures say nothing about medicine"])
    _audit_cells(audit, table, target)
    _audit_variables(audit, table)
    splits = _audit_splits(audit, root, rows=len(table))
    split_of = {row: split for split, indexes in splits.items() for row in indexes}
    _audit_labels(audit, table, target, split_of)
    if target == "diagnosis":
        compare_with_release(audit, rows=len(table))
    audit.add("note", "no patient ids", ["cases of one patient may be in several splits: leakage cannot be excluded"])
    cases = [_case(table, row) for row in range(len(table))]
    classes = _classes(table, target)
    class_of = {cases[row].case_id: name for row, name in enumerate(classes) if name != UNLABELLED}
    note_telling_names(audit, cases, class_of=class_of)
    audit_images(
        audit,
        cases,
        folder=ImageFolder(root / "images"),
        split_of={cases[row].case_id: split for row, split in split_of.items()},
        class_of=class_of,
        track=track,
    )
    return audit


def _audit_cells(audit: Audit, table: Table, target: Target) -> None:
    chosen = column_of(target)
    others = [column for column in TARGET_COLUMNS if column != chosen]
    for column in ("case_num", chosen, *MODALITIES):
        if column not in table.columns:
            audit.add("fault", "missing column", [f"{META}: no column {column!r}; copy it anew from release_v0"])
    absent = [column for column in others if column not in table.columns]
    audit.add("quirk", "missing column", [f"{META}: no column {column!r}, no target to train on" for column in absent])
    faults = (*case_faults(table, modalities=MODALITIES), *value_faults(table, [chosen]))
    audit.add("fault", f"{META}: cell that cannot be used", map(str, faults))
    _audit_other_targets(audit, table, [column for column in others if column in table.columns])


def _audit_other_targets(audit: Audit, table: Table, columns: Sequence[str]) -> None:
    """Empty cells are counted, unknown values listed."""
    for column in columns:
        empty = sum(value is None for value in table.columns[column])
        if empty:
            message = f"{META}, column {column}: {empty} of {len(table)} cells are empty"
            audit.add("quirk", "another target's empty cells", [message])
    audit.add("quirk", "another target's cell that cannot be used", map(str, value_faults(table, columns)))


def _audit_variables(audit: Audit, table: Table) -> None:
    """Clinical variables are one more modality for those who choose it: what is odd about them is a quirk."""
    absent = [column for column in VARIABLE_VALUES if column not in table.columns]
    messages = [f"{META}: no column {column!r}, no clinical variable to read" for column in absent]
    audit.add("quirk", "missing column", messages)
    for column in VARIABLE_VALUES:
        empty = sum(value is None for value in table.columns.get(column, ()))
        if empty:
            message = f"{META}, column {column}: {empty} of {len(table)} cells are empty, unknown to the model"
            audit.add("quirk", "a clinical variable's empty cells", [message])
    variables = Variables(VARIABLE_VALUES, name="Derm7pt")
    audit.add("quirk", "a clinical variable's cell that cannot be used", map(str, variables.faults(table)))


def _audit_splits(audit: Audit, root: Path, *, rows: int) -> dict[Split, list[int]]:
    splits, faults = scan_indexes(root, rows=rows)
    for fault in faults:
        audit.add("fault", _kind_of(fault), [str(fault)])
    missing = {split for split, file in INDEXES.items() if not (root / file).is_file()}
    empty = [file for split, file in INDEXES.items() if not splits[split] and split not in missing]
    audit.add("fault", "empty split", [f"{file} names no row" for file in empty])
    unused = rows - sum(map(len, splits.values()))
    if unused:
        audit.add("quirk", "rows in no split", [f"{unused} of {rows} rows: only predict_split: all reads them"])
    return splits


def _kind_of(fault: DataError) -> str:
    if isinstance(fault, SplitLeakageError):
        return "splits that share a case"
    if isinstance(fault, UnreadableFileError):
        return "unreadable table"
    return "missing table" if isinstance(fault, DatasetNotFoundError) else "split entry that cannot be used"


def _audit_labels(audit: Audit, table: Table, target: Target, split_of: Mapping[int, Split]) -> None:
    """Count the classes by split; a case of a split needs a label."""
    column, classes = column_of(target), class_names(target)
    of_rows = _classes(table, target)
    audit.counts = {name: dict.fromkeys((*INDEXES, NO_SPLIT), 0) for name in (*classes, UNLABELLED)}
    for row, value in enumerate(table.columns.get(column, [None] * len(table))):
        split = split_of.get(row)
        audit.counts[of_rows[row]][split or NO_SPLIT] += 1
        if value is None and column in table.columns:
            severity: Severity = "quirk" if split is None else "fault"
            message = f"{table.place(row, column)}: empty; it can be predicted, not trained on"
            audit.add(severity, f"no {column}", [message])
    for split in INDEXES:
        absent = [name for name in classes if not audit.counts[name][split]]
        if 0 < len(absent) < len(classes):
            audit.add("quirk", "class without cases", [f"{split} has no {', '.join(absent)}"])


def _classes(table: Table, target: Target) -> list[str]:
    """Of every row the class, or ``UNLABELLED``."""
    column = column_of(target)
    known = known_values(column)
    values = table.columns.get(column, [None] * len(table))
    return [class_of(value, target) if value in known else UNLABELLED for value in values]


def compare_with_release(audit: Audit, *, rows: int) -> None:
    """Say whether classes and splits count as in the official release.

    Args:
        audit: With its counts; findings go there.
        rows: Rows of meta.csv; of a table of another length nothing is compared.
    """
    if rows != OFFICIAL_ROWS:
        message = f"{rows} rows where release_v0 has {OFFICIAL_ROWS}: not the official release, or a part of it"
        audit.add("note", "release", [message])
        return
    different = [
        f"{name} {split}: {audit.counts[name][split]}, release_v0 has {official}"
        for name, counts in OFFICIAL_COUNTS.items()
        for split, official in counts.items()
        if audit.counts[name][split] != official
    ]
    audit.add("quirk", "counts differ from release_v0", different)
    if not different:
        audit.add("note", "release", ["classes and splits count as in release_v0"])


def _case(table: Table, row: int) -> Case:
    """A row as a case with the images it names; its number stands in for an id that is missing or not unique."""
    images = {
        modality: (ImageFile(path=table.columns[modality][row] or "", where=table.place(row, modality)),)
        for modality in MODALITIES
        if modality in table.columns
    }
    return Case(case_id=f"row {row}", group_id=f"row {row}", images=images, label=None, where=table.place(row))
