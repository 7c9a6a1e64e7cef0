"""What an audit says of a raw set's files: missing, unnamed, unreadable, at odds with the table, there twice."""

import hashlib
import importlib.util
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import polars as pl

from data_modules.audit import Audit
from data_modules.errors import DataSettingsError, UnreadableImageError, UnsafePathError
from data_modules.mammography.dicom import Mammogram, read_mammogram
from data_modules.mammography.sets import MammographySet

Track = Callable[[Sequence[str]], Iterable[str]]
"""Passes images through, and may show how far it is."""

SUFFIXES = frozenset({".dcm", ".dicom", ".png", ".jpg", ".jpeg"})
MOST_READ = 500
"""Images that an audit reads whole, unless told otherwise: some minutes."""
LONG_SIDE = 512
"""They are read at this size, which takes a third of the time where JPEG 2000 can be decoded at a part of it."""


def audit_files(
    audit: Audit,
    frame: pl.DataFrame,
    *,
    dataset: MammographySet,
    root: Path,
    folder: str,
    is_named: Callable[[str], bool],
    known_bad: Mapping[str, str],
    read: int,
    track: Track,
) -> None:
    """Look for every image's file, and read some of them whole, evenly spaced.

    Args:
        audit: Where findings go.
        frame: Of the sample table.
        dataset: Which finds files.
        root: Of the raw set.
        folder: Below the root, where images lie; the root itself where it is empty.
        is_named: Whether a table names a file, given its path below the root.
        known_bad: Images of the release that are known to hold no picture, by id, and why.
        read: How many images to read; all of a smaller set.
        track: Shows the progress over the images that are read.

    Raises:
        DataSettingsError: If ``read`` is negative.
    """
    if read < 0:
        raise DataSettingsError(f"{read} images to read: give 0 or more")
    paths = _locate(audit, frame["image"].to_list(), dataset=dataset, root=root)
    _fault_missing(audit, frame, paths, root=root)
    if not paths:
        return
    _note_unnamed(audit, root, folder=folder, found=set(paths.values()), is_named=is_named)
    chosen = spaced(list(paths), read)
    dicom = any(paths[image].suffix.lower() in (".dcm", ".dicom") for image in chosen)
    if dicom and importlib.util.find_spec("pydicom") is None:
        audit.add("fault", "images not read", ['DICOM needs pydicom: pip install "medlit[dicom]"'])
        return
    some = f"{len(chosen):,} of {len(paths):,} images, evenly spaced; prepare reads all"
    audit.add("note", "images read", [some if len(chosen) < len(paths) else f"all {len(paths):,}"])
    rows = {row["image"]: row for row in frame.filter(pl.col("image").is_in(chosen)).iter_rows(named=True)}
    _read_images(audit, [rows[image] for image in chosen], paths, known_bad=known_bad, track=track)


