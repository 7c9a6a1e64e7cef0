"""Audit of Derm7pt: its tables cell by cell, all its images, and the release's known quirks."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from data_modules.audit import Audit, Severity, Track, audit_images
from data_modules.cases import Case, ImageFile
from data_modules.errors import DataError, DatasetNotFoundError, SplitLeakageError
from data_modules.images import ImageFolder
from data_modules.skin.labels import DIAGNOSES, FIVE_CLASSES, five_class
from data_modules.skin.tables import (
    INDEXES,
    META,
    MODALITIES,
    TARGET_COLUMNS,
    check_root,
    meta_faults,
    place,
    read_columns,
    scan_indexes,
)
from data_modules.splits import Split

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

Columns = Mapping[str, Sequence[str | None]]


def audit_derm7pt(root: str | Path, *, track: Track = iter) -> Audit:
    """Look through a copy of Derm7pt.

    Args:
        root: Folder that holds ``meta/`` and ``images/``.
        track: Shows the progress over the images, each of which is decoded.

    Returns:
        Counts and findings: faults are what training, testing or both would stumble over.

    Raises:
        DatasetNotFoundError: If there is no meta.csv.
        TableError: If it is no CSV table.
    """
    root = Path(root)
    check_root(root)
    audit = Audit(f"Derm7pt in {root}")
    columns = read_columns(root, META, [])
    rows = len(next(iter(columns.values()), []))
    _audit_cells(audit, columns)
    splits = _audit_splits(audit, root, rows=rows)
    split_of = {row: split for split, indexes in splits.items() for row in indexes}
    _audit_labels(audit, columns.get("diagnosis", [None] * rows), split_of)
    compare_with_release(audit, rows=rows)
    audit.add("note", "no patient ids", ["cases of one patient may be in several splits: leakage cannot be excluded"])
    cases = [_case(columns, row) for row in range(rows)]
    audit_images(
        audit,
        cases,
        folder=ImageFolder(root / "images"),
        split_of={cases[row].case_id: split for row, split in split_of.items()},
        track=track,
    )
    return audit


def _audit_cells(audit: Audit, columns: Columns) -> None:
    for column in ("case_num", "diagnosis", *MODALITIES):
        if column not in columns:
            audit.add("fault", "missing column", [f"{META}: no column {column!r}; copy it anew from release_v0"])
    absent = [column for column in TARGET_COLUMNS[1:] if column not in columns]
    audit.add("quirk", "missing column", [f"{META}: no column {column!r}, no target to train on" for column in absent])
    faults = meta_faults(columns, modalities=MODALITIES, targets=TARGET_COLUMNS)
    audit.add("fault", f"{META}: cell that cannot be used", map(str, faults))


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
    return "missing table" if isinstance(fault, DatasetNotFoundError) else "split entry that cannot be used"


def _audit_labels(audit: Audit, diagnoses: Sequence[str | None], split_of: Mapping[int, Split]) -> None:
    """Count the classes by split; a case of a split needs a label."""
    columns = (*INDEXES, NO_SPLIT)
    audit.counts = {name: dict.fromkeys(columns, 0) for name in (*FIVE_CLASSES, UNLABELLED)}
    for row, diagnosis in enumerate(diagnoses):
        name = five_class(diagnosis) if diagnosis in DIAGNOSES else UNLABELLED
        split = split_of.get(row)
        audit.counts[name][split or NO_SPLIT] += 1
        if diagnosis is None:
            severity: Severity = "quirk" if split is None else "fault"
            message = f"{place(META, row)}, column diagnosis: empty; it can be predicted, not trained on"
            audit.add(severity, "no diagnosis", [message])
    for split in INDEXES:
        absent = [name for name in FIVE_CLASSES if not audit.counts[name][split]]
        if absent and any(audit.counts[name][split] for name in FIVE_CLASSES):
            audit.add("quirk", "class without cases", [f"{split} has no {', '.join(absent)}"])


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


def _case(columns: Columns, row: int) -> Case:
    """A row as a case with the images it names; its number stands in for an id that is missing or not unique."""
    images = {
        modality: (ImageFile(path=columns[modality][row] or "", where=f"{place(META, row)}, column {modality}"),)
        for modality in MODALITIES
        if modality in columns
    }
    return Case(case_id=f"row {row}", group_id=f"row {row}", images=images, label=None, where=place(META, row))
