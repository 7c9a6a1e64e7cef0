"""What the DataModules of mammography share: a prepared folder, its tables, and the cases of images or breasts."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from data_modules.base import ClassificationDataModule, PredictSplit
from data_modules.cases import Case
from data_modules.dataset import SampleDataset
from data_modules.errors import DatasetNotFoundError, DataSettingsError
from data_modules.folds import fold_sources
from data_modules.mammography.cases import CaseTable, keep_with
from data_modules.mammography.class_text import ClassTextSettings
from data_modules.mammography.counted import CountsLabels
from data_modules.mammography.dataset import ImagesPerView, MammogramDataset
from data_modules.mammography.left_out import CountsLeftOut
from data_modules.mammography.pixels import Aspect
from data_modules.mammography.prepare.settings import PreparationSettings
from data_modules.mammography.prepared import DESCRIPTION, MANIFEST
from data_modules.mammography.reads_prepared import ReadsPrepared
from data_modules.mammography.selection import (
    MAMMOGRAM,
    TARGETS,
    VIEWS,
    Level,
    divide,
    keep_prepared,
    known,
    make_cases,
)
from data_modules.mammography.split import Label, label_fraction
from data_modules.mammography.text import TextOfSet
from data_modules.mammography.transforms import mama_augmentation
from data_modules.presence import Name
from data_modules.splits import SPLITS, Split
from data_modules.transforms import SeededTransform, Step

if TYPE_CHECKING:
    import polars as pl

    from data_modules.mammography.samples import SampleTable

LEVELS: Mapping[Level, tuple[str, ...]] = {"image": (MAMMOGRAM,), "breast": VIEWS}
"""Modalities by level."""


class MammographyDataModule(TextOfSet, CountsLabels, CountsLeftOut, ReadsPrepared, ClassificationDataModule):
    """A prepared set of mammograms: its subclass names the set and reads its tables, all else is here.

    After ``setup``, ``left_out`` says how many images are in no split, by reason; the log says it too. The splits are
    cut by ``split_seed``, patients whole, and depend neither on the target nor on the level nor on the rules by which
    tables are joined: a classifier never tests on a patient that a pretraining with the same ``split_seed`` has seen.

    Args:
        root: Folder that ``medlit data prepare`` or ``medlit data shard`` wrote, or the address of shards,
            ``s3://BUCKET/PATH``.
        target: What is to be told.
        level: A case is an ``image`` (one modality, ``mammogram``), or a ``breast`` of an exam (the modalities ``CC``
            and ``MLO``).
        modalities: Those to read; None takes all of the level.
        class_text: How classes are put into words, for zero-shot classification of images; None: they are not.
        preparation: How the folder has to be prepared; None is the default of ``medlit data prepare``. A folder that
            was prepared otherwise is refused.
        images_per_view: Of a breast with several images of a view, ``one`` (training draws it, evaluation takes the
            first) or ``all``.
        aspect: ``keep`` pads images to a square, ``stretch`` lets the transforms distort them, as MaMA does.
        label_fraction: Of the training patients, above 0 and up to 1; smaller fractions are parts of larger ones.
        fraction_seed: Of the fraction, zero or more.
        img_size: Height and width of the images, pixels.
        batch_size: Cases per batch of one process.
        num_workers: Processes that read images; the samples do not depend on it.
        balanced_sampling: Whether training repeats cases until classes are even.
        train_transform: Albumentations' transforms on 8-bit images; None is MaMA's augmentation.
        eval_transform: The same for evaluation; None resizes.
        predict_split: The cases of ``predict``; ``all`` takes every prepared image and needs no labels.
        num_folds: K, at least 3: all patients are cut into K folds. None takes the splits.
        fold: 0 to K - 1: this fold tests, the next one validates, the rest trains.
        split_seed: Of the splits or folds, zero or more.
        allow_missing: Whether a breast may lack one of the views.
        modality_dropout: Probability that a view of a breast is left out in training; one always stays.
        seed: Of the order, the augmentation and the dropout, zero or more.

    Raises:
        DataSettingsError: If a setting cannot work.
    """

    set_name: str
    """On the command line."""
    targets: tuple[Label, ...]
    """What the set's tables know."""
    stratify: Label
    """The label that is in proportion in all splits, whatever the target."""
    strata: tuple[str, ...] = ()
    """Columns of the sample table whose values tell groups of cases apart that a test also judges by themselves."""

    def __init__(
        self,
        *,
        root: str | Path,
        target: Label,
        level: Level,
        modalities: Sequence[str] | None,
        class_text: ClassTextSettings | None,
        preparation: PreparationSettings | None,
        images_per_view: ImagesPerView,
        aspect: Aspect,
        label_fraction: float,
        fraction_seed: int,
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
        self._check_choice("target", target, self.targets)
        self._check_choice("level", level, tuple(LEVELS))
        self._check_choice("images_per_view", images_per_view, ("one", "all"))
        self._check_choice("aspect", aspect, ("keep", "stretch"))
        if not 0 < label_fraction <= 1:
            raise DataSettingsError(f"{self.name}: label_fraction is {label_fraction}; it is above 0 and up to 1")
        if fraction_seed < 0:
            raise DataSettingsError(f"{self.name}: fraction_seed is {fraction_seed}; it has to be at least 0")
        self.known_modalities = LEVELS[level]
        self.target = target
        self.level = level
        self.class_text = class_text
        self._check_text()
        self.preparation = PreparationSettings() if preparation is None else preparation
        self.images_per_view: ImagesPerView = images_per_view
        self.aspect: Aspect = aspect
        self.label_fraction = label_fraction
        self.fraction_seed = fraction_seed
        self.left_out: dict[str, int] = {}
        self._read: dict[Split, CaseTable] | None = None
        super().__init__(
            root=self.place(root),
            class_names=TARGETS[target].class_names,
            modalities=LEVELS[level] if modalities is None else modalities,
            multi_label=False,
            img_size=img_size,
            batch_size=batch_size,
            num_workers=num_workers,
            balanced_sampling=balanced_sampling,
            train_transform=mama_augmentation(img_size) if train_transform is None else train_transform,
            eval_transform=eval_transform,
            predict_split=predict_split,
            num_folds=num_folds,
            fold=fold,
            split_seed=split_seed,
            allow_missing=allow_missing,
            modality_dropout=modality_dropout,
            seed=seed,
        )

    # What a set says.

    @abstractmethod
    def read_samples(self) -> "SampleTable":
        """The sample table of the tables below ``root``."""

    def read_strata(self) -> "pl.DataFrame | None":
        """The samples by the default rules, which splits are cut by; None: ``read_samples`` goes by them itself."""
        return None

    def choose_test(self, frame: "pl.DataFrame") -> "pl.DataFrame":
        """Of the test split's images those that are tested; here all."""
        return frame

    def cases_of(self, frame: "pl.DataFrame") -> CaseTable:
        """Cases of the rows of a sample table."""
        cases = make_cases(frame, root=str(self.root), label=self.target, level=self.level, strata=self.strata)
        return self.with_metadata(cases, frame)

    # What the base class asks.

    def read_splits(self, splits: Sequence[Split], *, labelled: bool) -> dict[Split, Sequence[Case]]:
        """The cases of splits whose label is known, whatever the stage: all stages see the same."""
        if self._read is None:
            frame = self.usable(self._prepared_samples(divided=True))
            parts = {split: frame.filter(frame["split"] == split) for split in SPLITS}
            self._count("in no split", len(frame) - sum(map(len, parts.values())))
            parts["train"] = self._fraction(parts["train"])
            parts["test"] = self.choose_test(parts["test"])
            self._read = {split: self._cases_of_level(part) for split, part in parts.items()}
            self._say("left out", self.left_out)
        return {split: self._read[split] for split in splits}

    def read_all(self) -> Sequence[Case]:
        """Every prepared image, or the breasts of all; labels need not be known."""
        cases = self._cases_of_level(self.shown(self._prepared_samples(divided=False)))
        self._say("left out", self.left_out)
        return cases

    def split_sources(self) -> Mapping[Split, str]:
        """The tables, or the cut."""
        if self.num_folds is not None and self.fold is not None:
            return fold_sources(num_folds=self.num_folds, fold=self.fold)
        return {split: f"{self.name} below {self.root}, {split} by split_seed {self.split_seed}" for split in SPLITS}

    def tables(self) -> list[Path]:
        """The official tables, the manifest, and the settings that the images were prepared with."""
        files = (self.root / name for name in (*self.official_tables(), MANIFEST, DESCRIPTION))
        return [file for file in files if file.is_file()]

    def make_dataset(self, cases: Sequence[Case], *, transform: SeededTransform, training: bool) -> SampleDataset:
        """Cases whose files are prepared images."""
        return MammogramDataset(
            cases,
            modalities=self.modalities,
            transform=transform,
            training=training,
            images_per_view=self.images_per_view,
            aspect=self.aspect,
            writer=None if training else self.class_writer,
            files=self.image_files,
        )

    def shown(self, frame: "pl.DataFrame") -> "pl.DataFrame":
        """The rows that can be predicted; here all."""
        return frame

    def usable(self, frame: "pl.DataFrame") -> "pl.DataFrame":
        """The rows that can be learned from: those whose label is known. The others are counted."""
        kept = known(frame, self.target)
        self._count(f"{self.target} unknown", len(frame) - len(kept))
        return kept

    def _read_stage(
        self, needed: Sequence[Split], *, labelled: bool
    ) -> tuple[dict[Split, Sequence[Case]], Mapping[Split, str]]:
        """The splits; they were cut by patient, so that nothing has to be looked for in two of them."""
        splits = self.read_splits(SPLITS if labelled else needed, labelled=labelled)
        kept = self._keep_present(splits)
        if labelled:
            self.say_training(kept["train"], name=self.name)
        return kept, self.split_sources()

    def _keep_present(self, splits: Mapping[Name, Sequence[Case]]) -> dict[Name, Sequence[Case]]:
        kept: dict[Name, Sequence[Case]] = {
            split: keep_with(cast(CaseTable, cases), modalities=self.modalities, allow_missing=self.allow_missing)
            for split, cases in splits.items()
        }
        if less := sum(map(len, splits.values())) - sum(map(len, kept.values())):
            self._say("left out", {f"{self.level} without {' or '.join(self.modalities)}": less})
        return kept

    def _locate(self, cases: Sequence[Case]) -> Sequence[Case]:
        """The manifest says which images there are; half a million are not looked for one by one."""
        return cases

    def _prepared_samples(self, *, divided: bool) -> "pl.DataFrame":
        """The sample table with the paths of prepared images, divided into splits before any image is left out."""
        try:
            prepared = self.open_prepared()
            table = self.read_samples()
        except DatasetNotFoundError as error:
            raise DatasetNotFoundError(
                f"{self.name} not found: {error} (a look-alike to try it with: medlit data synth {self.set_name} "
                "--root RAW)"
            ) from error
        frame = table.frame
        if divided:
            cut = {"num_folds": self.num_folds, "fold": self.fold}
            frame = divide(frame, stratify=self.stratify, seed=self.split_seed, strata=self.read_strata(), **cut)
        self.left_out = dict(table.dropped)
        if table.touched:
            self._say("rules decided about", table.touched)
        frame, failed = keep_prepared(frame, prepared)
        for reason, count in failed.items():
            self._count(reason, count)
        return frame

    def _cases_of_level(self, frame: "pl.DataFrame") -> CaseTable:
        """The cases of rows that nothing else leaves out, each row that is no part of a breast's cases counted."""
        if self.level == "breast":
            self._count("view other than CC and MLO", int((~frame["view"].is_in(VIEWS).fill_null(False)).sum()))
        return self.cases_of(frame)

    def _fraction(self, frame: "pl.DataFrame") -> "pl.DataFrame":
        if self.label_fraction == 1:
            return frame
        kept = label_fraction(frame, fraction=self.label_fraction, label=self.target, seed=self.fraction_seed)
        self._count(f"beyond label_fraction {self.label_fraction:g}", len(frame) - len(kept))
        return kept
