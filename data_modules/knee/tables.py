"""MRNet's tables (v1.0): three CSV files without a header for each official split, read and checked.

Lines are counted as an editor shows them, from 1.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from data_modules.errors import DataError, DatasetNotFoundError, TableError, UnreadableFileError
from data_modules.table import check_size

Plane = Literal["axial", "coronal", "sagittal"]
OfficialSplit = Literal["train", "valid"]
PLANES: tuple[Plane, ...] = ("axial", "coronal", "sagittal")
OFFICIAL_SPLITS: tuple[OfficialSplit, ...] = ("train", "valid")
LABELS = ("abnormal", "meniscus", "acl")
"""In the order of the ids of Early Intervention (arXiv 2603.17514)."""
RELEASE = "MRNet-v1.0"
ID = re.compile(r"[0-9]{4,}")


@dataclass(frozen=True, slots=True)
class Exam:
    """One exam of the release."""

    exam_id: str
    """Digits with leading zeros, the name of its files."""
    split: OfficialSplit
    label: tuple[int, ...] | None
    """Zeros and ones in the order of ``LABELS``; None where the tables do not give all three."""
    where: str
    """File and line, or the folder it was found in, for errors."""


@dataclass(slots=True)
class Column:
    """One CSV file: the value and line of each exam, and what is wrong with its other lines."""

    file: str
    values: dict[str, int] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    faults: list[DataError] = field(default_factory=list)

    def place(self, exam_id: str) -> str:
        """How errors name the line of an exam."""
        return f"{self.file} line {self.lines[exam_id]}"


def label_file(split: OfficialSplit, label: str) -> str:
    """The table of a label, below the root."""
    return f"{split}-{label}.csv"


def volume_path(split: OfficialSplit, plane: str, exam_id: str) -> str:
    """The file of an exam's plane, below the root."""
    return f"{split}/{plane}/{exam_id}.npy"


def read_exams(root: Path, split: OfficialSplit, *, labelled: bool = True) -> list[Exam]:
    """The exams of an official split in the order of its first table.

    Args:
        root: Folder that holds ``train/``, ``valid/`` and the tables.
        split: Which.
        labelled: Whether the tables have to exist. Where one is missing otherwise, the exams are those that have a
            file in any plane's folder, without labels.

    Raises:
        DatasetNotFoundError: Saying which root to name, what to download, or how to make a look-alike.
        UnreadableFileError: If a table cannot be read.
        TableError: If a line cannot be used, an exam is not in all tables, or its labels contradict each other.
    """
    files = [label_file(split, name) for name in LABELS]
    if not labelled and not all((root / file).is_file() for file in files):
        return _exams_on_disk(root, split)
    exams, faults = scan_exams(root, split)
    for fault in faults:
        raise fault
    return exams


def scan_exams(root: Path, split: OfficialSplit) -> tuple[list[Exam], list[DataError]]:
    """Read the tables of an official split and go on after a fault.

    Args:
        root: Folder of the data set.
        split: Which.

    Returns:
        Every exam that any table names, with labels where all three give one; and what is wrong.
    """
    columns = [_read_column(root, label_file(split, name)) for name in LABELS]
    faults = [fault for column in columns for fault in column.faults]
    readable = [column for column in columns if column.lines]
    exams = []
    for exam_id in dict.fromkeys(exam_id for column in columns for exam_id in column.lines):
        first = next(column for column in readable if exam_id in column.lines)
        absent = [column.file for column in readable if exam_id not in column.lines]
        faults += [
            TableError(f"{file}: no line for exam {exam_id!r}, which {first.place(exam_id)} names; add it, or take the "
                       "exam out of all three tables")
            for file in absent
        ]  # fmt: skip
        values = [column.values[exam_id] for column in columns if exam_id in column.values]
        label = tuple(values) if len(values) == len(LABELS) else None
        if label is not None:
            faults += _contradictions(exam_id, label, columns)
        exams.append(Exam(exam_id, split, label, first.place(exam_id)))
    return exams, faults


def _contradictions(exam_id: str, label: tuple[int, ...], columns: Sequence[Column]) -> list[DataError]:
    """A torn meniscus or ligament makes an exam abnormal."""
    abnormal = columns[0].place(exam_id)
    return [
        TableError(
            f"{column.place(exam_id)}: exam {exam_id!r} has {name} 1, but abnormal 0 in {abnormal}; "
            "a tear is abnormal: correct one of the two"
        )
        for name, value, column in zip(LABELS[1:], label[1:], columns[1:], strict=True)
        if value > label[0]
    ]


