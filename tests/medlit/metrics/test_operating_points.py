"""Thresholds are those of a search over all of them; what comes of them are scikit-learn's figures."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from medlit.metrics import choose_thresholds, contrast_scores, decisions_at, predictive_values

CLOSE = {"abs": 1e-12, "rel": 0}


def draw(n, *, share=0.3, ties=False, seed=0):
    generator = torch.Generator().manual_seed(seed)
    positive = torch.rand(n, generator=generator) < share
    scores = torch.randn(n, generator=generator, dtype=torch.float64) + positive
    return (scores.mul(2).round() if ties else scores), positive


def slow_thresholds(scores, positive):
    """Every score that occurs is tried, in fractions."""
    candidates = [*sorted(set(scores)), math.inf]
    positives, negatives = sum(positive), len(positive) - sum(positive)

    def share(truth, count, threshold, below):
        hits = sum(1 for s, y in zip(scores, positive, strict=True) if y == truth and (s < threshold) == below)
        return Fraction(hits, count)

    def specificity(t):
        return share(False, negatives, t, True)

    def youden(t):
        return share(True, positives, t, False) + specificity(t)

    best = max(map(youden, candidates))
    return {
        "specificity_90": next(t for t in candidates if specificity(t) >= Fraction(9, 10)),
        "specificity_95": next(t for t in candidates if specificity(t) >= Fraction(19, 20)),
        "youden": next(t for t in candidates if youden(t) == best),
    }


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n", [3, 10, 20, 41, 60])
def test_thresholds_are_those_of_the_slow_search(n, ties):
    for seed in range(5):
        scores, positive = draw(n, ties=ties, seed=seed)
        positive[0], positive[1] = True, False
        assert choose_thresholds(scores, positive) == slow_thresholds(scores.tolist(), positive.tolist())


def test_at_its_own_set_each_threshold_keeps_what_its_name_says_and_finds_the_most():
    scores, positive = draw(500)
    false_alarms, found, _ = sk.roc_curve(positive.numpy(), scores.numpy(), drop_intermediate=False)
    points = choose_thresholds(scores, positive)
    for name, specificity in (("specificity_90", 0.90), ("specificity_95", 0.95)):
        decisions = decisions_at(scores, positive, points[name])
        assert decisions["specificity"] >= specificity
        assert decisions["sensitivity"] == pytest.approx(found[1 - false_alarms >= specificity - 1e-12].max(), **CLOSE)
    youden = decisions_at(scores, positive, points["youden"])
    assert youden["balanced_accuracy"] == pytest.approx(((found - false_alarms).max() + 1) / 2, **CLOSE)


def test_cases_of_one_score_are_never_told_apart():
    scores = torch.tensor([0.0] * 8 + [1.0] * 4)
    positive = torch.tensor([False] * 8 + [False, False, True, True])
    points = choose_thresholds(scores, positive)
    assert points == {"specificity_90": math.inf, "specificity_95": math.inf, "youden": 1.0}
    assert decisions_at(scores, positive, math.inf) == {
        "sensitivity": 0,
        "specificity": 1,
        "balanced_accuracy": 0.5,
    }


@pytest.mark.parametrize(
    ("truth", "points", "figures"),
    [
        ([False, False], {"specificity_90", "specificity_95"}, {"specificity"}),
        ([True, True], set(), {"sensitivity"}),
        ([], set(), set()),
    ],
)
def test_a_set_that_lacks_a_kind_has_the_points_and_figures_that_need_only_the_other(truth, points, figures):
    scores, positive = torch.arange(float(len(truth))), torch.tensor(truth, dtype=torch.bool)
    assert set(choose_thresholds(scores, positive)) == points
    decisions = decisions_at(scores, positive, 0.5)
    assert set(decisions) == figures
    assert predictive_values(decisions, prevalence=0.1) == {}


@pytest.mark.parametrize("threshold", [-1.0, 0.0, 0.7])
def test_decisions_and_predictive_values_at_the_own_prevalence_are_scikit_learns(threshold):
    scores, positive = draw(200, share=0.1, seed=3)
    truth, called = positive.numpy(), scores.numpy() >= threshold
    decisions = decisions_at(scores, positive, threshold)
    assert decisions == pytest.approx(
        {
            "sensitivity": sk.recall_score(truth, called),
            "specificity": sk.recall_score(truth, called, pos_label=False),
            "balanced_accuracy": sk.balanced_accuracy_score(truth, called),
        },
        **CLOSE,
    )
    assert predictive_values(decisions, prevalence=float(truth.mean())) == pytest.approx(
        {"ppv": sk.precision_score(truth, called), "npv": sk.precision_score(truth, called, pos_label=False)}, **CLOSE
    )


def test_at_another_prevalence_they_are_those_of_a_set_repeated_to_it():
    scores, positive = draw(100, share=0.5, seed=1)
    positives, negatives = int(positive.sum()), int((~positive).sum())
    weights = np.where(positive.numpy(), 5 * negatives, 995 * positives)  # 5 in 1,000
    called = scores.numpy() >= 0.5
    values = predictive_values(decisions_at(scores, positive, 0.5), prevalence=0.005)
    truth = positive.numpy()
    assert values["ppv"] == pytest.approx(sk.precision_score(truth, called, sample_weight=weights), **CLOSE)
    assert values["npv"] == pytest.approx(sk.precision_score(~truth, ~called, sample_weight=weights), **CLOSE)


def test_without_a_positive_call_there_is_no_ppv():
    values = predictive_values({"sensitivity": 0.0, "specificity": 1.0, "balanced_accuracy": 0.5}, prevalence=0.005)
    assert values == {"npv": 0.995}


def test_a_contrast_weighs_the_probabilities_of_its_classes_and_no_other():
    logits = torch.randn(50, 7, generator=torch.Generator().manual_seed(0)).double()
    chances = logits.softmax(dim=1)
    ratio = (chances[:, 4] + chances[:, 5]) / (chances[:, 1] + chances[:, 2])
    scores = contrast_scores(logits, positive=[4, 5], negative=[1, 2])
    torch.testing.assert_close(scores, ratio.log())
    logits[:, [0, 3, 6]] += 100
    torch.testing.assert_close(contrast_scores(logits, positive=[4, 5], negative=[1, 2]), scores)
    two = torch.tensor([[-900.0, 900.0], [3.0, 1.0]])
    assert contrast_scores(two, positive=[1], negative=[0]).tolist() == [1800, -2]


def test_what_is_no_score_or_truth_is_refused():
    with pytest.raises(ValueError, match=r"got \(3,\) and \(2,\) torch.bool"):
        choose_thresholds(torch.zeros(3), torch.zeros(2, dtype=torch.bool))
    with pytest.raises(ValueError, match="not finite"):
        choose_thresholds(torch.tensor([0.0, math.nan]), torch.tensor([True, False]))
