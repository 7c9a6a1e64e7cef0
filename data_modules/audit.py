"""Audit of a data set: everything that is wrong or odd, collected instead of stopping at the first."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from statistics import median
from typing import Literal

import numpy as np

from data_modules.audit_similar import Thumbnail, similar_groups, thumbnail
from data_modules.cases import Case, ImageFile
from data_modules.errors import ImageNotFoundError, UnreadableFileError, UnreadableImageError, UnsafePathError
from data_modules.images import ImageFolder, read_image

Severity = Literal["fault", "quirk", "note"]
"""A fault makes training unsound; a quirk is odd but dealt with; a note is worth knowing."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found."""

    severity: Severity
    kind: str
    """What findings of the same kind are listed under."""
    message: str
    """Where it is, and what: file, line and value where there are."""


@dataclass(slots=True)
class Audit:
    """What an audit found."""

    title: str
    findings: list[Finding] = field(default_factory=list)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    """By class, cases by split."""

    def add(self, severity: Severity, kind: str, messages: Iterable[str]) -> None:
        """Add a finding for every message."""
        self.findings += [Finding(severity, kind, message) for message in messages]

    @property
    def sound(self) -> bool:
        """Whether nothing stands against training on the set."""
        return not any(finding.severity == "fault" for finding in self.findings)

    def by_kind(self, severity: Severity) -> dict[str, list[str]]:
        """Messages of one severity, by kind, both in the order they were found in."""
        kinds: dict[str, list[str]] = {}
        for finding in self.findings:
            if finding.severity == severity:
                kinds.setdefault(finding.kind, []).append(finding.message)
        return kinds


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture that could be read, and the place in the table that names it."""

    case_id: str
    split: str | None
    """None for a case of no split."""
    modality: str
    file: ImageFile
    path: Path
    size: tuple[int, int]
    """Width and height, pixels."""
    digest: str
    """Of the decoded pixels."""
    thumbnail: Thumbnail


Track = Callable[[Sequence[tuple[Case, str, ImageFile]]], Iterable[tuple[Case, str, ImageFile]]]
"""Passes its items through, and may show how far it is."""


def audit_images(
    audit: Audit,
    cases: Sequence[Case],
    *,
    folder: ImageFolder,
    split_of: Mapping[str, str],
    class_of: Mapping[str, str] | None = None,
    track: Track = iter,
) -> None:
    """Decode every image that the table names, whole, and look for what is odd about them.

    Args:
        audit: Where findings go.
        cases: Image paths start from ``folder``; empty paths are left to the audit of the table.
        folder: Where the files are.
        split_of: Split by case id.
        class_of: Class by case id; None compares no labels.
        track: Shows the progress over (case, modality, file).
    """
    named = [(case, modality, file) for case in cases for modality, files in case.images.items() for file in files]
    pictures = []
    for case, modality, file in track([item for item in named if item[2].path]):
        picture = _read(audit, case, modality, file, folder=folder, split=split_of.get(case.case_id))
        if picture is not None:
            pictures.append(picture)
    _note_shared(audit, pictures, class_of or {})
    _note_similar(audit, pictures, class_of or {})
    _note_sizes(audit, pictures)
    _note_unnamed(audit, pictures, folder.root)


def _read(
    audit: Audit, case: Case, modality: str, file: ImageFile, *, folder: ImageFolder, split: str | None
) -> Picture | None:
    try:
        path = folder.find(file.path, where=file.where)
        pixels = read_image(path, where=file.where)
    except UnsafePathError as error:
        audit.add("fault", "path that leaves the root", [str(error)])
    except ImageNotFoundError as error:
        audit.add("fault", "missing image", [str(error)])
    except UnreadableFileError as error:
        audit.add("fault", "unreadable folder", [str(error)])
    except UnreadableImageError as error:
        audit.add("fault", "unreadable image", [str(error)])
    else:
        found = path.relative_to(folder.root).as_posix()
        if found != PureWindowsPath(file.path).as_posix():
            audit.add("quirk", "path in another case", [f"{file.where}: {file.path!r} is {found!r} on disk"])
        height, width = pixels.shape[:2]
        digest = hashlib.sha256(f"{height} {width} ".encode() + pixels.tobytes()).hexdigest()
        return Picture(case.case_id, split, modality, file, path, (width, height), digest, thumbnail(pixels))
    return None


def _note_shared(audit: Audit, pictures: Sequence[Picture], class_of: Mapping[str, str]) -> None:
    """The same pixels under several names, or the same file named several times."""
    same: dict[str, list[Picture]] = {}
    for picture in pictures:
        same.setdefault(picture.digest, []).append(picture)
    for group in same.values():
        by_case: dict[str, list[Picture]] = {}
        for picture in group:
            by_case.setdefault(picture.case_id, []).append(picture)
        for own in by_case.values():
            if len(own) > 1:
                what = f"{own[0].file.path!r} is {' and '.join(picture.modality for picture in own)}"
                audit.add("quirk", "one picture for several modalities", [f"{own[0].file.where}: {what}"])
        if len(by_case) > 1:
            _note_shared_by_cases(audit, "the same picture", [own[0] for own in by_case.values()], class_of)


def _note_similar(audit: Audit, pictures: Sequence[Picture], class_of: Mapping[str, str]) -> None:
    """One picture in several cases, encoded anew; the same pixels are told of already."""
    same: dict[str, list[Picture]] = {}
    for picture in pictures:
        same.setdefault(picture.digest, []).append(picture)
    once = [copies[0] for copies in same.values()]
    if not once:
        return
    thumbnails = np.stack([picture.thumbnail for picture in once])
    for rows in similar_groups(thumbnails, modalities=[picture.modality for picture in once]):
        by_case: dict[str, Picture] = {}
        for row in rows:
            for picture in same[once[row].digest]:
                by_case.setdefault(picture.case_id, picture)
        if len({picture.digest for picture in by_case.values()}) > 1:
            _note_shared_by_cases(audit, "almost the same picture", list(by_case.values()), class_of)


def _note_shared_by_cases(audit: Audit, what: str, pictures: Sequence[Picture], class_of: Mapping[str, str]) -> None:
    """One picture in several cases; in several splits it lets results look better than they are."""
    message = "; ".join(
        f"{picture.file.where}: {picture.file.path!r} ({picture.split or 'no split'})" for picture in pictures
    )
    if len({picture.split for picture in pictures if picture.split is not None}) > 1:
        audit.add("fault", f"{what} in several splits", [message])
    else:
        audit.add("quirk", f"{what} in several cases", [message])
    labels = list(dict.fromkeys(class_of[picture.case_id] for picture in pictures if picture.case_id in class_of))
    if len(labels) > 1:
        audit.add("quirk", f"{what} under several labels", [f"{' and '.join(labels)}: {message}"])


def _note_sizes(audit: Audit, pictures: Sequence[Picture]) -> None:
    """All sizes, and those far from the usual: a side under half or over twice the median."""
    if not pictures:
        return
    sizes = Counter(picture.size for picture in pictures)
    (width, height), most = sizes.most_common(1)[0]
    audit.add("note", "sizes", [f"{most} of {len(pictures)} images are {width} x {height}; {len(sizes)} sizes in all"])
    usual = [median(picture.size[side] for picture in pictures) for side in (0, 1)]
    for picture in pictures:
        ratios = [pixels / typical for pixels, typical in zip(picture.size, usual, strict=True)]
        if min(ratios) < 0.5 or max(ratios) > 2:
            what = f"{picture.file.path!r} is {picture.size[0]} x {picture.size[1]}"
            audit.add("quirk", "size out of the ordinary", [f"{picture.file.where}: {what}"])


def _note_unnamed(audit: Audit, pictures: Sequence[Picture], root: Path) -> None:
    """Files that no table names."""
    named = {picture.path for picture in pictures}
    suffixes = {picture.path.suffix.lower() for picture in pictures}
    unnamed = [path for path in root.rglob("*") if path not in named and path.suffix.lower() in suffixes]
    audit.add("quirk", "image that the table does not name", sorted(str(path.relative_to(root)) for path in unnamed))