def _read_column(root: Path, file: str) -> Column:
    """A table line by line; blank lines are none."""
    column = Column(file)
    try:
        text = _read(root, file)
    except DataError as error:
        column.faults.append(error)
        return column
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                _take(line, number, column)
            except TableError as error:
                column.faults.append(error)
    if not column.lines and not column.faults:
        column.faults.append(TableError(f"{root / file}: it holds no exam; copy it anew from {RELEASE}"))
    return column


def _take(line: str, number: int, column: Column) -> None:
    """Enter one line; an exam whose value alone is wrong counts as named."""
    where = f"{column.file} line {number}"
    cells = [cell.strip().strip('"') for cell in line.split(",")]
    if len(cells) != 2:
        raise TableError(f"{where}: {line[:80]!r} is not an exam and its label, as in '0000,1'")
    exam_id, value = cells
    if not ID.fullmatch(exam_id):
        raise TableError(
            f"{where}: {exam_id[:40]!r} is no exam of MRNet: ids have leading zeros, as '0007'; {_hint(exam_id)}"
        )
    if exam_id in column.lines:
        raise TableError(f"{where}: exam {exam_id!r} is on line {column.lines[exam_id]} too; remove one of the lines")
    column.lines[exam_id] = number
    if value not in ("0", "1"):
        raise TableError(f"{where}: the label of exam {exam_id!r} is {value[:40]!r}; allowed are '0' and '1'")
    column.values[exam_id] = int(value)


def _hint(exam_id: str) -> str:
    """What to do about a wrong id."""
    if re.fullmatch(r"[0-9]{1,3}", exam_id):
        return f"a spreadsheet program takes them away: copy the table anew from {RELEASE}"
    return "the tables have no header: correct or remove the line"


def _read(root: Path, file: str) -> str:
    path = root / file
    try:
        check_size(path)
        return path.read_bytes().decode("utf-8-sig", errors="replace")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DatasetNotFoundError(f"MRNet not found: no {file} below {root}. {_advice(root)}") from error
    except UnreadableFileError:
        raise
    except OSError as error:
        raise UnreadableFileError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error


def check_any_table(root: Path) -> None:
    """Refuse a folder that holds none of the tables.

    Raises:
        DatasetNotFoundError: Saying which root to name, what to download, or how to make a look-alike.
    """
    files = [label_file(split, name) for split in OFFICIAL_SPLITS for name in LABELS]
    if not any((root / file).exists() for file in files):
        raise DatasetNotFoundError(f"MRNet not found: no {files[0]} below {root}. {_advice(root)}")


def _advice(root: Path) -> str:
    inside = root / RELEASE
    if os.path.isfile(inside / label_file("train", LABELS[0])):
        return f"It is one folder down: use root {inside}"
    return f"Download {RELEASE} (docs/datasets/mrnet.md), or try without it: medlit data synth mrnet --root {root}"


def files_on_disk(root: Path, split: OfficialSplit) -> Mapping[Plane, list[str]]:
    """Ids of the exams that have a file, by plane, in order.

    Args:
        root: Folder of the data set.
        split: Which.

    Raises:
        UnreadableFileError: If a folder cannot be listed.
    """
    found: dict[Plane, list[str]] = {}
    for plane in PLANES:
        folder = root / split / plane
        try:
            names = os.listdir(folder) if folder.is_dir() else []
        except OSError as error:
            raise UnreadableFileError(f"{folder}: cannot be read ({error.strerror}); check its permissions") from error
        found[plane] = sorted(name[: -len(".npy")] for name in names if name.endswith(".npy"))
    return found


def _exams_on_disk(root: Path, split: OfficialSplit) -> list[Exam]:
    found = files_on_disk(root, split)
    ids = sorted(set().union(*found.values()))
    if not ids:
        raise DatasetNotFoundError(f"MRNet not found: no {split}/{PLANES[0]}/*.npy below {root}. {_advice(root)}")
    where = {exam_id: f"{split}/{plane}" for plane in reversed(PLANES) for exam_id in found[plane]}
    return [Exam(exam_id, split, None, f"{where[exam_id]}/{exam_id}.npy") for exam_id in ids]
