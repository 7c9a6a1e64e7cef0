"""Prepared images as the transforms take them: from 16-bit grayscale to 8-bit RGB, in the shape that is asked for."""

from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from data_modules.cases import ImageFile
from data_modules.errors import UnreadableImageError, UnsafePathError
from data_modules.images import MAX_FILE_BYTES, MAX_PIXELS, Pixels
from data_modules.links import HINT, stays_within
from data_modules.mammography.image_files import AGAIN, FOLDER, ImageFiles

Aspect = Literal["keep", "stretch"]
SIGNATURE, HEADER, END = b"\x89PNG\r\n\x1a\n", b"IHDR", b"IEND\xaeB`\x82"
"""How a PNG begins, what its first chunk is called, and how it ends (PNG specification, 3rd edition, 5.2 and 11.2)."""
GRAY_16 = b"\x10\x00"
"""Bit depth and colour type in the header (11.2.1)."""


def read_prepared(
    path: str | Path,
    *,
    where: str = "",
    files: ImageFiles = FOLDER,
    max_file_bytes: int = MAX_FILE_BYTES,
    max_pixels: int = MAX_PIXELS,
) -> NDArray[np.uint16]:
    """Decode an image that ``medlit data prepare`` wrote.

    Args:
        path: A 16-bit grayscale PNG.
        where: What names it, for the error.
        files: Where its bytes come from.
        max_file_bytes: Larger files are refused.
        max_pixels: Larger images are refused before they are decoded.

    Returns:
        (H, W) uint16, the full scale from 0 to 65535.

    Raises:
        UnreadableImageError: If the file is missing, too large, cut short, or no such PNG.
    """
    named = f"; {where} names it" if where else ""
    data = files.read(str(path), named=named, max_bytes=max_file_bytes)
    # Before decoding, for decoders differ in what they make of files cut short by a full disk or a broken copy.
    if not data.startswith(SIGNATURE) or data[12:16] != HEADER or not data.endswith(END):
        raise UnreadableImageError(path, f"no whole PNG{named}; {AGAIN}")
    if data[24:26] != GRAY_16:  # before decoding: four channels take four times the memory
        raise UnreadableImageError(path, f"no 16-bit grayscale PNG{named}; {AGAIN}")
    width, height = (int.from_bytes(data[start : start + 4], "big") for start in (16, 20))
    if width * height > max_pixels:
        raise UnreadableImageError(path, f"{width} x {height} is more than {max_pixels:,} pixels{named}; {AGAIN}")
    try:
        image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise UnreadableImageError(path, f"{' '.join(str(error).split())}{named}; {AGAIN}") from error
    if image is None or image.dtype != np.uint16 or image.ndim != 2:
        raise UnreadableImageError(path, f"no 16-bit grayscale PNG that can be decoded{named}; {AGAIN}")
    return np.asarray(image, dtype=np.uint16)


def read_prepared_file(file: ImageFile, *, files: ImageFiles = FOLDER) -> NDArray[np.uint16]:
    """Decode an image of a case, see `read_prepared`.

    Args:
        file: Its path, and the folder that it must not leave.
        files: Where its bytes come from.

    Raises:
        UnsafePathError: If it is, or lies behind, a link that leaves the folder.
        UnreadableImageError: If it is not what ``medlit data prepare`` wrote.
    """
    if file.folder is not None and not stays_within(file.path, file.folder):
        raise UnsafePathError(f"{file.path}: a link that leaves {file.folder}; {file.where} names it; {HINT}")
    return read_prepared(file.path, where=file.where, files=files)


def to_8_bit(image: NDArray[np.uint16]) -> Pixels:
    """From 65536 to 256 levels, rounded to the nearest.

    8 bits are enough here: the window has been applied to the full depth before, a step of 1/255 is below the noise of
    a mammogram, and the encoders have learned from 8-bit photographs. The transforms are several times faster on them.

    Args:
        image: (H, W) uint16.

    Returns:
        (H, W) uint8, ``round(image / 257)``; 257 = 65535 / 255.
    """
    return np.asarray(cv2.convertScaleAbs(image, alpha=1 / 257), dtype=np.uint8)


def pad_to_square(image: Pixels) -> Pixels:
    """Black on the right and below, where an oriented breast does not touch the border.

    Args:
        image: (H, W) uint8.

    Returns:
        (S, S) uint8 with S = max(H, W).
    """
    height, width = image.shape[:2]
    side = max(height, width)
    padded = cv2.copyMakeBorder(image, 0, side - height, 0, side - width, cv2.BORDER_CONSTANT, value=0)
    return np.asarray(padded, dtype=np.uint8)


def as_picture(image: NDArray[np.uint16], *, aspect: Aspect) -> Pixels:
    """A prepared image as the transforms take it.

    Args:
        image: (H, W) uint16.
        aspect: ``keep`` pads to a square; ``stretch`` leaves the shape, and a resize to a square distorts it.

    Returns:
        (H', W', 3) uint8, the gray repeated to three channels.
    """
    gray = to_8_bit(image)
    return np.repeat((pad_to_square(gray) if aspect == "keep" else gray)[..., None], 3, axis=2)
