"""How answers about mammograms are judged: what counts as a finding, on which scale, at which prevalence."""

from collections.abc import Mapping, Sequence
from typing import Any

from data_modules.asked import AskedByTasks
from data_modules.mammography.selection import TARGETS
from data_modules.mammography.split import Label

SCREENING_PREVALENCE = 0.005
"""Cancers among screening exams, the round figure of 5 in 1,000. The Breast Cancer Surveillance Consortium found 5.1 in
1,000, 2007 to 2013 (Lehman et al., "National performance benchmarks for modern screening digital mammography",
Radiology 2017)."""


class JudgedByTarget(AskedByTasks):
    """What a target says of its classes, and the set of its cases."""

    target: Label
    balanced_test: bool = False
    """Whether the test cases were chosen so that classes are even."""
    of_a_population: bool = True
    """Whether the set's cases were taken as they came, so that classes are as frequent as where they come from."""

    @property
    def cut(self) -> dict[str, Any]:
        """Which patients train: what has learned from them is not judged by a set that is cut otherwise."""
        return {name: getattr(self, name) for name in ("name", "split_seed", "num_folds", "fold")}

    @property
    def class_severity(self) -> list[int]:
        """Class ids from the least to the most severe, for answers about breasts and exams."""
        return list(TARGETS[self.target].severity)

    @property
    def positive_class(self) -> int | None:
        """The class of two that is looked for."""
        return TARGETS[self.target].positive

    @property
    def contrasts(self) -> Mapping[str, tuple[Sequence[int], Sequence[int]]]:
        """Positive and negative classes of questions with two answers, by name; other classes are reported apart."""
        return TARGETS[self.target].contrasts

    @property
    def ordinal_classes(self) -> Sequence[int] | None:
        """Classes that are steps of one scale, in its order."""
        return TARGETS[self.target].scale

    @property
    def natural_prevalence(self) -> bool:
        """Whether classes are as frequent among the test cases as where these come from."""
        return self.of_a_population and not self.balanced_test

    @property
    def screening_prevalence(self) -> float | None:
        """The prevalence that figures are also stated at; None where the test cases cannot stand for a population."""
        return SCREENING_PREVALENCE if self.target == "cancer" and self.natural_prevalence else None
