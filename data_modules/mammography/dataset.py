"""Cases of mammograms as samples: prepared images read, shown one or all of a view."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from data_modules.cases import Case
from data_modules.dataset import CaseDataset
from data_modules.images import Pixels
from data_modules.mammography.pixels import Aspect, as_picture, read_prepared
from data_modules.transforms import SeededTransform

ImagesPerView = Literal["one", "all"]


class MammogramDataset(CaseDataset):
    """Images or breasts as samples.

    Args:
        cases: Image paths are absolute, or start from the working directory.
        modalities: Those to read.
        transform: Applied to every image by itself, each with a seed of its own.
        training: Whether one image of a view is drawn at random instead of taking the first.
        images_per_view: Of a breast with several images of a view, one or all.
        aspect: Whether images are padded to a square before the transform, or distorted by it.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        *,
        modalities: Sequence[str],
        transform: SeededTransform,
        training: bool = False,
        images_per_view: ImagesPerView = "one",
        aspect: Aspect = "keep",
    ) -> None:
        super().__init__(cases, modalities=modalities, transform=transform, training=training)
        self.images_per_view = images_per_view
        self.aspect: Aspect = aspect

    def image_settings(self) -> dict[str, Any]:
        """See `CaseDataset.image_settings`."""
        return {**super().image_settings(), "images_per_view": self.images_per_view, "aspect": self.aspect}

    def read(self, case: Case, modality: str, generator: np.random.Generator) -> list[Pixels]:
        """One image of the view (training: any; evaluation: the first), or all, each (H, W, 3) uint8.

        Raises:
            UnreadableImageError: If a file is not what ``prepare`` wrote.
        """
        files = case.images[modality]
        if self.images_per_view == "one" and len(files) > 1:
            files = (files[int(generator.integers(len(files))) if self.training else 0],)
        return [as_picture(read_prepared(file.path, where=file.where), aspect=self.aspect) for file in files]
