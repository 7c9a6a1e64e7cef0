"""MMC-AMD: colour fundus photographs and OCT B-scans of an eye."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_info

from data_modules.base import ClassificationDataModule, PredictSplit
from data_modules.cases import Case
from data_modules.errors import DatasetNotFoundError, DataSettingsError, SplitLeakageError, nearest
from data_modules.presence import Name
from data_modules.retina.dataset import EyeDataset, ImagesPerCase
from data_modules.retina.eyes import find_images, list_files_of, make_cases, patients_of, scan_split
from data_modules.retina.layout import FOLDERS, Layout, OfficialSplit, check_splits, find_layout, split_folder
from data_modules.retina.lists import Entry, scan_list_file
from data_modules.retina.names import CLASS_NAMES, MODALITIES, patient_of
from data_modules.splits import SPLITS, Split
from data_modules.transforms import SeededTransform, Step

KINDS = ("ImageSets", "SubjectSets", "annotations")


class MMCAMDDataModule(ClassificationDataModule):
    """MMC-AMD with its official splits: normal, dry AMD, PCV (polypoidal choroidal vasculopathy) and wet AMD.

    A case is an eye with images of both modalities, ``cfp`` (colour fundus photograph) and ``oct`` (B-scan), one or
    several of each; eyes with one modality alone are left out and counted, unless ``allow_missing`` keeps them. The
    group of an eye is its patient. Which eyes there are does not depend on ``modalities``.

    Reference: Wang et al., "Learning Two-Stream CNN for Multi-Modal Age-related Macular Degeneration Categorization",
    IEEE J. Biomed. Health Inform. 2022, arXiv 2012.01879.

    Args:
        root: Folder that holds ``ImageData/`` (or ``mmc-amd/ImageData/``) and ``mmc-amd-split*-{train,val,test}/``.
        split: ``AP`` cuts by patient, ``A`` by eye: there fellow eyes of a patient are in different splits.
        allow_patient_leakage: Whether ``A``, or list files that share patients, may be used all the same.
        list_files: Instead of an official split, by ``train``, ``val`` and ``test`` the path below the root of a list
            with lines ``cfp[ cfp...],oct[ oct...]<TAB>label``, labels no_amd, dry_amd, pcv and wet_amd.
        images_per_case: ``one`` as the paper has it: training draws one image of each modality, evaluation takes the
            first in the order of names. ``all`` takes all.
        modalities: ``cfp``, ``oct`` or both.
        img_size: Height and width of the images, pixels.
        batch_size: Cases per batch of one process.
        num_workers: Processes that read images; the samples do not depend on it.
        balanced_sampling: Whether training repeats cases until the classes are even.
        train_transform: Albumentations' transforms on 8-bit images, in order, as ``class_path`` (for example
            ``albumentations.HorizontalFlip``) and ``init_args``; a resize to ``img_size`` follows where it is needed.
            None is the paper's augmentation.
        eval_transform: The same for evaluation; None resizes.
        predict_split: The cases of ``predict``; ``all`` takes every eye that has images of the modalities in the
            folders and needs no lists.
        num_folds: K, at least 3: the official splits are pooled and cut into K folds, patients whole, the classes in
            proportion. None takes the official splits.
        fold: 0 to K - 1: this fold tests, the next one validates, the rest trains.
        split_seed: Of the folds, zero or more.
        allow_missing: Whether eyes with one modality alone are kept.
        modality_dropout: Probability that a modality of a case is left out in training; one always stays.
        seed: Of the order, the augmentation, the image drawn and the dropout, zero or more.

    Raises:
        DataSettingsError: If a setting cannot work.
        SplitLeakageError: If split A is asked for without leave.
    """

    name = "MMC-AMD"
    known_modalities = MODALITIES

    def __init__(
        self,
        *,
        root: str | Path = "data/mmc_amd",
        split: OfficialSplit = "AP",
        allow_patient_leakage: bool = False,
        list_files: dict[str, str] | None = None,
        images_per_case: ImagesPerCase = "one",
        modalities: Sequence[str] = MODALITIES,
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
        super().__init__(
            root=root,
            class_names=CLASS_NAMES,
            modalities=modalities,
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
        for setting, value, known in (
            ("split", split, ("AP", "A")),
            ("images_per_case", images_per_case, ("one", "all")),
        ):
            if value not in known:
                raise DataSettingsError(f"MMC-AMD: unknown {setting} {value!r}; {nearest(value, known)}")
        _check_list_files(list_files)
        if split == "A" and list_files is None and num_folds is None and not allow_patient_leakage:
            raise SplitLeakageError(
                "MMC-AMD: split A puts fellow eyes of a patient into different splits, so that results look better "
                "than they are; use split: AP, or set allow_patient_leakage: true to compare with others' figures on A"
            )
        self.split = split
        self.allow_patient_leakage = allow_patient_leakage
        self.list_files = list_files
        self.images_per_case: ImagesPerCase = images_per_case

    def read_splits(self, splits: Sequence[Split], *, labelled: bool) -> dict[Split, list[Case]]:
        """The eyes of the official split or of the list files."""
        layout = self._layout(MODALITIES if not self.allow_missing else self.modalities)
        if self.list_files is None:
            check_splits(self.root, self.split)
        entries = {split: self._entries(layout, split, labelled=labelled) for split in splits}
        patients = patients_of(self.root, self.split, SPLITS) if self.list_files is None else set()
        by_eye = self.allow_patient_leakage and self.num_folds is None
        cases: dict[Split, list[Case]] = {}
        for split, own in entries.items():
            cases[split], faults = make_cases(own, patients=None if by_eye else patients)
            for fault in faults:
                raise fault
        if by_eye:
            _tell_leakage(cases, patients)
        return self._complete(cases, MODALITIES)

    def read_all(self) -> list[Case]:
        """Every eye that has images of the modalities in the folders; no list is read, labels are unknown."""
        layout = self._layout(self.modalities)
        cases, _ = make_cases(find_images(layout, modalities=self.modalities), patients=set())
        if not cases:
            folders = " and ".join(layout.folders[name] for name in MODALITIES if name in self.modalities)
            raise DatasetNotFoundError(
                f"MMC-AMD not found: no picture in {folders} below {self.root / layout.images}; nothing to predict"
            )
        complete = self._complete({"all": cases}, self.modalities)["all"]
        if not complete:
            raise DatasetNotFoundError(
                f"MMC-AMD: no eye with all of {' and '.join(self.modalities)} below {self.root / layout.images}; "
                "complete it, or set allow_missing: true"
            )
        return complete

    def split_sources(self) -> Mapping[Split, str]:
        """The folders of the official split, or the list files."""
        if self.list_files is not None:
            return {split: self.list_files[split] for split in SPLITS}
        return {split: split_folder(self.root, self.split, split) for split in SPLITS}

    def tables(self) -> list[Path]:
        """The lists of all three splits that exist."""
        if self.list_files is not None:
            files = list(self.list_files.values())
        else:
            files = [
                file for split in SPLITS for kind in KINDS for file in list_files_of(self.root, self.split, split, kind)
            ]
        return [self.root / file for file in files if (self.root / file).is_file()]

    def make_dataset(self, cases: Sequence[Case], *, transform: SeededTransform, training: bool) -> EyeDataset:
        """Eyes as samples."""
        return EyeDataset(
            cases,
            modalities=self.modalities,
            transform=transform,
            training=training,
            images_per_case=self.images_per_case,
        )

    def _layout(self, needed: Sequence[str]) -> Layout:
        """The folders; paths of images start from the one found."""
        layout = find_layout(self.root, needed=needed)
        self.images_root = layout.images
        for modality, name in layout.folders.items():
            others = [other for other in FOLDERS[modality] if other != name]
            there = [other for other in others if (self.root / layout.images / other).is_dir()]
            if there:
                rank_zero_info(f"MMC-AMD: {modality} is read from {name}, not from {' or '.join(there)}")
        return layout

    def _entries(self, layout: Layout, split: Split, *, labelled: bool) -> list[Entry]:
        if self.list_files is not None:
            entries, faults = scan_list_file(self.root, self.list_files[split], folders=layout.folders)
        else:
            needed = self.modalities if self.allow_missing else MODALITIES
            entries, faults = scan_split(layout, self.split, split, modalities=needed, labelled=labelled)
        for fault in faults:
            raise fault
        return entries

    def _complete(self, splits: Mapping[Name, list[Case]], modalities: Sequence[str]) -> dict[Name, list[Case]]:
        """The eyes with images of all the modalities, or all eyes where one may be missing."""
        if self.allow_missing:
            return dict(splits)
        kept = {split: [case for case in cases if all(map(case.has, modalities))] for split, cases in splits.items()}
        total = sum(map(len, splits.values()))
        if left_out := total - sum(map(len, kept.values())):
            rank_zero_info(
                f"MMC-AMD: {left_out} of {total} eyes lack {' or '.join(modalities)} and are left out "
                "(allow_missing: true keeps them)"
            )
        return kept


def _check_list_files(list_files: Mapping[str, str] | None) -> None:
    if list_files is None:
        return
    for split in list_files:
        if split not in SPLITS:
            raise DataSettingsError(f"MMC-AMD: list_files names {split!r}; {nearest(split, SPLITS)}")
    for split in SPLITS:
        if split not in list_files:
            raise DataSettingsError(f"MMC-AMD: list_files lacks {split!r}; it has to name train, val and test")
    for file in list_files.values():
        if Path(file).is_absolute() or ".." in Path(file).parts:
            raise DataSettingsError(f"MMC-AMD: list file {file!r} is not below the root; copy it there")


def _tell_leakage(splits: Mapping[Split, Sequence[Case]], patients: set[str]) -> None:
    """Count the patients whose eyes are in several splits."""
    seen: dict[str, set[str]] = {}
    for split, cases in splits.items():
        for case in cases:
            seen.setdefault(patient_of(case.case_id, patients), set()).add(split)
    shared = sum(len(found) > 1 for found in seen.values())
    rank_zero_info(f"MMC-AMD: eyes of {shared} of {len(seen)} patients are in several splits: figures look too good")
