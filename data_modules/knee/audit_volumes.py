"""What an audit says of volumes: unreadable ones, the same one twice, odd numbers and sizes of slices."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import cv2
import numpy as np
from numpy.typing import NDArray

from data_modules.audit import Audit, Track
from data_modules.cases import Case, ImageFile
from data_modules.errors import ImageNotFoundError, UnreadableFileError, UnreadableImageError, UnsafePathError
from data_modules.images import ImageFolder
from data_modules.volumes import Volume, open_volume, slice_positions

FEWEST_SLICES = 4
"""What the released protocol takes of a volume; one with fewer gives some of them several times."""
COMPARED_SLICES = 3
"""Of each volume, evenly spaced, in search of copies."""
SIDE = 64
"""They are compared at this height and width; slices under half of it show too little."""
SAME = 0.955
"""Correlation of two volumes' finest details from which they are copies.

Chosen between two measurements on drawn knees of 32 to 128 pixels, all of one anatomy: at least .963 between a volume
and itself with other gray values (a gamma of 1.3; or 10 % darker, with noise of 2 levels), at most .90 between others.
A copy that was resampled is not found by this.
"""

Details = NDArray[np.float32]
"""(..., COMPARED_SLICES * SIDE * SIDE)."""


@dataclass(frozen=True, slots=True)
class VolumeRecord:
    """One volume that could be read, and the place in the table that names it."""

    case_id: str
    split: str
    modality: str
    file: ImageFile
    shape: tuple[int, ...]
    """Slices, height, width."""
    digest: str
    """Of its values."""
    details: Details
    """Of a few slices, length 1, or all zeros."""


def audit_volumes(
    audit: Audit,
    cases: Sequence[Case],
    *,
    root: Path,
    split_of: Mapping[str, str],
    class_of: Mapping[str, str],
    allow_missing: bool,
    track: Track,
) -> None:
    """Read every volume whole, and look for what is odd about them.

    Args:
        audit: Where findings go.
        cases: Paths start from ``root``.
        root: Folder of the data set.
        split_of: Split by case id.
        class_of: Label in words by case id, where it is known.
        allow_missing: Whether a case may lack a plane; one that lacks all is a fault in any case.
        track: Shows the progress over (case, modality, file).
    """
    folder = ImageFolder(root)
    named = [(case, plane, file) for case in cases for plane, files in case.images.items() for file in files]
    records, missing = [], []
    for case, plane, file in track(named):
        try:
            volume = open_volume(folder.find(file.path, where=file.where), where=file.where)
        except ImageNotFoundError as error:
            missing.append((case, error))
        except UnsafePathError as error:
            audit.add("fault", "path that leaves the root", [str(error)])
        except UnreadableFileError as error:
            audit.add("fault", "unreadable folder", [str(error)])
        except UnreadableImageError as error:
            audit.add("fault", "unreadable volume", [str(error)])
        else:
            records.append(_record(case.case_id, split_of[case.case_id], plane, file, volume))
    _note_missing(audit, missing, allow_missing=allow_missing)
    _note_copies(audit, records, class_of)
    _note_shapes(audit, records)


def _record(case_id: str, split: str, plane: str, file: ImageFile, volume: Volume) -> VolumeRecord:
    digest = hashlib.sha256(f"{volume.shape} ".encode())
    for one in volume:
        digest.update(one.tobytes())
    blank = all((one == volume[0, 0, 0]).all() for one in volume)
    return VolumeRecord(
        case_id,
        split,
        plane,
        file,
        volume.shape,
        "" if blank else digest.hexdigest(),
        _details(volume),
    )


def _details(volume: Volume) -> Details:
    """Noise and edges of a few slices, which no two scans share: without the broad shading, which all knees share."""
    parts = []
    for position in slice_positions(len(volume), COMPARED_SLICES):
        gray = cv2.resize(np.ascontiguousarray(volume[position]), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        part = gray.astype(np.float32) - cv2.GaussianBlur(gray.astype(np.float32), (0, 0), 1.0)
        part -= part.mean()
        length = float(np.linalg.norm(part))
        parts.append(part.ravel() / length if length else part.ravel())
    small = min(volume.shape[1:]) < SIDE // 2
    details = np.concatenate(parts) * (0 if small else COMPARED_SLICES**-0.5)
    return np.asarray(details, dtype=np.float32)


def _note_missing(audit: Audit, missing: Sequence[tuple[Case, ImageNotFoundError]], *, allow_missing: bool) -> None:
    """A plane without a file; an exam without any cannot be used in any case."""
    by_case: dict[str, list[str]] = {}
    planes = {}
    for case, error in missing:
        by_case.setdefault(case.case_id, []).append(str(error))
        planes[case.case_id] = len(case.images)
    for case_id, messages in by_case.items():
        if len(messages) == planes[case_id]:
            audit.add("fault", "exam without a volume", [messages[0]])
        elif allow_missing:
            audit.add("quirk", "missing plane", messages)
        else:
            audit.add("fault", "missing volume", [f"{message}; or set allow_missing: true" for message in messages])


def _note_copies(audit: Audit, records: Sequence[VolumeRecord], class_of: Mapping[str, str]) -> None:
    """One volume under several names; in several splits it lets results look better than they are."""
    blank = [record for record in records if not record.digest]
    audit.add(
        "fault", "blank volume", [f"{one.file.where}: all of {one.file.path!r} is one gray value" for one in blank]
    )
    seen = [record for record in records if record.digest]
    same: dict[str, list[VolumeRecord]] = {}
    for record in seen:
        same.setdefault(record.digest, []).append(record)
    for group in same.values():
        _note_group(audit, "the same volume", group, class_of)
    for plane in dict.fromkeys(record.modality for record in seen):
        own = [record for record in seen if record.modality == plane]
        for rows in _alike(np.stack([record.details for record in own])):
            group = [own[row] for row in rows]
            if len({record.digest for record in group}) > 1:
                _note_group(audit, "almost the same volume", group, class_of)


def _alike(details: Details) -> list[list[int]]:
    """Groups of rows (N, ...) that correlate, directly or through others; rows without a partner are in none."""
    group_of = np.arange(len(details))
    for first, second in np.argwhere(np.triu(details @ details.T, 1) >= SAME):
        group_of[group_of == group_of[second]] = group_of[first]
    groups = [np.flatnonzero(group_of == group).tolist() for group in np.unique(group_of)]
    return [rows for rows in groups if len(rows) > 1]


def _note_group(audit: Audit, what: str, group: Sequence[VolumeRecord], class_of: Mapping[str, str]) -> None:
    if len(group) < 2:
        return
    message = "; ".join(f"{record.file.where}: {record.file.path!r} ({record.split})" for record in group)
    if len({record.case_id for record in group}) == 1:
        audit.add("quirk", f"{what} for several planes", [message])
    elif len({record.split for record in group}) > 1:
        audit.add("fault", f"{what} in several splits", [message])
    else:
        audit.add("quirk", f"{what} in several exams", [f"{message}; a validation set cut from them may share it"])
    labels = dict.fromkeys(class_of[record.case_id] for record in group if record.case_id in class_of)
    if len(labels) > 1:
        audit.add("quirk", f"{what} under several labels", [f"{' and '.join(labels)}: {message}"])


def _note_shapes(audit: Audit, records: Sequence[VolumeRecord]) -> None:
    """Slices by plane, sizes, and what is far from the usual: under half or over twice the median."""
    for plane in dict.fromkeys(record.modality for record in records):
        own = [record for record in records if record.modality == plane]
        counts = [record.shape[0] for record in own]
        usual = median(counts)
        audit.add("note", "slices", [f"{plane}: {min(counts)} to {max(counts)}, median {usual:g}"])
        for record in own:
            if record.shape[0] < FEWEST_SLICES:
                words = f"slices, fewer than the {FEWEST_SLICES} taken of a volume: some are taken several times"
                _add_odd(audit, "few slices", record, words)
            elif not usual / 2 <= record.shape[0] <= usual * 2:
                _add_odd(audit, "number of slices out of the ordinary", record, f"slices, the median is {usual:g}")
    _note_sizes(audit, records)


def _add_odd(audit: Audit, kind: str, record: VolumeRecord, words: str) -> None:
    audit.add("quirk", kind, [f"{record.file.where}: {record.file.path!r} has {record.shape[0]} {words}"])


def _note_sizes(audit: Audit, records: Iterable[VolumeRecord]) -> None:
    by_size: dict[tuple[int, ...], list[VolumeRecord]] = {}
    for record in records:
        by_size.setdefault(record.shape[1:], []).append(record)
    counts = Counter({size: len(group) for size, group in by_size.items()})
    if not counts:
        return
    usual, most = counts.most_common(1)[0]
    words = f"{most} of {counts.total()} volumes have slices of {usual[1]} x {usual[0]}; {len(counts)} sizes in all"
    audit.add("note", "sizes", [words])
    for size, group in by_size.items():
        if size != usual:
            audit.add(
                "quirk",
                "size of slices out of the ordinary",
                [f"{record.file.where}: {record.file.path!r} is {size[1]} x {size[0]}" for record in group],
            )
