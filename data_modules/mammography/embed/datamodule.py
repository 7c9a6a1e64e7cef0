"""EMBED: mammograms with tables of findings, for pretraining with captions and for classification."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from data_modules.base import PredictSplit
from data_modules.batch import ClassificationSample, ImageTextSample
from data_modules.cases import Case
from data_modules.dataset import SampleDataset
from data_modules.errors import DataSettingsError
from data_modules.mammography.captioned import CaptionedCases
from data_modules.mammography.captions import Captioner, MetadataTable, has_caption, missing_for_caption
from data_modules.mammography.cases import CaseTable
from data_modules.mammography.class_text import ClassTextSettings
from data_modules.mammography.datamodule import MammographyDataModule
from data_modules.mammography.dataset import ImagesPerView
from data_modules.mammography.embed.rules import EmbedRules
from data_modules.mammography.image_text import ImageTextDataset, PairSettings
from data_modules.mammography.pixels import Aspect
from data_modules.mammography.plot import plot_pair
from data_modules.mammography.prepare.settings import PreparationSettings
from data_modules.mammography.selection import Level
from data_modules.mammography.split import balanced_subset
from data_modules.sampling import EvaluationSampler
from data_modules.transforms import SeededTransform, Step

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.figure import Figure
    from torch.utils.data import DataLoader

    from data_modules.mammography.samples import SampleTable


class EMBEDDataModule(MammographyDataModule):
    """EMBED's open data (Jeong et al., Radiology: Artificial Intelligence 2023), prepared.

    The 2D images of 72,770 exams of about 23,256 patients. There is no official split: patients are cut 70 : 10 : 20.
    The data use agreement forbids to publish models, weights or embeddings made from it.

    With ``pretraining`` the loaders give image-text batches (``batch.ImageTextBatch``) instead of classification
    batches, in every split; images without procedure, reason, density or BI-RADS have no caption and are left out.

    Args:
        root: Folder that ``medlit data prepare embed`` wrote; or shards of it, in a folder or at ``s3://BUCKET/PATH``.
        target: What is to be told: ``birads``, ``density``, or ``cancer`` (found by biopsy,
            see ``EmbedRules``); of pretraining, the label that goes with a pair.
        level: A case is an ``image`` (one modality, ``mammogram``), or a ``breast`` of an exam (the modalities ``CC``
            and ``MLO``).
        modalities: Those to read; None takes all of the level.
        class_text: How classes are put into words, for zero-shot classification of images; None: they are not.
        pretraining: How pairs and captions are made; None is classification.
        rules: How the tables are joined; None is ``EmbedRules()``.
        preparation: How the folder has to be prepared; None is the default of ``medlit data prepare``. A folder that
            was prepared otherwise is refused.
        images_per_view: Of a breast with several images of a view, ``one`` (training draws it, evaluation takes the
            first) or ``all``.
        aspect: ``keep`` pads images to a square, ``stretch`` lets the transforms distort them, as MaMA does.
        label_fraction: Of the training patients, above 0 and up to 1; smaller fractions are parts of larger ones.
        fraction_seed: Of the fraction, zero or more.
        balanced_test: Whether only a balanced tenth of the test images is tested, as MaMA does.
        img_size: Height and width of the images, pixels.
        batch_size: Cases per batch of one process; of pretraining in evaluation too, where the loss depends on it.
        num_workers: Processes that read images; the samples do not depend on it.
        balanced_sampling: Whether training repeats cases until classes are even; None: in classification, not in
            pretraining.
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
        seed: Of the order, the augmentation, the pairs, the captions and the dropout, zero or more.

    Raises:
        DataSettingsError: If a setting cannot work.
    """

    name = "EMBED"
    set_name = "embed"
    targets = ("birads", "density", "cancer")
    stratify = "birads"
    sharing_terms = "the data use agreement forbids to publish models, weights or embeddings made from EMBED"

    def __init__(
        self,
        *,
        root: str | Path = "data/embed",
        target: Literal["birads", "density", "cancer"] = "birads",
        level: Level = "image",
        modalities: Sequence[str] | None = None,
        class_text: ClassTextSettings | None = None,
        pretraining: PairSettings | None = None,
        rules: EmbedRules | None = None,
        preparation: PreparationSettings | None = None,
        images_per_view: ImagesPerView = "one",
        aspect: Aspect = "keep",
        label_fraction: float = 1.0,
        fraction_seed: int = 0,
        balanced_test: bool = False,
        img_size: int = 224,
        batch_size: int = 8,
        num_workers: int = 0,
        balanced_sampling: bool | None = None,
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
        if pretraining is not None:
            if class_text is not None:
                raise DataSettingsError(
                    "EMBED: class_text is for classification, pretraining writes captions of classes as its own; "
                    "set class_text: null, or pretraining: null to classify"
                )
            _check_pretraining(
                level=(level, "image"),
                label_fraction=(label_fraction, 1),
                balanced_test=(balanced_test, False),
                balanced_sampling=(bool(balanced_sampling), False),
                modality_dropout=(modality_dropout, 0),
            )
        if balanced_test and level != "image":
            raise DataSettingsError("EMBED: balanced_test counts images; set level: image, or balanced_test: false")
        self.pretraining = pretraining
        self.rules = EmbedRules() if rules is None else rules
        self.balanced_test = balanced_test
        self.needs_labels = pretraining is None
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
            balanced_sampling=pretraining is None if balanced_sampling is None else balanced_sampling,
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
        from data_modules.mammography.embed.tables import read_samples

        return read_samples(self.root, rules=self.rules)

    def read_strata(self) -> "pl.DataFrame | None":
        """The samples by the default rules, which splits are cut by; None where ``rules`` choose the same."""
        from data_modules.mammography.embed.tables import read_samples

        default = self.rules.with_default_choices()
        return None if default == self.rules else read_samples(self.root, rules=default).frame

    def official_tables(self) -> tuple[str, ...]:
        """The tables of the release, below ``root``."""
        from data_modules.mammography.embed.tables import SET

        return SET.tables

    def choose_test(self, frame: "pl.DataFrame") -> "pl.DataFrame":
        """The test images, or a balanced tenth of them."""
        if not self.balanced_test:
            return frame
        kept = balanced_subset(frame, label=self.target, seed=self.split_seed)
        self._count("beyond the balanced test set", len(frame) - len(kept))
        return kept

    # Pretraining.

    @property
    def text_settings(self) -> ClassTextSettings | None:
        """How classes are put into words; of pretraining as its captions are, so that a validation can be zero-shot."""
        return self.class_text if self.pretraining is None else self.pretraining.class_text()

    @property
    def captioner(self) -> Captioner:
        """Writes captions as ``pretraining`` says, also those of classes for zero-shot classification.

        Raises:
            DataSettingsError: If the templates are not as they should be.
        """
        settings = self.pretraining or PairSettings()
        return Captioner(
            templates=settings.templates,
            style=settings.style,
            mask_probability=settings.mask_probability,
            side_text=settings.side_text,
            one_sided=self.one_sided,
        )

    def usable(self, frame: "pl.DataFrame") -> "pl.DataFrame":
        """The images that can be learned from: with a label, or of pretraining with a caption."""
        return super().usable(frame) if self.pretraining is None else self.shown(frame)

    def shown(self, frame: "pl.DataFrame") -> "pl.DataFrame":
        """All rows; of pretraining those with a caption. The others are counted."""
        if self.pretraining is None:
            return frame
        for reason, count in missing_for_caption(frame).items():
            self._count(f"no caption: {reason}", count)
        return frame.filter(has_caption(frame))

    def cases_of(self, frame: "pl.DataFrame") -> CaseTable:
        """Cases of the rows of a sample table; of pretraining, with what their captions say."""
        cases = super().cases_of(frame)
        return cases if self.pretraining is None else CaptionedCases(cases, MetadataTable.from_frame(frame))

    def make_dataset(self, cases: Sequence[Case], *, transform: SeededTransform, training: bool) -> SampleDataset:
        """Cases as samples; of pretraining, images with a second view and a caption."""
        if self.pretraining is None:
            return super().make_dataset(cases, transform=transform, training=training)
        return ImageTextDataset(
            cast(CaptionedCases, cases),
            captioner=self.captioner,
            transform=transform,
            augmentation=self._train_transform,
            settings=self.pretraining,
            training=training,
            aspect=self.aspect,
            writer=self.class_writer,
            files=self.image_files,
        )

    def _evaluation_loader(self, split: PredictSplit) -> "DataLoader[Any]":
        """Batches of a split; of pretraining dealt out whole, for a pair is judged among the others of its batch."""
        if self.pretraining is None:
            return super()._evaluation_loader(split)
        dataset = self.dataset(split)
        world = {"world_size": self._world_size, "rank": self._rank}
        sampler = EvaluationSampler(dataset, batch_size=self.batch_size, whole_batches=True, **world)
        return self._loader(dataset, sampler)

    def plot(self, sample: ClassificationSample | ImageTextSample) -> "Figure":
        """All images of a sample; of pretraining, both views and the caption.

        Args:
            sample: From one of the datasets.

        Returns:
            A figure that no window holds; ``figure.savefig`` writes it.
        """
        if "second_image" in sample:
            return plot_pair(cast(ImageTextSample, sample), class_names=self.class_names)
        return super().plot(sample)


def _check_pretraining(**settings: tuple[object, object]) -> None:
    """Refuse settings of classification that pretraining has no use for.

    Raises:
        DataSettingsError: Naming the first one.
    """
    for name, (value, only) in settings.items():
        if value != only:
            raise DataSettingsError(
                f"EMBED: {name} is {value!r}, but pretraining knows only {only!r}; leave it out, or set pretraining to "
                "null for classification"
            )
