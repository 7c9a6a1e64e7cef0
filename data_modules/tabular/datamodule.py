"""A table of one's own: a row per case, columns with image paths, classes, groups and clinical variables."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_info
from torch.nn import ModuleDict

from data_modules.base import ClassificationDataModule, PredictSplit
from data_modules.batch import VARIABLES
from data_modules.cases import Case
from data_modules.errors import DataSettingsError
from data_modules.splits import SPLITS, Split, stratified_parts
from data_modules.table import Table
from data_modules.tabular.classes import ClassColumn, LabelColumns
from data_modules.tabular.rows import Columns, check_file, make_cases, read_rows, split_rows
from data_modules.transforms import Step
from data_modules.variables import Description

SHARES: Mapping[Split, float] = {"train": 0.7, "val": 0.1, "test": 0.2}
"""Of the cases, where the table has no column of splits."""


TAKEN = (VARIABLES, "case", "group", "subset", "fused")
"""Names that kinds of units may not have: results have figures and columns called so."""


class TableDataModule(ClassificationDataModule):
    """A CSV or Parquet table with a row per case (docs/datasets/table.md).

    Args:
        root: Folder of the table; the image paths start from it.
        table: The table below the root, ``.csv`` or ``.parquet``.
        modalities: By modality, the column with the path of its image, or with several separated by semicolons.
        class_names: Classes in the order of their ids; null only with ``label_columns``, whose names are then the
            classes.
        label_column: One class per case: the column with its name or id.
        label_columns: Several labels per case: the columns with 0 or 1 for each.
        class_map: Class names by what the table says instead, for one that names classes otherwise.
        case_column: Ids of the cases, each once; null takes the row's number, from 0.
        group_column: Patients, or whatever must not be split; null makes each case a group.
        split_column: ``train``, ``val`` (also ``valid``, ``validation``), ``test``, or empty for none of them; null
            cuts 70, 10 and 20 % by ``split_seed``, groups whole, classes in proportion.
        unit_columns: By kind of what a case is part of and is judged with, the column of its ids, the smaller kind
            first: ``{breast: breast_id, exam: exam_id}`` where a case is an image. Each lies in one of the next kind
            and in one group. Classes are in the order of their severity then: the worst of its cases' labels stands.
        variables: Clinical variables by column, each with ``mean`` and ``std`` of a number, or with the categories
            there are; they become one more modality, called ``variables``.
        name: What messages call the set.
        img_size: Height and width of the images, pixels.
        batch_size: Cases per batch of one process.
        num_workers: Processes that read images; the samples do not depend on it.
        balanced_sampling: Whether training repeats cases until classes (several labels: their combinations) are even.
        train_transform: Albumentations' transforms on 8-bit images, in order, as ``class_path`` (for example
            ``albumentations.HorizontalFlip``) and ``init_args``; a resize to ``img_size`` follows where it is needed.
            None is the augmentation of the Early Intervention paper.
        eval_transform: The same for evaluation; None resizes.
        predict_split: The cases of ``predict``; ``all`` takes every row of the table and needs no splits.
        num_folds: K, at least 3: all cases of the splits are pooled and cut into K folds, groups whole, classes in
            proportion. None takes the splits.
        fold: 0 to K - 1: this fold tests, the next one validates, the rest trains.
        split_seed: Of the folds, or of the cut where the table has no splits; zero or more.
        allow_missing: Whether empty cells of image paths are missing images instead of errors.
        modality_dropout: Probability that a modality of a case is left out in training; one always stays.
        seed: Of the order, the augmentation and the dropout, zero or more.

    Raises:
        DataSettingsError: If a setting cannot work.
    """

    def __init__(
        self,
        *,
        root: str | Path,
        table: str = "table.csv",
        modalities: dict[str, str],
        class_names: list[str] | None = None,
        label_column: str | None = None,
        label_columns: list[str] | None = None,
        class_map: dict[str, str] | None = None,
        case_column: str | None = None,
        group_column: str | None = None,
        split_column: str | None = None,
        unit_columns: dict[str, str] | None = None,
        variables: Description | None = None,
        name: str = "table",
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
        check_file(table)
        _check_names(name, modalities, described=variables is not None)
        _check_units(name, unit_columns or {}, modalities)
        labels, classes = _labels(name, class_names, label_column, label_columns, class_map)
        _check_no_label(name, labels.columns, variables or {})
        self.name = name
        self.table = table
        self.known_modalities = (*modalities, VARIABLES)
        super().__init__(
            root=root,
            class_names=classes,
            modalities=[*modalities, *([] if variables is None else [VARIABLES])],
            variables=variables,
            multi_label=isinstance(labels, LabelColumns),
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
        self.columns = Columns(
            images=dict(modalities),
            labels=labels,
            case=case_column,
            group=group_column,
            split=split_column,
            variables=self.variable_encoder,
            units=dict(unit_columns or {}),
        )

    def read_splits(self, splits: Sequence[Split], *, labelled: bool) -> dict[Split, list[Case]]:
        """The cases of the table's splits, or of the cut."""
        column = self.columns.split
        if column is None:  # the cut looks at labels, so that it is the same in every stage
            _, cases = self._read_cases(labelled=True, split=False)
            if self.num_folds is not None:
                return {split: cases if split == "train" else [] for split in splits}
            parts = stratified_parts(cases, shares=list(SHARES.values()), seed=self.split_seed)
            return {split: part for split, part in zip(SHARES, parts, strict=True) if split in splits}
        table, cases = self._read_cases(labelled=labelled, split=True)
        rows = split_rows(table, column)
        unused = len(cases) - sum(map(len, rows.values()))
        if unused and set(splits) == set(SPLITS):
            rank_zero_info(f"{self.name}: {unused} of {len(cases)} rows are in no split and are left out")
        return {split: [cases[row] for row in rows[split]] for split in splits}

    def read_all(self) -> list[Case]:
        """Every row of the table."""
        return self._read_cases(labelled=False, split=False)[1]

    def split_sources(self) -> Mapping[Split, str]:
        """The table and what its column of splits says, or the cut."""
        column = self.columns.split
        if column is not None:
            return {split: f"{self.table}, {column} {split}" for split in SPLITS}
        return {
            split: f"{self.table}, {share:.0%} for {split} by split_seed {self.split_seed}"
            for split, share in SHARES.items()
        }

    def tables(self) -> list[Path]:
        """The table."""
        return [self.root / self.table]

    def _read_cases(self, *, labelled: bool, split: bool) -> tuple[Table, list[Case]]:
        table = read_rows(self.root, self.table, self.columns, labelled=labelled, split=split, name=self.name)
        return table, make_cases(table, self.columns, allow_missing=self.allow_missing)


