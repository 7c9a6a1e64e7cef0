"""What reading a mammogram gives."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from data_modules.mammography.dicom.header import MammogramHeader

Gray = NDArray[np.uint16]
"""(H, W), 0 (air) to 65535 (full scale)."""
Side = Literal["L", "R"]
"""Side of the picture, as the viewer sees it."""
LateralityCheck = Literal["agrees", "contradicts", "unknown"]
CropMethod = Literal["otsu", "whole", "none"]


class CropBox(NamedTuple):
    """Rows ``top`` to ``bottom`` and columns ``left`` to ``right`` (the last ones exclusive), in pixels."""

    top: int
    left: int
    bottom: int
    right: int


@dataclass(frozen=True, slots=True)
class Mammogram:
    """One image as it is trained on, and what was done to it."""

    pixels: Gray
    """(H, W) uint16, 0 to 65535, bright tissue on dark air, own memory, native byte order."""
    header: MammogramHeader
    crop_box: CropBox
    """In pixels of the stored image at its full size, before any flip."""
    crop_method: CropMethod
    """``otsu``: the breast was found; ``whole``: asked for but no plausible breast found; ``none``: not asked for."""
    flipped: bool
    """Mirrored left to right, so that the breast is on the left."""
    laterality_check: LateralityCheck
    """Whether the side on which the pixels show the breast is the one that the header's laterality and patient
    orientation demand (a left breast is on the left, with the columns counting towards anterior)."""
    reduced: int
    """Power of two by which both sides were reduced in decoding: 0 is the full decode."""
    window: str
    """Which values of interest were used: ``WINDOW LINEAR 2047/4095`` (centre/width), ``WINDOW SIGMOID 2047/4095``,
    ``LUT``, ``PERCENTILES 12/3800`` (of a DICOM file that states none), ``BITS 12`` (of a converted picture)."""
    flags: tuple[str, ...]
    """What is odd: those of the header, and those that only the pixels show."""
