"""How far decisions on an ordered scale are from the truth."""

from collections.abc import Sequence

import torch
from torch import Tensor


def quadratic_weighted_kappa(decisions: Tensor, labels: Tensor, *, num_classes: int) -> float:
    """Cohen's kappa in which a decision k steps off costs k squared; 1 is agreement, 0 is chance.

    ``1 - sum(w O) / sum(w E)`` with ``w = (i - j)^2``, O the table of decisions and labels, E that of the same margins
    if the two had nothing to do with each other (scikit-learn's ``cohen_kappa_score(weights="quadratic")``).

    Reference: Cohen, "Weighted kappa", Psychological Bulletin 1968.

    Args:
        decisions: (N,) integers in [0, C), classes by their place on the scale.
        labels: (N,) likewise.
        num_classes: C.

    Returns:
        NaN where all decisions and labels are of one class, or there are none: then chance leaves nothing to exceed.
    """
    cells = torch.bincount(decisions * num_classes + labels, minlength=num_classes**2)
    observed = cells.reshape(num_classes, num_classes).double()
    chance = observed.sum(1, keepdim=True) * observed.sum(0, keepdim=True) / observed.sum()
    place = torch.arange(num_classes, dtype=torch.float64)
    cost = (place[:, None] - place).square()
    return float(1 - (cost * observed).sum() / (cost * chance).sum())


def ordinal_agreement(logits: Tensor, labels: Tensor, *, classes: Sequence[int]) -> dict[str, float]:
    """Weighted kappa among the cases whose label is on a scale, each decided for the likeliest class of the scale.

    Other classes are no choice for these cases: a BI-RADS 2 called 0 is no step on a scale from 1 to 5, so the decision
    is the largest logit among the classes of the scale.

    Args:
        logits: (N, C) finite floats.
        labels: (N,) integers in [0, C).
        classes: Class ids of the scale, in its order.

    Returns:
        ``weighted_kappa`` where it is defined, and ``weighted_kappa_cases``, how many have a label on the scale.
    """
    values, truth, scale = logits.detach().cpu(), labels.detach().cpu(), torch.tensor(list(classes))
    matches = truth[:, None] == scale
    chosen = matches.any(dim=1)
    place = matches[chosen].long().argmax(dim=1)
    decisions = values[chosen][:, scale].argmax(dim=1)
    figures = {"weighted_kappa_cases": float(chosen.sum())}
    kappa = quadratic_weighted_kappa(decisions, place, num_classes=len(scale))
    return figures if kappa != kappa else {"weighted_kappa": kappa} | figures
