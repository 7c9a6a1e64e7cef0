"""What every classification set shares: splits, loaders, sampling, class weights, hashes, a plot."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from torch.utils.data import DataLoader

from data_modules.batch import ClassificationSample
from data_modules.cases import Case, check_labelled, label_groups, label_matrix, locate_images
from data_modules.dataset import CaseDataset, collate, start_worker
from data_modules.errors import DataSettingsError, TableError, nearest
from data_modules.images import ImageFolder
from data_modules.plot import plot_sample
from data_modules.sampling import EvaluationSampler, TrainingSampler
from data_modules.splits import SPLITS, Split, check_disjoint, file_hash, ids_hash
from data_modules.synthetic.tree import MARKER
from data_modules.transforms import SeededTransform, Step, evaluation_transform, paper_augmentation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PredictSplit = Literal["train", "val", "test", "all"]


class ClassificationDataModule(LightningDataModule, ABC):
    """A classification set: its subclass reads the tables, all else is here.

    ``num_classes``, ``class_names``, ``modalities``, ``multi_label``, ``img_size`` and ``batch_size`` are known without
    reading data. ``setup`` reads the tables and finds every image that the stage needs, before anything is trained; fit
    needs the test split too, for the best checkpoint is tested after it. ``synthetic`` says after ``setup`` whether the
    set is a look-alike that medlit drew.

    Args:
        root: Folder of the data set.
        class_names: Classes in the order of their ids.
        modalities: Those to read.
        multi_label: Whether a case can have several classes.
        img_size: Height and width of the images, pixels.
        batch_size: Cases per batch of one process.
        num_workers: Processes that read images; the samples do not depend on it.
        balanced_sampling: Whether training repeats cases until classes (several labels: their combinations) are even.
        train_transform: Albumentations' transforms on 8-bit images; None is the paper's augmentation.
        eval_transform: The same for evaluation; None resizes.
        predict_split: The cases of ``predict``; ``all`` takes every row of the table.
        seed: Of the order and the augmentation, zero or more.
    """

    name: str
    """The set's name in messages."""
    known_modalities: ClassVar[tuple[str, ...]]
    """All modalities of the set."""
    images_root: ClassVar[str] = "."
    """Folder below ``root`` that the paths of the tables start from."""

    def __init__(
        self,
        *,
        root: str | Path,
        class_names: Sequence[str],
        modalities: Sequence[str],
        multi_label: bool,
        img_size: int,
        batch_size: int,
        num_workers: int,
        balanced_sampling: bool,
        train_transform: list[Step] | None,
        eval_transform: list[Step] | None,
        predict_split: PredictSplit,
        seed: int,
    ) -> None:
        super().__init__()
        _check_modalities(self.name, modalities, self.known_modalities)
        _check_numbers(img_size=(img_size, 1), batch_size=(batch_size, 1), num_workers=(num_workers, 0), seed=(seed, 0))
        self.root = Path(root)
        self.class_names = list(class_names)
        self.num_classes = len(self.class_names)
        self.modalities = list(modalities)
        self.multi_label = multi_label
        self.img_size = img_size
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.balanced_sampling = balanced_sampling
        self.predict_split = predict_split
        self.seed = seed
        self.synthetic = False
        self.splits: dict[str, list[Case]] = {}
        self._located: dict[str, list[Case]] = {}
        steps = paper_augmentation(img_size) if train_transform is None else train_transform
        self._train_transform = SeededTransform(steps, img_size=img_size)
        steps = evaluation_transform(img_size) if eval_transform is None else eval_transform
        self._eval_transform = SeededTransform(steps, img_size=img_size)

    # What a set has to say.

    @abstractmethod
    def read_splits(self, splits: Sequence[Split], *, labelled: bool) -> dict[Split, list[Case]]:
        """The cases of splits in the order of the tables; image paths start from ``images_root``.

        Args:
            splits: Those needed; the files of others need not exist.
            labelled: Whether the table has to have labels.
        """

    @abstractmethod
    def read_all(self) -> list[Case]:
        """Every case of the table for prediction: labels and splits need not exist."""

    @abstractmethod
    def split_sources(self) -> Mapping[Split, str]:
        """The file that defines each split, for messages."""

    @abstractmethod
    def tables(self) -> list[Path]:
        """The tables that were read, for ``data_hashes``."""

    def make_dataset(self, cases: Sequence[Case], *, transform: SeededTransform, training: bool) -> CaseDataset:
        """Cases as samples; sets whose files are no pictures return a subclass."""
        return CaseDataset(cases, modalities=self.modalities, transform=transform, training=training)

    # Lightning's hooks.

    def setup(self, stage: str | None = None) -> None:
        """Read the tables and find the images of a stage.

        Args:
            stage: fit, validate, test or predict; None reads the three splits.

        Raises:
            DataError: Whatever the user has to mend, before anything is trained.
        """
        if stage == "predict" and self.predict_split == "all":
            cases = self.read_all()
            if not cases:
                raise TableError(f"{self.tables()[0]}: no case in it, nothing to predict")
            self.splits["all"] = cases
            self._located["all"] = self._locate(cases)
            self._mark_synthetic()
            return
        needed = self._splits_of(stage)
        splits = self.read_splits(needed if stage == "predict" else SPLITS, labelled=stage != "predict")
        check_disjoint(splits, sources=self.split_sources())
        for split in needed:
            if not splits[split]:
                raise TableError(f"{self.split_sources()[split]}: no case in it, but the {split} split is needed")
            if stage != "predict":
                check_labelled(splits[split])
            self._located[split] = self._locate(splits[split])
        self.splits |= {str(split): cases for split, cases in splits.items()}
        rank_zero_info(
            "%s: %s", self.name, ", ".join(f"{len(cases)} cases for {split}" for split, cases in splits.items())
        )
        self._mark_synthetic()

    def train_dataloader(self) -> DataLoader[ClassificationSample]:
        """Batches of the training split, augmented, classes balanced where asked for."""
        dataset = self.dataset("train", training=True)
        sampler = TrainingSampler(
            dataset,
            batch_size=self.batch_size,
            seed=self.seed,
            groups=label_groups(dataset.cases) if self.balanced_sampling else None,
            world_size=self._world_size,
            rank=self._rank,
        )
        return self._loader(dataset, sampler)

    def val_dataloader(self) -> DataLoader[ClassificationSample]:
        """Batches of the validation split."""
        return self._evaluation_loader("val")

    def test_dataloader(self) -> DataLoader[ClassificationSample]:
        """Batches of the test split."""
        return self._evaluation_loader("test")

    def predict_dataloader(self) -> DataLoader[ClassificationSample]:
        """Batches of the cases that ``predict_split`` names."""
        return self._evaluation_loader(self.predict_split)

    # What a task, a report or a notebook asks.

    def dataset(self, split: PredictSplit, *, training: bool = False) -> CaseDataset:
        """The samples of a split that ``setup`` has read.

        Args:
            split: train, val, test, or all after ``setup("predict")`` with ``predict_split="all"``.
            training: Whether to augment.
        """
        transform = self._train_transform if training else self._eval_transform
        if split not in self._located:
            self._located[split] = self._locate(self._cases(split))
        return self.make_dataset(self._located[split], transform=transform, training=training)

    @property
    def class_counts(self) -> dict[str, int]:
        """Cases of the training split by class name."""
        counts = label_matrix(self._cases("train"), num_classes=self.num_classes).sum(0)
        return dict(zip(self.class_names, counts.tolist(), strict=True))

    @property
    def class_weights(self) -> Tensor:
        """Weights (C,) float32 from the training split.

        Single label: N / (C * n_c), the weight of cross-entropy, mean 1 over the cases. Several labels:
        (N - n_c) / n_c, the ``pos_weight`` of binary cross-entropy. A class without cases counts as having one.
        """
        matrix = label_matrix(self._cases("train"), num_classes=self.num_classes)
        counts = np.maximum(matrix.sum(0), 1)
        weights = (len(matrix) - counts) / counts if self.multi_label else len(matrix) / (self.num_classes * counts)
        return torch.from_numpy(weights.astype(np.float32))

    def data_hashes(self) -> dict[str, str]:
        """SHA-256 of each table, by its path below the root, and of the case ids of each split read (``split/val``)."""
        hashes = {path.relative_to(self.root).as_posix(): file_hash(path) for path in self.tables()}
        ids = {f"split/{split}": ids_hash(case.case_id for case in cases) for split, cases in self.splits.items()}
        return hashes | ids

    def plot(self, sample: ClassificationSample) -> "Figure":
        """All images of a sample, one row per modality.

        Args:
            sample: From one of the datasets.

        Returns:
            A figure that no window holds; ``figure.savefig`` writes it.
        """
        return plot_sample(sample, class_names=self.class_names)

    @property
    def _world_size(self) -> int:
        return self.trainer.world_size if self.trainer is not None else 1

    @property
    def _rank(self) -> int:
        return self.trainer.global_rank if self.trainer is not None else 0

    def _splits_of(self, stage: str | None) -> tuple[Split, ...]:
        if stage == "predict" and self.predict_split != "all":
            return (self.predict_split,)
        stages: dict[str | None, tuple[Split, ...]] = {"validate": ("val",), "test": ("test",)}
        return stages.get(stage, SPLITS)

    def _mark_synthetic(self) -> None:
        self.synthetic = (self.root / MARKER).is_file()
        if self.synthetic:
            rank_zero_info("%s: look-alike set, drawn by medlit: figures say nothing about medicine", self.name)

    def _cases(self, split: str) -> list[Case]:
        if split not in self.splits:
            raise DataSettingsError(
                f'{self.name}: split {split!r} is not read yet; call setup("fit") or another stage first'
            )
        return self.splits[split]

    def _locate(self, cases: Sequence[Case]) -> list[Case]:
        return locate_images(cases, folder=ImageFolder(self.root / self.images_root), modalities=self.modalities)

    def _evaluation_loader(self, split: PredictSplit) -> DataLoader[ClassificationSample]:
        dataset = self.dataset(split)
        return self._loader(dataset, EvaluationSampler(dataset, world_size=self._world_size, rank=self._rank))

    def _loader(
        self, dataset: CaseDataset, sampler: TrainingSampler | EvaluationSampler
    ) -> DataLoader[ClassificationSample]:
        workers = self.num_workers > 0
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            sampler=sampler,
            collate_fn=collate,
            num_workers=self.num_workers,
            # A fork of a process that has used polars or run a backward pass hangs.
            multiprocessing_context="spawn" if workers else None,
            persistent_workers=workers,
            worker_init_fn=start_worker,
            pin_memory=self.trainer is not None and self.trainer.strategy.root_device.type == "cuda",
        )


def _check_modalities(name: str, modalities: Sequence[str], known: Sequence[str]) -> None:
    for modality in modalities:
        if modality not in known:
            raise DataSettingsError(f"{name}: unknown modality {modality!r}; {nearest(modality, known)}")
    if not modalities or len(set(modalities)) < len(modalities):
        raise DataSettingsError(
            f"{name}: modalities are {list(modalities)}; name one or more of {list(known)}, each once"
        )


def _check_numbers(**settings: tuple[int, int]) -> None:
    for name, (value, least) in settings.items():
        if value < least:
            raise DataSettingsError(f"{name} is {value}; it has to be at least {least}")
