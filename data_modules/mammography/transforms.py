"""MaMA's augmentation of mammograms, on 8-bit images."""

from collections.abc import Sequence

import albumentations as A
import cv2
from albumentations import BaseCompose

from data_modules.transforms import Step

CROP_SCALE = (0.1, 1.0)
"""Share of the area that a crop keeps."""
JITTER = (0.2, 1.8)
"""Factors of brightness and contrast: 1 - 0.8 to 1 + 0.8."""
MIRRORS = (
    A.HorizontalFlip,
    A.VerticalFlip,
    A.D4,
    A.Transpose,
    A.RandomRotate90,
)
"""Transforms after which an image no longer tells the left from the right breast."""


def mama_augmentation(img_size: int) -> list[Step]:
    """The augmentation of MaMA (Du, Onofrey, Dvornek, IPMI 2025, arXiv 2409.18119, released code).

    Crop of 10 to 100 % of the area, resized; horizontal and vertical flip (p 0.5 each); brightness and contrast times
    U(0.2, 1.8) each, in random order (p 0.8); Gaussian blur, 7 x 7 pixels, sigma U(0.1, 2) (p 0.4). The paper's jitter
    of saturation and hue and its grayscale (p 0.2) change nothing in a gray image and are left out.

    Args:
        img_size: Height and width of the result, pixels.
    """
    return [
        A.RandomResizedCrop(
            size=(img_size, img_size),
            scale=CROP_SCALE,
            interpolation=cv2.INTER_LINEAR,
            area_for_downscale="image",  # otherwise a large crop is sampled, not averaged: calcifications come and go
        ),
        A.HorizontalFlip(p=0.5),
        A.VerticalFlip(p=0.5),
        A.ColorJitter(brightness=JITTER, contrast=JITTER, saturation=(1, 1), hue=(0, 0), p=0.8),
        A.GaussianBlur(blur_limit=(7, 7), sigma_limit=(0.1, 2.0), p=0.4),
    ]


def mirrors(steps: Sequence[Step]) -> bool:
    """Whether some of the transforms may mirror an image, so that the words left and right are untrue of it."""
    return any(
        mirrors(step.transforms) if isinstance(step, BaseCompose) else isinstance(step, MIRRORS) for step in steps
    )
