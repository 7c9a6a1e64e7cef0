"""Brier score, calibration error and pF1 equal their definitions case by case, at any prevalence."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from medlit.metrics import brier_score, expected_calibration_error, probabilistic_f1, screening_figures, shift_prior

CLOSE = {"abs": 1e-12, "rel": 0}
SCREENING = 0.005
MEASURES = (brier_score, expected_calibration_error, probabilistic_f1)


def draw(n, *, share=0.2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    positive = torch.rand(n, generator=generator) < share
    positive[0], positive[1] = True, False
    return torch.randn(n, generator=generator, dtype=torch.float64) + 2 * positive - 1, positive


def weights_of(positive, prevalence):
    share = positive.double().mean().item()
    return np.where(positive.numpy(), prevalence / share, (1 - prevalence) / (1 - share))


def test_brier_score_is_scikit_learns_with_and_without_weights():
    scores, positive = draw(300)
    chances = scores.sigmoid()
    truth, values = positive.numpy(), chances.numpy()
    assert brier_score(chances, positive) == pytest.approx(sk.brier_score_loss(truth, values), **CLOSE)
    weighted = sk.brier_score_loss(truth, values, sample_weight=weights_of(positive, SCREENING))
    assert brier_score(chances, positive, prevalence=SCREENING) == pytest.approx(weighted, **CLOSE)


def slow_f1(chances, positive, weights):
    """Precision and recall of the definition, in one pass."""
    found = called = positives = 0.0
    for chance, truth, weight in zip(chances, positive, weights, strict=True):
        called += weight * chance
        found += weight * chance * truth
        positives += weight * truth
    if found == 0:
        return 0.0
    precision, recall = found / called, found / positives
    return 2 * precision * recall / (precision + recall)


@pytest.mark.parametrize("prevalence", [None, SCREENING])
def test_probabilistic_f1_is_its_definition(prevalence):
    scores, positive = draw(100, seed=2)
    chances = scores.sigmoid()
    weights = np.ones(100) if prevalence is None else weights_of(positive, prevalence)
    expected = slow_f1(chances.tolist(), positive.tolist(), weights)
    assert probabilistic_f1(chances, positive, prevalence=prevalence) == pytest.approx(expected, **CLOSE)


def test_of_zeros_and_ones_it_is_f1():
    scores, positive = draw(100, seed=4)
    called = scores > 0
    assert probabilistic_f1(called.double(), positive) == pytest.approx(sk.f1_score(positive, called), **CLOSE)
    assert probabilistic_f1(torch.zeros(100), positive) == 0


def slow_calibration_error(chances, positive, weights, bins):
    """Bin by bin in fractions: cases of one probability go where their middle is."""
    whole = sum(weights)
    rows = list(zip(chances, positive, weights, strict=True))
    sums = [[Fraction(0), Fraction(0), Fraction(0)] for _ in range(bins)]
    for value in sorted(set(chances)):
        tied = [row for row in rows if row[0] == value]
        mass = sum(row[2] for row in tied)
        below = sum(row[2] for row in rows if row[0] < value)
        place = min(int((below + mass / 2) / whole * bins), bins - 1)
        for chance, truth, weight in tied:
            for index, term in enumerate((weight, weight * truth, weight * Fraction(chance))):
                sums[place][index] += term
    return float(sum(mass / whole * abs(found / mass - mean / mass) for mass, found, mean in sums if mass))


@pytest.mark.parametrize("prevalence", [None, SCREENING])
@pytest.mark.parametrize("ties", [False, True])
def test_calibration_error_is_its_definition(ties, prevalence):
    scores, positive = draw(97, seed=5)
    chances = scores.sigmoid()
    chances = chances.mul(8).round().div(8) if ties else chances
    truth = positive.tolist()
    positives, negatives = sum(truth), len(truth) - sum(truth)
    weights = [Fraction(1)] * 97
    if prevalence is not None:
        share = Fraction(5, 1000)
        weights = [share / positives if one else (1 - share) / negatives for one in truth]
    found = expected_calibration_error(chances, positive, prevalence=prevalence, bins=6)
    assert found == pytest.approx(slow_calibration_error(chances.tolist(), truth, weights, 6), **CLOSE)


@pytest.mark.parametrize("measure", MEASURES)
def test_the_order_of_the_table_does_not_matter(measure):
    scores, positive = draw(200)
    chances = scores.sigmoid().mul(5).round().div(5)
    order = torch.randperm(200, generator=torch.Generator().manual_seed(1))
    assert measure(chances[order], positive[order]) == pytest.approx(measure(chances, positive), **CLOSE)


@pytest.mark.parametrize("measure", MEASURES)
def test_a_set_at_the_stated_prevalence_needs_no_weights(measure):
    scores, _ = draw(1000)
    positive = torch.arange(1000) % 200 == 0  # 5 in 1,000
    chances = scores.sigmoid()
    assert measure(chances, positive, prevalence=SCREENING) == pytest.approx(measure(chances, positive), **CLOSE)


def test_probabilities_that_are_right_stay_right_when_the_prior_is_shifted():
    chances = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    counts = [(9, 1), (5, 5), (1, 9)]  # negatives and positives at each probability: calibrated, half positive
    repeated = torch.cat([chance.repeat(10) for chance in chances])
    positive = torch.tensor([truth for no, yes in counts for truth in [False] * no + [True] * yes])
    assert expected_calibration_error(repeated, positive, bins=3) == pytest.approx(0, **CLOSE)
    shifted = shift_prior(repeated.logit(), source=0.5, target=SCREENING).sigmoid()
    assert expected_calibration_error(shifted, positive, prevalence=SCREENING, bins=3) == pytest.approx(0, **CLOSE)
    assert expected_calibration_error(repeated, positive, prevalence=SCREENING, bins=3) > 0.1  # unshifted they are not
    odds = shifted / (1 - shifted) / (chances / (1 - chances)).repeat_interleave(10)
    torch.testing.assert_close(odds, torch.full_like(odds, SCREENING / (1 - SCREENING)))


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("truth", [[True, True], [False, False], []])
def test_a_prevalence_needs_positives_and_negatives(measure, truth):
    chances, positive = torch.full((len(truth),), 0.5), torch.tensor(truth, dtype=torch.bool)
    assert math.isnan(measure(chances, positive, prevalence=SCREENING))


def test_what_is_no_probability_is_refused():
    with pytest.raises(ValueError, match=r"in \[0, 1\], got -1.0 to 2.0"):
        brier_score(torch.tensor([-1.0, 2.0]), torch.tensor([True, False]))


POINTS = {"specificity_90": 0.5, "youden": math.inf}


def test_a_balanced_set_has_no_figure_that_depends_on_how_many_are_positive():
    scores, positive = draw(100)
    figures = screening_figures(scores, positive, thresholds=POINTS, natural=False, prevalence=SCREENING)
    names = {"threshold", "sensitivity", "specificity", "balanced_accuracy"}
    assert set(figures) == {f"{point}/{name}" for point in POINTS for name in names}
    # and what is left is the same however often the positives are repeated
    twice = torch.cat([torch.arange(100), positive.nonzero()[:, 0]])
    again = screening_figures(scores[twice], positive[twice], thresholds=POINTS, natural=False, prevalence=None)
    assert again == pytest.approx(figures)


def test_a_natural_set_has_them_at_both_prevalences():
    scores, positive = draw(100)
    figures = screening_figures(scores, positive, thresholds=POINTS, natural=True, prevalence=SCREENING)
    assert figures["prevalence"] == pytest.approx(positive.double().mean().item())
    for name in ("pf1", "brier", "ece", "specificity_90/ppv", "specificity_90/npv", "youden/npv"):
        assert name in figures
        assert f"{name}_screening" in figures
    assert "youden/ppv" not in figures  # at an infinite threshold nobody is called positive
    assert figures["pf1_screening"] < figures["pf1"]
    share = figures["prevalence"]
    shifted = shift_prior(scores, source=share, target=SCREENING).sigmoid()
    assert figures["brier_screening"] == pytest.approx(brier_score(shifted, positive, prevalence=SCREENING))
    alone = screening_figures(scores, positive, thresholds=POINTS, natural=True, prevalence=None)
    assert alone == {name: value for name, value in figures.items() if not name.endswith("_screening")}


def test_a_set_without_positives_says_what_can_be_said():
    scores, positive = torch.tensor([-1.0, 2.0]), torch.tensor([False, False])
    figures = screening_figures(scores, positive, thresholds={"youden": 0.0}, natural=True, prevalence=SCREENING)
    assert set(figures) == {"youden/threshold", "youden/specificity", "prevalence", "brier", "ece"}
    empty = screening_figures(scores[:0], positive[:0], thresholds={}, natural=True, prevalence=SCREENING)
    assert empty == {}
