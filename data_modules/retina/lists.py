"""MMC-AMD's text lists, line by line: images, labels, patients, and the lists that Early Intervention uses.

Every ``scan_`` function goes on after a fault and returns the sound entries and all faults: the reader raises the
first, the audit lists all.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from data_modules.errors import DataError, DatasetNotFoundError, TableError, UnreadableFileError, nearest
from data_modules.retina.layout import SOURCE
from data_modules.retina.names import CLASS_NAMES, MODALITIES, Modality, eye_of, file_name

LIST_LABELS = ("no_amd", "dry_amd", "pcv", "wet_amd")
"""Labels of list files, in the order of the classes."""
MAX_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Entry:
    """One image that a list names."""

    image: str
    """Path below the folder of images."""
    modality: Modality
    eye: str
    label: int | None
    where: str
    """File and line that name the image."""
    labelled_where: str
    """File and line that label it; those that name it where nothing does."""


def read_lines(root: Path, file: str) -> list[tuple[int, str]]:
    """The lines of a text file that are not blank, with their numbers from 1.

    Raises:
        DatasetNotFoundError: If there is no such file.
        UnreadableFileError: If it cannot be read, or is far larger than a list.
    """
    path = root / file
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UnreadableFileError(f"{path}: larger than {MAX_BYTES:,} bytes; is this the right file?")
        text = path.read_bytes().decode("utf-8-sig", errors="replace")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DatasetNotFoundError(f"no {file} below {root}; copy it from {SOURCE}") from error
    except OSError as error:
        if isinstance(error, UnreadableFileError):
            raise
        raise UnreadableFileError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    return [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]


def scan_images(root: Path, file: str, *, modality: Modality, folder: str) -> tuple[list[Entry], list[DataError]]:
    """A list of image ids, one a line (``ImageSets``).

    Args:
        root: Folder of the data set.
        file: The list, below it.
        modality: Of all its images.
        folder: That the images are in.
    """
    entries: dict[str, Entry] = {}
    faults: list[DataError] = []
    try:
        lines = read_lines(root, file)
    except DataError as error:
        return [], [error]
    for number, image in lines:
        where = f"{file} line {number}"
        path = f"{folder}/{file_name(image)}"
        if path in entries:
            faults.append(TableError(f"{where}: {image!r} is in {entries[path].where} too; remove one of the lines"))
        else:
            entries[path] = Entry(path, modality, eye_of(image), None, where, where)
    return list(entries.values()), faults


def scan_labels(root: Path, file: str, *, images: Sequence[str]) -> tuple[dict[str, tuple[int, str]], list[DataError]]:
    """Labels of images (``annotations``): the last word of a line, 0 to 3.

    A line's first word is the image where it names one of the list; where no line does, the lines are those of the list
    in its order, as the release's own reader takes them.

    Args:
        root: Folder of the data set.
        file: The labels, below it.
        images: Paths of the images in the order of their list.

    Returns:
        Label and place by image, and the faults.
    """
    try:
        lines = read_lines(root, file)
    except DataError as error:
        return {}, [error]
    by_name = {PureWindowsPath(image).name: image for image in images}
    named = [by_name.get(_first_name(line)) for _, line in lines]
    if not any(named):
        if len(lines) != len(images):
            reason = f"{len(lines)} labels for the {len(images)} images of the list, and no line names its image"
            return {}, [TableError(f"{file}: {reason}; copy it anew from {SOURCE}")]
        named = list(images)
    labels: dict[str, tuple[int, str]] = {}
    faults: list[DataError] = []
    for (number, line), image in zip(lines, named, strict=True):
        where = f"{file} line {number}"
        word = line.split()[-1]
        if image is None:
            faults.append(TableError(f"{where}: {_first_name(line)!r} is no image of the list; remove the line"))
        elif word not in ("0", "1", "2", "3"):
            reason = f"unknown label {word!r}; allowed are 0 (normal), 1 (dry AMD), 2 (PCV) and 3 (wet AMD)"
            faults.append(TableError(f"{where}: {reason}"))
        elif labels.setdefault(image, (int(word), where))[0] != int(word):
            faults.append(TableError(f"{where}: label {word}, but {labels[image][1]} says {labels[image][0]}"))
    return labels, faults


def scan_list_file(root: Path, file: str, *, folders: Mapping[Modality, str]) -> tuple[list[Entry], list[DataError]]:
    """A list of the form ``cfp[ cfp...],oct[ oct...]<TAB>label``; either side and the label may be empty.

    Args:
        root: Folder of the data set.
        file: The list, below it.
        folders: Folder of each modality, for images that are named without one.
    """
    entries: list[Entry] = []
    faults: list[DataError] = []
    try:
        lines = read_lines(root, file)
    except DataError as error:
        return [], [error]
    for number, line in lines:
        where = f"{file} line {number}"
        try:
            entries += _list_entries(line, where=where, folders=folders)
        except TableError as error:
            faults.append(error)
    return entries, faults


def scan_patients(root: Path, files: Collection[str]) -> set[str]:
    """The patient ids of those ``SubjectSets`` lists that there are."""
    return {patient for file in files if (root / file).is_file() for _, patient in read_lines(root, file)}


def _list_entries(line: str, *, where: str, folders: Mapping[Modality, str]) -> Iterator[Entry]:
    names, _, label = line.partition("\t")
    sides = names.split(",")
    if len(sides) != len(MODALITIES):
        raise TableError(f"{where}: {line!r} is not of the form cfp[ cfp...],oct[ oct...]<TAB>label; correct it")
    images = [(modality, image) for modality, side in zip(MODALITIES, sides, strict=True) for image in side.split()]
    if not images:
        raise TableError(f"{where}: no image; remove the line")
    eye = eye_of(images[0][1])  # of the photograph, where there is one
    for modality, image in images:
        path = PureWindowsPath(file_name(image)).as_posix().removeprefix("ImageData/")
        if "/" not in path:
            path = f"{folders[modality]}/{path}" if modality in folders else path
        yield Entry(path, modality, eye, _list_label(label.strip(), where=where), where, where)


def _list_label(label: str, *, where: str) -> int | None:
    if not label:
        return None
    for known in (LIST_LABELS, CLASS_NAMES, ("0", "1", "2", "3")):
        if label in known:
            return known.index(label)
    raise TableError(f"{where}: unknown label {label!r}; {nearest(label, LIST_LABELS)}")


def _first_name(line: str) -> str:
    return PureWindowsPath(file_name(line.split()[0])).name
