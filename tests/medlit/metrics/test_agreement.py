"""Weighted kappa equals scikit-learn's, among the cases that have a place on the scale."""

import math

import pytest
import torch
from sklearn.metrics import cohen_kappa_score

from medlit.metrics import ordinal_agreement, quadratic_weighted_kappa

SCALE = [1, 2, 3, 4, 5]


@pytest.mark.parametrize("classes", [2, 5, 7])
def test_equals_scikit_learn(classes):
    generator = torch.Generator().manual_seed(classes)
    labels = torch.randint(0, classes, (200,), generator=generator)
    decisions = (labels + torch.randint(-1, 2, (200,), generator=generator)).clamp(0, classes - 1)
    expected = cohen_kappa_score(decisions, labels, weights="quadratic", labels=range(classes))
    assert quadratic_weighted_kappa(decisions, labels, num_classes=classes) == pytest.approx(expected, abs=1e-12)


def test_agreement_is_one_and_a_far_decision_costs_more_than_a_near_one():
    labels = torch.tensor([0, 1, 2, 3, 4])
    assert quadratic_weighted_kappa(labels, labels, num_classes=5) == 1
    near, far = torch.tensor([1, 1, 2, 3, 4]), torch.tensor([4, 1, 2, 3, 4])
    assert quadratic_weighted_kappa(near, labels, num_classes=5) > quadratic_weighted_kappa(far, labels, num_classes=5)
    assert math.isnan(quadratic_weighted_kappa(labels * 0, labels * 0, num_classes=5))


def test_only_cases_on_the_scale_count_and_they_are_decided_on_the_scale():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(300, 7, generator=generator)
    logits[:, 0] += 5  # the likeliest class is no choice on the scale
    labels = torch.randint(0, 7, (300,), generator=generator)
    figures = ordinal_agreement(logits, labels, classes=SCALE)
    on_scale = (labels >= 1) & (labels <= 5)
    decisions = logits[on_scale][:, 1:6].argmax(dim=1) + 1
    expected = cohen_kappa_score(decisions, labels[on_scale], weights="quadratic", labels=SCALE)
    assert figures == pytest.approx({"weighted_kappa": expected, "weighted_kappa_cases": float(on_scale.sum())})


def test_the_order_of_the_scale_is_that_of_its_classes():
    labels = torch.tensor([5, 4, 3])
    logits = torch.nn.functional.one_hot(torch.tensor([4, 5, 3]), 7).float()
    ascending = ordinal_agreement(logits, labels, classes=[3, 4, 5])
    other = ordinal_agreement(logits, labels, classes=[4, 3, 5])  # now 4 and 5 are two steps apart
    assert ascending["weighted_kappa"] > other["weighted_kappa"]


def test_without_a_case_on_the_scale_there_is_no_kappa():
    assert ordinal_agreement(torch.zeros(2, 7), torch.tensor([0, 6]), classes=SCALE) == {"weighted_kappa_cases": 0}
