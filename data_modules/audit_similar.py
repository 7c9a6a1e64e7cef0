"""Pictures that are the same but for their encoding: saved anew as JPEG, converted, slightly resized.

Each picture becomes a thumbnail of its details; the thumbnails of two copies correlate almost fully. The threshold was
chosen between two measurements. Copies saved as JPEG of quality 75 or better, or resized to between half and twice the
size: at least .998 on real B-scans, fundus and dermoscopic photographs, at least .978 on medlit's drawn pictures of 96
pixels, the hardest, for they have hardly any detail. Pictures of different things: at most .33 between real B-scans,
.78 between dermoscopic photographs, .95 between a fundus photograph and its own mirror images (they share the round
frame), .94 between drawn pictures.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from data_modules.transforms import Pixels

SIDE = 24
DETAIL = 2.0
"""Standard deviation of the blur that is taken off, thumbnail's pixels: broad shading is alike in all pictures."""
FLAT = 0.5
"""A thumbnail that varies less than this (standard deviation, gray levels) shows nothing to compare."""
SAME = 0.965
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


def similar_groups(thumbnails: NDArray[np.float32], *, threshold: float = SAME) -> list[list[int]]:
    """Groups of rows that correlate, directly or through others of the group; rows without a partner are in none.

    Args:
        thumbnails: (N, SIDE * SIDE) float32, of ``thumbnail``.
        threshold: Correlation from which two are the same, up to 1.

    Returns:
        Row numbers in rising order, groups by their first.
    """
    first_of = list(range(len(thumbnails)))

    def root(row: int) -> int:
        while first_of[row] != row:
            first_of[row] = first_of[first_of[row]]
            row = first_of[row]
        return row

    for start in range(0, len(thumbnails), BLOCK):
        correlation = thumbnails[start : start + BLOCK] @ thumbnails[start:].T
        for i, j in np.argwhere(np.triu(correlation, 1) >= threshold).tolist():
            low, high = sorted((root(start + i), root(start + j)))
            first_of[high] = low
    groups: dict[int, list[int]] = {}
    for row in range(len(thumbnails)):
        groups.setdefault(root(row), []).append(row)
    return [group for group in groups.values() if len(group) > 1]
