"""What is left to do: the sample table's images against what earlier runs have done."""

import os
import posixpath
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import polars as pl

from data_modules.errors import DataError, DatasetNotFoundError, TableError, UnsafePathError
from data_modules.mammography.prepare.settings import PreparationSettings
from data_modules.mammography.prepare.work import PASSING, Job, Row
from data_modules.mammography.prepared import output_path
from data_modules.mammography.sets import MammographySet

IMAGE_SUFFIXES = frozenset({".dcm", ".dicom", ".png", ".jpg", ".jpeg"})

Progress = Callable[[str, int, int, int], None]
"""Told what is going on, how many images it is through with, of how many, and how many failed in it."""

OUTPUT_SHARE = 0.8
"""Bytes of an output by the square of its long side: a cropped breast is about half as wide as it is high, and its PNG
takes 1.5 to 1.6 bytes a pixel (measured)."""


@dataclass(slots=True)
class Plan:
    """What a run has to do."""

    began: int = field(default_factory=time.time_ns)
    """When it began to look, nanoseconds since 1970."""
    jobs: list[Job] = field(default_factory=list)
    job_bytes: list[int] = field(default_factory=list)
    """Size of each job's source."""
    not_found: list[Row] = field(default_factory=list)
    """Rows of images without a file, where no earlier run recorded that."""
    kept: int = 0
    """Images that earlier runs have dealt with, failures among them."""
    kept_failures: int = 0
    sources: set[str] = field(default_factory=set)
    """All files found, below the raw root."""

    def space(self, settings: PreparationSettings) -> int:
        """About how many bytes the outputs will take; rather too few than a refusal of what would fit."""
        most = int(OUTPUT_SHARE * settings.long_side**2)
        return sum(min(size, most) for size in self.job_bytes)


@dataclass(frozen=True, slots=True)
class _Known:
    """What an earlier run recorded of an image."""

    source: str | None
    source_bytes: int | None
    changed: int | None
    """Nanoseconds; a source changed later is another one."""
    output_bytes: int | None
    error_kind: str | None


def make_plan(
    dataset: MammographySet,
    root: Path,
    out: Path,
    *,
    images: Sequence[str],
    known: pl.DataFrame,
    settings: PreparationSettings,
    retry_failed: bool = False,
    progress: Progress,
) -> Plan:
    """Find every image's file, and compare it with what earlier runs recorded.

    An image is left alone where its source has the size and time of last change that it had, and its output, of the
    recorded size, exists or its failure is one that the same bytes bring back.

    Args:
        dataset: The set.
        root: Of the raw set.
        out: Of the prepared set.
        images: Of the sample table, sorted.
        known: From ``manifest.collect``.
        settings: For the jobs.
        retry_failed: Try failures again too.
        progress: Told after every image.

    Raises:
        DatasetNotFoundError: If not one image has a file.
        TableError: If two images would have the same output.
    """
    check_outputs(images)
    records = _records(known)
    plan = Plan()
    for number, image in enumerate(images, 1):
        progress("looking for files", number, len(images), len(plan.not_found))
        record, found = records.get(image), _find(dataset, root, image)
        if isinstance(found, dict):
            if record and record.source is None and record.error_kind == found["error_kind"]:
                plan.kept += 1
                plan.kept_failures += 1
            else:
                plan.not_found.append(found)
            continue
        source, stat = found
        plan.sources.add(source)
        if record and _is_done(record, source, stat, f"{out}/{output_path(image)}", retry_failed=retry_failed):
            plan.kept += 1
            plan.kept_failures += record.error_kind is not None
        else:
            plan.jobs.append(Job(image, source, str(root), str(out), settings))
            plan.job_bytes.append(stat.st_size)
    if images and not plan.sources:
        raise DatasetNotFoundError(
            f"none of the {len(images):,} images of {dataset.title} lies below {root} (the first is {images[0]}); is "
            "this the folder of the tables and of the images?"
        )
    return plan


def check_outputs(images: Sequence[str]) -> None:
    """Refuse images that would be written to the same file, or outside the prepared folder.

    Raises:
        TableError: Naming two that differ in their suffix, or in ``/./`` or ``//``, alone.
        UnsafePathError: Naming one that climbs.
    """
    seen: dict[str, str] = {}
    for image in images:
        parts = image.split("/")
        if parts[0] == "" or parts[-1] == "" or ".." in parts or "\0" in image:
            raise UnsafePathError(f"image {image!r} leaves the data set; correct the table")
        other = seen.setdefault(posixpath.normpath(output_path(image)), image)
        if other != image:
            raise TableError(f"images {other!r} and {image!r} would be written to the same file; keep one of them")


def _records(known: pl.DataFrame) -> dict[str, _Known]:
    columns = ("source", "source_bytes", "source_mtime_ns", "output_bytes", "error_kind")
    rows = known.select("image", *columns).iter_rows()
    return {image: _Known(*cells) for image, *cells in rows}


def _find(dataset: MammographySet, root: Path, image: str) -> tuple[str, os.stat_result] | Row:
    """The file below the root and its facts, or the row that says why there is none."""
    try:
        path = dataset.find(root, image)
        if path is not None:
            source = path.relative_to(root).as_posix()
            source.encode()
            return source, path.stat()
        kind, error = "missing file", "no such file below the root; download it, or go on without it"
    except UnicodeEncodeError:
        kind, error = "unreadable file", "its name is no UTF-8; rename it"
    except UnsafePathError as problem:
        kind, error = "unsafe path", str(problem)
    except DataError as problem:
        kind, error = "unreadable file", str(problem)
    except OSError as problem:  # its own text would hold the path of this machine
        kind, error = "unreadable file", f"{problem.strerror}; check its name and the permissions of its folder"
    return {"image": image, "error_kind": kind, "error": " ".join(error.split())}


def _is_done(record: _Known, source: str, stat: os.stat_result, output: str, *, retry_failed: bool) -> bool:
    if record.source != source or record.source_bytes != stat.st_size:
        return False
    if record.changed is None or stat.st_mtime_ns > record.changed:
        return False
    if record.error_kind is not None:
        return not retry_failed and record.error_kind not in PASSING
    try:
        return os.stat(output).st_size == record.output_bytes
    except OSError:
        return False


def count_unnamed(root: Path, sources: set[str]) -> int:
    """How many image files below a root are no sample's.

    Args:
        root: Of the raw set.
        sources: Files that are, and those that the tables name, below the root.
    """
    linked = [path for path in root.iterdir() if path.is_symlink() and path.is_dir()]  # images on another disk
    count = 0
    for folder, _, names in chain.from_iterable(map(os.walk, (root, *linked))):
        below = os.path.relpath(folder, root)
        prefix = "" if below == "." else below + "/"
        count += sum(
            os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES and prefix + name not in sources for name in names
        )
    return count
