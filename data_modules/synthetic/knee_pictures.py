"""Drawn magnetic resonance volumes of knees: what they show is where the fluid lies, all else is drawn at random.

Lengths are shares of half the picture's side: a slice covers [-1, 1] x [-1, 1], the volume's depth is [-1, 1] too.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Plane = Literal["axial", "coronal", "sagittal"]
Field = NDArray[np.float64]
"""(S, H, W), or what broadcasts to it."""

PLACES = ("nowhere", "in the centre", "around the joint", "along the joint line", "along the shaft")
"""The cues. Mirroring a slice at either axis leaves each what it is."""
TISSUES: Mapping[Plane, Mapping[str, float]] = {
    "axial": {"fat": 105, "muscle": 85, "bone": 60, "ligament": 15, "fluid": 235},
    "coronal": {"fat": 210, "muscle": 125, "bone": 180, "ligament": 25, "fluid": 40},
    "sagittal": {"fat": 75, "muscle": 95, "bone": 50, "ligament": 15, "fluid": 225},
}
"""Gray by plane: fluid is bright in proton-density and T2 weighting (axial, sagittal), dark in T1 (coronal)."""
SOFTNESS = 0.04
"""Width of a border."""


def draw_volume(plane: Plane, place: int, *, slices: int, size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A volume of a knee whose fluid is the cue; every slice shows it, a little fainter towards both ends.

    Args:
        plane: Which; it decides shapes and contrast.
        place: Index into ``PLACES``.
        slices: S.
        size: Height and width of a slice, pixels.
        rng: Draws position, proportions, contrast and noise.

    Returns:
        (S, size, size) uint8.
    """
    grays = {name: gray + rng.normal(0, 6) for name, gray in TISSUES[plane].items()}
    axis = (np.arange(size) + 0.5) / size * 2 - 1
    y = (axis + rng.uniform(-0.06, 0.06))[None, :, None]
    x = (axis + rng.uniform(-0.06, 0.06))[None, None, :]
    z = np.linspace(-1, 1, slices)[:, None, None] if slices > 1 else np.zeros((1, 1, 1))
    width = np.sqrt(1 - 0.3 * z**2) * rng.uniform(0.95, 1.05)  # a knee is narrower at both ends
    volume = np.full((slices, size, size), 8.0)
    for tissue, mask in _anatomy(plane, x / width, y, z, rng):
        volume += mask * (grays[tissue] - volume)
    strength = (1 - 0.2 * z**2) * rng.uniform(0.85, 1.0)
    volume += strength * _fluid(place, x, y, rng) * (grays["fluid"] - volume)
    volume *= 1 + 0.05 * rng.normal() * x  # the coil's sensitivity
    volume += rng.normal(0, 5, volume.shape)
    gray: NDArray[np.uint8] = np.clip(volume, 0, 255).astype(np.uint8)
    return gray


def _anatomy(plane: Plane, x: Field, y: Field, z: Field, rng: np.random.Generator) -> list[tuple[str, Field]]:
    """Tissues and their masks, each painted over those before."""
    if plane == "axial":
        return [
            ("fat", _ellipse(x, y, (0, 0), (0.9, 0.85))),
            ("muscle", _ellipse(x, y, (0, 0.25), (0.72, 0.5))),
            ("bone", _ellipse(x, y, (-0.3, 0.05), (0.32, 0.38)) + _ellipse(x, y, (0.3, 0.05), (0.32, 0.38))),
            ("bone", _ellipse(x, y, (0, -0.55 + 0.05 * z), (0.28, 0.13))),  # patella
            ("ligament", _ellipse(x, y, (0, 0.22), (0.05, 0.13))),
        ]
    joint = 0.05 + rng.uniform(-0.05, 0.05) + 0.03 * z  # height of the joint line
    if plane == "coronal":
        menisci = _wedge(x, y - joint, -0.6) + _wedge(-x, y - joint, -0.6)
        return [
            ("fat", _inside(0.9 - np.abs(x)) + 0 * y),
            ("muscle", _inside(0.75 - np.abs(x)) * _inside(np.abs(y) - 0.4)),
            ("bone", _inside(joint - 0.06 - y) * _inside(0.45 + 0.2 * np.exp(-4 * (y - joint) ** 2) - np.abs(x))),
            ("bone", _inside(y - joint - 0.06) * _inside(0.40 + 0.25 * np.exp(-4 * (y - joint) ** 2) - np.abs(x))),
            ("ligament", menisci),
            ("ligament", _ellipse(x - 0.4 * (y - joint), y - joint, (0, -0.1), (0.05, 0.16))),
        ]
    return [
        ("fat", _inside(0.88 - np.abs(x)) + 0 * y),
        ("muscle", _inside(0.8 - x) * _inside(x - 0.35) + 0 * y),
        ("bone", _ellipse(x, y, (0.02, joint - 0.42), (0.45, 0.38))),  # femur
        ("bone", _inside(joint - 0.5 - y) * _inside(0.26 - np.abs(x - 0.05))),
        ("bone", _inside(y - joint - 0.06) * _inside(0.42 - 0.15 * (y - joint) - np.abs(x))),  # tibia
        ("bone", _ellipse(x, y, (-0.62, joint - 0.38), (0.12, 0.22))),  # patella
        ("ligament", _wedge(x, y - joint, -0.42) + _wedge(-x, y - joint, -0.42)),
        ("ligament", _ellipse(x - 0.9 * (y - joint), y - joint, (0.05, -0.12), (0.06, 0.2))),
    ]


def _fluid(place: int, x: Field, y: Field, rng: np.random.Generator) -> Field:
    """Mask of the fluid."""
    thickness = rng.uniform(0.14, 0.18)
    radius = np.hypot(x, y)
    if place == 1:
        return _inside(2.4 * thickness - radius)
    if place == 2:
        return _inside(thickness - np.abs(radius - 0.75))
    if place == 3:
        return _inside(thickness - np.abs(y)) * _inside(0.85 - np.abs(x))
    if place == 4:
        return _inside(thickness - np.abs(x)) * _inside(0.85 - np.abs(y))
    return np.zeros_like(radius)


def _inside(distance: Field) -> Field:
    """Soft step: 1 where the distance from the border is positive."""
    step: Field = 1 / (1 + np.exp(np.clip(-distance / SOFTNESS, -30, 30)))
    return step


def _ellipse(x: Field, y: Field, centre: tuple[float, float | Field], radii: tuple[float, float]) -> Field:
    away = np.hypot((x - centre[0]) / radii[0], (y - centre[1]) / radii[1])
    return _inside((1 - away) * min(radii))


def _wedge(x: Field, y: Field, edge: float) -> Field:
    """A meniscus: a wedge at the joint line that opens towards the outer edge at the left."""
    return _inside(0.1 * (1 - (x - edge) / 0.3) - np.abs(y)) * _inside(x - edge) * _inside(edge + 0.3 - x)
