"""MRNet: an axial, a coronal and a sagittal magnetic resonance volume per knee."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from data_modules.base import ClassificationDataModule, PredictSplit
from data_modules.cases import Case, ImageFile
from data_modules.dataset import CaseDataset
from data_modules.errors import DataSettingsError, ImageNotFoundError, nearest
from data_modules.images import ImageFolder
from data_modules.knee.dataset import SliceDataset
from data_modules.knee.lists import check_list_file, read_list
from data_modules.knee.tables import (
    LABELS,
    OFFICIAL_SPLITS,
    PLANES,
    Exam,
    OfficialSplit,
    label_file,
    read_exams,
    volume_path,
)
from data_modules.splits import SPLITS, Split, cut_validation
from data_modules.transforms import SeededTransform, Step

OFFICIAL_TRAIN, PAPER_VALIDATION = 1130, 120
"""Exams of the release's ``train``, and how many of them validate in Early Intervention (arXiv 2603.17514)."""


class MRNetDataModule(ClassificationDataModule):
    """MRNet (v1.0) as it comes: its ``valid`` tests, a validation set is cut from its ``train``.

    1250 exams with a volume of each plane, ``axial``, ``coronal`` and ``sagittal``; three labels, of which an exam can
    have several: ``abnormal``, ``meniscus`` (tear), ``acl`` (tear). The release has no patient ids: the group of a case
    is the exam itself, and leakage between ``train`` and the validation set cut from it cannot be excluded.

    Reference: Bien et al., "Deep-learning-assisted diagnosis for knee magnetic resonance imaging: Development and
    retrospective validation of MRNet", PLOS Medicine 2018.

    Args:
        root: Folder that holds ``train/``, ``valid/`` and the tables.
        modalities: Planes to read.
        num_slices: Slices of each volume: evenly spaced, in training jittered within their steps. A volume with fewer
            gives some of them several times.
        val_size: Exams cut from ``train`` for validation, labels in proportion. None takes 120 of the 1130 of the
            release, and as large a share of a table of another length. Lists and folds have one without it.
        list_files: By split (train, val, test), a list below ``root`` to read instead of the official tables, lines
            ``axial.npy,coronal.npy,sagittal.npy<TAB>abnormal,acl,meniscus`` (no label: normal).
        img_size: Height and width of the images, pixels.
        batch_size: Cases per batch of one process.
        num_workers: Processes that read volumes; the samples do not depend on it.
        balanced_sampling: Whether training repeats cases until the combinations of labels are even.
        train_transform: Albumentations' transforms on 8-bit images, in order, as ``class_path`` (for example
            ``albumentations.HorizontalFlip``) and ``init_args``; a resize to ``img_size`` follows where it is needed.
            None is the paper's augmentation.
        eval_transform: The same for evaluation; None resizes.
        predict_split: The cases of ``predict``; ``all`` takes every exam of both official splits and needs no tables.
        num_folds: Pool the splits and cut them into this many folds, 3 or more, by group; None keeps the splits.
        fold: The fold that tests, from 0; the next one validates, the rest trains.
        split_seed: Of the validation set and of the folds, zero or more.
        allow_missing: Whether exams may lack a plane.
        modality_dropout: Probability that a plane is left out in training; one at least stays.
        seed: Of the order, the slices and the augmentation, zero or more.

    Raises:
        DataSettingsError: If a setting cannot work.
    """

    name = "MRNet"
    known_modalities = PLANES

    def __init__(
        self,
        *,
        root: str | Path = "data/mrnet",
        modalities: Sequence[str] = PLANES,
        num_slices: int = 4,
        val_size: int | None = None,
        list_files: dict[Split, str] | None = None,
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
        for setting, value in (("num_slices", num_slices), ("val_size", val_size)):
            if value is not None and value < 1:
                raise DataSettingsError(f"MRNet: {setting} is {value}; it has to be at least 1")
        self.num_slices = num_slices
        self.val_size = val_size
        self.list_files = None if list_files is None else _check_lists(list_files)
        super().__init__(
            root=root,
            class_names=LABELS,
            modalities=modalities,
            multi_label=True,
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
        """Of the lists where they are given, else: the official ``valid`` tests, ``train`` is cut in two."""
        if self.list_files is not None:
            return {split: self._read_list(split) for split in splits}
        read: dict[Split, list[Case]] = {}
        if {"train", "val"} & set(splits):
            # Labels decide which exams validate, so that they are needed even where none has to be known.
            train, val = self._cut(self._official("train", labelled=True))
            read |= {"train": train, "val": val}
        if "test" in splits:
            read["test"] = self._official("valid", labelled=labelled)
        return {split: read[split] for split in splits}

    def read_all(self) -> list[Case]:
        """Every exam of both official splits, or of all lists."""
        if self.list_files is not None:
            return [case for split in SPLITS if split in self.list_files for case in self._read_list(split)]
        return [case for split in OFFICIAL_SPLITS for case in self._official(split, labelled=False)]

    def split_sources(self) -> Mapping[Split, str]:
        """The lists, or the first table of each official split."""
        if self.list_files is not None:
            return {split: self.list_files.get(split, f"list_files[{split}]") for split in SPLITS}
        train, valid = (label_file(split, LABELS[0]) for split in OFFICIAL_SPLITS)
        return {"train": train, "val": f"{train} (cut by split_seed {self.split_seed})", "test": valid}

    def tables(self) -> list[Path]:
        """The lists, or those of the six tables that exist."""
        if self.list_files is not None:
            return [self.root / file for file in self.list_files.values()]
        files = [label_file(split, name) for split in OFFICIAL_SPLITS for name in LABELS]
        return [self.root / file for file in files if (self.root / file).is_file()]

    def make_dataset(self, cases: Sequence[Case], *, transform: SeededTransform, training: bool) -> CaseDataset:
        """Cases whose files are volumes."""
        return SliceDataset(
            cases,
            modalities=self.modalities,
            transform=transform,
            training=training,
            num_slices=self.num_slices,
        )

    def _cut(self, cases: list[Case]) -> tuple[list[Case], list[Case]]:
        size = self.val_size
        if size is None:
            size = max(1, round(len(cases) * PAPER_VALIDATION / OFFICIAL_TRAIN))
        return cut_validation(cases, size=size, seed=self.split_seed)

    def _official(self, split: OfficialSplit, *, labelled: bool) -> list[Case]:
        """The exams of an official split; with ``allow_missing`` a plane without a file is absent."""
        folder = ImageFolder(self.root)
        return [self._case(exam, folder) for exam in read_exams(self.root, split, labelled=labelled)]

    def _read_list(self, split: Split) -> list[Case]:
        lists = self.list_files or {}
        if split not in lists:
            raise DataSettingsError(
                f"MRNet: list_files names no list for {split}; add it (there are {', '.join(lists)})"
            )
        return read_list(self.root, lists[split], planes=self.modalities, allow_missing=self.allow_missing)

    def _case(self, exam: Exam, folder: ImageFolder) -> Case:
        paths = {plane: volume_path(exam.split, plane, exam.exam_id) for plane in PLANES}
        if self.allow_missing:
            paths = {plane: path for plane, path in paths.items() if _exists(folder, path, exam.where)}
        return Case(
            case_id=exam.exam_id,
            group_id=exam.exam_id,
            images={plane: (ImageFile(path=path, where=exam.where),) for plane, path in paths.items()},
            label=exam.label,
            where=exam.where,
        )


def _check_lists(lists: Mapping[Split, str]) -> dict[Split, str]:
    """Refuse names of splits that there are not, and lists out of the root.

    Raises:
        DataSettingsError: Naming it.
    """
    for split in lists:
        if split not in SPLITS:
            raise DataSettingsError(f"MRNet: list_files has an unknown split {split!r}; {nearest(split, SPLITS)}")
    if not lists:
        raise DataSettingsError("MRNet: list_files is empty; name a list for train, val and test, or leave it out")
    return {split: check_list_file(file) for split, file in lists.items()}


def _exists(folder: ImageFolder, path: str, where: str) -> bool:
    try:
        folder.find(path, where=where)
    except ImageNotFoundError:
        return False
    return True
