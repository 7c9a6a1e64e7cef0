"""What a test says of breasts and exams instead of images: answers of cases that are part of one unit, put together."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from medlit.errors import ConfigurationError
from medlit.metrics import Aggregate, aggregate, classification_metrics, severity_order
from medlit.tasks.results import CaseResults

TAKEN = ("case", "group", "subset")
"""Kinds of units whose figures or columns would be taken for others."""


@dataclass(frozen=True)
class UnitResults:
    """Answers for U units of one kind; C classes."""

    unit_id: list[str]
    group_id: list[str]
    within: dict[str, list[str]]
    """The larger units that each is a part of, by their kind."""
    label: Tensor | None
    """(U,) int64, ``UNKNOWN_LABEL`` where unknown, or (U, C) float32, NaN where unknown; None: no case has one."""
    probabilities: Tensor
    """(U, C) float64."""
    num_cases: list[int]
    """How many cases each has."""
    disagreeing: int
    """Units whose cases are labelled differently; counted for the smallest kind alone, for an exam's breasts may
    differ."""

    def figures(self, class_names: Sequence[str] | None) -> dict[str, float]:
        """Metrics of the units whose label is known; nothing where none is.

        Args:
            class_names: C names for figures of a single class; None: without those.
        """
        scores, label = self.labelled()
        if not len(label):
            return {}
        figures = classification_metrics(scores, label, class_names=class_names)
        figures["units"] = float(len(label))
        return figures | ({"labels_disagree": float(self.disagreeing)} if self.disagreeing else {})

    def labelled(self) -> tuple[Tensor, Tensor]:
        """Scores (K, C) float64, in the place of logits, and labels of the units whose label is known."""
        if self.label is None:
            return self.probabilities[:0], torch.zeros(0, dtype=torch.long)
        multi_label = self.label.ndim == 2
        known = ~self.label.isnan().any(dim=1) if multi_label else self.label >= 0
        # Metrics rank by logits and decide at the largest, or above zero; so do these.
        chance = self.probabilities[known]
        scores = chance - 0.5 if multi_label else chance.clamp(min=torch.finfo(torch.float64).tiny).log()
        return scores, self.label[known]


def unit_results(
    results: CaseResults, *, multi_label: bool, severity: Sequence[int] | None = None, head: str | None = None
) -> dict[str, UnitResults]:
    """Answers and labels of the units, by kind, the smaller kind first.

    The smallest kind (breast) takes the mean over its cases (images). A larger one (exam) takes its parts: of two
    classes, and of each of several labels, the largest probability of the positive one; else the mean over the parts.

    Args:
        results: Rows of a whole set.
        multi_label: Whether a case may have several labels.
        severity: See `medlit.metrics.aggregate`.
        head: Whose answers; None: the first one's.

    Raises:
        ConfigurationError: If a kind is called like a head, or a unit is in two larger ones or groups.
    """
    check_kinds(results)
    found: dict[str, UnitResults] = {}
    probabilities = results.probabilities(head or next(iter(results.logits)), multi_label=multi_label)
    label, group, units = results.label, results.group_id, results.units
    cases = torch.ones(len(group), dtype=torch.long)
    while units:
        kind, *larger = units
        merged = aggregate(
            *(probabilities, label, units[kind]),
            by="any" if found else "mean",
            multi_label=multi_label,
            severity=severity,
        )
        units = {name: _shared(units[name], merged, what=(kind, name)) for name in larger}
        group = _shared(group, merged, what=(kind, "group"))
        cases = torch.zeros(len(merged.ids), dtype=torch.long).index_add_(0, merged.unit, cases)
        probabilities, label = merged.probabilities, merged.labels
        found[kind] = UnitResults(
            unit_id=merged.ids,
            group_id=group,
            within=units,
            label=label,
            probabilities=probabilities,
            num_cases=cases.tolist(),
            disagreeing=0 if found else merged.disagreeing,
        )
    return found


def check_kinds(results: CaseResults) -> None:
    """Refuse kinds of units whose figures or columns would be taken for others.

    Raises:
        ConfigurationError: Naming the first one.
    """
    heads = {head.partition("/")[0] for head in results.logits}
    if taken := [kind for kind in results.units if kind in heads or kind in TAKEN]:
        raise ConfigurationError(f"unit {taken[0]!r}: other figures have this name; give the units of the data another")


def severity_of(datamodule: object, *, num_classes: int) -> list[int]:
    """Class ids from the least to the most severe: ``class_severity`` of the data, ascending where they say nothing.

    Raises:
        ConfigurationError: If the data do not name each class once.
    """
    try:
        return severity_order(getattr(datamodule, "class_severity", None), num_classes=num_classes)
    except ValueError as error:
        raise ConfigurationError(f"{type(datamodule).__name__}.class_severity: {error}") from error


def _shared(names: Sequence[str], merged: Aggregate, *, what: tuple[str, str]) -> list[str]:
    """What all rows of a unit are called, by unit."""
    found: dict[int, str] = {}
    for place, name in zip(merged.unit.tolist(), names, strict=True):
        if found.setdefault(place, name) != name:
            kind, larger = what
            raise ConfigurationError(
                f"{kind} {merged.ids[place]!r} is part of {larger} {found[place]!r} and of {larger} {name!r}; "
                f"give each {kind} one {larger}"
            )
    return list(found.values())
