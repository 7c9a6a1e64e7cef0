"""Samples of MMC-AMD: of an eye with several images one is shown, or all."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from data_modules.cases import Case
from data_modules.dataset import CaseDataset
from data_modules.images import Pixels, read_image
from data_modules.transforms import SeededTransform

ImagesPerCase = Literal["one", "all"]


class EyeDataset(CaseDataset):
    """Eyes as samples.

    Args:
        cases: Eyes; image paths are absolute.
        modalities: The modalities to read.
        transform: Applied to every image by itself, each with a seed of its own.
        training: Whether one image is drawn at random instead of taking the first.
        images_per_case: One image of each modality, or all.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        *,
        modalities: Sequence[str],
        transform: SeededTransform,
        training: bool = False,
        images_per_case: ImagesPerCase = "one",
    ) -> None:
        super().__init__(cases, modalities=modalities, transform=transform, training=training)
        self.images_per_case = images_per_case

    def image_settings(self) -> dict[str, Any]:
        """See `CaseDataset.image_settings`."""
        return {**super().image_settings(), "images_per_case": self.images_per_case}

    def read(self, case: Case, modality: str, generator: np.random.Generator) -> list[Pixels]:
        """One image of the eye (training: any; evaluation: the first in the order of names), or all.

        Args:
            case: The eye, with absolute paths.
            modality: One that the eye has.
            generator: Draws the image in training.
        """
        files = case.images[modality]
        if self.images_per_case == "one":
            files = (files[int(generator.integers(len(files))) if self.training else 0],)
        return [read_image(file.path, where=file.where) for file in files]
