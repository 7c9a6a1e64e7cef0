"""Thresholds of a test for one finding, chosen on one set of cases, and what comes of them on another."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

SPECIFICITIES = {"specificity_90": 0.90, "specificity_95": 0.95}
"""Shares of the negatives that are left alone, by the name of the point."""
YOUDEN = "youden"
"""Name of the point with the largest sum of sensitivity and specificity."""
POINTS = (*SPECIFICITIES, YOUDEN)


def contrast_scores(logits: Tensor, *, positive: list[int], negative: list[int]) -> Tensor:
    """How much more likely some classes are than some others, on the scale of log-odds.

    ``logsumexp`` of the positive classes' logits minus that of the negative ones': of a softmax the logarithm of the
    ratio of their probabilities, whatever the other classes get. Above 0 the positive classes are more likely. Of two
    classes it is the difference of the logits.

    Args:
        logits: (N, C) finite floats, or logarithms of probabilities.
        positive: Class ids.
        negative: Class ids.

    Returns:
        (N,) float64 on the CPU.
    """
    values = logits.detach().to("cpu", torch.float64)
    return values[:, positive].logsumexp(dim=1) - values[:, negative].logsumexp(dim=1)


def choose_thresholds(scores: Tensor, positive: Tensor) -> dict[str, float]:
    """A threshold for each point of ``POINTS``; a case is called positive where its score is at or above it.

    ``specificity_90`` is the lowest threshold, of the scores that occur, at which at least 90 % of the negatives are
    below it: no other finds more positives at that specificity. Cases of one score are never told apart, so that
    the specificity is more than 90 % where ties leave no choice; it is infinite, and nobody is called positive, where
    more than 10 % of the negatives share the highest score. ``youden`` maximises J = sensitivity + specificity - 1,
    of several such thresholds the lowest.

    Reference for J: Youden, "Index for rating diagnostic tests", Cancer 1950.

    Args:
        scores: (N,) finite floats, higher for positives.
        positive: (N,) bool.

    Returns:
        By name of the point; without the points that need negatives where there are none, and without ``youden``
        where there are no positives.

    Raises:
        ValueError: If shapes do not fit, or a score is not finite.
    """
    check_scores(scores, positive)
    candidates, missed, below = _counts_below(scores.double().cpu(), positive.cpu())
    positives, negatives = int(positive.sum()), int((~positive).sum())
    points: dict[str, float] = {}
    for name, specificity in SPECIFICITIES.items() if negatives else ():
        needed = math.ceil(specificity * negatives - 1e-9)  # 0.9 * 10 in floats may be a hair above 9
        enough = (below >= needed).nonzero()[:, 0]
        points[name] = float(candidates[enough[0]])
    if positives and negatives:
        youden = (positives - missed) * negatives + below * positives  # J in whole numbers: ties are ties
        points[YOUDEN] = float(candidates[youden.argmax()])  # the first of several
    return points


def decisions_at(scores: Tensor, positive: Tensor, threshold: float) -> dict[str, float]:
    """Sensitivity, specificity and their mean of calling scores at or above a threshold positive.

    Args:
        scores: (N,) finite floats, higher for positives.
        positive: (N,) bool.
        threshold: Chosen elsewhere.

    Returns:
        ``sensitivity``, ``specificity``, ``balanced_accuracy``, each only where it is defined.
    """
    called = scores.double().cpu() >= threshold
    truth = positive.cpu()
    figures = {}
    if truth.any():
        figures["sensitivity"] = float(called[truth].double().mean())
    if not truth.all():
        figures["specificity"] = float((~called[~truth]).double().mean())
    if len(figures) == 2:
        figures["balanced_accuracy"] = sum(figures.values()) / 2
    return figures


def predictive_values(decisions: Mapping[str, float], *, prevalence: float) -> dict[str, float]:
    """What a call means at a prevalence, by Bayes' rule from sensitivity and specificity.

        PPV = se p / (se p + (1 - sp)(1 - p)),   NPV = sp (1 - p) / (sp (1 - p) + (1 - se) p)

    At the set's own prevalence these are the shares of its calls that are right.

    Args:
        decisions: Of `decisions_at`.
        prevalence: p, in [0, 1].

    Returns:
        ``ppv`` and ``npv``, each only where it is defined: without a positive call there is no PPV.
    """
    if "balanced_accuracy" not in decisions:
        return {}
    sensitivity, specificity = decisions["sensitivity"], decisions["specificity"]
    found, alarms = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    cleared, missed = specificity * (1 - prevalence), (1 - sensitivity) * prevalence
    figures = {}
    if found + alarms > 0:
        figures["ppv"] = found / (found + alarms)
    if cleared + missed > 0:
        figures["npv"] = cleared / (cleared + missed)
    return figures


def check_scores(scores: Tensor, positive: Tensor) -> None:
    """Refuse what is no score and truth by case.

    Raises:
        ValueError: Saying what was given.
    """
    if scores.ndim != 1 or scores.shape != positive.shape or positive.dtype != torch.bool:
        raise ValueError(
            f"Need scores (N,) and positive (N,) bool, got {tuple(scores.shape)} and "
            f"{tuple(positive.shape)} {positive.dtype}"
        )
    if not torch.isfinite(scores).all():
        raise ValueError("Scores are not finite")


def _counts_below(scores: Tensor, positive: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Candidates in ascending order, infinity last, and how many positives and negatives are below each."""
    values, place = scores.unique(return_inverse=True)
    counts = [torch.bincount(place[mask], minlength=len(values)) for mask in (positive, ~positive)]
    missed, below = (torch.cat([torch.zeros(1, dtype=torch.long), count.cumsum(0)]) for count in counts)
    return torch.cat([values, values.new_full((1,), math.inf)]), missed, below
