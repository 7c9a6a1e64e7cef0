"""All figures of a test for one finding: at thresholds chosen elsewhere, and of its probabilities."""

from collections.abc import Mapping

from torch import Tensor

from medlit.metrics.calibration import brier_score, expected_calibration_error, probabilistic_f1, shift_prior
from medlit.metrics.operating_points import check_scores, decisions_at, predictive_values

AT_SCREENING = "_screening"
"""Ends the names of figures at the prevalence of screening."""


def screening_figures(
    scores: Tensor,
    positive: Tensor,
    *,
    thresholds: Mapping[str, float],
    natural: bool,
    prevalence: float | None,
) -> dict[str, float]:
    """Figures by name; what is not defined on these cases has no name.

    ``<point>/{threshold,sensitivity,specificity,balanced_accuracy}`` for every threshold. Of a set of natural
    prevalence also ``prevalence``, ``<point>/{ppv,npv}``, ``pf1``, ``brier`` and ``ece``; where a prevalence is stated,
    all but the first also with ``_screening`` at their end: PPV and NPV by Bayes' rule, pF1 with the cases weighted to
    that prevalence, Brier score and calibration error so too and with the probabilities shifted to it from the set's
    own prevalence. On a set that was balanced none of these says anything about a population.

    Args:
        scores: (N,) finite log-odds.
        positive: (N,) bool.
        thresholds: By name of the point, on the scale of the scores.
        natural: Whether positives are as frequent among the cases as where these come from.
        prevalence: Stated, above 0 and below 1; None: no figures for another prevalence.

    Raises:
        ValueError: If shapes do not fit, or a score is not finite.
    """
    check_scores(scores, positive)
    share = float(positive.double().mean()) if len(positive) else 0.0
    figures: dict[str, float] = {}
    for point, threshold in thresholds.items():
        found = decisions_at(scores, positive, threshold)
        if natural:
            found |= predictive_values(found, prevalence=share)
            found |= {} if prevalence is None else _renamed(predictive_values(found, prevalence=prevalence))
        figures |= {f"{point}/{name}": value for name, value in {"threshold": threshold, **found}.items()}
    if natural and len(positive):
        figures["prevalence"] = share
        figures |= _probabilistic(scores, positive, None)
        if prevalence is not None and 0 < share < 1:
            shifted = shift_prior(scores, source=share, target=prevalence)
            figures |= _renamed(_probabilistic(shifted, positive, prevalence))
            figures |= _renamed({"pf1": probabilistic_f1(scores.double().sigmoid(), positive, prevalence=prevalence)})
    return figures


def _probabilistic(scores: Tensor, positive: Tensor, prevalence: float | None) -> dict[str, float]:
    chances = scores.double().sigmoid()
    figures = {
        "pf1": probabilistic_f1(chances, positive, prevalence=prevalence),
        "brier": brier_score(chances, positive, prevalence=prevalence),
        "ece": expected_calibration_error(chances, positive, prevalence=prevalence),
    }
    return {name: value for name, value in figures.items() if value == value}  # NaN: undefined on this set


def _renamed(figures: Mapping[str, float]) -> dict[str, float]:
    return {f"{name}{AT_SCREENING}": value for name, value in figures.items()}
