"""Drawn fundus photographs and B-scans: what they show is one of four signs, all else is drawn at random."""

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Canvas = NDArray[np.float64]
"""(H, W, 3), RGB, 0 to 255."""
Layer = NDArray[np.float64]
"""(H, W)."""
Modality = Literal["cfp", "oct"]

SIGNS = {
    "cfp": ("pale drusen", "dark haemorrhage", "gray membrane", "bright exudate"),
    "oct": ("dark fluid", "bright deposit", "ring of fluid around a deposit", "bright column below"),
}
"""What each of the four values of a cue looks like."""
FUNDUS = (168, 82, 42)
CFP_COLOURS = ((228, 176, 84), (84, 12, 14), (92, 110, 104), (250, 240, 214))


def draw_fundus(sign: int, *, size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A colour fundus photograph: disc, vessels, fovea, and a sign over the macula.

    Args:
        sign: Index into ``SIGNS["cfp"]``.
        size: Height and width, pixels.
        rng: Draws side, tone, vessels, shape and noise.

    Returns:
        (size, size, 3) uint8, RGB; black outside a round frame.
    """
    side = 1 if rng.random() < 0.5 else -1
    y, x = np.mgrid[:size, :size] / size - 0.5
    x = x * side  # the disc is on the nose's side
    radius = np.hypot(x, y)
    tone = np.asarray(FUNDUS) * rng.uniform(0.85, 1.15) + rng.normal(0, 6, 3)
    canvas = tone * (1.05 - 0.5 * radius[..., None]) + 7 * _clouds(size, rng)
    disc_x, disc_y = 0.33 + rng.uniform(-0.03, 0.03), rng.uniform(-0.05, 0.05)
    canvas = _paint(canvas, _vessels(size, disc_x * side, disc_y, rng), np.asarray((96.0, 22, 18)))
    canvas = _paint(canvas, _soft(np.hypot(x - disc_x, y - disc_y), 0.075, 0.01), np.asarray((244.0, 206, 140)))
    canvas = _paint(canvas, 0.45 * _soft(radius, 0.09, 0.03), np.asarray((90.0, 34, 20)))
    colour = np.asarray(CFP_COLOURS[sign]) + rng.normal(0, 6, 3)
    canvas = _paint(canvas, _cfp_sign(sign, x + rng.uniform(-0.04, 0.04), y + rng.uniform(-0.04, 0.04), rng), colour)
    canvas += rng.normal(0, 3, canvas.shape)
    return np.asarray(np.clip(canvas * _soft(radius, 0.485, 0.004)[..., None], 0, 255), dtype=np.uint8)


def draw_bscan(sign: int, *, size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """An OCT B-scan: the layers of the retina with a dip at the fovea, speckle, and a sign in the middle.

    Args:
        sign: Index into ``SIGNS["oct"]``.
        size: Height and width, pixels.
        rng: Draws tilt, thickness, speckle and the sign's shape.

    Returns:
        (size, size, 3) uint8, gray repeated.
    """
    y, x = np.mgrid[:size, :size] / size - 0.5
    middle = rng.uniform(-0.05, 0.05)
    tilt, bend = rng.uniform(-0.08, 0.08), rng.uniform(-0.25, 0.25)
    base = 0.16 + rng.uniform(-0.03, 0.03) + tilt * x + bend * x**2  # height of the pigment epithelium
    dip = 0.07 * np.exp(-(((x - middle) / 0.1) ** 2))
    top = base - 0.30 * rng.uniform(0.9, 1.1) + dip
    depth = (y - top) / (base - top)  # 0 at the surface, 1 at the epithelium
    scan = np.full((size, size), 14.0)
    for centre, width, gray in ((0.04, 0.05, 150), (0.3, 0.12, 105), (0.55, 0.09, 82), (0.97, 0.045, 205)):
        scan += gray * np.exp(-(((depth - centre) / width) ** 2))
    below = np.clip(y - base, 0, None)
    scan += 90 * np.exp(-below / 0.12) * (y > base)
    scan = _oct_sign(sign, scan, x - middle, y - (base + top) / 2 - 0.02, below, rng)
    scan *= rng.gamma(12, 1 / 12, scan.shape)  # speckle
    scan += rng.normal(0, 3, scan.shape)
    return np.repeat(np.asarray(np.clip(scan, 0, 255), dtype=np.uint8)[..., None], 3, axis=2)


def _cfp_sign(sign: int, x: Layer, y: Layer, rng: np.random.Generator) -> Layer:
    """Where the sign is, (H, W) in [0, 1]: a field of spots, or one patch with an irregular border."""
    if sign == 0:
        mask = np.zeros_like(x)
        for _ in range(90):
            turn, far = rng.uniform(0, 2 * np.pi), 0.27 * np.sqrt(rng.random())
            spot = np.hypot(x - far * np.cos(turn), y - far * np.sin(turn))
            mask = np.maximum(mask, _soft(spot, rng.uniform(0.025, 0.05), 0.006))
        return mask
    angle: Layer = np.arctan2(y, x)
    border: Layer = np.full(x.shape, rng.uniform(0.22, 0.28))
    for lobes in range(2, 7):
        border *= 1 + 0.2 / lobes * rng.uniform(-1, 1) * np.cos(lobes * angle + rng.uniform(0, 2 * np.pi))
    return _soft(np.hypot(x, y), border, 0.012)


def _oct_sign(sign: int, scan: Layer, x: Layer, y: Layer, below: Layer, rng: np.random.Generator) -> Layer:
    """The scan with the sign in the middle of the retina, or below it."""
    wide, high = rng.uniform(0.24, 0.3), rng.uniform(0.15, 0.19)
    inside = _soft(np.hypot(x / wide, y / high), 1.0, 0.05)
    if sign == 3:
        column = _soft(np.abs(x), wide * 0.8, 0.02) * (below > 0)
        return scan * (1 - column) + 235 * column
    core = _soft(np.hypot(x / wide, y / high), 0.55, 0.05)
    bright = {0: np.zeros_like(core), 1: np.ones_like(core), 2: core}[sign]
    return scan * (1 - inside) + (6 + 229 * bright) * inside


def _soft(distance: Layer, border: Layer | float, softness: float) -> Layer:
    """1 within a border, 0 outside."""
    return np.asarray(1 / (1 + np.exp(np.clip((distance - border) / softness, -50, 50))))


def _paint(canvas: Canvas, mask: Layer, colour: NDArray[np.float64]) -> Canvas:
    return canvas * (1 - mask[..., None]) + mask[..., None] * colour


def _clouds(size: int, rng: np.random.Generator) -> Canvas:
    """Smooth unevenness, (H, W, 1), about standard normal."""
    return np.asarray(cv2.resize(rng.normal(size=(5, 5)), (size, size), interpolation=cv2.INTER_CUBIC))[..., None]


def _vessels(size: int, disc_x: float, disc_y: float, rng: np.random.Generator) -> Layer:
    """Vessels that leave the disc upwards and downwards and bend round the macula, (H, W) in [0, 1]."""
    layer = np.zeros((size, size))
    for _ in range(int(rng.integers(6, 10))):
        along = np.linspace(0, 1, 24)
        up = rng.choice((-1.0, 1.0)) * rng.uniform(0.2, 0.5)
        x = disc_x - np.sign(disc_x) * along * rng.uniform(0.2, 0.9)
        y = disc_y + up * np.sin(along * np.pi * rng.uniform(0.35, 0.6)) + 0.02 * np.sin(along * rng.uniform(6, 14))
        points = np.stack([(x + 0.5) * size, (y + 0.5) * size], axis=1).round().astype(np.int32)
        cv2.polylines(layer, [points], False, 1.0, max(1, round(size * rng.uniform(0.006, 0.016))), cv2.LINE_AA)
    return 0.7 * layer
