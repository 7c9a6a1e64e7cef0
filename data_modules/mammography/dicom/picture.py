"""Sets already converted: PNG and JPEG pictures of one mammogram each."""

import io

import numpy as np
from PIL import Image

from data_modules.mammography.dicom.attributes import Refused
from data_modules.mammography.dicom.decode import StoredImage, Values
from data_modules.mammography.dicom.grayscale import Tone, Window
from data_modules.mammography.dicom.header import MAX_PIXELS, MammogramHeader

STARTS = {b"\x89PNG\r\n\x1a\n": "PNG", b"\xff\xd8\xff": "JPEG"}
"""First bytes of the formats read."""
DEPTHS = (8, 10, 12, 14, 16)
"""Bits that mammography systems store."""


def format_of(data: bytes) -> str | None:
    """``PNG`` or ``JPEG`` by the first bytes; None for anything else."""
    return next((name for start, name in STARTS.items() if data.startswith(start)), None)


def read_picture(data: bytes, name: str) -> tuple[MammogramHeader, StoredImage, Tone]:
    """A converted picture as if it were a file without a word about windows.

    Its gray values are taken as they are, up to the full scale of the fewest bits (8, 10, 12, 14 or 16) that hold them:
    many converters write 12-bit values into 16-bit files. Colours are taken where all three channels are the same.

    Args:
        data: The file's bytes.
        name: ``PNG`` or ``JPEG``.

    Raises:
        Refused: If it is too large, or in colour.
    """
    with Image.open(io.BytesIO(data), formats=(name,)) as picture:
        columns, rows = picture.size
        if rows * columns > MAX_PIXELS:
            raise Refused(f"{columns} x {rows} is more than {MAX_PIXELS:,} pixels")
        if getattr(picture, "n_frames", 1) != 1:
            raise Refused("several frames: only single images are read")
        values = _gray(picture)
    depth = bits_of(values)
    header = MammogramHeader(rows, columns, depth, "MONOCHROME2", name)
    full = 2**depth - 1
    window = Window(full / 2, full)
    tone = Tone(signed=False, invert=False, voi=window, function="LINEAR_EXACT", words=f"BITS {depth}")
    return header, StoredImage(rows, columns, False, 0, lambda: values, lambda power: values), tone


def bits_of(values: Values) -> int:
    """The fewest bits in use that hold all values."""
    most = int(values.max())
    return next(bits for bits in DEPTHS if most < 2**bits)


def _gray(picture: Image.Image) -> Values:
    if picture.mode not in ("L", "I;16", "I;16B", "I", "RGB"):
        raise Refused(f"mode {picture.mode}: only grayscale is read")
    pixels = np.asarray(picture)
    if pixels.ndim == 3:
        if not (np.array_equal(pixels[..., 0], pixels[..., 1]) and np.array_equal(pixels[..., 0], pixels[..., 2])):
            raise Refused("in colour: only grayscale is read")
        pixels = pixels[..., 0]
    if pixels.min() < 0 or pixels.max() > 65535:
        raise Refused("more than 16 bits a pixel")
    return np.ascontiguousarray(pixels, dtype=np.uint16)
