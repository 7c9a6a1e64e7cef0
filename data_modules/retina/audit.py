"""Audit of MMC-AMD: its lists line by line, all its images, and the release's known quirks."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from data_modules.audit import Audit, Track, audit_images
from data_modules.audit_cases import Claim, note_label_conflicts, note_shared_groups, note_telling_names
from data_modules.cases import Case
from data_modules.errors import DataError, DatasetNotFoundError, DataSettingsError, UnreadableFileError, nearest
from data_modules.images import ImageFolder
from data_modules.retina.eyes import list_files_of, make_cases, patients_of, scan_split
from data_modules.retina.layout import Layout, OfficialSplit, check_splits, find_layout, split_folder
from data_modules.retina.lists import Entry, read_lines
from data_modules.retina.names import CLASS_NAMES, MODALITIES, class_of_label, class_of_name, patient_of
from data_modules.splits import SPLITS, Split
from data_modules.synthetic.tree import MARKER

OFFICIAL_COUNTS: Mapping[str, Mapping[str, int]] = {
    "normal": {"train": 155, "val": 20, "test": 20},
    "dry_amd": {"train": 19, "val": 20, "test": 19},
    "pcv": {"train": 144, "val": 20, "test": 20},
    "wet_amd": {"train": 292, "val": 19, "test": 20},
}
"""Eyes of split AP with both modalities, by class and split."""
OFFICIAL_EYES = 768
ALIKE_PATIENTS = (("ICG-14232", "ICG-4232"),)
"""Ids of the release that may be one patient's, mistyped."""
UNLABELLED = "no label"


def audit_mmc_amd(root: str | Path, *, split: OfficialSplit = "AP", track: Track = iter) -> Audit:
    """Look through a copy of MMC-AMD.

    Args:
        root: Folder that holds ``ImageData/`` and the folders of the splits.
        split: ``AP`` (by patient) or ``A`` (by eye: fellow eyes in several splits are reported as faults).
        track: Shows the progress over the images, each of which is decoded.

    Returns:
        Counts of eyes with both modalities, and findings: faults are what training would stumble over, or what makes
        its figures look better than they are.

    Raises:
        DataSettingsError: If there is no such split.
        DatasetNotFoundError: If there are no images, or no folder of the split.
    """
    if split not in ("AP", "A"):
        raise DataSettingsError(f"MMC-AMD: unknown split {split!r}; {nearest(split, ('AP', 'A'))}")
    root = Path(root)
    layout = find_layout(root)
    check_splits(root, split)
    audit = Audit(f"MMC-AMD in {root}, split {split}")
    if (root / MARKER).is_file():
        audit.add("note", "look-alike", ["drawn by medlit: figures say nothing about medicine"])
    entries = {name: _read(audit, layout, split, name) for name in SPLITS}
    patients = _patients(audit, root, split)
    cases = {name: make_cases(own, patients=patients)[0] for name, own in entries.items()}
    note_label_conflicts(audit, (claim for own in entries.values() for claim in _claims(own)))
    _audit_eyes(audit, root, split, cases)
    _audit_patients(audit, cases, patients)
    if split == "AP":
        compare_with_release(audit)
    everything, split_of = _once(cases)
    labelled = ((case.case_id, class_of_label(case.label)) for case in everything)
    class_of = {case_id: name for case_id, name in labelled if name is not None}
    note_telling_names(audit, everything, class_of=class_of)
    folder = ImageFolder(root / layout.images)
    audit_images(audit, everything, folder=folder, split_of=split_of, class_of=class_of, track=track)
    return audit


def _read(audit: Audit, layout: Layout, official: OfficialSplit, split: Split) -> list[Entry]:
    entries, faults = scan_split(layout, official, split, modalities=MODALITIES, labelled=True)
    for fault in faults:
        audit.add("fault", _kind_of(fault), [str(fault)])
    if not entries:
        audit.add("fault", "empty split", [f"{split_folder(layout.root, official, split)} names no image"])
    return entries


def _kind_of(fault: DataError) -> str:
    if isinstance(fault, UnreadableFileError):
        return "unreadable list"
    return "missing list" if isinstance(fault, DatasetNotFoundError) else "line that cannot be used"


def _patients(audit: Audit, root: Path, official: OfficialSplit) -> set[str]:
    try:
        patients = patients_of(root, official, SPLITS)
    except UnreadableFileError as error:
        audit.add("fault", "unreadable list", [str(error)])
        return set()
    if not patients:
        audit.add("quirk", "no patient ids", ["no SubjectSets: patients are told from the names of the files"])
    return patients


def _claims(entries: Sequence[Entry]) -> list[Claim]:
    """What each label says about its eye."""
    return [
        Claim(entry.eye, CLASS_NAMES[entry.label], entry.labelled_where) for entry in entries if entry.label is not None
    ]


