"""Findings of drawn mammograms: masses, asymmetries, calcifications and clips, and which belong to a BI-RADS category.

Sizes are shares of the breast's height. All findings of categories 4 and 5 are at least 12 % wide and bright, so that
they can be seen where the whole picture is 64 pixels high.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]
"""(H, W), 0 black to 1 white."""
Shape = Literal["round", "oval", "irregular", "focal asymmetry"]
Margin = Literal["circumscribed", "indistinct", "spiculated"]
MassDensity = Literal["low", "equal", "high"]
Calcification = Literal["coarse", "fine pleomorphic", "fine linear branching"]
Distribution = Literal["grouped", "segmental", "diffuse"]

MASS_GRAY: Mapping[MassDensity, float] = {"low": 0.76, "equal": 0.82, "high": 0.97}
"""Of a mass, where glandular tissue is about .6."""
FOCAL_GRAY = 0.30
"""What an asymmetry adds in its middle."""
DIAMETERS: Mapping[int, tuple[float, float]] = {
    0: (0.20, 0.26),
    2: (0.12, 0.22),
    3: (0.11, 0.14),
    4: (0.15, 0.18),
    5: (0.18, 0.23),
    6: (0.18, 0.23),
}
"""Of what belongs to a category."""
SPICULES = (16, 26)
HALO = 0.3
"""How much darker the rim of fat around a circumscribed mass is."""
EDGE: Mapping[Margin, float] = {"circumscribed": 0.006, "indistinct": 0.016, "spiculated": 0.012}
"""Softness of a margin."""
LOBES: Mapping[Shape, float] = {"round": 0.02, "oval": 0.03, "irregular": 0.22, "focal asymmetry": 0.0}
"""How far the border departs from a circle or an ellipse."""


@dataclass(frozen=True, slots=True)
class Lesion:
    """One finding of a breast; both views show it.

    Attributes:
        size: Diameter of the mass, or of the area with calcifications, as a share of the breast's height.
        depth: Place between the chest wall (0) and the nipple (1).
        heights: Place between the middle of the breast (0) and its border (-1 or 1), in CC and in MLO.
    """

    size: float
    depth: float
    heights: tuple[float, float]
    shape: Shape | None = None
    margin: Margin | None = None
    density: MassDensity | None = None
    calcification: Calcification | None = None
    distribution: Distribution | None = None
    clip: bool = False


def lesions_of(birads: int, rng: np.random.Generator) -> tuple[Lesion, ...]:
    """Findings that belong to a category: none for 1.

    Args:
        birads: 0 an asymmetry to be looked at again; 2 coarse calcifications; 3 a circumscribed mass; 4 an irregular
            mass with short spicules, every third one with pleomorphic calcifications; 5 a larger spiculated mass, every
            third one with branching calcifications; 6 a spiculated mass with the clip of the biopsy.
        rng: Draws place, size and what may differ within a category.
    """
    if birads == 1:
        return ()
    depth, heights = rng.uniform(0.38, 0.68), (rng.uniform(-0.4, 0.4), rng.uniform(-0.05, 0.45))
    size = rng.uniform(*DIAMETERS[birads])
    lesion = Lesion(float(size), float(depth), (float(heights[0]), float(heights[1])))
    if birads == 0:
        return (replace(lesion, shape="focal asymmetry", density="equal"),)
    if birads == 2:
        return (replace(lesion, calcification="coarse", distribution="diffuse"),)
    if birads == 3:
        shape: Shape = "round" if rng.random() < 0.5 else "oval"
        return (replace(lesion, shape=shape, margin="circumscribed", density="equal" if rng.random() < 0.7 else "low"),)
    mass = replace(lesion, shape="irregular", margin="spiculated", density="high", clip=birads == 6)
    if birads in (4, 5) and rng.random() < 1 / 3:
        kind: Calcification = "fine pleomorphic" if birads == 4 else "fine linear branching"
        return (replace(mass, calcification=kind, distribution="grouped" if birads == 4 else "segmental"),)
    return (mass,)


def draw_lesion(
    picture: Picture, lesion: Lesion, centre: tuple[float, float], *, high: float, rng: np.random.Generator
) -> None:
    """Draw a finding into a picture, in place.

    Args:
        picture: The breast.
        lesion: What to draw.
        centre: Column and row, pixels; the chest wall is at the left.
        high: The breast's height, pixels.
        rng: Draws the border, the spicules and each calcification.
    """
    if lesion.shape == "focal asymmetry":
        _draw_asymmetry(picture, lesion, centre, high, rng)
    elif lesion.shape is not None:
        _draw_mass(picture, lesion, centre, high, rng)
    if lesion.calcification is not None:
        _draw_calcifications(picture, lesion, centre, high, rng)
    if lesion.clip:
        _draw_clip(picture, centre, high, rng)


def _polar(picture: Picture, centre: tuple[float, float]) -> tuple[Picture, Picture]:
    """Distance in pixels and angle of every pixel from a point."""
    rows, columns = picture.shape
    y = np.arange(rows, dtype=np.float32)[:, None] - np.float32(centre[1])
    x = np.arange(columns, dtype=np.float32)[None, :] - np.float32(centre[0])
    return np.hypot(x, y), np.arctan2(y, x)


def _blend(picture: Picture, opacity: Picture, gray: float | Picture) -> None:
    picture += opacity * (gray - picture)


def _draw_mass(
    picture: Picture, lesion: Lesion, centre: tuple[float, float], high: float, rng: np.random.Generator
) -> None:
    shape, margin, density = lesion.shape or "round", lesion.margin or "circumscribed", lesion.density or "equal"
    radius = lesion.size * high / 2
    gray = MASS_GRAY[density] + rng.uniform(-0.02, 0.02)
    distance, angle = _polar(picture, centre)
    turn = rng.uniform(0, np.pi)
    border = np.full_like(distance, radius)
    if shape == "oval":
        border /= np.hypot(np.cos(angle - turn) / 1.2, np.sin(angle - turn) / 0.8)
    for lobes in range(2, 7):
        border *= 1 + LOBES[shape] / lobes**0.5 * rng.uniform(-1, 1) * np.cos(lobes * angle + rng.uniform(0, 2 * np.pi))
    if margin == "spiculated":
        _blend(picture, _spicules(picture.shape, centre, radius, rng), 0.92)
    if margin == "circumscribed":
        picture *= 1 - HALO * np.exp(-(((distance - border) / (0.014 * high) - 1) ** 2))
    inside = 1 / (1 + np.exp(np.clip((distance - border) / (EDGE[margin] * high), -30, 30)))
    _blend(picture, 0.96 * inside, gray - 0.06 * np.minimum(distance / radius, 1) ** 2)


def _spicules(shape: tuple[int, ...], centre: tuple[float, float], radius: float, rng: np.random.Generator) -> Picture:
    """Lines that radiate from a mass and end thin, (H, W) in [0, 1]."""
    layer = np.zeros(shape, dtype=np.float32)
    count = int(rng.integers(*SPICULES, endpoint=True))
    for angle in (np.arange(count) + rng.uniform(-0.45, 0.45, count)) * 2 * np.pi / count:
        length, bend, wide = radius * rng.uniform(1.3, 2.4), rng.uniform(-0.35, 0.35), rng.uniform(0.08, 0.17)
        along = np.linspace(0.3, 1, 5)
        turned = angle + bend * along
        points = np.stack([centre[0] + length * along * np.cos(turned), centre[1] + length * along * np.sin(turned)], 1)
        for part in range(4):
            thick = max(1, round(radius * wide * (1 - 0.25 * part)))
            pair = np.round(points[part : part + 2] * 16).astype(np.int32)
            cv2.line(layer, pair[0].tolist(), pair[1].tolist(), 0.85 - 0.17 * part, thick, cv2.LINE_AA, 4)
    return np.asarray(cv2.GaussianBlur(layer, (0, 0), max(0.4, radius * 0.04)), dtype=np.float32)


def _draw_asymmetry(
    picture: Picture, lesion: Lesion, centre: tuple[float, float], high: float, rng: np.random.Generator
) -> None:
    """A haze without a border."""
    distance, angle = _polar(picture, centre)
    stretched = distance / (1 + 0.25 * np.cos(2 * (angle - rng.uniform(0, np.pi))))
    picture += FOCAL_GRAY * np.exp(-2.2 * (stretched / (lesion.size * high / 2)) ** 2) * (picture > 0.05)


def _draw_calcifications(
    picture: Picture, lesion: Lesion, centre: tuple[float, float], high: float, rng: np.random.Generator
) -> None:
    reach = lesion.size * high / 2
    if lesion.calcification == "coarse":
        for _ in range(int(rng.integers(3, 5, endpoint=True))):
            _dot(picture, _near(centre, reach * 1.3, rng), high * rng.uniform(0.013, 0.021))
        return
    if lesion.calcification == "fine pleomorphic":
        for _ in range(int(rng.integers(34, 48))):
            _dot(picture, _near(centre, reach * 1.1, rng), high * rng.uniform(0.004, 0.008))
        return
    for _ in range(int(rng.integers(16, 24))):  # fine linear branching: casts of ducts, which run to the nipple
        x, y = _near(centre, reach * 1.2, rng)
        turn, length = rng.normal(0, 0.5), high * rng.uniform(0.02, 0.04)
        ends = [(x, y), (x + length * np.cos(turn), y + length * np.sin(turn))]
        start, end = (tuple(round(value * 16) for value in point) for point in ends)
        cv2.line(picture, start, end, 1.0, max(1, round(high * 0.005)), cv2.LINE_AA, 4)


def _near(centre: tuple[float, float], reach: float, rng: np.random.Generator) -> tuple[float, float]:
    turn, far = rng.uniform(0, 2 * np.pi), reach * np.sqrt(rng.random())
    return centre[0] + far * np.cos(turn), centre[1] + far * np.sin(turn)


def _dot(picture: Picture, centre: tuple[float, float], radius: float) -> None:
    """A bright disc with a soft border, never smaller than a pixel."""
    soft, reach = max(0.35, 0.12 * radius), 3 * radius + 4
    left, top = (max(0, int(value - reach)) for value in centre)
    part = picture[top : max(0, int(centre[1] + reach)), left : max(0, int(centre[0] + reach))]
    distance, _ = _polar(part, (centre[0] - left, centre[1] - top))
    _blend(part, 1 / (1 + np.exp(np.clip((distance - max(0.7, radius)) / soft, -30, 30))), 1.0)


def _draw_clip(picture: Picture, centre: tuple[float, float], high: float, rng: np.random.Generator) -> None:
    """The metal clip that a biopsy leaves: a ribbon with a dark rim, beside the middle of the mass."""
    x, y = _near(centre, 0.02 * high, rng)
    reach, turn = 0.022 * high, rng.uniform(0, np.pi)
    thick = max(1, round(0.007 * high))
    for side in (-0.6, 0.6):
        ends = [(x + reach * np.cos(turn + side + half), y + reach * np.sin(turn + side + half)) for half in (0, np.pi)]
        start, end = (tuple(round(value * 16) for value in point) for point in ends)
        cv2.line(picture, start, end, 0.55, thick * 3, cv2.LINE_AA, 4)
        cv2.line(picture, start, end, 1.0, thick, cv2.LINE_AA, 4)
