"""What a worker does with one image: hash, read, write. Imports numpy and OpenCV, and what reads DICOM; not polars."""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import cv2

from data_modules.errors import UnreadableImageError
from data_modules.mammography.dicom import Mammogram, read_mammogram
from data_modules.mammography.dicom.mammogram import Gray
from data_modules.mammography.prepare.files import PARTIAL, cannot_write, write_whole
from data_modules.mammography.prepare.settings import PreparationSettings
from data_modules.mammography.prepared import output_path

ErrorKind = Literal[
    "missing file",
    "unsafe path",
    "unreadable file",
    "empty file",
    "unreadable image",
    "decoder crashed",
    "worker killed",
    "timeout",
    "out of memory",
    "unexpected error",
]
"""Why an image has no output."""

PASSING: tuple[ErrorKind, ...] = (
    "missing file",
    "unsafe path",
    "unreadable file",
    "worker killed",
    "timeout",
    "out of memory",
)
"""Failures that may be over at the next run, which tries again; the others come back as long as the file's bytes do."""

Row = dict[str, Any]
"""Some of the columns of ``manifest.JOURNAL_COLUMNS``; what is left out is null."""

MAX_ERROR = 500
"""Characters of an error that are kept: files put their own text into some."""

# Runs only, one filter for all lines: measured on a mammogram of 1024 x 485 (12 bits stored), 1.53 bytes a pixel in
# 10 ms; OpenCV's defaults give 1.57 in the same time, level 6 with filters tried line by line 1.58 in 50 ms.
PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
if hasattr(cv2, "IMWRITE_PNG_FILTER"):  # older versions choose by themselves
    PNG += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_AVG]


@dataclass(frozen=True, slots=True)
class Job:
    """One image to prepare."""

    image: str
    """As the sample table names it."""
    source: str
    """The file, below ``root``."""
    root: str
    """Of the raw set."""
    out: str
    """Of the prepared set."""
    settings: PreparationSettings


def prepare_image(job: Job) -> Row:
    """Read one image and write it as a 16-bit grayscale PNG.

    Args:
        job: Which, and how.

    Returns:
        Its row of the journal; what is wrong with the file stands in ``error_kind`` and ``error``.

    Raises:
        OutputError: If the disk is full or lets nothing be written: that is no matter of one file.
    """
    cv2.setNumThreads(0)  # the processes are the parallelism
    path = Path(job.root, job.source)
    row: Row = {"image": job.image, "source": job.source}
    try:
        row |= source_facts(path)
        if row["source_bytes"] == 0:
            return failed(row, job.out, "empty file", "the file is empty; copy it anew from the original data set")
        mammogram = read_mammogram(path, **asdict(job.settings))
    except UnreadableImageError as error:
        return failed(row, job.out, _kind(error), str(error).removeprefix(f"{path}: "))
    except OSError as error:
        return failed(row, job.out, "unreadable file", f"{error.strerror or error}; check its permissions and the disk")
    except Exception as error:  # a fault of the reader costs one file too, and is reported by its name
        return failed(row, job.out, "unexpected error", f"{type(error).__name__}: {error}")
    return row | _facts(mammogram) | _write(mammogram.pixels, job)


def _kind(error: UnreadableImageError) -> ErrorKind:
    """Whether it lies in the image, or in the disk or the memory at this moment."""
    if isinstance(error.__cause__, MemoryError):
        return "out of memory"
    of_the_system = isinstance(error.__cause__, OSError) and error.__cause__.errno  # Pillow raises some of its own
    return "unreadable file" if of_the_system else "unreadable image"


def source_facts(path: Path) -> Row:
    """Size, hash and last change of a source.

    Raises:
        OSError: If it cannot be read.
    """
    with path.open("rb") as file:
        changed = path.stat().st_mtime_ns
        digest = hashlib.file_digest(file, "sha256")
        return {"source_bytes": file.tell(), "source_sha256": digest.hexdigest(), "source_mtime_ns": changed}


def failed(row: Row, out: str, kind: ErrorKind, error: str) -> Row:
    """The row of an image that has no output; one of an earlier run is removed.

    Args:
        row: What is known of the source.
        out: Root of the prepared set.
        kind: For the count.
        error: In words, without the file's name.
    """
    target = Path(out, output_path(row["image"]))
    try:
        target.unlink(missing_ok=True)
    except NotADirectoryError:  # a file where its folder would be: nothing is there to remove
        pass
    except OSError as problem:
        raise cannot_write(target, problem) from problem
    return row | {"error_kind": kind, "error": " ".join(error.split())[:MAX_ERROR]}


def _facts(mammogram: Mammogram) -> Row:
    header, box = mammogram.header, mammogram.crop_box
    height, width = mammogram.pixels.shape
    return {
        "height": height,
        "width": width,
        "crop_top": box.top,
        "crop_left": box.left,
        "crop_bottom": box.bottom,
        "crop_right": box.right,
        "crop_method": mammogram.crop_method,
        "reduced": mammogram.reduced,
        "window": mammogram.window,
        "flipped": mammogram.flipped,
        "laterality_header": header.laterality,
        "laterality_check": mammogram.laterality_check,
        "photometric": header.photometric,
        "transfer_syntax": header.transfer_syntax,
        "flags": list(mammogram.flags),
    }


def _write(pixels: Gray, job: Job) -> Row:
    content = encode(pixels)
    output = output_path(job.image)
    write_whole(Path(job.out, output), content, partial=Path(job.out, PARTIAL))
    return {"output": output, "output_bytes": len(content), "output_sha256": hashlib.sha256(content).hexdigest()}


def encode(pixels: Gray) -> bytes:
    """A PNG of 16 bits; the same pixels give the same bytes with the same OpenCV.

    Args:
        pixels: (H, W) uint16.
    """
    done, content = cv2.imencode(".png", pixels, PNG)
    if not done:  # pixels of another type or shape
        raise ValueError(f"OpenCV writes no PNG of {pixels.dtype} {pixels.shape}")
    return bytes(content)