def _audit_eyes(audit: Audit, root: Path, official: OfficialSplit, splits: Mapping[Split, Sequence[Case]]) -> None:
    """Count the eyes with both modalities by class; eyes with one, without label, or in two splits are told of."""
    audit.counts = {name: dict.fromkeys(SPLITS, 0) for name in (*CLASS_NAMES, UNLABELLED)}
    for split, cases in splits.items():
        for case in cases:
            if all(map(case.has, MODALITIES)):
                audit.counts[class_of_label(case.label) or UNLABELLED][split] += 1
            if case.label is None:
                audit.add("fault", "no label", [f"{case.where}: eye {case.case_id!r} has none; fill it in"])
        pairs = zip(MODALITIES, reversed(MODALITIES), strict=True)
        alone = [(name, sum(not case.has(other) for case in cases)) for name, other in pairs]
        messages = [f"{split}: {count} eyes have {name} alone, left out" for name, count in alone if count]
        audit.add("quirk", "eyes with one modality (allow_missing: true keeps them)", messages)
        absent = [name for name in CLASS_NAMES if not audit.counts[name][split]]
        if 0 < len(absent) < len(CLASS_NAMES):
            audit.add("quirk", "class without eyes", [f"{split} has no {', '.join(absent)}"])
        others = (
            f"{case.where}: {case.case_id!r} is labelled {class_of_label(case.label)}"
            for case in cases
            if case.label is not None and class_of_name(case.case_id) not in (None, class_of_label(case.label))
        )
        audit.add("quirk", "label other than the name's", others)
        _compare_eye_lists(audit, root, official, split, cases)


def _compare_eye_lists(audit: Audit, root: Path, official: OfficialSplit, split: Split, cases: Sequence[Case]) -> None:
    """EyeSets against the eyes that the names of the images tell."""
    for modality, file in zip(MODALITIES, list_files_of(root, official, split, "EyeSets"), strict=True):
        if not (root / file).is_file():
            continue
        listed = {eye for _, eye in read_lines(root, file)}
        named = {case.case_id for case in cases if case.has(modality)}
        if listed != named:
            odd = sorted(listed ^ named)
            message = f"{file}: {len(odd)} eyes are in it or among the images alone, such as {odd[0]!r}"
            audit.add("quirk", "list of eyes that differs from the images", [message])


def _audit_patients(audit: Audit, splits: Mapping[Split, Sequence[Case]], patients: set[str]) -> None:
    """Eyes, patients, and ids that may be one patient's in several splits."""
    first: dict[str, tuple[Split, Case]] = {}
    for split, cases in splits.items():
        for case in cases:
            other = first.setdefault(case.case_id, (split, case))
            if other[1] is not case:
                message = f"eye {case.case_id!r}: {other[1].where} ({other[0]}); {case.where} ({split})"
                audit.add("fault", "splits that share an eye", [message])
    everything, split_of = _once(splits)
    note_shared_groups(audit, everything, split_of=split_of, kind="patient")
    in_splits = {patient_of(case.case_id, patients): split_of[case.case_id] for case in everything}
    for pair in ALIKE_PATIENTS:
        found = [(patient, in_splits[patient]) for patient in pair if patient in in_splits]
        if len({split for _, split in found}) > 1:
            places = " and ".join(f"{patient} ({split})" for patient, split in found)
            audit.add("quirk", "patients who may be one", [f"{places}: the release may have mistyped one of the ids"])
    unlisted = sorted({case.group_id for case in everything} - patients) if patients else []
    if unlisted:
        message = f"{len(unlisted)} patients told from names are in no SubjectSets, such as {unlisted[0]!r}"
        audit.add("quirk", "patient that no list names", [message])


def compare_with_release(audit: Audit) -> None:
    """Say whether the eyes with both modalities count as in split AP of the release.

    Args:
        audit: With its counts; findings go there. Of another number of eyes nothing is compared.
    """
    eyes = sum(sum(counts.values()) for counts in audit.counts.values())
    if eyes != OFFICIAL_EYES:
        message = f"{eyes} eyes with both modalities where the release has {OFFICIAL_EYES}: not it, or a part of it"
        audit.add("note", "release", [message])
        return
    different = [
        f"{name} {split}: {audit.counts[name][split]}, the release has {official}"
        for name, counts in OFFICIAL_COUNTS.items()
        for split, official in counts.items()
        if audit.counts[name][split] != official
    ]
    audit.add("quirk", "counts differ from the release", different)
    if not different:
        audit.add("note", "release", ["classes and splits count as in the release"])


def _once(splits: Mapping[Split, Sequence[Case]]) -> tuple[list[Case], dict[str, str]]:
    """Every eye once, in the first split that has it, and the split of each."""
    eyes: dict[str, Case] = {}
    split_of: dict[str, str] = {}
    for split, cases in splits.items():
        for case in cases:
            if eyes.setdefault(case.case_id, case) is case:
                split_of[case.case_id] = split
    return list(eyes.values()), split_of
