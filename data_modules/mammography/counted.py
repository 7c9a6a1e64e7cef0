"""How many labels a classifier learns from: patients and cases that train, and how many of them have a finding."""

from collections.abc import Mapping, Sequence
from typing import TypedDict, cast

import numpy as np
from lightning.pytorch.utilities import rank_zero_info
from numpy.typing import NDArray

from data_modules.cases import Case
from data_modules.mammography.cases import CaseTable
from data_modules.mammography.judged import JudgedByTarget


class TrainingCounts(TypedDict):
    """What a training split holds; a patient counts for each class that a case of hers has."""

    label_fraction: float
    """The share of the patients whose labels are used."""
    patients: int
    cases: int
    positive_classes: list[str]
    """What is looked for; empty where the target has no such classes."""
    positive_patients: int
    positive_cases: int
    patients_by_class: dict[str, int]
    cases_by_class: dict[str, int]


def training_counts(
    cases: CaseTable, *, class_names: Sequence[str], positive: Sequence[int], label_fraction: float
) -> TrainingCounts:
    """Count a training split.

    Args:
        cases: Labelled.
        class_names: C names.
        positive: Ids of the classes that are looked for.
        label_fraction: The share of the patients that was drawn.
    """

    def patients(rows: NDArray[np.bool_]) -> int:
        """Different patients of some cases."""
        return len(np.unique(cases.groups.codes[rows]))

    labels = cases.label_codes
    found = np.isin(labels, list(positive))
    return TrainingCounts(
        label_fraction=label_fraction,
        patients=patients(labels >= 0),
        cases=int((labels >= 0).sum()),
        positive_classes=[class_names[index] for index in positive],
        positive_patients=patients(found),
        positive_cases=int(found.sum()),
        patients_by_class={name: patients(labels == index) for index, name in enumerate(class_names)},
        cases_by_class={name: int((labels == index).sum()) for index, name in enumerate(class_names)},
    )


class CountsLabels(JudgedByTarget):
    """The part of a DataModule that says how many labels there are to learn from."""

    class_names: list[str]
    label_fraction: float
    fraction_seed: int
    needs_labels: bool
    splits: dict[str, Sequence[Case]]

    def say_training(self, cases: Sequence[Case], *, name: str) -> None:
        """Where labels are left out of training, say how many are left.

        Args:
            cases: Of the training split.
            name: Of the set.
        """
        if self.label_fraction == 1:
            return
        counts = self._count_labels(cases)
        found = " or ".join(counts["positive_classes"])
        positive = f"{counts['positive_patients']:,} of them with {found} ({counts['positive_cases']:,} cases)"
        by_class = ", ".join(f"{one}: {number:,}" for one, number in counts["patients_by_class"].items())
        rank_zero_info(
            "%s: label_fraction %g, fraction_seed %d: %s patients to learn from (%s cases), %s",
            name,
            self.label_fraction,
            self.fraction_seed,
            f"{counts['patients']:,}",
            f"{counts['cases']:,}",
            positive if found else f"patients by class {by_class}",
        )

    @property
    def training_counts(self) -> TrainingCounts | None:
        """Patients and cases that a classifier learns from, after ``setup``; None before, and in pretraining."""
        cases = self.splits.get("train")
        return None if cases is None or not self.needs_labels else self._count_labels(cases)

    def _count_labels(self, cases: Sequence[Case]) -> TrainingCounts:
        looked_for: Mapping[str, tuple[Sequence[int], Sequence[int]]] = self.contrasts
        positive = [] if self.positive_class is None else [self.positive_class]
        positive = positive or [index for positives, _ in looked_for.values() for index in positives]
        return training_counts(
            cast(CaseTable, cases),
            class_names=self.class_names,
            positive=positive,
            label_fraction=self.label_fraction,
        )
