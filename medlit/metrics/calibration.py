"""Probabilities as probabilities: Brier score, calibration error, pF1, at the prevalence of the set or at another."""

import math

import torch
from torch import Tensor

from medlit.metrics.operating_points import check_scores

BINS = 15
"""Of the calibration error; Guo et al., "On calibration of modern neural networks", ICML 2017, section 5."""


def brier_score(probabilities: Tensor, positive: Tensor, *, prevalence: float | None = None) -> float:
    """Mean squared difference of probability and truth (1 or 0); 0 is best.

    Reference: Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 1950, for
    one of two classes (scikit-learn's ``brier_score_loss``).

    Args:
        probabilities: (N,) floats in [0, 1] of being positive.
        positive: (N,) bool.
        prevalence: Cases are weighted so that this share is positive; None: the set as it is.

    Returns:
        NaN where there is no case, or one of the two kinds is missing that a prevalence needs.
    """
    chances, truth, weights = _weighted(probabilities, positive, prevalence)
    return float((weights * (chances - truth).square()).sum() / weights.sum())


def expected_calibration_error(
    probabilities: Tensor, positive: Tensor, *, prevalence: float | None = None, bins: int = BINS
) -> float:
    """Mean over bins of equal mass of ``|share of positives - mean probability|``; 0 is best.

    Cases are ordered by probability and cut into ``bins`` of equal weight; cases of one probability stay together, in
    the bin of their middle, so that the order of the table does not matter. Bins of equal width would hold nearly all
    cases of a screening set in the first one. Of few cases even a calibrated model has an error, in the order of
    ``sqrt(p (1 - p) bins / N)``.

    Reference: Naeini et al., "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015; bins of equal
    mass: Nguyen and O'Connor, "Posterior calibration and exploratory analysis for natural language processing models",
    EMNLP 2015.

    Args:
        probabilities: (N,) floats in [0, 1] of being positive.
        positive: (N,) bool.
        prevalence: Cases are weighted so that this share is positive; None: the set as it is.
        bins: How many, at least 1.

    Returns:
        NaN where there is no case, or one of the two kinds is missing that a prevalence needs.
    """
    chances, truth, weights = _weighted(probabilities, positive, prevalence)
    if not weights.sum() > 0:
        return math.nan
    values, place = chances.unique(return_inverse=True)
    mass = torch.zeros_like(values)
    for kind in (truth > 0, truth == 0):  # counted, for a sum in the table's order would round by that order
        mass += torch.bincount(place[kind], minlength=len(values)) * (weights[kind].max() if kind.any() else 0)
    middle = (mass.cumsum(0) - mass / 2) / mass.sum()
    bin_of = (middle * bins).long().clamp(max=bins - 1)[place]
    excess = torch.zeros(bins, dtype=torch.float64).index_add_(0, bin_of, weights * (truth - chances))
    return float(excess.abs().sum() / weights.sum())  # a bin's weight times its difference, over the whole weight


def probabilistic_f1(probabilities: Tensor, positive: Tensor, *, prevalence: float | None = None) -> float:
    """pF1 of the RSNA challenge: F1 in which a case counts as positive by its probability, without a threshold.

        pTP = sum of p over positives,  pFP = sum of p over negatives,
        precision = pTP / (pTP + pFP),  recall = pTP / positives,  pF1 = 2 precision recall / (precision + recall)

    Reference: Yacouby and Axman, "Probabilistic extension of precision, recall, and F1 score for more thorough
    evaluation of classification models", Eval4NLP 2020; the metric of the RSNA Screening Mammography Breast Cancer
    Detection challenge (2022-23), there by breast.

    Args:
        probabilities: (N,) floats in [0, 1] of being positive.
        positive: (N,) bool.
        prevalence: Cases are weighted so that this share is positive, the probabilities stay; None: the set as it is.

    Returns:
        0 where no positive has any probability; NaN where there is no positive, or a kind is missing that a prevalence
        needs.
    """
    chances, truth, weights = _weighted(probabilities, positive, prevalence)
    positives = (weights * truth).sum()
    if not positives > 0:
        return math.nan
    found = (weights * truth * chances).sum()
    # 2 P R / (P + R) with P = found / called and R = found / positives
    return float(2 * found / ((weights * chances).sum() + positives))


def shift_prior(scores: Tensor, *, source: float, target: float) -> Tensor:
    """Log-odds for a population of another prevalence in which positives and negatives look as they do here.

    ``score + logit(target) - logit(source)``: what is right at the source is right at the target.

    Reference: Saerens et al., "Adjusting the outputs of a classifier to new a priori probabilities: a simple
    procedure", Neural Computation 2002, eq. 2.4.

    Args:
        scores: (N,) log-odds of being positive.
        source: Prevalence that they are right for, above 0 and below 1.
        target: The other one, likewise.
    """
    return scores + math.log(target / (1 - target)) - math.log(source / (1 - source))


def _weighted(probabilities: Tensor, positive: Tensor, prevalence: float | None) -> tuple[Tensor, Tensor, Tensor]:
    """Probabilities, truth and weights of cases, each (N,) float64; weights of NaN where a prevalence has no sense."""
    check_scores(probabilities, positive)
    chances, truth = probabilities.detach().to("cpu", torch.float64), positive.detach().cpu().double()
    if len(chances) and not (chances.min() >= 0 and chances.max() <= 1):
        raise ValueError(f"Probabilities must be in [0, 1], got {float(chances.min())} to {float(chances.max())}")
    if prevalence is None:
        return chances, truth, torch.ones_like(chances)
    share = truth.mean()
    weights = torch.where(truth > 0, prevalence / share, (1 - prevalence) / (1 - share))
    return chances, truth, weights if 0 < share < 1 else torch.full_like(chances, math.nan)
