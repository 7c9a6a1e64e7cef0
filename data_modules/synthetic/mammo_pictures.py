"""Drawn mammograms: what they show is the density and the findings, all else is drawn at random.

A picture covers the detector: the chest wall is at the left border, air is black. Lengths are shares of its height.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from data_modules.synthetic.mammo_lesions import Lesion, Picture, draw_lesion

View = Literal["CC", "MLO"]
Mask = NDArray[np.bool_]
Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; the last two are outside."""

GLANDULAR: Mapping[int, tuple[float, float]] = {1: (0.03, 0.09), 2: (0.26, 0.35), 3: (0.53, 0.63), 4: (0.84, 0.93)}
"""Share of the breast that is glandular, for densities A to D: within the quarters of the fourth edition of BI-RADS."""
FAT, GLAND, MUSCLE = 0.28, 0.60, 0.64
"""Grays of tissue that is fully compressed."""
AIR = 0.012
ASPECT = 13 / 16
"""Width of a detector over its height."""
MARGIN = 0.05
"""Air above and below a breast in CC."""


@dataclass(frozen=True, slots=True)
class Breast:
    """One breast: what can be seen of it in any view.

    Attributes:
        density: 1 to 4, for A to D.
        glandular: Share of the breast that is glandular, as ``GLANDULAR`` has it.
        reach: Distance from the chest wall to the nipple.
        seed: Of the tissue; the two views draw theirs from it.
    """

    density: int
    glandular: float
    reach: float
    seed: int
    lesions: tuple[Lesion, ...] = ()


@dataclass(frozen=True, slots=True)
class Drawing:
    """A mammogram as the detector sees it, chest wall at the left, and where the findings are."""

    picture: Picture
    boxes: tuple[Box, ...]
    """Of each finding, in their order; none in a magnification view."""


@dataclass(frozen=True, slots=True)
class _Outline:
    """Where the breast is, in pixels."""

    mask: Mask
    nipple: tuple[float, float]
    """Column and row."""
    middle: float
    """Row of the middle."""
    half: float
    """Half of the height."""
    depth: Picture
    """Distance from the skin as a share of the picture's height; 0 outside."""


def draw_breast(density: int, rng: np.random.Generator, *, lesions: Sequence[Lesion] = ()) -> Breast:
    """A breast of a density.

    Args:
        density: 1 to 4, for A to D.
        rng: Draws the amount of tissue within the density, the size and the tissue.
        lesions: What is found in it.
    """
    glandular, reach = rng.uniform(*GLANDULAR[density]), rng.uniform(0.46, 0.6)
    return Breast(density, float(glandular), float(reach), int(rng.integers(2**31)), tuple(lesions))


def draw_view(breast: Breast, view: View, *, height: int, spot: bool = False, again: int = 0) -> Drawing:
    """A mammogram of a breast; the same arguments give the same picture.

    Args:
        breast: Whose.
        view: CC, or MLO with the pectoral muscle in the upper corner at the chest wall.
        height: Rows; there are 13/16 as many columns.
        spot: Show the surroundings of the first finding alone, enlarged twice, as in a magnification view.
        again: Other numbers give other exposures of the same view: the same findings, tissue drawn anew.

    Returns:
        The picture, (H, W) float32, 0 black to 1 white.
    """
    rng = np.random.default_rng([breast.seed, view == "MLO", again])
    wide = round(height * ASPECT)
    outline = _outline_cc(breast, height, wide, rng) if view == "CC" else _outline_mlo(breast, height, wide, rng)
    muscle = _muscle(height, wide, rng) if view == "MLO" else np.zeros((height, wide), np.float32)
    picture = _tissue(breast, outline, muscle, rng)
    places = [_place(lesion, outline, view) for lesion in breast.lesions]
    for lesion, place in zip(breast.lesions, places, strict=True):
        draw_lesion(picture, lesion, place, high=2 * outline.half, rng=rng)
    picture = np.where(outline.mask, picture, np.float32(AIR))
    picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), height / 1000), np.float32)
    if spot:
        picture = _enlarge(picture, places[0] if places else (outline.nipple[0] / 2, outline.middle))
    picture += rng.standard_normal(picture.shape, dtype=np.float32) * (0.004 + 0.016 * np.sqrt(picture))
    boxes = () if spot else tuple(map(_box, breast.lesions, places, [(outline.half, wide, height)] * len(places)))
    return Drawing(np.clip(picture, 0, 1), boxes)