def spaced(items: Sequence[str], count: int) -> list[str]:
    """So many of some items, at equal distances; all where there are no more."""
    if count >= len(items):
        return list(items)
    return [items[i * len(items) // count] for i in range(count)]


def _locate(audit: Audit, images: Sequence[str], *, dataset: MammographySet, root: Path) -> dict[str, Path]:
    """The files that are there; the system may refuse to look for one."""
    paths = {}
    for image in images:
        try:
            path = dataset.find(root, image)
        except OSError as error:
            words = f"{error.filename or image} cannot be read ({error.strerror}); check its permissions"
            audit.add("fault", "unreadable folder", [words])
        except UnsafePathError as error:
            audit.add("fault", "path that leaves the root", [str(error)])
        else:
            if path is not None:
                paths[image] = path
    return paths


def _fault_missing(audit: Audit, frame: pl.DataFrame, paths: Mapping[str, Path], *, root: Path) -> None:
    """One finding where nothing is there at all: tables without images are looked at, too."""
    missing = [image for image in frame["image"].to_list() if image not in paths]
    if missing and not paths:
        words = f"none of the {len(missing):,} images that the tables name is below {root} (the first is {missing[0]})"
        audit.add("fault", "no images", [words])
        return
    audit.add("fault", "missing image", [f"no file {image!r} below {root}" for image in missing])


def _note_unnamed(audit: Audit, root: Path, *, folder: str, found: set[Path], is_named: Callable[[str], bool]) -> None:
    unnamed = []
    for place, _, names in os.walk(root / folder):
        for name in names:
            path = Path(place, name)
            if path.suffix.lower() in SUFFIXES and path not in found:
                relative = path.relative_to(root).as_posix()
                if not is_named(relative):
                    unnamed.append(relative)
    audit.add("quirk", "image that the tables do not name", sorted(unnamed))


def _read_images(
    audit: Audit, rows: Sequence[Mapping[str, object]], paths: Mapping[str, Path], *, known_bad: Mapping[str, str],
    track: Track,
) -> None:  # fmt: skip
    by_image = {str(row["image"]): row for row in rows}
    digests: dict[str, str] = {}
    flags: Counter[str] = Counter()
    for image in track(list(by_image)):
        row = by_image[image]
        try:
            mammogram = read_mammogram(paths[image], long_side=LONG_SIDE)
        except UnreadableImageError as error:
            known = known_bad.get(str(row["image_id"]))
            if known is None:
                audit.add("fault", "unreadable image", [str(error)])
            else:
                audit.add("quirk", "image of the release known to be bad", [f"{paths[image]}: {known}"])
            continue
        digests[image] = hashlib.sha256(repr(mammogram.pixels.shape).encode() + mammogram.pixels.tobytes()).hexdigest()
        flags.update(mammogram.flags)
        _compare(audit, row, mammogram)
    note_flags(audit, flags)
    note_copies(audit, digests, {image: (str(row["patient_id"]), row["split"]) for image, row in by_image.items()})


def note_flags(audit: Audit, flags: Mapping[str, int]) -> None:
    """What readable files have that is odd, the most frequent first."""
    ordered = sorted(flags.items(), key=lambda item: (-item[1], item[0]))
    audit.add("note", "flags of the files", [f"{count:,}: {flag}" for flag, count in ordered])


def _compare(audit: Audit, row: Mapping[str, object], mammogram: Mammogram) -> None:
    """The file against the table, and the picture against the file."""
    image, header = row["image"], mammogram.header
    if header.laterality is not None and header.laterality != row["laterality"]:
        words = f"{image}: {row['laterality']} in the table, {header.laterality} in the file; the table counts"
        audit.add("quirk", "side that table and file tell differently", [words])
    if header.view is not None and row["view"] is not None and header.view != row["view"]:
        words = f"{image}: {row['view']} in the table, {header.view} in the file; the table counts"
        audit.add("quirk", "view that table and file tell differently", [words])
    if mammogram.laterality_check == "contradicts":
        words = f"{image}: the breast is not on the side that the file's laterality and orientation say"
        audit.add("quirk", "picture on the other side", [f"{words}; pixels count"])
    if mammogram.crop_method == "whole":
        audit.add("quirk", "no breast found to crop to", [f"{image}: the whole picture stays"])


def note_copies(audit: Audit, digests: Mapping[str, str], owners: Mapping[str, tuple[str, object]]) -> None:
    """One picture under several names.

    Args:
        audit: Where findings go; a fault where the copies are in several splits.
        digests: Of contents, by image.
        owners: Patient and split (None: no official one) by image.
    """
    same: dict[str, list[str]] = {}
    for image, digest in digests.items():
        same.setdefault(digest, []).append(image)
    for images in same.values():
        if len(images) < 2:
            continue
        patients, splits = ({owners[image][position] for image in images} for position in (0, 1))
        words = "; ".join(f"{image} (patient {owners[image][0]})" for image in images)
        if len(splits - {None}) > 1:
            audit.add("fault", "the same picture in several splits", [words])
        elif len(patients) > 1:
            audit.add("quirk", "the same picture of several patients", [words])
        else:
            audit.add("quirk", "the same picture twice", [words])