def _check_names(name: str, modalities: Mapping[str, str], *, described: bool) -> None:
    if not modalities and not described:
        raise DataSettingsError(f"{name}: no modality; name a column with image paths, or describe variables")
    for modality in modalities:
        if modality == VARIABLES:
            raise DataSettingsError(
                f"{name}: {VARIABLES!r} is no name for a modality of images; describe clinical variables in the "
                "setting variables"
            )
        if not re.fullmatch(r"\w[\w-]*", modality):
            raise DataSettingsError(f"{name}: modality {modality!r}: a name has letters, digits, _ and - alone")
        if hasattr(ModuleDict(), modality):  # where models keep what belongs to a modality
            raise DataSettingsError(
                f"{name}: modality {modality!r}: modules of torch have an attribute of that name; choose another"
            )


def _check_units(name: str, units: Mapping[str, str], modalities: Mapping[str, str]) -> None:
    for kind in units:
        if not re.fullmatch(r"\w[\w-]*", kind):
            raise DataSettingsError(f"{name}: unit {kind!r}: a name has letters, digits, _ and - alone")
        if kind in TAKEN or kind in modalities:
            raise DataSettingsError(f"{name}: unit {kind!r}: other figures and columns have this name; choose another")


def _check_no_label(name: str, labels: Sequence[str], variables: Description) -> None:
    for column in variables:
        if column in labels:
            raise DataSettingsError(
                f"{name}: variables read {column!r}, the column of the labels, which the model is to tell; leave it out"
            )


def _labels(
    name: str,
    class_names: Sequence[str] | None,
    label_column: str | None,
    label_columns: Sequence[str] | None,
    class_map: Mapping[str, str] | None,
) -> tuple[ClassColumn | LabelColumns, list[str]]:
    """The columns of labels and the names of the classes."""
    if (label_column is None) == (label_columns is None):
        raise DataSettingsError(
            f"{name}: set label_column (one class per case) or label_columns (several labels), one of the two"
        )
    if label_columns is not None:
        _check_each_once(name, "label_columns", label_columns, fewest=1)
        names = list(label_columns if class_names is None else class_names)
        if len(names) != len(label_columns):
            raise DataSettingsError(
                f"{name}: {len(names)} class_names ({', '.join(names)}) for {len(label_columns)} label_columns "
                f"({', '.join(label_columns)}); name as many, or leave class_names out"
            )
        if class_map is not None:
            raise DataSettingsError(
                f"{name}: class_map goes with label_column; put label_columns in the order you need"
            )
        _check_each_once(name, "class_names", names, fewest=1)
        return LabelColumns(label_columns), names
    if class_names is None or label_column is None:
        raise DataSettingsError(f"{name}: label_column needs class_names, in the order of their ids")
    _check_each_once(name, "class_names", class_names, fewest=2)
    return ClassColumn(label_column, class_names=class_names, class_map=class_map or {}), list(class_names)


def _check_each_once(name: str, setting: str, values: Sequence[str], *, fewest: int) -> None:
    if len(values) < fewest or len(set(values)) < len(values):
        raise DataSettingsError(f"{name}: {setting} are {list(values)}; name {fewest} or more, each once")
