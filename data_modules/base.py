"""What every classification set shares: splits, loaders, sampling, class weights, hashes, a plot."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from torch.utils.data import DataLoader

from data_modules.asked import AskedByTasks
from data_modules.batch import VARIABLES, ClassificationSample
from data_modules.cases import Case, check_labelled, class_weights, ids_of, label_groups, label_matrix, locate_images
from data_modules.dataset import CaseDataset, SampleDataset
from data_modules.errors import DataSettingsError, TableError
from data_modules.folds import cut_folds, fold_sources
from data_modules.images import ImageFolder
from data_modules.loaders import make_loader
from data_modules.plot import plot_sample
from data_modules.presence import Name, keep_present
from data_modules.sampling import EvaluationSampler, TrainingSampler
from data_modules.settings import check_dropout, check_folds, check_modalities, check_numbers, check_variables
from data_modules.source import CaseSource
from data_modules.splits import SPLITS, Split, check_disjoint, file_hash, ids_hash
from data_modules.synthetic.tree import MARKER
from data_modules.transforms import SeededTransform, Step, evaluation_transform, paper_augmentation
from data_modules.variables import Description, Variables

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PredictSplit = Literal["train", "val", "test", "all"]


class ClassificationDataModule(LightningDataModule, CaseSource, AskedByTasks):
    """A classification set: its subclass reads the tables (``CaseSource``), all else is here.

    ``num_classes``, ``class_names``, ``modalities``, ``variables`` (names of the clinical variables, where they are
    among the modalities), ``multi_label``, ``img_size`` and ``batch_size`` are known without reading data. ``setup``
    reads the tables and finds every image that the stage needs, before anything is trained; fit needs the test split
    too, for the best checkpoint is tested after it. ``synthetic`` says after ``setup`` whether the set is a look-alike
    that medlit drew.

    Args:
        root: Folder of the data set.
        class_names: Classes in the order of their ids.
        modalities: Those to read.
        variables: How the clinical variables enter, where they are among the modalities.
        multi_label: Whether a case can have several classes.
        img_size: Height and width of the images, pixels.
        batch_size: Cases per batch of one process.
        num_workers: Processes that read images; the samples do not depend on it.
        balanced_sampling: Whether training repeats cases until classes (several labels: their combinations) are even.
        train_transform: Albumentations' transforms on 8-bit images; None is the paper's augmentation.
        eval_transform: The same for evaluation; None resizes.
        predict_split: The cases of ``predict``; ``all`` takes every row of the table.
        num_folds: K, at least 3: the official splits are pooled and cut into K folds, groups whole, labels in
            proportion. None takes the official splits.
        fold: 0 to K - 1: this fold tests, the next one validates, the rest trains.
        split_seed: Of the folds, and of validation sets that a DataModule cuts itself; independent of ``seed``.
        allow_missing: Whether a case may lack some of the modalities. One that lacks all is left out of every split.
        modality_dropout: Probability that a modality of a case is left out in training; one always stays.
        seed: Of the order, the augmentation and the dropout, zero or more.
    """

    name: str
    """The set's name in messages."""
    needs_labels: bool = True
    """Whether cases without a label are refused where there is something to learn or to test."""

    def __init__(
        self,
        *,
        root: str | Path,
        class_names: Sequence[str],
        modalities: Sequence[str],
        variables: Description | None = None,
        multi_label: bool,
        img_size: int,
        batch_size: int,
        num_workers: int,
        balanced_sampling: bool,
        train_transform: list[Step] | None,
        eval_transform: list[Step] | None,
        predict_split: PredictSplit,
        num_folds: int | None,
        fold: int | None,
        split_seed: int,
        allow_missing: bool,
        modality_dropout: float,
        seed: int,
    ) -> None:
        super().__init__()
        check_modalities(self.name, modalities, self.known_modalities)
        check_variables(self.name, modalities, described=variables is not None)
        check_numbers(img_size=(img_size, 1), batch_size=(batch_size, 1), num_workers=(num_workers, 0))
        check_numbers(seed=(seed, 0), split_seed=(split_seed, 0))
        check_folds(num_folds, fold)
        check_dropout(modality_dropout)
        self.root = Path(root)
        self.class_names = list(class_names)
        self.num_classes = len(self.class_names)
        self.modalities = list(modalities)
        self.variable_encoder = None if variables is None else Variables(variables, name=self.name)
        self.variables = [] if self.variable_encoder is None else self.variable_encoder.names
        self.multi_label = multi_label
        self.img_size = img_size
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.balanced_sampling = balanced_sampling
        self.predict_split = predict_split
        self.num_folds = num_folds
        self.fold = fold
        self.split_seed = split_seed
        self.allow_missing = allow_missing
        self.modality_dropout = modality_dropout
        self.seed = seed
        self.synthetic = False
        self.splits: dict[str, Sequence[Case]] = {}
        self._located: dict[str, Sequence[Case]] = {}
        steps = paper_augmentation(img_size) if train_transform is None else train_transform
        self._train_transform = SeededTransform(steps, img_size=img_size)
        steps = evaluation_transform(img_size) if eval_transform is None else eval_transform
        self._eval_transform = SeededTransform(steps, img_size=img_size)

    def make_dataset(self, cases: Sequence[Case], *, transform: SeededTransform, training: bool) -> SampleDataset:
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
        self.skip_images, self.plain_training = frozenset(), False
        if stage == "predict" and self.predict_split == "all":
            cases = self._keep_present({"all": self.read_all()})["all"]
            if not cases:
                what = " or ".join(self.modalities)
                raise TableError(f"{self.name}: no case below {self.root} has {what}, nothing to predict")
            self.splits["all"] = cases
            self._located["all"] = self._locate(cases)
            self._mark_synthetic()
            return
        needed = self._splits_of(stage)
        splits, sources = self._read_stage(needed, labelled=stage != "predict")
        for split in needed:
            if not splits[split]:
                raise TableError(f"{sources[split]}: no case in it, but the {split} split is needed")
            if stage != "predict" and self.needs_labels:
                check_labelled(splits[split])
            self._located[split] = self._locate(splits[split])
        self.splits |= {str(split): cases for split, cases in splits.items()}
        name = self.name if self.num_folds is None else f"{self.name}, fold {self.fold} of {self.num_folds}"
        rank_zero_info("%s: %s", name, ", ".join(f"{len(cases)} cases for {split}" for split, cases in splits.items()))
        self._mark_synthetic()

    def train_dataloader(self) -> DataLoader[Any]:
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

    def val_dataloader(self) -> DataLoader[Any]:
        """Batches of the validation split."""
        return self._evaluation_loader("val")

    def test_dataloader(self) -> DataLoader[Any]:
        """Batches of the test split."""
        return self._evaluation_loader("test")

    def predict_dataloader(self) -> DataLoader[Any]:
        """Batches of the cases that ``predict_split`` names."""
        return self._evaluation_loader(self.predict_split)

    # What a task, a report or a notebook asks.

    def dataset(self, split: PredictSplit, *, training: bool = False) -> SampleDataset:
        """The samples of a split that ``setup`` has read.

        Args:
            split: train, val, test, or all after ``setup("predict")`` with ``predict_split="all"``.
            training: Whether to augment.
        """
        training = training and not self.plain_training
        transform = self._train_transform if training else self._eval_transform
        if split not in self._located:
            self._located[split] = self._locate(self._cases(split))
        dataset = self.make_dataset(self._located[split], transform=transform, training=training)
        dataset.modality_dropout = self.modality_dropout if training else 0.0
        dataset.skip_images = self.skip_images
        return dataset

    @property
    def class_counts(self) -> dict[str, int]:
        """Cases of the training split by class name."""
        counts = label_matrix(self._cases("train"), num_classes=self.num_classes).sum(0)
        return dict(zip(self.class_names, counts.tolist(), strict=True))

    @property
    def class_weights(self) -> Tensor:
        """Weights (C,) float32 from the training split, see ``cases.class_weights``."""
        weights = class_weights(self._cases("train"), num_classes=self.num_classes, multi_label=self.multi_label)
        return torch.from_numpy(weights)

    def data_hashes(self) -> dict[str, str]:
        """SHA-256 of each table, by its path below the root, and of the case ids of each split read (``split/val``)."""
        hashes = {path.relative_to(self.root).as_posix(): file_hash(path) for path in self.tables()}
        ids = {f"split/{split}": ids_hash(ids_of(cases)) for split, cases in self.splits.items()}
        return hashes | ids

    def plot(self, sample: ClassificationSample) -> "Figure":
        """All images of a sample, one row per modality, and its clinical variables as text.

        Args:
            sample: From one of the datasets.

        Returns:
            A figure that no window holds; ``figure.savefig`` writes it.
        """
        encoder, values = self.variable_encoder, sample["images"].get(VARIABLES)
        variables = [] if encoder is None or values is None else encoder.describe(values[0].tolist())
        return plot_sample(sample, class_names=self.class_names, variables=variables)

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

    def _read_stage(
        self, needed: Sequence[Split], *, labelled: bool
    ) -> tuple[dict[Split, Sequence[Case]], Mapping[Split, str]]:
        """The splits, official or of a fold, and what messages call them."""
        if self.num_folds is None or self.fold is None:
            splits: Mapping[Split, Sequence[Case]] = self.read_splits(SPLITS if labelled else needed, labelled=labelled)
            sources = self.split_sources()
        else:  # cut by label in every stage, so that all stages see the same folds
            official = self.read_splits(SPLITS, labelled=True)
            splits = cut_folds(official, num_folds=self.num_folds, fold=self.fold, seed=self.split_seed)
            sources = fold_sources(num_folds=self.num_folds, fold=self.fold)
        check_disjoint(splits, sources=sources)
        return self._keep_present(splits), sources

    def _keep_present(self, splits: Mapping[Name, Sequence[Case]]) -> dict[Name, Sequence[Case]]:
        return keep_present(splits, name=self.name, modalities=self.modalities, allow_missing=self.allow_missing)

    def _mark_synthetic(self) -> None:
        self.synthetic = (self.root / MARKER).is_file()
        if self.synthetic:
            self.sharing_terms = None
            rank_zero_info("%s: look-alike set, drawn by medlit: figures say nothing about medicine", self.name)

    def _cases(self, split: str) -> Sequence[Case]:
        if split not in self.splits:
            raise DataSettingsError(
                f'{self.name}: split {split!r} is not read yet; call setup("fit") or another stage first'
            )
        return self.splits[split]

    def _locate(self, cases: Sequence[Case]) -> Sequence[Case]:
        return locate_images(cases, folder=ImageFolder(self.root / self.images_root), modalities=self.modalities)

    def _evaluation_loader(self, split: PredictSplit) -> DataLoader[Any]:
        dataset = self.dataset(split)
        sampler = EvaluationSampler(dataset, batch_size=self.batch_size, world_size=self._world_size, rank=self._rank)
        return self._loader(dataset, sampler)

    def _loader(self, dataset: SampleDataset, sampler: TrainingSampler | EvaluationSampler) -> DataLoader[Any]:
        return make_loader(
            dataset,
            sampler,
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            pin_memory=self.trainer is not None and self.trainer.strategy.root_device.type == "cuda",
        )
