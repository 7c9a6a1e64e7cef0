"""RSNA-Mammo: screening mammograms of two sites with cancer by breast."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from data_modules.base import PredictSplit
from data_modules.errors import DataSettingsError
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


class RSNAMammoDataModule(MammographyDataModule):
    """The training set of the RSNA breast cancer detection challenge (2022-23), prepared.

    54,706 images of 11,913 patients, one exam each; labels are per breast. The challenge's own test set is not public,
    and there is no official split: patients are cut 70 : 10 : 20. One of the two sites may be the institution of EMBED:
    as a whole the set is no external one for models trained there. ``sites`` reads one of them:
    test each by itself, or train on one and test on the other.

    Args:
        root: Folder that ``medlit data prepare rsna_mammo`` wrote; or shards of it, in a folder or at ``s3://BUCKET/PATH``.
        target: What is to be told: ``cancer``, or of one of the sites ``birads`` (0, 1 and 2 alone) or ``density``.
        level: A case is an ``image`` (one modality, ``mammogram``), or a ``breast`` of an exam (the modalities ``CC``
            and ``MLO``).
        sites: Read the patients of these alone, 1 or 2; None: of both. Nobody's split depends on it.
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
        split_seed: Of the splits and of the folds, zero or more.
        allow_missing: Whether a breast may lack one of the views.
        modality_dropout: Probability that a view of a breast is left out in training; one always stays.
        seed: Of the order, the augmentation and the dropout, zero or more.

    Raises:
        DataSettingsError: If a setting cannot work.
    """

    name = "RSNA-Mammo"
    set_name = "rsna_mammo"
    targets = ("cancer", "birads", "density")
    stratify = "cancer"
    strata = ("site",)

    def __init__(
        self,
        *,
        root: str | Path = "data/rsna_mammo",
        target: Literal["cancer", "birads", "density"] = "cancer",
        level: Level = "image",
        sites: Sequence[Literal[1, 2]] | None = None,
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
        if sites is not None and (not sites or set(sites) - {1, 2}):
            raise DataSettingsError(f"RSNA-Mammo: sites is {list(sites)}; give 1, 2, or null for both")
        self.sites = None if sites is None else [str(site) for site in sites]
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
        from data_modules.mammography.rsna.tables import read_samples

        return read_samples(self.root)

    def usable(self, frame: "pl.DataFrame") -> "pl.DataFrame":
        """The images of the sites read whose label is known."""
        return super().usable(self._of_sites(frame))

    def shown(self, frame: "pl.DataFrame") -> "pl.DataFrame":
        """The images of the sites read."""
        return self._of_sites(frame)

    def official_tables(self) -> tuple[str, ...]:
        """The tables of the release, below ``root``."""
        from data_modules.mammography.rsna.tables import SET

        return SET.tables

    def _of_sites(self, frame: "pl.DataFrame") -> "pl.DataFrame":
        kept = frame if self.sites is None else frame.filter(frame["site"].is_in(self.sites))
        self._count("of another site", len(frame) - len(kept))
        return kept
