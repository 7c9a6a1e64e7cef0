"""Augmentation: albumentations on 8-bit pixels, each image an exact function of its seed."""

import random
from collections.abc import Sequence
from typing import Any, TypeAlias

import albumentations as A
import cv2
import numpy as np
from albumentations import BaseCompose, BasicTransform

from data_modules.errors import DataSettingsError
from data_modules.images import Pixels

Step: TypeAlias = BasicTransform | BaseCompose
"""A transform, or a composition of some such as OneOf."""
FACTORS = (0.7, 1.3)


def paper_augmentation(img_size: int) -> list[Step]:
    """The augmentation of Early Intervention's released protocol (arXiv 2603.17514).

    Rotation in [-180, 180) degrees keeping the frame, crop of up to 10 % a side (p 0.5), horizontal flip (p 0.5),
    resize, then contrast, brightness and saturation in this order, each times U(0.7, 1.3).

    Args:
        img_size: Height and width of the result, pixels.
    """
    return [
        A.Rotate(limit=(-180, 180), border_mode=cv2.BORDER_CONSTANT, fill=0, p=1),
        A.CropAndPad(percent=(-0.1, 0), keep_size=False, p=0.5),
        A.HorizontalFlip(p=0.5),
        *evaluation_transform(img_size),
        _jitter(contrast=FACTORS),
        _jitter(brightness=FACTORS),
        _jitter(saturation=FACTORS),
    ]


def _jitter(
    *,
    contrast: tuple[float, float] = (1, 1),
    brightness: tuple[float, float] = (1, 1),
    saturation: tuple[float, float] = (1, 1),
) -> BasicTransform:
    """One factor a step: a ColorJitter of several applies them in random order."""
    return A.ColorJitter(brightness=brightness, contrast=contrast, saturation=saturation, hue=(0, 0), p=1)


def evaluation_transform(img_size: int) -> list[Step]:
    """Resize to a square, averaging over areas (bilinear where it enlarges).

    Args:
        img_size: Height and width of the result, pixels.
    """
    return [A.Resize(height=img_size, width=img_size, interpolation=cv2.INTER_AREA)]


class SeededTransform:
    """A pipeline whose result is a function of (image, seed), whatever came before and in whichever process.

    Args:
        steps: Albumentations' transforms on 8-bit images, in order.
        img_size: Images that leave the steps with another size are resized to this height and width.
    """

    def __init__(self, steps: Sequence[Step], *, img_size: int) -> None:
        self.pipeline = A.Compose(list(steps))
        self.resize = evaluation_transform(img_size)[0]
        self.img_size = img_size

    def settings(self) -> dict[str, Any]:
        """The steps and the size as plain types: equal settings, equal results."""
        steps = [dict(A.to_dict(step)) for step in self.pipeline.transforms]
        return {"img_size": self.img_size, "steps": steps}

    def __call__(self, image: Pixels, *, seed: int) -> Pixels:
        """Transform one image.

        Args:
            image: (H, W, 3) uint8, RGB.
            seed: Zero or more.

        Returns:
            (img_size, img_size, 3) uint8, RGB.

        Raises:
            DataSettingsError: If the pipeline leaves 8-bit RGB.
        """
        # Not set_random_seed: it gives every step a generator of its own with the same seed, so that two steps of
        # probability 0.5 would always act together.
        self.pipeline.set_random_state(np.random.default_rng(seed), random.Random(seed))
        result: Pixels = self.pipeline(image=image)["image"]
        if not isinstance(result, np.ndarray) or result.dtype != np.uint8 or result.shape[2:] != (3,):
            raise DataSettingsError(
                "the transform has to keep images 8-bit RGB arrays: leave out Normalize, ToFloat and ToTensorV2 "
                "(pixels become float32 in [0, 1] after it, and the model normalises)"
            )
        if result.shape[:2] != (self.img_size, self.img_size):
            result = self.resize(image=result)["image"]
        return result
