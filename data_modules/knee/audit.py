"""Audit of MRNet: its six tables line by line, every volume read whole, and the release's known gaps."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_modules.audit import Audit, Track
from data_modules.audit_cases import note_telling_names
from data_modules.cases import Case, ImageFile
from data_modules.errors import DataError, DatasetNotFoundError, UnreadableFileError
from data_modules.knee.audit_volumes import audit_volumes
from data_modules.knee.tables import (
    LABELS,
    OFFICIAL_SPLITS,
    PLANES,
    Exam,
    OfficialSplit,
    check_any_table,
    files_on_disk,
    scan_exams,
    volume_path,
)
from data_modules.synthetic.tree import MARKER

OFFICIAL_EXAMS: Mapping[OfficialSplit, int] = {"train": 1130, "valid": 120}
OFFICIAL_POSITIVES: Mapping[OfficialSplit, Mapping[str, int]] = {
    "train": {"abnormal": 913, "meniscus": 397, "acl": 208},
    "valid": {"abnormal": 95, "meniscus": 52, "acl": 54},
}
"""Exams of version 1.0 by split, and how many have each label."""
NORMAL, UNLABELLED = "normal", "no label"


def audit_mrnet(root: str | Path, *, allow_missing: bool = False, track: Track = iter) -> Audit:
    """Look through a copy of MRNet.

    Args:
        root: Folder that holds ``train/``, ``valid/`` and the tables.
        allow_missing: Whether exams may lack a plane, as the DataModule's setting.
        track: Shows the progress over the volumes, each of which is read whole.

    Returns:
        Counts by combination of labels and official split, and findings: faults are what training, testing or both
        would stumble over.

    Raises:
        DatasetNotFoundError: If there is none of the tables.
    """
    root = Path(root)
    audit = Audit(f"MRNet in {root}")
    if (root / MARKER).is_file():
        audit.add("note", "look-alike", ["drawn by medlit: figures say nothing about medicine"])
    check_any_table(root)
    exams = {split: _scan(audit, root, split) for split in OFFICIAL_SPLITS}
    _audit_overlap(audit, exams)
    _count(audit, exams)
    compare_with_release(audit, exams)
    patients = (
        "exams of one patient may be on both sides of the validation set cut from train: leakage cannot be excluded"
    )
    audit.add("note", "no patient ids", [patients])
    everyone = [exam for split in OFFICIAL_SPLITS for exam in exams[split]]
    cases = [_case(exam) for exam in everyone]
    names = {_key(exam): combination(exam.label) for exam in everyone if exam.label is not None}
    note_telling_names(audit, cases, class_of=names)
    audit_volumes(
        audit,
        cases,
        root=root,
        split_of={_key(exam): exam.split for exam in everyone},
        class_of=names,
        allow_missing=allow_missing,
        track=track,
    )
    return audit


def combination(label: Sequence[int]) -> str:
    """Words for a combination of labels.

    Args:
        label: Zeros and ones in the order of ``LABELS``.
    """
    return ", ".join(name for name, value in zip(LABELS, label, strict=True) if value) or NORMAL


def _scan(audit: Audit, root: Path, split: OfficialSplit) -> list[Exam]:
    """The exams that the tables of a split name; all that is wrong with the tables is a fault."""
    exams, faults = scan_exams(root, split)
    for fault in faults:
        audit.add("fault", _kind_of(fault), [str(fault)])
    if not exams:
        audit.add("fault", "empty split", [f"the tables of {split} name no exam"])
    named = {exam.exam_id for exam in exams}
    try:
        found = files_on_disk(root, split)
    except UnreadableFileError as error:
        audit.add("fault", "unreadable folder", [str(error)])
        return exams
    strangers = [volume_path(split, plane, one) for plane in PLANES for one in found[plane] if one not in named]
    audit.add("quirk", "volume that no table names", strangers)
    return exams


def _kind_of(fault: DataError) -> str:
    if isinstance(fault, UnreadableFileError):
        return "unreadable table"
    return "missing table" if isinstance(fault, DatasetNotFoundError) else "line of a table that cannot be used"


def _audit_overlap(audit: Audit, exams: Mapping[OfficialSplit, Sequence[Exam]]) -> None:
    first, second = ({exam.exam_id: exam for exam in exams[split]} for split in OFFICIAL_SPLITS)
    audit.add(
        "fault",
        "exam in both splits",
        [
            f"exam {exam_id!r}: {first[exam_id].where}, {second[exam_id].where}"
            for exam_id in first
            if exam_id in second
        ],
    )


def _count(audit: Audit, exams: Mapping[OfficialSplit, Sequence[Exam]]) -> None:
    """Exams by combination of labels, and notes that only several labels need."""
    possible = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (1, 0, 1), (1, 1, 1)]
    names = [combination(label) for label in possible]
    for split in OFFICIAL_SPLITS:
        counts = Counter(UNLABELLED if exam.label is None else combination(exam.label) for exam in exams[split])
        for name in dict.fromkeys((*names, *sorted(counts))):
            row = audit.counts.setdefault(name, dict.fromkeys(OFFICIAL_SPLITS, 0))
            row[split] = counts[name]
        positives = ", ".join(f"{name} {count}" for name, count in _positives(exams[split]).items())
        audit.add("note", "labels", [f"{split}: {positives} of {len(exams[split])} exams"])
        absent = [name for name in names if not counts[name]]
        if 0 < len(absent) < len(names):
            words = f"{split} has none of: {'; '.join(absent)}"
            audit.add("quirk", "combination of labels without exams", [words])


def _positives(exams: Sequence[Exam]) -> dict[str, int]:
    labels = [exam.label for exam in exams if exam.label is not None]
    return {name: sum(label[column] for label in labels) for column, name in enumerate(LABELS)}


def compare_with_release(audit: Audit, exams: Mapping[OfficialSplit, Sequence[Exam]]) -> None:
    """Say whether exams and labels count as in the release; of tables of another length nothing is compared.

    Args:
        audit: Where findings go.
        exams: By official split.
    """
    lengths = {split: len(exams[split]) for split in OFFICIAL_SPLITS}
    if lengths != OFFICIAL_EXAMS:
        here, there = (
            " and ".join(f"{split} {n}" for split, n in counts.items()) for counts in (lengths, OFFICIAL_EXAMS)
        )
        message = f"{here} exams where MRNet-v1.0 has {there}: not the official release, or a part of it"
        audit.add("note", "release", [message])
        return
    different = [
        f"{split} {name}: {positives[name]}, MRNet-v1.0 has {official}"
        for split, counts in OFFICIAL_POSITIVES.items()
        for positives in [_positives(exams[split])]
        for name, official in counts.items()
        if positives[name] != official
    ]
    audit.add("quirk", "counts differ from MRNet-v1.0", different)
    if not different:
        audit.add("note", "release", ["exams and labels count as in MRNet-v1.0"])


def _key(exam: Exam) -> str:
    """An id that is unique even where the tables are not."""
    return f"{exam.split}/{exam.exam_id}"


def _case(exam: Exam) -> Case:
    images: dict[str, tuple[ImageFile, ...]] = {
        plane: (ImageFile(path=volume_path(exam.split, plane, exam.exam_id), where=exam.where),) for plane in PLANES
    }
    return Case(case_id=_key(exam), group_id=_key(exam), images=images, label=exam.label, where=exam.where)
