"""VinDr-Mammo: four-view exams with BI-RADS category and density by breast."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from data_modules.base import PredictSplit
from data_modules.mammography.class_text import ClassTextSettings
from data_modules.mammography.datamodule import MammographyDataModule
from data_modules.mammography.dataset import ImagesPerView
from data_modules.mammography.pixels import Aspect
from data_modules.mammography.prepare.settings import PreparationSettings
from data_modules.mammography.selection import Level
from data_modules.transforms import Step

if TYPE_CHECKING:
    from data_modules.mammography.samples import SampleTable


class VinDrMammoDataModule(MammographyDataModule):
    """VinDr-Mammo 1.0.0 (Nguyen et al., Scientific Data 2023), prepared.

    5,000 exams of four images; the official 1,000 test, an eighth of the others validates. The release names no
    patients: the group of a case is its exam, and one who came twice may be in two splits.

    Args:
        root: Folder that ``medlit data prepare vindr_mammo`` wrote; or shards of it, in a folder or at ``s3://BUCKET/PATH``.
        target: What is to be told: ``birads`` (1 to 5 occur) or ``density``.
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

    name = "VinDr-Mammo"
    set_name = "vindr_mammo"
    targets = ("birads", "density")
    stratify = "birads"

    def __init__(
        self,
        *,
        root: str | Path = "data/vindr_mammo",
        target: Literal["birads", "density"] = "birads",
        level: Level = "image",
        modalities: Sequence[str] | None = None,
        class_text: ClassTextSettings | None = None,
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

    def read_samples(self) -> "SampleTable":
        """The sample table of the tables below ``root``."""
        from data_modules.mammography.vindr.tables import read_samples

        return read_samples(self.root)

    def official_tables(self) -> tuple[str, ...]:
        """The tables of the release, below ``root``."""
        from data_modules.mammography.vindr.tables import SET

        return SET.tables
