"""Eyes as cases: the images of the lists brought together by eye, with one label and one patient."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from data_modules.cases import Case, ImageFile
from data_modules.errors import DataError, TableError
from data_modules.retina.layout import Layout, OfficialSplit, split_folder
from data_modules.retina.lists import Entry, scan_images, scan_labels, scan_patients
from data_modules.retina.names import CLASS_NAMES, MODALITIES, eye_of, file_name, patient_of
from data_modules.splits import Split


def list_files_of(root: Path, official: OfficialSplit, split: Split, kind: str) -> list[str]:
    """The lists of one kind (ImageSets, EyeSets, SubjectSets, annotations) of a split, a modality each."""
    folder = split_folder(root, official, split)
    return [f"{folder}/{kind}/{modality}.txt" for modality in MODALITIES]


def scan_split(
    layout: Layout, official: OfficialSplit, split: Split, *, modalities: Collection[str], labelled: bool
) -> tuple[list[Entry], list[DataError]]:
    """The images of an official split, with their labels.

    Args:
        layout: Where the folders are.
        official: By patient or by eye.
        split: Which of the three.
        modalities: Whose lists have to exist.
        labelled: Whether their labels have to exist too; those that do are read in either case.
    """
    root = layout.root
    entries: list[Entry] = []
    faults: list[DataError] = []
    images, labels = (list_files_of(root, official, split, kind) for kind in ("ImageSets", "annotations"))
    for modality, image_list, label_list in zip(MODALITIES, images, labels, strict=True):
        if modality not in layout.folders or (modality not in modalities and not (root / image_list).is_file()):
            continue
        found, wrong = scan_images(root, image_list, modality=modality, folder=layout.folders[modality])
        faults += wrong
        if found and (labelled or (root / label_list).is_file()):
            of_images, wrong = scan_labels(root, label_list, images=[entry.image for entry in found])
            faults += wrong
            found = [_label(entry, of_images) for entry in found]
        entries += found
    return entries, faults


def find_images(layout: Layout, *, modalities: Collection[str]) -> list[Entry]:
    """All pictures in the folders of modalities, by name, without labels.

    Args:
        layout: Where the folders are.
        modalities: Those to look for.
    """
    entries = []
    for modality in MODALITIES:
        if modality in modalities and modality in layout.folders:
            folder = layout.folders[modality]
            names = sorted(path.name for path in (layout.root / layout.images / folder).iterdir() if path.is_file())
            for name in names:
                if file_name(name) == name and not name.startswith("."):
                    path = f"{folder}/{name}"
                    entries.append(Entry(path, modality, eye_of(name), None, path, path))
    return entries


def make_cases(entries: Sequence[Entry], *, patients: Collection[str] | None) -> tuple[list[Case], list[DataError]]:
    """Eyes in the order of the lists, the images of each in the order of their names.

    Args:
        entries: Of one split.
        patients: Ids that the release lists, perhaps none, to group fellow eyes by patient; None groups by eye.

    Returns:
        The eyes, and an error for each that two places label differently (the first label is kept).
    """
    eyes: dict[str, list[Entry]] = {}
    for entry in entries:
        eyes.setdefault(entry.eye, []).append(entry)
    faults: list[DataError] = []
    cases = []
    for eye, own in eyes.items():
        labelled = [entry for entry in own if entry.label is not None]
        label = labelled[0].label if labelled else None
        other = next((entry for entry in labelled if entry.label != label), None)
        if other is not None:
            faults.append(
                TableError(
                    f"{other.labelled_where}: eye {eye!r} is {_name(other.label)}, but {labelled[0].labelled_where} "
                    f"says {_name(label)}; correct one of them"
                )
            )
        cases.append(
            Case(
                case_id=eye,
                group_id=eye if patients is None else patient_of(eye, patients),
                images=_images(own),
                label=label,
                where=labelled[0].labelled_where if labelled else own[0].where,
            )
        )
    return cases, faults


def patients_of(root: Path, official: OfficialSplit, splits: Sequence[Split]) -> set[str]:
    """The patients that the lists of splits name; empty where there are no such lists."""
    return scan_patients(
        root, [file for split in splits for file in list_files_of(root, official, split, "SubjectSets")]
    )


def _images(entries: Sequence[Entry]) -> dict[str, tuple[ImageFile, ...]]:
    """By modality, sorted by path, each file once."""
    images: dict[str, tuple[ImageFile, ...]] = {}
    for modality in MODALITIES:
        files = {entry.image: ImageFile(entry.image, entry.where) for entry in entries if entry.modality == modality}
        if files:
            images[modality] = tuple(files[image] for image in sorted(files))
    return images


def _label(entry: Entry, labels: Mapping[str, tuple[int, str]]) -> Entry:
    if entry.image not in labels:
        return entry
    label, where = labels[entry.image]
    return replace(entry, label=label, labelled_where=where)


def _name(label: int | None) -> str:
    return "unlabelled" if label is None else CLASS_NAMES[label]
