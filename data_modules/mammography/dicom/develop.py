"""From stored values and what they mean to the image that is trained on."""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from data_modules.mammography.dicom.attributes import Refused
from data_modules.mammography.dicom.crop import Breast, find_breast
from data_modules.mammography.dicom.decode import StoredImage, Values
from data_modules.mammography.dicom.grayscale import Tables, Tone, look_up, tone_tables
from data_modules.mammography.dicom.header import MammogramHeader
from data_modules.mammography.dicom.mammogram import CropBox, CropMethod, Gray, Mammogram
from data_modules.mammography.dicom.orient import check_laterality, is_flipped, side_of_breast

Orient = Literal["none", "left"]

SMALL_SIDE = 512
"""Breast, side and percentiles are found on a copy whose longer side is this to twice this, where the image has it."""


@dataclass(frozen=True, slots=True)
class Overview:
    """A small copy, and what was found on it."""

    power: int
    """One of its pixels stands for ``2**power`` a side."""
    gray: Gray
    tables: Tables
    decoded: int
    """Power of two of the decode that it was made from."""
    values: Values
    """That decode, for the image itself is mostly made from the same."""


def develop(
    header: MammogramHeader,
    image: StoredImage,
    tone: Tone,
    *,
    long_side: int | None,
    crop: bool,
    orient: Orient,
    reduced_decode: bool,
) -> Mammogram:
    """Gray values, crop, size and orientation, with as few pixels as possible at each step.

    Breast, side and percentiles are found on a small copy. Where the decode may be reduced, so may the copy's; else it
    is taken from the full decode, the same for every lossless encoding. The two copies are smoothed differently, which
    may move an edge of the crop by one of their pixels.

    Args:
        header: Facts of the file.
        image: Its frame.
        tone: What its values mean.
        long_side: Pixels of the longer side, at most; None keeps the size.
        crop: Cut to the breast.
        orient: ``left`` mirrors images that show the breast on the right.
        reduced_decode: Leave out wavelet levels that the size does not need.

    Raises:
        Refused: If there is nothing on the image.
    """
    most = reduction(_whole(image), long_side, image.levels if reduced_decode else 0)
    overview = look_over(image, tone, most=most)
    breast = find_breast(overview.gray)
    side = side_of_breast(overview.gray, breast)
    check, conflicts = check_laterality(side, header)
    flipped = orient == "left" and is_flipped(side, header)
    box, method = _scaled(breast, overview.power, image) if crop else (_whole(image), "none")
    power = reduction(box, long_side, image.levels if overview.decoded else 0)
    values = overview.values
    if power != overview.decoded:
        values = image.reduced(power) if power else image.full()
    part = values[box.top >> power : -(-box.bottom >> power), box.left >> power : -(-box.right >> power)]
    pixels = shrink(look_up(part, overview.tables.gray), box, long_side)
    if flipped:
        pixels = np.ascontiguousarray(pixels[:, ::-1])
    if pixels.min() == pixels.max():
        raise Refused(f"every pixel of the crop comes out as {pixels.min()} ({overview.tables.window}); leave it out")
    return Mammogram(
        pixels=pixels,
        header=header,
        crop_box=box,
        crop_method=method,
        flipped=flipped,
        laterality_check=check,
        reduced=power,
        window=overview.tables.window,
        flags=tuple(sorted({*header.flags, *overview.tables.flags, *conflicts})),
    )


def look_over(image: StoredImage, tone: Tone, *, most: int) -> Overview:
    """The small copy.

    Args:
        image: The frame.
        tone: What its values mean.
        most: The largest reduction of which the final image may still be made: so far the copy may be decoded at
            reduced size. 0: a full decode. Bright padding forbids any other, for it would bleed into what is beside it.

    Raises:
        Refused: If there is nothing on the image.
    """
    power = 0
    while max(image.rows, image.columns) >> (power + 1) >= SMALL_SIDE:
        power += 1
    decoded = min(power, most)
    values = image.reduced(decoded) if decoded else image.full()
    step = 2 ** max(power - decoded - 2, 0)  # every n-th, then the mean of 4 x 4: as smooth, and faster
    small = values[::step, ::step]
    tables = tone_tables(tone, small)
    if decoded and not tables.dark_padding:
        return look_over(image, tone, most=0)
    gray = look_up(small, tables.plain)
    size = (-(-image.columns >> power), -(-image.rows >> power))
    if gray.shape != size[::-1]:
        gray = np.asarray(cv2.resize(gray, size, interpolation=cv2.INTER_AREA), dtype=np.uint16)
    return Overview(power, gray, tables, decoded, values)


def reduction(box: CropBox, long_side: int | None, levels: int) -> int:
    """How often the size can be halved while decoding, so that the crop still has only to be shrunk.

    Args:
        box: The crop, in pixels of the full size.
        long_side: What it will be shrunk to; None: not at all.
        levels: How often the codestream allows.
    """
    power = 0
    longer = max(box.bottom - box.top, box.right - box.left)
    while long_side is not None and power < levels and longer >> (power + 1) >= long_side:
        power += 1
    return power


def shrink(pixels: Gray, box: CropBox, long_side: int | None) -> Gray:
    """The mean over areas, so that the longer side has at most ``long_side`` pixels; never enlarged.

    Args:
        pixels: (H, W), the crop, maybe decoded at reduced size.
        box: The crop in pixels of the full size, which decides the size: it is the same however the crop was decoded.
        long_side: At most; None keeps what is there.
    """
    height, width = box.bottom - box.top, box.right - box.left
    scale = 1.0 if long_side is None else min(long_side / max(height, width), 1.0)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    if pixels.shape == size[::-1]:
        return pixels
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint16)


def _scaled(breast: Breast, power: int, image: StoredImage) -> tuple[CropBox, CropMethod]:
    top, left, bottom, right = (edge << power for edge in breast.box)
    return CropBox(top, left, min(bottom, image.rows), min(right, image.columns)), breast.method


def _whole(image: StoredImage) -> CropBox:
    return CropBox(0, 0, image.rows, image.columns)