def _outline_cc(breast: Breast, height: int, wide: int, rng: np.random.Generator) -> _Outline:
    """Half an ellipse on the chest wall."""
    half = height * (0.5 - MARGIN) * rng.uniform(0.86, 1) * (0.6 + 0.4 * breast.reach / 0.6)
    middle = height * (0.5 + rng.uniform(-0.02, 0.02))
    power = rng.uniform(2.0, 2.5)
    offset = np.abs((np.arange(height) - middle) / half)
    reach = breast.reach * height * np.clip(1 - offset**power, 0, 1) ** (1 / power)
    return _finish(reach, (breast.reach * height, middle), middle, half, wide)


def _outline_mlo(breast: Breast, height: int, wide: int, rng: np.random.Generator) -> _Outline:
    """From the axilla down to the fold below the breast, fullest under the middle."""
    lowest = height * rng.uniform(0.93, 0.97)
    nipple = height * rng.uniform(0.56, 0.62)
    row = np.arange(height)
    above, below = np.clip((nipple - row) / nipple, 0, 1), np.clip((row - nipple) / (lowest - nipple), 0, 1)
    axilla = rng.uniform(0.42, 0.52)
    reach = np.where(row < nipple, axilla + (1 - axilla) * (1 - above**1.8) ** 0.75, (1 - below**2.6) ** (1 / 1.9))
    half = (lowest - 0.22 * height) / 2
    return _finish(breast.reach * height * reach, (breast.reach * height, nipple), nipple, half, wide)


def _finish(reach: NDArray[np.float64], nipple: tuple[float, float], middle: float, half: float, wide: int) -> _Outline:
    """Mask with the nipple's bump, and the distance from the skin: chest wall and upper border are no skin."""
    height = len(reach)
    mask = (np.arange(wide)[None, :] < reach[:, None]).astype(np.uint8)
    cv2.circle(mask, (round(nipple[0]), round(nipple[1])), round(0.017 * height), 1, -1)
    beyond = height // 4
    padded = cv2.copyMakeBorder(mask, beyond, 1, beyond, 1, cv2.BORDER_REPLICATE)
    padded[-1], padded[:, -1] = 0, 0
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[beyond:-1, beyond:-1] / height
    return _Outline(mask.astype(bool), nipple, middle, half, np.asarray(depth, np.float32))


def _muscle(height: int, wide: int, rng: np.random.Generator) -> Picture:
    """The pectoral muscle: a bright wedge, a little convex, (H, W) in [0, 1]."""
    top, down = height * rng.uniform(0.24, 0.32), height * rng.uniform(0.5, 0.62)
    row, column = np.arange(height)[:, None], np.arange(wide)[None, :]
    border = top * np.clip(1 - (row / down) ** 1.25, -1, 1)
    return np.asarray(1 / (1 + np.exp(np.clip((column - border) / (0.006 * height), -30, 30))), np.float32)


def _tissue(breast: Breast, outline: _Outline, muscle: Picture, rng: np.random.Generator) -> Picture:
    """Fat with its septa, glandular tissue behind the nipple, skin and muscle."""
    size = muscle.shape
    gland = _glandular(breast, outline, muscle, rng)
    septa = np.clip(1 - 1.6 * np.abs(_clouds(size, (9, 20, 42), rng)), 0, 1)  # bright where the clouds change sign
    strands = np.clip(1 - 1.3 * np.abs(_clouds(size, (14, 30, 60), rng)), 0, 1)
    fat = FAT + 0.06 * septa**2 + 0.012 * _clouds(size, (5,), rng)
    dense = GLAND + 0.035 * _clouds(size, (7, 15), rng) + 0.07 * (strands - 0.4)
    picture = fat + gland * (dense - fat) + _vessels(outline, rng)
    compressed = 1 - np.exp(-outline.depth / 0.022)  # the rim is thinner
    skin = 0.13 * np.exp(-(((outline.depth - 0.006) / 0.005) ** 2))
    picture = picture * compressed + skin
    fibres = _clouds(size, (40,), rng, stretch=7, turn=-1.1)
    return np.asarray(picture + muscle * (MUSCLE + 0.02 * fibres - picture), np.float32)


