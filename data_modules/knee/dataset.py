"""Exams as samples: of every volume a few slices are read."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from data_modules.cases import Case
from data_modules.dataset import CaseDataset
from data_modules.images import Pixels
from data_modules.transforms import SeededTransform
from data_modules.volumes import open_volume, slice_positions


class SliceDataset(CaseDataset):
    """Cases whose files are volumes: evenly spaced slices, each transformed by itself.

    Args:
        cases: What the dataset holds; paths of volumes are absolute.
        modalities: The planes to read.
        transform: Applied to every slice by itself, each with a seed of its own.
        training: Whether the slices are jittered within their steps.
        num_slices: Slices of each volume.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        *,
        modalities: Sequence[str],
        transform: SeededTransform,
        training: bool = False,
        num_slices: int,
    ) -> None:
        super().__init__(cases, modalities=modalities, transform=transform, training=training)
        self.num_slices = num_slices

    def image_settings(self) -> dict[str, Any]:
        """See `CaseDataset.image_settings`."""
        return {**super().image_settings(), "num_slices": self.num_slices}

    def read(self, case: Case, modality: str, generator: np.random.Generator) -> list[Pixels]:
        """The slices of a volume, each (H, W, 3) uint8: gray as stored, repeated to three channels.

        Raises:
            UnreadableImageError: If the file is no volume.
        """
        [file] = case.images[modality]
        volume = open_volume(file.path, where=file.where)
        positions = slice_positions(len(volume), self.num_slices, generator=generator if self.training else None)
        return [np.repeat(np.asarray(volume[position])[..., None], 3, axis=2) for position in positions]
