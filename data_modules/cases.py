"""Cases as the tables describe them: plain Python objects, for the DataLoaders' workers have to unpickle them."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from data_modules.batch import VARIABLES
from data_modules.errors import ImageNotFoundError, TableError
from data_modules.images import ImageFolder


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One picture or volume of a case."""

    path: str
    """Below the folder of images as the table has it; absolute or below the working directory once it is found."""
    where: str
    """File, line and column of the table that name it, for errors."""
    folder: str | None = None
    """What it must not leave through a link, where that is looked at when it is read: a set has half a million."""


@dataclass(frozen=True, slots=True)
class Case:
    """One case: its files by modality, its clinical variables and its label."""

    case_id: str
    """Unique in the data set."""
    group_id: str
    """Patient, eye or whatever else must not be split; the case where nothing is known."""
    images: Mapping[str, tuple[ImageFile, ...]]
    """By modality, 1..n files; an absent modality has no key."""
    label: int | tuple[int, ...] | None
    """Class, or zeros and ones of several labels; None where unknown."""
    where: str
    """File and line of the table, for errors."""
    variables: tuple[float, ...] | None = None
    """Clinical variables as the model sees them, NaN where one is unknown; None where all are, or none was read."""
    units: Mapping[str, str] | None = None
    """What the case is a part of and is judged with, id by kind, the smaller kind first: ``{"breast": "E12_L", "exam":
    "E12"}`` for an image. All cases of a set have the same kinds; None: a case stands for itself alone."""
    strata: Mapping[str, str] | None = None
    """Groups that are also judged by themselves, by what tells them apart: ``{"site": "1"}``. All cases of a set are
    told apart by the same; None: by nothing."""

    def has(self, modality: str) -> bool:
        """Whether the case has an image of a modality; of the modality of variables, whether any is known."""
        return self.variables is not None if modality == VARIABLES else bool(self.images.get(modality))


class CaseColumns(Sequence[Case], ABC):
    """Cases kept as columns, for sets of hundreds of thousands: a case is made when it is asked for.

    All of them are part of the same kinds of units. The functions below then read a column instead of every case.
    """

    @property
    @abstractmethod
    def labels(self) -> Sequence[int | tuple[int, ...] | None]:
        """The label of every case, N."""

    @property
    @abstractmethod
    def case_ids(self) -> Sequence[str]:
        """The id of every case, N."""


def labels_of(cases: Sequence[Case]) -> Sequence[int | tuple[int, ...] | None]:
    """The label of every case, N; None where it is unknown."""
    return cases.labels if isinstance(cases, CaseColumns) else [case.label for case in cases]


def ids_of(cases: Sequence[Case]) -> Sequence[str]:
    """The id of every case, N."""
    return cases.case_ids if isinstance(cases, CaseColumns) else [case.case_id for case in cases]


def locate_images(cases: Sequence[Case], *, folder: ImageFolder, modalities: Sequence[str]) -> list[Case]:
    """The cases with the paths of the files found, and no other modalities than those asked for.

    Args:
        cases: Paths start from ``folder``.
        folder: Where the files are.
        modalities: Those to look for.

    Raises:
        ImageNotFoundError: Naming the first missing file and how many are missing.
        UnsafePathError: If a path leaves the folder.
    """
    missing: list[ImageNotFoundError] = []

    def found(file: ImageFile) -> ImageFile:
        """The file where it lies; a missing one is kept for the message."""
        try:
            return replace(file, path=str(folder.find(file.path, where=file.where)))
        except ImageNotFoundError as error:
            missing.append(error)
            return file

    located = []
    for case in cases:
        names = [name for name in modalities if name in case.images]
        located.append(replace(case, images={name: tuple(map(found, case.images[name])) for name in names}))
    if missing:
        raise ImageNotFoundError(
            f"{missing[0]} ({len(missing)} missing in all); complete the copy, or correct the table"
        )
    return located


def check_labelled(cases: Sequence[Case]) -> None:
    """Refuse cases without a label.

    Raises:
        TableError: Naming the first one's file and line.
    """
    for case, label in enumerate(labels_of(cases)):
        if label is None:
            raise TableError(
                f"{cases[case].where}: no label; fill it in, or leave the row out of the split (predict needs none)"
            )


def check_units(cases: Sequence[Case]) -> None:
    """Refuse cases that are not part of the same kinds of units, and units that are part of two larger ones or groups.

    Raises:
        TableError: Naming the first case that differs from an earlier one.
    """
    if not cases or isinstance(cases, CaseColumns):
        return
    kinds = list(cases[0].units or ())
    first: dict[tuple[str, str], Case] = {}
    for case in cases:
        if list(case.units or ()) != kinds:
            raise TableError(
                f"{case.where}: part of {_kinds(case.units)}, where {cases[0].where} is part of {_kinds(kinds)}; "
                "give all cases of a set the same kinds of units, in one order"
            )
        for unit, (kind, whole) in pairwise(_wholes(case)):
            other = dict(_wholes(first.setdefault(unit, case)))[kind]
            if other != whole:
                raise TableError(
                    f"{case.where}: {unit[0]} {unit[1]!r} is part of {kind} {whole!r}, but of {other!r} in "
                    f"{first[unit].where}; give each {unit[0]} one {kind}"
                )


def label_groups(cases: Sequence[Case]) -> list[int]:
    """Length N: the class of each case, or for several labels a number for their combination."""
    numbers: dict[int | tuple[int, ...] | None, int] = {}
    return [numbers.setdefault(label, len(numbers)) for label in labels_of(cases)]


def label_matrix(cases: Sequence[Case], *, num_classes: int) -> NDArray[np.int64]:
    """Labels as zeros and ones, (labelled cases, num_classes)."""
    matrix = np.zeros((len(cases), num_classes), dtype=np.int64)
    known = [label for label in labels_of(cases) if label is not None]
    for row, label in zip(matrix, known, strict=False):
        if isinstance(label, tuple):
            row[:] = label
        else:
            row[label] = 1
    return matrix[: len(known)]


def class_weights(cases: Sequence[Case], *, num_classes: int, multi_label: bool) -> NDArray[np.float32]:
    """Weights (C,) from training cases.

    Single label: N / (C * n_c), the weight of cross-entropy, mean 1 over the cases. Several labels:
    (N - n_c) / n_c, the ``pos_weight`` of binary cross-entropy. A class without cases counts as having one.
    """
    matrix = label_matrix(cases, num_classes=num_classes)
    counts: NDArray[np.int64] = np.maximum(matrix.sum(0), 1)
    if multi_label:
        return np.asarray((len(matrix) - counts) / counts, dtype=np.float32)
    return np.asarray(len(matrix) / (num_classes * counts), dtype=np.float32)


def _wholes(case: Case) -> list[tuple[str, str]]:
    """Kind and id of what a case is part of, the group last."""
    return [*(case.units or {}).items(), ("group", case.group_id)]


def _kinds(units: Iterable[str] | None) -> str:
    return ", ".join(units or ()) or "no unit"