def _glandular(breast: Breast, outline: _Outline, muscle: Picture, rng: np.random.Generator) -> Picture:
    """How much of each pixel is glandular: exactly the breast's share of the area outside the muscle, soft borders."""
    height, wide = muscle.shape
    row = np.arange(height, dtype=np.float32)[:, None]
    column = np.arange(wide, dtype=np.float32)[None, :]
    x = (column - 0.55 * outline.nipple[0]) / (0.75 * outline.nipple[0])
    y = (row - outline.middle - 0.1 * (outline.nipple[0] - column)) / (0.7 * outline.half)
    field = _clouds((height, wide), (4, 8, 16, 32, 64), rng) - np.float32(2.0) * np.hypot(x, y)
    area = outline.mask & (muscle < 0.5)
    inner = area & (outline.depth > 0.03)
    share = min(0.98, breast.glandular * area.sum() / max(1, inner.sum()))
    border = np.float32(np.quantile(field[inner], 1 - share)) if inner.any() else np.float32(np.inf)
    soft = 1 / (1 + np.exp(-np.clip((field - border) / np.float32(0.22), -30, 30)))
    return np.asarray(soft * np.clip((outline.depth - 0.018) / 0.018, 0, 1) * (1 - muscle), np.float32)


def _clouds(
    size: tuple[int, int], cells: Sequence[int], rng: np.random.Generator, *, stretch: float = 1, turn: float = 0
) -> Picture:
    """Smooth unevenness, (H, W), about standard normal: turned grids of random numbers, coarse ones stronger.

    Args:
        size: H and W.
        cells: Grid cells over the height, for each grid.
        rng: Draws them, and how they are turned where nothing is stretched: no grid shows in the sum.
        stretch: How much longer the clouds are than wide.
        turn: Direction of the long side, radians.
    """
    height, wide = size
    total = np.zeros(size, np.float32)
    power = 0.0
    for count in cells:
        strength = (cells[0] / count) ** 0.6
        grid = rng.standard_normal((2 * count + 4, 2 * count + 4), dtype=np.float32)
        angle = turn if stretch != 1 else rng.uniform(0, 2 * np.pi)
        cosine, sine, scale = np.cos(angle), np.sin(angle), count / height
        back = np.asarray([[cosine / stretch, sine / stretch], [-sine, cosine]]) * scale
        shift = np.asarray([[count + 1.5], [count + 1.5]]) - back @ np.asarray([[wide / 2], [height / 2]])
        move = np.hstack([back, shift]).astype(np.float32)
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        total += np.float32(strength) * cv2.warpAffine(
            grid, move, (wide, height), flags=flags, borderMode=cv2.BORDER_WRAP
        )
        power += strength**2
    return np.asarray(total / np.float32(np.sqrt(power) * 0.75), np.float32)


def _vessels(outline: _Outline, rng: np.random.Generator) -> Picture:
    """A few winding lines from the chest wall towards the nipple, faint."""
    layer = np.zeros(outline.mask.shape, np.float32)
    for _ in range(int(rng.integers(3, 6))):
        along = np.linspace(0, rng.uniform(0.6, 0.9), 20)
        start = outline.middle + outline.half * rng.uniform(-0.8, 0.8)
        wave = 0.05 * outline.half * np.sin(along * rng.uniform(6, 14) + rng.uniform(0, 6))
        y = start + (outline.nipple[1] - start) * along**1.5 + wave
        points = np.stack([along * outline.nipple[0], y], axis=1).round().astype(np.int32)
        cv2.polylines(layer, [points], False, 1.0, max(1, round(len(layer) * 0.006)), cv2.LINE_AA)
    return 0.07 * layer


def _place(lesion: Lesion, outline: _Outline, view: View) -> tuple[float, float]:
    """Column and row of a finding's middle."""
    across = lesion.heights[0 if view == "CC" else 1]
    row = outline.middle + across * outline.half * (1 - 0.45 * lesion.depth)
    return lesion.depth * outline.nipple[0], row


def _box(lesion: Lesion, place: tuple[float, float], frame: tuple[float, int, int]) -> Box:
    """Around a finding, cut at the picture's border; ``frame``: half of the breast's height, width, height."""
    half, wide, height = frame
    reach = lesion.size * half * 1.2
    left, top = max(0, int(place[0] - reach)), max(0, int(place[1] - reach))
    return left, top, min(wide, int(place[0] + reach) + 1), min(height, int(place[1] + reach) + 1)


def _enlarge(picture: Picture, middle: tuple[float, float]) -> Picture:
    """Twice the size around a point, black outside the rounded collimator."""
    height, wide = picture.shape
    move = np.asarray([[2, 0, wide / 2 - 2 * middle[0]], [0, 2, height / 2 - 2 * middle[1]]], np.float32)
    large = cv2.warpAffine(picture, move, (wide, height), flags=cv2.INTER_LINEAR)
    field = np.zeros_like(picture)
    cv2.ellipse(field, (wide // 2, height // 2), (round(0.46 * wide), round(0.44 * height)), 0, 0, 360, 1.0, -1)
    return np.asarray(large * field, np.float32)
