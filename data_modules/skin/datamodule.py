"""Derm7pt: a clinical and a dermoscopic photograph per lesion."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_info

from data_modules.base import ClassificationDataModule, PredictSplit
from data_modules.batch import VARIABLES
from data_modules.cases import Case, ImageFile
from data_modules.skin.labels import VARIABLE_VALUES, Target, check_target, class_names, class_of, column_of
from data_modules.skin.tables import INDEXES, META, MODALITIES, Derm7ptRow, read_indexes, read_meta
from data_modules.splits import SPLITS, Split
from data_modules.transforms import Step
from data_modules.variables import Description


class Derm7ptDataModule(ClassificationDataModule):
    """Derm7pt (release_v0) as it comes, with its official split.

    1011 lesions with one image of each modality, ``clinic`` and ``derm``. The release has no patient ids: the group of
    a case is the case itself, and leakage between splits cannot be excluded.

    Reference: Kawahara et al., "Seven-Point Checklist and Skin Lesion Classification Using Multitask Multimodal Neural
    Nets", IEEE J. Biomed. Health Inform. 2019.

    Args:
        root: Folder that holds ``meta/`` and ``images/``.
        target: What is to be told: ``diagnosis`` (BCC, NEV, MEL, SK, MISC), ``diagnosis_20`` (all diagnoses of the
            table) or one of the seven criteria.
        modalities: Of ``clinic``, ``derm`` and ``variables``.
        variables: Clinical variables by column of the table, each with the categories there are, or with mean and std
            of a number; null takes sex, location and elevation where ``variables`` is among the modalities.
        img_size: Height and width of the images, pixels.
        batch_size: Cases per batch of one process.
        num_workers: Processes that read images; the samples do not depend on it.
        balanced_sampling: Whether training repeats cases until the classes are even.
        train_transform: Albumentations' transforms on 8-bit images, in order, as ``class_path`` (for example
            ``albumentations.HorizontalFlip``) and ``init_args``; a resize to ``img_size`` follows where it is needed.
            None is the paper's augmentation.
        eval_transform: The same for evaluation; None resizes.
        predict_split: The cases of ``predict``; ``all`` takes every row of the table and needs no index files.
        num_folds: K, at least 3: the official splits are pooled and cut into K folds, the classes in proportion. None
            takes the official splits.
        fold: 0 to K - 1: this fold tests, the next one validates, the rest trains.
        split_seed: Of the folds, zero or more.
        allow_missing: Whether an empty cell of ``clinic`` or ``derm`` is a missing photograph instead of an error.
        modality_dropout: Probability that a modality of a case is left out in training; one always stays.
        seed: Of the order, the augmentation and the dropout, zero or more.

    Raises:
        DataSettingsError: If a setting cannot work.
    """

    name = "Derm7pt"
    known_modalities = (*MODALITIES, VARIABLES)
    images_root = "images"

    def __init__(
        self,
        *,
        root: str | Path = "data/derm7pt",
        target: Target = "diagnosis",
        modalities: Sequence[str] = MODALITIES,
        variables: Description | None = None,
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
        allow_missing: bool = False,
        modality_dropout: float = 0.0,
        seed: int = 0,
    ) -> None:
        check_target(target)
        self.target = target
        if variables is None and VARIABLES in modalities:
            variables = {column: list(values) for column, values in VARIABLE_VALUES.items()}
        super().__init__(
            root=root,
            class_names=class_names(target),
            modalities=modalities,
            variables=variables,
            multi_label=False,
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

    def read_splits(self, splits: Sequence[Split], *, labelled: bool) -> dict[Split, list[Case]]:
        """The cases of the official split."""
        cases = self._read_cases(labelled=labelled)
        indexes = read_indexes(self.root, rows=len(cases), splits=splits)
        unused = len(cases) - sum(map(len, indexes.values()))
        if unused and set(splits) == set(SPLITS):
            rank_zero_info(f"Derm7pt: {unused} of {len(cases)} rows are in no split and are left out")
        return {split: [cases[row] for row in rows] for split, rows in indexes.items()}

    def read_all(self) -> list[Case]:
        """Every row of meta.csv."""
        return self._read_cases(labelled=False)

    def split_sources(self) -> Mapping[Split, str]:
        """The index files."""
        return INDEXES

    def tables(self) -> list[Path]:
        """meta.csv and those index files that exist."""
        return [self.root / file for file in (META, *INDEXES.values()) if (self.root / file).is_file()]

    def _read_cases(self, *, labelled: bool) -> list[Case]:
        column = column_of(self.target)
        rows = read_meta(
            self.root,
            modalities=[modality for modality in self.modalities if modality != VARIABLES],
            targets=[column],
            labelled=labelled,
            allow_missing=self.allow_missing,
            encoder=self.variable_encoder,
        )
        return [self._case(row, row.value(column)) for row in rows]

    def _case(self, row: Derm7ptRow, value: str | None) -> Case:
        return Case(
            case_id=row.case_id,
            group_id=row.case_id,
            images={
                modality: (ImageFile(path=path, where=f"{row.where}, column {modality}"),)
                for modality, path in row.images.items()
            },
            label=None if value is None else self.class_names.index(class_of(value, self.target)),
            where=f"{row.where}, column {column_of(self.target)}",
            variables=row.variables,
        )
