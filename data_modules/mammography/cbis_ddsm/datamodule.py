"""CBIS-DDSM: digitised film mammograms with masses and calcifications."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from data_modules.base import PredictSplit
from data_modules.mammography.class_text import ClassTextSettings
from data_modules.mammography.datamodule import MammographyDataModule
from data_modules.mammography.dataset import ImagesPerView
from data_modules.mammography.pixels import Aspect
from data_modules.mammography.prepare.settings import PreparationSettings
from data_modules.mammography.selection import Level
from data_modules.transforms import Step

if TYPE_CHECKING:
    import polars as pl

    from data_modules.mammography.samples import SampleTable


class CBISDDSMDataModule(MammographyDataModule):
    """CBIS-DDSM (Lee et al., Scientific Data 2017), prepared.

    Films with one or several masses or calcifications; of several in an image the worst counts. Every image shows an
    abnormality: ``cancer`` is malignant against benign. 31 patients are in a training table of one kind and a test
    table of the other: ``leaking_patients`` says what becomes of them. An eighth of the training patients validates.

    Args:
        root: Folder that ``medlit data prepare cbis_ddsm`` wrote; or shards of it, in a folder or at ``s3://BUCKET/PATH``.
        target: What is to be told: ``cancer`` (malignant or benign), ``birads`` or ``density``.
        level: A case is an ``image`` (one modality, ``mammogram``), or a ``breast`` of an exam (the modalities ``CC``
            and ``MLO``).
        modalities: Those to read; None takes all of the level.
        class_text: How classes are put into words, for zero-shot classification of images; None: they are not.
        abnormalities: Whose tables to read: of ``mass``es, of ``calcification``s, or ``all``.
        leaking_patients: Patients that both a training and a test table name: all their images are for the ``test``,
            all for training (``train``), or none is used (``drop``).
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
        train_transform: Albumentations' transforms on 8-bit images, in order, as ``class_path`` (for example
            ``albumentations.HorizontalFlip``) and ``init_args``; a resize to ``img_size`` follows where it is needed.
            None is MaMA's augmentation.
        eval_transform: The same for evaluation; None resizes.
        predict_split: The cases of ``predict``; ``all`` takes every prepared image and needs no labels.
        num_folds: Pool all patients and cut them into this many folds, 3 or more; None keeps the splits.
        fold: The fold that tests, from 0; the next one validates, the rest trains.
        split_seed: Of the validation set and of the folds, zero or more.
        allow_missing: Whether a breast may lack one of the views.
        modality_dropout: Probability that a view of a breast is left out in training; one always stays.
        seed: Of the order, the augmentation and the dropout, zero or more.

    Raises:
        DataSettingsError: If a setting cannot work.
    """

    name = "CBIS-DDSM"
    set_name = "cbis_ddsm"
    targets = ("cancer", "birads", "density")
    stratify = "cancer"
    of_a_population = False  # films chosen for their findings: nearly every second one shows a cancer

    def __init__(
        self,
        *,
        root: str | Path = "data/cbis_ddsm",
        target: Literal["cancer", "birads", "density"] = "cancer",
        level: Level = "image",
        modalities: Sequence[str] | None = None,
        class_text: ClassTextSettings | None = None,
        abnormalities: Literal["all", "mass", "calcification"] = "all",
        leaking_patients: Literal["test", "train", "drop"] = "test",
        preparation: PreparationSettings | None = None,
        images_per_view: ImagesPerView = "one",
        aspect: Aspect = "keep",
        label_fraction: float = 1.0,
        fraction_seed: int = 0,
        img_size: int = 224,
        batch_size: int = 8,
        num_workers: int = 0,
        balanced_sampling: bool = True,
        train_transform: list[Step] | None = None,
        eval_transform: list[Step] | None = None,
        predict_split: PredictSplit = "test",
        num_folds: int | None = None,
        fold: int | None = None,
        split_seed: int = 0,
        allow_missing: bool = True,
        modality_dropout: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(
            root=root,
            target=target,
            level=level,
            modalities=modalities,
            class_text=class_text,
            preparation=preparation,
            images_per_view=images_per_view,
            aspect=aspect,
            label_fraction=label_fraction,
            fraction_seed=fraction_seed,
            img_size=img_size,
            batch_size=batch_size,
            num_workers=num_workers,
            balanced_sampling=balanced_sampling,
            train_transform=train_transform,
            eval_transform=eval_transform,
            predict_split=predict_split,
            num_folds=num_folds,
            fold=fold,
            split_seed=split_seed,
            allow_missing=allow_missing,
            modality_dropout=modality_dropout,
            seed=seed,
        )
        self._check_choice("abnormalities", abnormalities, ("all", "mass", "calcification"))
        self._check_choice("leaking_patients", leaking_patients, ("test", "train", "drop"))
        self.abnormalities: Literal["all", "mass", "calcification"] = abnormalities
        self.leaking_patients: Literal["test", "train", "drop"] = leaking_patients

    @property
    def cut(self) -> dict[str, Any]:
        """Which patients train: also by what becomes of those whom two tables name."""
        return {**super().cut, "leaking_patients": self.leaking_patients}

    def read_samples(self) -> "SampleTable":
        """The sample table of the tables below ``root``."""
        from data_modules.mammography.cbis_ddsm.tables import read_samples

        return read_samples(self.root, abnormalities=self.abnormalities, leaking_patients=self.leaking_patients)

    def read_strata(self) -> "pl.DataFrame | None":
        """The samples by the default rules, which splits are cut by; None where these are the rules."""
        from data_modules.mammography.cbis_ddsm.tables import read_samples

        if (self.abnormalities, self.leaking_patients) == ("all", "test"):
            return None
        return read_samples(self.root).frame

    def official_tables(self) -> tuple[str, ...]:
        """The tables of the release, below ``root``."""
        from data_modules.mammography.cbis_ddsm.tables import SET

        return SET.tables
