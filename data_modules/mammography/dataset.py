"""Cases of mammograms as samples: prepared images read, shown one or all of a view."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from data_modules.batch import ClassificationBatch, ClassificationSample
from data_modules.cases import Case
from data_modules.dataset import CaseDataset
from data_modules.images import Pixels
from data_modules.mammography.captioned import CaptionedCases
from data_modules.mammography.class_text import ClassTextCollate, ClassWriter
from data_modules.mammography.image_files import FOLDER, ImageFiles
from data_modules.mammography.pixels import Aspect, as_picture, read_prepared_file
from data_modules.sampling import Request
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
        writer: Of the captions of classes, that batches carry; of ``CaptionedCases`` also with their metadata. None:
            batches carry none.
        files: Where the bytes of images come from.
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
        writer: ClassWriter | None = None,
        files: ImageFiles = FOLDER,
    ) -> None:
        super().__init__(cases, modalities=modalities, transform=transform, training=training)
        self.images_per_view = images_per_view
        self.aspect: Aspect = aspect
        self.writer = writer
        self.files = files

    @property
    def collate(self) -> Callable[[Sequence[ClassificationSample]], ClassificationBatch]:
        """Stacks; where there is text of classes, also tokenises."""
        return super().collate if self.writer is None else ClassTextCollate(super().collate, self.writer)

    def __getitem__(self, request: int | Request) -> ClassificationSample:
        """One sample, a function of the request alone, see `CaseDataset`; with captions of its own where asked for."""
        sample = super().__getitem__(request)
        if self.writer is not None and isinstance(self.cases, CaptionedCases):
            index = request if isinstance(request, int) else request[0]
            sample["class_captions"] = self.writer.captions(self.cases.metadata.row(index))
        return sample

    def image_settings(self) -> dict[str, Any]:
        """See `CaseDataset.image_settings`."""
        return {**super().image_settings(), "images_per_view": self.images_per_view, "aspect": self.aspect}

    def read(self, case: Case, modality: str, generator: np.random.Generator) -> list[Pixels]:
        """One image of the view (training: any; evaluation: the first), or all, each (H, W, 3) uint8.

        Raises:
            UnreadableImageError: If a file is not what ``prepare`` wrote.
        """
        shown = case.images[modality]
        if self.images_per_view == "one" and len(shown) > 1:
            shown = (shown[int(generator.integers(len(shown))) if self.training else 0],)
        images = [read_prepared_file(file, files=self.files) for file in shown]
        return [as_picture(image, aspect=self.aspect) for image in images]
