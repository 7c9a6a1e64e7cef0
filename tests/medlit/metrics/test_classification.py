"""Metrics equal scikit-learn's, whatever the ties and the classes that are missing."""

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from medlit.metrics import MEAN_METRICS, classification_metrics

CLOSE = {"abs": 1e-6, "rel": 0}


def draw(*, n: int, c: int, ties: bool, missing: bool, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, c - 1 if missing else c, (n,), generator=generator)
    logits = torch.randn(n, c, generator=generator) * 5
    logits[torch.arange(n), labels] += 4
    return (logits.round() if ties else logits), labels


def expected_single(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Scikit-learn, class by class."""
    c = logits.shape[1]
    present = sorted(set(labels.tolist()))
    softmax = np.exp(logits - logits.max(axis=1, keepdims=True))
    softmax /= softmax.sum(axis=1, keepdims=True)
    decision = logits.argmax(axis=1)

    def over(metric, scores, classes):
        return np.mean([metric(labels == k, scores[:, k]) for k in classes])

    two_sided = [k for k in present if (labels != k).any()]
    return {
        "map": over(sk.average_precision_score, logits, present),
        "map_softmax": over(sk.average_precision_score, softmax, present),
        "auroc": over(sk.roc_auc_score, logits, two_sided),
        "auroc_softmax": over(sk.roc_auc_score, softmax, two_sided),
        "accuracy": sk.accuracy_score(labels, decision),
        "balanced_accuracy": np.mean(sk.recall_score(labels, decision, labels=present, average=None)),
        "f1": sk.f1_score(labels, decision, labels=present, average="macro"),
        "sensitivity": sk.recall_score(labels, decision, labels=present, average="macro"),
        "specificity": np.mean([sk.recall_score(labels == k, decision == k, pos_label=False) for k in range(c)]),
    }


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize(("n", "c"), [(12, 3), (57, 5), (1000, 20)])
def test_single_label_equals_scikit_learn(n, c, ties, missing):
    logits, labels = draw(n=n, c=c, ties=ties, missing=missing, seed=n + c)
    expected = expected_single(logits.double().numpy(), labels.numpy())
    figures = classification_metrics(logits, labels)
    assert {name: figures[name] for name in expected} == pytest.approx(expected, **CLOSE)
    assert figures["classes_without_positives"] == c - len(labels.unique())


@pytest.mark.parametrize("ties", [False, True])
def test_multi_label_equals_scikit_learn(ties):
    generator = torch.Generator().manual_seed(3)
    labels = (torch.rand(80, 4, generator=generator) < 0.3).float()
    labels[:, 3] = 0  # a label without positives
    logits = torch.randn(80, 4, generator=generator) + labels
    logits = (logits * 2).round() if ties else logits
    figures = classification_metrics(logits, labels)
    y, x = labels.numpy().astype(bool), logits.numpy()
    assert figures["map"] == pytest.approx(sk.average_precision_score(y[:, :3], x[:, :3], average="macro"), **CLOSE)
    assert figures["auroc"] == pytest.approx(sk.roc_auc_score(y[:, :3], x[:, :3], average="macro"), **CLOSE)
    assert figures["f1"] == pytest.approx(sk.f1_score(y[:, :3], x[:, :3] > 0, average="macro"), **CLOSE)
    assert figures["accuracy"] == pytest.approx(np.mean(y == (x > 0)), **CLOSE)
    balanced = [sk.balanced_accuracy_score(y[:, k], x[:, k] > 0) for k in range(3)]
    assert figures["balanced_accuracy"] == pytest.approx(np.mean(balanced), **CLOSE)
    assert figures["classes_without_positives"] == 1
    assert "map_softmax" not in figures


def test_figures_of_a_class_equal_scikit_learn():
    logits, labels = draw(n=60, c=3, ties=False, missing=False, seed=0)
    figures = classification_metrics(logits, labels, class_names=["BCC", "NEV", "MEL"])
    y, x, decision = (labels == 2).numpy(), logits[:, 2].numpy(), (logits.argmax(1) == 2).numpy()
    assert figures["average_precision/MEL"] == pytest.approx(sk.average_precision_score(y, x), **CLOSE)
    assert figures["auroc/MEL"] == pytest.approx(sk.roc_auc_score(y, x), **CLOSE)
    assert figures["f1/MEL"] == pytest.approx(sk.f1_score(y, decision), **CLOSE)
    assert figures["sensitivity/MEL"] == pytest.approx(sk.recall_score(y, decision), **CLOSE)
    assert figures["accuracy/MEL"] == pytest.approx(sk.accuracy_score(y, decision), **CLOSE)
    assert figures["balanced_accuracy/MEL"] == pytest.approx(sk.balanced_accuracy_score(y, decision), **CLOSE)
    assert figures["specificity/MEL"] == pytest.approx(sk.recall_score(~y, ~decision), **CLOSE)


def test_undefined_classes_have_no_figure_and_are_counted():
    figures = classification_metrics(torch.eye(3), torch.tensor([0, 0, 0]), class_names=["a", "b", "c"])
    assert "auroc/a" not in figures
    assert "average_precision/b" not in figures
    assert figures["classes_without_positives"] == 2
    assert figures["classes_without_negatives"] == 1
    assert np.isnan(figures["auroc"])


def test_ranking_is_by_raw_logits_even_where_sigmoid_saturates():
    logits = torch.tensor([[50.0, 0.0], [51.0, 0.0], [52.0, 0.0], [53.0, 0.0]])
    labels = torch.tensor([1, 1, 0, 0])
    assert torch.sigmoid(logits)[:, 0].unique().numel() == 1
    assert classification_metrics(logits, labels, class_names=["a", "b"])["auroc/a"] == 1.0


def test_of_two_classes_the_difference_of_the_logits_ranks_as_their_softmax_does():
    logits, labels = draw(n=90, c=2, ties=False, missing=False, seed=4)
    logits += torch.randn(90, 1, generator=torch.Generator().manual_seed(5)) * 20  # which no softmax sees
    positive = logits.double().softmax(dim=1)[:, 1].numpy()
    figures = classification_metrics(logits, labels, class_names=["no", "yes"])
    assert figures["auroc"] == pytest.approx(sk.roc_auc_score(labels, positive), **CLOSE)
    assert figures["auroc/no"] == pytest.approx(figures["auroc/yes"], **CLOSE)
    assert figures["average_precision/yes"] == pytest.approx(sk.average_precision_score(labels, positive), **CLOSE)
    assert (figures["map"], figures["auroc"]) == pytest.approx((figures["map_softmax"], figures["auroc_softmax"]))


def test_does_not_care_for_order_or_a_monotone_change_of_the_scale():
    logits, labels = draw(n=200, c=4, ties=True, missing=False, seed=9)
    order = torch.randperm(200, generator=torch.Generator().manual_seed(1))
    figures = classification_metrics(logits, labels)
    assert classification_metrics(logits[order], labels[order]) == pytest.approx(figures, **CLOSE)
    scaled = classification_metrics(logits * 1e3, labels)
    for name in MEAN_METRICS:
        assert scaled[name] == pytest.approx(figures[name], **CLOSE)


@pytest.mark.parametrize(
    ("logits", "labels", "names", "message"),
    [
        (torch.zeros(2, 3), torch.tensor([0, 3]), None, r"integers in \[0, 3\)"),
        (torch.zeros(2, 3), torch.tensor([0, -1]), None, r"integers in \[0, 3\)"),
        (torch.zeros(2, 3), torch.tensor([0, 1]), ["a"], "1 class names for 3 classes"),
        (torch.full((2, 3), float("nan")), torch.tensor([0, 1]), None, "not finite in rows"),
        (torch.zeros(2, 3), torch.zeros(2, 2), None, r"got \(2, 3\) and \(2, 2\)"),
        (torch.zeros(2, 3), torch.full((2, 3), 0.5), None, "zeros and ones"),
        (torch.zeros(0, 3), torch.zeros(0, dtype=torch.long), None, "No cases"),
    ],
)
def test_input_that_does_not_fit_is_refused(logits, labels, names, message):
    with pytest.raises(ValueError, match=message):
        classification_metrics(logits, labels, class_names=names)
