"""Pictures that are the same but for their encoding: saved anew as JPEG, converted, slightly resized.

Each picture becomes a thumbnail of its details. Two are copies of one picture where their thumbnails correlate, and
still do after the mean of all other pictures of the modality is taken off both: fundus photographs share a round frame,
B-scans a band of layers. The threshold lies between two measurements of the lower of both correlations:

- copies saved as JPEG of quality 75 or better, or resized to between half and twice the size: at least .99 on real
  B-scans, fundus and dermoscopic photographs, .97 on drawn pictures of 96 pixels, which have hardly any detail;
- different pictures: at most .34 between real B-scans, .78 between dermoscopic photographs, .48 between a fundus
  photograph and its own turned and mirrored images, .94 among 1650 drawn pictures.

Smaller drawn pictures (48 pixels) change more when they are saved anew: some copies of theirs are missed.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from data_modules.images import Pixels

SIDE = 24
DETAIL = 2.0
"""Standard deviation of the blur that is taken off, thumbnail's pixels: broad shading is alike in all pictures."""
FLAT = 0.5
"""A thumbnail that varies less than this (standard deviation, gray levels) shows nothing to compare."""
SAME = 0.96
SURELY_SAME = 0.995
"""From here on without looking at the other pictures: where most of them are copies, so is their mean."""
BLOCK = 2048
"""Rows compared at a time; bounds the memory."""

Thumbnail = NDArray[np.float32]
"""(SIDE * SIDE,), mean 0 and length 1; all zeros where the picture is flat."""


def thumbnail(picture: Pixels) -> Thumbnail:
    """The details of a picture, small.

    Args:
        picture: (H, W, 3) uint8, RGB.
    """
    gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(gray, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    details = small - cv2.GaussianBlur(small, (0, 0), DETAIL)
    details -= details.mean()
    if details.std() < FLAT:
        return np.zeros(SIDE * SIDE, dtype=np.float32)
    return np.asarray(details / np.linalg.norm(details), dtype=np.float32).ravel()


def similar_groups(thumbnails: NDArray[np.float32], *, modalities: Sequence[str]) -> list[list[int]]:
    """Groups of rows that are one picture, directly or through others of the group.

    Args:
        thumbnails: (N, SIDE * SIDE) float32, of ``thumbnail``; exact copies once.
        modalities: Of each row.

    Returns:
        Row numbers in rising order, groups by their first; rows without a partner are in none.
    """
    if not len(thumbnails):
        return []
    first_of = list(range(len(thumbnails)))

    def root(row: int) -> int:
        """The first row of those that a row is a copy of."""
        while first_of[row] != row:
            first_of[row] = first_of[first_of[row]]
            row = first_of[row]
        return row

    for i, j in _same_pairs(thumbnails, np.unique(modalities, return_inverse=True)[1]).tolist():
        low, high = sorted((root(i), root(j)))
        first_of[high] = low
    groups: dict[int, list[int]] = {}
    for row in range(len(thumbnails)):
        groups.setdefault(root(row), []).append(row)
    return [group for group in groups.values() if len(group) > 1]


def _same_pairs(thumbnails: NDArray[np.float32], kinds: NDArray[np.intp]) -> NDArray[np.intp]:
    """Pairs of rows that are one picture, (P, 2)."""
    sums = np.stack([thumbnails[kinds == kind].sum(0) for kind in range(int(kinds.max()) + 1)])
    counts = np.bincount(kinds)
    pairs = []
    for start in range(0, len(thumbnails), BLOCK):
        correlation = np.triu(thumbnails[start : start + BLOCK] @ thumbnails[start:].T, 1)
        found = np.argwhere(correlation >= SAME)
        raw = correlation[found[:, 0], found[:, 1]]
        found += start
        a, b = thumbnails[found[:, 0]], thumbnails[found[:, 1]]
        kind = kinds[found[:, 0]]
        both = (kinds[found[:, 1]] == kind)[:, None]
        others = np.maximum(counts[kind][:, None] - 1 - both, 1)
        mean = (sums[kind] - a - both * b) / others
        pairs.append(found[(raw >= SURELY_SAME) | (_correlation(a - mean, b - mean) >= SAME)])
    return np.concatenate(pairs)


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of each row of (P, D) arrays, (P,)."""
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.asarray((a * b).sum(1) / np.maximum(lengths, 1e-12), dtype=np.float32)
