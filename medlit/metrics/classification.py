"""Figures of a classifier from its logits: ranking by logit, decisions at the argmax (multi-label: logit > 0)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc, binary_average_precision

MEAN_METRICS = ("map", "auroc", "accuracy", "balanced_accuracy", "f1", "sensitivity", "specificity")
"""Names that every result of `classification_metrics` has; the means over classes and the accuracy."""


def classification_metrics(
    logits: Tensor, labels: Tensor, *, class_names: Sequence[str] | None = None
) -> dict[str, float]:
    """All figures of one head on one set, one class against the rest.

    ``map`` and ``auroc`` rank the cases of a class by its raw logit: in float32 a sigmoid or softmax saturates and
    makes ties. For single labels ``map_softmax`` and ``auroc_softmax`` rank by the (float64) softmax instead, which is
    another order in multi-class. Of two classes only the difference of the logits means something (it is all that the
    loss sees), so that ``map`` and ``auroc`` rank by it: in the order of the softmax, without its ties. Decisions (all
    other figures) are the argmax, for multi-label ``logit > 0``; multi-label accuracy is the mean over labels.

    A class without positives is left out of every mean but specificity's, one without negatives out of those of AUROC
    and specificity; ``classes_without_positives`` and ``classes_without_negatives`` count them. Where nothing is left a
    mean is NaN. Definitions are scikit-learn's; balanced accuracy is the mean sensitivity (multi-label: the mean over
    labels of (sensitivity + specificity) / 2).

    Args:
        logits: (N, C) finite floats.
        labels: (N,) integers in [0, C), or (N, C) of zeros and ones (multi-label).
        class_names: C names for the figures of a class, as in ``average_precision/MEL``; None leaves those figures out.

    Returns:
        Means and counts by name, then
        ``{average_precision,auroc,f1,sensitivity,specificity,accuracy,balanced_accuracy}/<class>`` where defined; of a
        class against the rest.

    Raises:
        ValueError: If shapes, labels or names do not fit, or a logit is not finite.
    """
    _check(logits, labels, class_names)
    multi_label = labels.ndim == 2
    scores = logits.detach().to("cpu", torch.float64)
    target = _one_hot(labels.detach().cpu(), num_classes=logits.shape[1])
    decision = scores > 0 if multi_label else _one_hot(scores.argmax(dim=1), num_classes=logits.shape[1])
    counts = _Counts.of(target, decision)
    has_positives = counts.positives > 0
    two_sided = has_positives & (counts.negatives > 0)
    ranked = _ranks(scores - scores.flip(1) if scores.shape[1] == 2 and not multi_label else scores)

    per_class = {
        "average_precision": _ranked(binary_average_precision, ranked, target, has_positives),
        "auroc": _ranked(binary_auroc, ranked, target, two_sided),
        "f1": counts.f1(),
        "sensitivity": counts.sensitivity(),
        "specificity": counts.specificity(),
        "accuracy": (decision == target).double().mean(dim=0),
        "balanced_accuracy": (counts.sensitivity() + counts.specificity()) / 2,
    }
    figures = {("map" if name == "average_precision" else name): _mean(values) for name, values in per_class.items()}
    if not multi_label:  # for several labels these are the means over them
        probabilities = _ranks(scores.softmax(dim=1))
        figures["map_softmax"] = _mean(_ranked(binary_average_precision, probabilities, target, has_positives))
        figures["auroc_softmax"] = _mean(_ranked(binary_auroc, probabilities, target, two_sided))
        figures["accuracy"] = float((decision & target).sum() / len(target))
        figures["balanced_accuracy"] = figures["sensitivity"]
    figures["classes_without_positives"] = float((~has_positives).sum())
    figures["classes_without_negatives"] = float((counts.negatives == 0).sum())
    for name, values in per_class.items():
        for class_name, value in zip(class_names or (), values.tolist(), strict=bool(class_names)):
            if value == value:  # NaN: undefined on this set
                figures[f"{name}/{class_name}"] = value
    return figures


@dataclass(frozen=True)
class _Counts:
    """Cases by class (C,), float64: true positives, false positives, positives, negatives."""

    true_positives: Tensor
    false_positives: Tensor
    positives: Tensor
    negatives: Tensor

    @classmethod
    def of(cls, target: Tensor, decision: Tensor) -> "_Counts":
        """Count decisions (N, C) against targets (N, C), both bool."""
        positives = target.sum(dim=0).double()
        return cls(
            (target & decision).sum(dim=0).double(),
            (~target & decision).sum(dim=0).double(),
            positives,
            len(target) - positives,
        )

    def sensitivity(self) -> Tensor:
        """Share of the positives that were found; NaN for a class without any."""
        return self.true_positives / self.positives

    def specificity(self) -> Tensor:
        """Share of the negatives that were left alone."""
        return 1 - self.false_positives / self.negatives

    def f1(self) -> Tensor:
        """Harmonic mean of precision and sensitivity; NaN for a class without positives."""
        undefined = self.positives == 0
        score = 2 * self.true_positives / (self.true_positives + self.false_positives + self.positives)
        return score.masked_fill(undefined, float("nan"))


def _ranked(metric: Callable[[Tensor, Tensor], Tensor], ranks: Tensor, target: Tensor, defined: Tensor) -> Tensor:
    """A ranking metric of every class, (C,) float64, NaN where not defined."""
    values = torch.full((ranks.shape[1],), float("nan"), dtype=torch.float64)
    for index in defined.nonzero()[:, 0].tolist():
        values[index] = metric(ranks[:, index], target[:, index].long())
    return values


def _ranks(scores: Tensor) -> Tensor:
    """Ranks of scores (N, C) by class, in [0, 1], in their order and with their ties.

    Torchmetrics squashes scores outside [0, 1] through a sigmoid, which makes ties.
    """
    ranks = torch.stack([column.unique(return_inverse=True)[1] for column in scores.unbind(dim=1)], dim=1).double()
    return ranks / ranks.amax(dim=0).clamp(min=1)


def _mean(values: Tensor) -> float:
    """Mean over the classes that are defined (not NaN)."""
    return float(values.nanmean())


def _one_hot(labels: Tensor, *, num_classes: int) -> Tensor:
    """(N,) integers or (N, C) zeros and ones -> (N, C) bool."""
    if labels.ndim == 2:
        return labels > 0
    return labels[:, None] == torch.arange(num_classes)


def _check(logits: Tensor, labels: Tensor, class_names: Sequence[str] | None) -> None:
    if logits.ndim != 2 or labels.shape not in {logits.shape, logits.shape[:1]}:
        raise ValueError(
            f"Need logits (N, C) with labels (N,) or (N, C), got {tuple(logits.shape)} and {tuple(labels.shape)}"
        )
    if len(logits) == 0:
        raise ValueError("No cases: metrics need at least one")
    if not torch.isfinite(logits).all():
        rows = (~torch.isfinite(logits)).any(dim=1).nonzero()[:, 0].tolist()
        raise ValueError(f"Logits are not finite in rows {rows[:10]}")
    if class_names is not None and len(class_names) != logits.shape[1]:
        raise ValueError(f"{len(class_names)} class names for {logits.shape[1]} classes: {list(class_names)}")
    if labels.ndim == 1 and (labels.is_floating_point() or labels.min() < 0 or labels.max() >= logits.shape[1]):
        raise ValueError(f"Labels must be integers in [0, {logits.shape[1]}), got {sorted(set(labels.tolist()))[:10]}")
    if labels.ndim == 2 and not ((labels == 0) | (labels == 1)).all():
        raise ValueError("Multi-label targets must be zeros and ones")
