"""Drawn photographs of skin lesions: what they show is their colour, all else is drawn at random."""

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Modality = Literal["clinic", "derm"]
Canvas = NDArray[np.float64]
"""(H, W, 3), RGB, 0 to 255."""

COLOURS = ((62, 42, 36), (185, 48, 52), (72, 92, 140), (236, 228, 220), (208, 152, 48))
"""The cues: black, red, blue-gray, white and yellow, the colours that dermoscopy distinguishes (brown is the rest)."""
SKIN = (222, 176, 152)
BROWN = (150, 105, 75)
HAIR = (70, 50, 40)


def draw_lesion(
    modality: Modality, colour: int, *, width: int, height: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """A lesion whose colour is the cue.

    ``clinic`` shows the whole lesion in that colour on skin; ``derm`` a close-up of a brown lesion with a blotch
    in that colour.

    Args:
        modality: Which photograph.
        colour: Index into ``COLOURS``.
        width: Pixels.
        height: Pixels.
        rng: Draws shape, place, tone and noise.

    Returns:
        (height, width, 3) uint8, RGB.
    """
    canvas = np.asarray(SKIN) + rng.normal(0, 8, 3) + 6 * _clouds(width, height, 4, rng)
    if modality == "clinic":
        lesion = _blob(width, height, radius=rng.uniform(0.24, 0.32), wander=0.06, rng=rng)
        canvas = _paint(canvas, lesion, _tone(COLOURS[colour], rng) + 8 * _clouds(width, height, 6, rng))
    else:
        lesion = _blob(width, height, radius=rng.uniform(0.40, 0.46), wander=0.03, rng=rng)
        canvas = _paint(canvas, lesion, _tone(BROWN, rng) + 10 * _clouds(width, height, 8, rng))
        canvas = _dots(canvas, lesion, rng)
        blotch = _blob(width, height, radius=rng.uniform(0.24, 0.30), wander=0.04, rng=rng)
        canvas = _paint(canvas, blotch, _tone(COLOURS[colour], rng))
    canvas = _hairs(canvas, int(rng.integers(0, 3)), rng)
    canvas += rng.normal(0, 4, canvas.shape)
    return np.clip(canvas, 0, 255).astype(np.uint8)


def _tone(colour: tuple[int, int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    """(3,), the colour with a little of every lesion's own."""
    return np.asarray(colour) + rng.normal(0, 8, 3)


def _clouds(width: int, height: int, cells: int, rng: np.random.Generator) -> Canvas:
    """Smooth unevenness, (H, W, 1), about standard normal."""
    coarse = rng.normal(size=(cells, cells + 2))
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))[..., None]


def _blob(width: int, height: int, *, radius: float, wander: float, rng: np.random.Generator) -> Canvas:
    """A spot with an irregular, soft border near the centre, (H, W, 1) in [0, 1]; lengths are shares of the height."""
    y, x = np.mgrid[:height, :width]
    y = y - height * (0.5 + rng.uniform(-wander, wander))
    x = x - width * 0.5 - height * rng.uniform(-wander, wander)
    angle = np.arctan2(y, x)
    border = np.full(angle.shape, radius * height)
    for lobes in range(2, 7):
        border *= 1 + 0.15 / lobes * rng.uniform(-1, 1) * np.cos(lobes * angle + rng.uniform(0, 2 * np.pi))
    softness = 0.06 * radius * height + 0.5
    inside: Canvas = 1 / (1 + np.exp((np.hypot(x, y) - border) / softness))
    return inside[..., None]


def _paint(canvas: Canvas, mask: Canvas, colour: NDArray[np.float64]) -> Canvas:
    return canvas * (1 - mask) + mask * colour


def _dots(canvas: Canvas, lesion: Canvas, rng: np.random.Generator) -> Canvas:
    """Dark dots inside the lesion."""
    height, width = canvas.shape[:2]
    layer = np.zeros((height, width))
    for x, y in rng.uniform((0, 0), (width, height), (int(rng.integers(0, 12)), 2)):
        cv2.circle(layer, (int(x), int(y)), max(1, height // 60), 1.0, -1)
    return _paint(canvas, 0.5 * layer[..., None] * lesion, np.asarray(HAIR, dtype=float))


def _hairs(canvas: Canvas, count: int, rng: np.random.Generator) -> Canvas:
    """Thin dark lines across the picture."""
    height, width = canvas.shape[:2]
    layer = np.zeros((height, width))
    for _ in range(count):
        start, end = (rng.uniform((0, 0), (width, height)).astype(int).tolist() for _ in range(2))
        cv2.line(layer, start, end, 1.0, max(1, height // 200))
    return _paint(canvas, 0.4 * layer[..., None], np.asarray(HAIR, dtype=float))
