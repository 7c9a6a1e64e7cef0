"""From cases (paths and labels) to samples and batches (tensors); all that a DataLoader's worker has to import."""

import signal
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from data_modules.batch import VARIABLES, ClassificationBatch, ClassificationSample
from data_modules.cases import Case, CaseColumns, check_units
from data_modules.images import Pixels, read_image
from data_modules.sampling import Request
from data_modules.transforms import SeededTransform


class SampleDataset(Dataset[Any], ABC):
    """What a DataModule asks of a dataset of cases, whatever its samples hold."""

    cases: Sequence[Case]
    """A sample of each, in this order."""
    modality_dropout: float = 0.0
    """Probability that a modality of a case is left out, not even read; one always stays. Set for training alone."""
    skip_images: Container[str] = frozenset()
    """Ids of cases whose images are not read: their samples come without."""

    def __len__(self) -> int:
        return len(self.cases)

    @abstractmethod
    def __getitem__(self, request: int | Request) -> Any:
        """One sample, a function of the request alone: index of the case and seed of its augmentation."""

    @property
    @abstractmethod
    def collate(self) -> Callable[[Sequence[Any]], Any]:
        """Makes a batch of samples; workers unpickle it."""


class CaseDataset(SampleDataset):
    """Cases as samples: read, transformed, stacked.

    Sets whose files are no pictures override ``read``.

    Args:
        cases: What the dataset holds; image paths are absolute.
        modalities: The modalities to read.
        transform: Applied to every image (slice) by itself, each with a seed of its own.
        training: Whether ``read`` may draw at random.

    Raises:
        TableError: If cases differ in the kinds of their units.
    """

    def __init__(
        self, cases: Sequence[Case], *, modalities: Sequence[str], transform: SeededTransform, training: bool = False
    ) -> None:
        self.cases = cases if isinstance(cases, CaseColumns) else list(cases)
        check_units(self.cases)
        self.modalities = list(modalities)
        self.transform = transform
        self.training = training

    @property
    def collate(self) -> Callable[[Sequence[ClassificationSample]], ClassificationBatch]:
        """``collate``."""
        return collate

    def __getitem__(self, request: int | Request) -> ClassificationSample:
        """One sample, a function of the request alone.

        Args:
            request: Index of the case and seed of its augmentation; an index alone means seed 0.

        Raises:
            UnreadableImageError: If a file holds no picture.
        """
        index, seed = (request, 0) if isinstance(request, int) else request
        case = self.cases[index]
        names = [] if case.case_id in self.skip_images else self._kept(case, seed)
        images = {name: self._stack(case, name, seed) for name in names}
        sample = ClassificationSample(images=images, case_id=case.case_id, group_id=case.group_id)
        if case.label is not None:
            sample["label"] = _label(case.label)
        if case.units:
            sample["units"] = dict(case.units)
        if case.strata:
            sample["strata"] = dict(case.strata)
        return sample

    def image_settings(self) -> dict[str, Any]:
        """What decides the images of a sample that is not augmented, beside the files, as plain types.

        Subclasses that show some of a case's images, or show them otherwise, add how.
        """
        return {"modalities": self.modalities, **self.transform.settings()}

    def read(self, case: Case, modality: str, generator: np.random.Generator) -> list[Pixels]:
        """The images (slices) of a case in a modality, each (H, W, 3) uint8 RGB; here every file is one picture.

        Args:
            case: The case, with absolute paths.
            modality: One that the case has.
            generator: To draw slices or files from in training (``self.training``).
        """
        return [read_image(file.path, where=file.where) for file in case.images[modality]]

    def _kept(self, case: Case, seed: int) -> list[str]:
        """The modalities that the case has and that dropout leaves it.

        Each is dropped where its draw is below the rate. Where all would be, the one with the largest draw stays.
        """
        present = [name for name in self.modalities if case.has(name)]
        if not self.modality_dropout or not present:
            return present
        source = np.random.SeedSequence([seed, zlib.crc32(b"modality_dropout")])
        draws = dict(zip(present, np.random.default_rng(source).random(len(present)), strict=True))
        kept = [name for name, draw in draws.items() if draw >= self.modality_dropout]
        return kept or [max(draws, key=draws.__getitem__)]

    def _stack(self, case: Case, modality: str, seed: int) -> Tensor:
        """A modality as a tensor; the seeds of its images do not depend on which other modalities are read."""
        if modality == VARIABLES:
            return torch.tensor([case.variables], dtype=torch.float32)
        source = np.random.SeedSequence([seed, zlib.crc32(modality.encode())])
        pictures = self.read(case, modality, np.random.default_rng(source))
        size = self.transform.img_size
        stack = np.empty((len(pictures), 3, size, size), dtype=np.float32)
        for i, (picture, own_seed) in enumerate(zip(pictures, source.generate_state(len(pictures)), strict=True)):
            stack[i] = self.transform(picture, seed=int(own_seed)).transpose(2, 0, 1)
        stack /= 255
        return torch.from_numpy(stack)


def collate(samples: Sequence[ClassificationSample]) -> ClassificationBatch:
    """Stack samples; cases with fewer images than the largest of the batch are padded with zeros.

    Args:
        samples: B samples with images of one size.

    Returns:
        A batch. A modality that no case has is missing, and so is ``label`` where no case has one; a case without
        label among cases with one holds -1 (single label) or NaN (several).
    """
    names = dict.fromkeys(name for sample in samples for name in sample["images"])
    images, masks = {}, {}
    for name in names:
        images[name], masks[name] = _pad([sample["images"].get(name) for sample in samples])
    batch = ClassificationBatch(
        images=images,
        image_mask=masks,
        case_id=[sample["case_id"] for sample in samples],
        group_id=[sample["group_id"] for sample in samples],
    )
    known = [sample["label"] for sample in samples if "label" in sample]
    if known:
        unknown = torch.full_like(known[0], torch.nan if known[0].is_floating_point() else -1)
        batch["label"] = torch.stack([sample.get("label", unknown) for sample in samples])
    if "units" in samples[0]:  # then all have them, of the same kinds
        batch["units"] = {kind: [sample["units"][kind] for sample in samples] for kind in samples[0]["units"]}
    if "strata" in samples[0]:
        batch["strata"] = {name: [sample["strata"][name] for sample in samples] for name in samples[0]["strata"]}
    return batch


def start_worker(_worker: int) -> None:
    """Prepare a DataLoader's worker.

    OpenCV keeps to one thread: there is a worker per core already. Signals that stop a training are left to the process
    that trains: clusters and terminals send them to all, and a worker that is gone would end it before its state is
    kept. A worker ends with the process that started it.
    """
    cv2.setNumThreads(0)
    for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _pad(stacks: Sequence[Tensor | None]) -> tuple[Tensor, Tensor]:
    """(B, I, ...) float32 and (B, I) bool of stacks (I_b, ...); None is a case without images."""
    counts = [0 if stack is None else len(stack) for stack in stacks]
    longest = max(counts)
    mask = torch.arange(longest) < torch.tensor(counts)[:, None]
    first = next(stack for stack in stacks if stack is not None)
    images = first.new_zeros(len(stacks), longest, *first.shape[1:])
    for padded, stack in zip(images, stacks, strict=True):
        if stack is not None:
            padded[: len(stack)] = stack
    return images, mask


def _label(label: int | tuple[int, ...]) -> Tensor:
    return torch.tensor(label, dtype=torch.float32 if isinstance(label, tuple) else torch.int64)
