"""The box that holds the breast, without the film's border, its labels and the air."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from data_modules.mammography.dicom.mammogram import CropBox, CropMethod, Gray

BORDER = 0.8
"""Film border is brighter than this part of the brightest."""
BORDER_SHARE = 0.6
"""Part of a row or column at the edge that has to be so bright. On a real film the chest wall has 0.4, the borders 0.65
to 1; a breast's own edges end in air."""
BORDER_BLUR = 0.02
"""Part of the side over which a border may fade into the image."""
FADED = 0.1
"""What is left of the step from border to image where the border is over."""
BORDER_DROP = 0.75
"""Behind a border it gets darker than this part of it at once; muscle at the chest wall, as bright, goes on."""
BORDER_LEFT = 0.4
"""A border's edge is straight: behind it at most this part of what was bright in its lines still is. Dense tissue
tapers."""
MAX_BORDER = 0.4
"""Part of a side that the border may take at each end: collimators leave white margins far wider than a film's."""
STRIP = 0.03
"""Strips and letters thinner than this part of the shorter side are no breast."""
GRAIN = 5
"""Side of the mean, in pixels, that takes the noise of air: a cube root enlarges it."""
FLOOR = 10
"""Percentile at which lightness starts: beside the air of a fogged film there may be black strips."""
MIN_AIR = 0.2
"""Where less of the image is dark, it is little more than what lies below the floor: no air was told from tissue."""
MIN_SEPARABILITY = 0.7
"""Of air and tissue. A single bell of grays, cut in its middle, has 2/pi = 0.64; a real film has 0.83, drawn breasts
0.7 to 0.9, the darker their fat the less."""
AIR_SHARE = 0.5
"""The skin line lies this far from the median of the air to Otsu's threshold, which cuts through fat."""
MARGIN = 0.01
"""Kept around the breast, as part of the longer side: the skin line is dim."""
TISSUE = (0.05, 0.95)
"""Share of the box that has to be tissue for a box to be believed."""
MIN_AREA = 0.03
"""A breast takes at least this part of the whole image."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Breast:
    """Where the breast was found on a small copy."""

    box: CropBox
    mask: Mask
    """(h, w): the component that the box was drawn around; the whole image where the method is ``whole``."""
    method: CropMethod


def find_breast(small: Gray) -> Breast:
    """Find the breast: Otsu's threshold, thin strips removed, the largest component, and what is next to it.

    Otsu's threshold on lightness parts air from tissue; the skin line lies below it, so half the way to the air is
    taken. An opening removes the film's border and letters, which are thin, and parts a border that touches the breast
    from it. Where the result is not plausible (nothing but tissue as in spot views, next to nothing, or noise) the
    whole image stays.

    Args:
        small: (h, w) gray, tissue bright; some hundred pixels a side.

    Returns:
        Box and mask in pixels of ``small``.
    """
    height, width = small.shape
    top, left, bottom, right = trim_border(small)
    inner = small[top:bottom, left:right]
    mask = np.zeros(small.shape, dtype=bool)
    bright = tissue(inner)
    mask[top:bottom, left:right] = with_nipple(largest_component(without_strips(bright)), bright)
    if mask.mean() >= MIN_AREA:
        box = _box(mask, margin=round(MARGIN * max(height, width)), within=CropBox(top, left, bottom, right))
        share = float(mask[box.top : box.bottom, box.left : box.right].mean())
        if TISSUE[0] <= share <= TISSUE[1]:
            return Breast(box, mask, "otsu")
    return Breast(CropBox(0, 0, height, width), np.ones(small.shape, dtype=bool), "whole")


def trim_border(small: Gray) -> CropBox:
    """The box without rows and columns of bright film border at the edges.

    Args:
        small: (h, w) gray, tissue bright.
    """
    height, width = small.shape
    bright = int(small.max()) * BORDER
    columns = small.T
    top, bottom = _border(small, bright), height - _border(small[::-1], bright)
    left, right = _border(columns, bright), width - _border(columns[::-1], bright)
    return CropBox(top, left, bottom, right)


def _border(lines: Gray, bright: float) -> int:
    """How many lines, from the first on, are border."""
    most = int(len(lines) * MAX_BORDER)
    shares = (lines >= bright).mean(axis=1)
    dark = np.flatnonzero(shares[:most] <= BORDER_SHARE)
    count = int(dark[0]) if len(dark) else most
    behind = count + round(len(lines) * BORDER_BLUR)
    if count == 0 or shares[behind] > BORDER_LEFT * np.median(shares[:count]):
        return 0
    border, inside = (float(np.median(part)) for part in (lines[:count], lines[behind]))
    if inside >= BORDER_DROP * border:
        return 0
    faded = np.median(lines[count:behind], axis=1) <= inside + FADED * (border - inside)
    return count + (int(faded.argmax()) if faded.any() else behind - count)


def tissue(small: Gray) -> Mask:
    """Pixels that are brighter than the air.

    Otsu's threshold on gray values parts muscle and glandular tissue from air and fat where there is much fat. Cube
    roots (lightness, as the eye sees it) move the dark fat away from the air, towards the rest of the breast.

    Args:
        small: (h, w) gray, tissue bright.

    Returns:
        (h, w); nothing where the two are not told apart: tissue all over, as in spot views, or noise.
    """
    smooth = cv2.blur(small, (GRAIN, GRAIN), borderType=cv2.BORDER_REPLICATE).astype(np.float32)
    above = np.maximum(smooth - np.percentile(smooth, FLOOR), 0)
    lightness = np.rint(np.cbrt(above / max(above.max(), 1)) * 65535).astype(np.uint16)
    threshold, _ = cv2.threshold(lightness, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    dark = lightness <= threshold
    if dark.mean() < MIN_AIR or _separability(lightness, dark) < MIN_SEPARABILITY:
        return np.zeros_like(dark)
    level = float(np.median(lightness[dark]))
    return np.asarray(lightness > level + AIR_SHARE * (threshold - level))


def _separability(values: Gray, dark: Mask) -> float:
    """Part of the variance that lies between the sides of a threshold, 0 to 1 (Otsu 1979, eq. 14: eta)."""
    share, deviation = float(dark.mean()), float(values.std(dtype=np.float64))
    if share in (0.0, 1.0):
        return 0.0
    step = float(values[dark].mean()) - float(values[~dark].mean())
    return share * (1 - share) * (step / deviation) ** 2


def without_strips(mask: Mask) -> Mask:
    """The mask opened by a square: what is thinner than ``STRIP`` of the shorter side goes, also along the edges."""
    return _morphed(mask, cv2.MORPH_OPEN, _strip(mask))


def with_nipple(breast: Mask, bright: Mask) -> Mask:
    """What is bright and next to the breast belongs to it: the opening took the nipple and blunt ends with it.

    Args:
        breast: (h, w), a component of the opened mask.
        bright: (h, w), the mask before it was opened.
    """
    return _morphed(breast, cv2.MORPH_DILATE, 2 * _strip(breast) + 1) & bright | breast


def _strip(mask: Mask) -> int:
    shorter: int = min(mask.shape)
    return max(round(STRIP * shorter), 1)


def _morphed(mask: Mask, operation: int, side: int) -> Mask:
    """The mask after an operation with a square; outside of the image nothing is set."""
    square = np.ones((side, side), dtype=np.uint8)
    outside = {"borderType": cv2.BORDER_CONSTANT, "borderValue": 0}
    return np.asarray(cv2.morphologyEx(mask.astype(np.uint8), operation, square, **outside) > 0)


def largest_component(mask: Mask) -> Mask:
    """The largest of the mask's connected parts; all False where there is none."""
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    areas = statistics[1:, cv2.CC_STAT_AREA]
    return np.asarray(labels == 1 + int(areas.argmax())) if len(areas) else np.zeros_like(mask)


def _box(mask: Mask, *, margin: int, within: CropBox) -> CropBox:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return CropBox(
        max(int(rows[0]) - margin, within.top),
        max(int(columns[0]) - margin, within.left),
        min(int(rows[-1]) + 1 + margin, within.bottom),
        min(int(columns[-1]) + 1 + margin, within.right),
    )
