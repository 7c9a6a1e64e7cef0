"""The vote of the nearest neighbours, against the definition and in hand-made cases."""

import math

import pytest
import torch

from medlit.errors import CheckpointMismatchError, ConfigurationError
from medlit.probe import Neighbours, neighbours
from tests.medlit.probe.made import made


def slow_shares(query, bank, labels, k, classes):
    """The definition, neighbour by neighbour, in float64."""
    cosines = [float(query @ row / query.norm() / row.norm()) for row in bank]
    nearest = sorted(range(len(bank)), key=lambda row: -cosines[row])[:k]
    votes = [sum(math.exp(cosines[row] / 0.07) for row in nearest if labels[row] == c) for c in range(classes)]
    return [vote / sum(votes) for vote in votes]


def test_equals_the_definition(monkeypatch):
    monkeypatch.setattr(neighbours, "CHUNK", 4)
    features, labels = made(60, 10, 3)
    knn = Neighbours.of(features[:50], labels[:50], k=7, num_classes=3)
    found = knn.logits(features[50:]).softmax(dim=1)
    bank = knn.bank.double()
    for query, shares in zip(features[50:].double(), found, strict=True):
        assert shares.tolist() == pytest.approx(slow_shares(query, bank, labels, 7, 3), abs=1e-5)


def test_only_the_direction_of_a_feature_counts():
    features, labels = made(60, 10, 3)
    knn = Neighbours.of(features * 1000, labels, k=5, num_classes=3)
    expected = Neighbours.of(features, labels, k=5, num_classes=3).logits(features)
    torch.testing.assert_close(knn.logits(features / 50), expected, atol=1e-3, rtol=0)


def test_a_class_without_a_vote_has_a_small_and_finite_score():
    knn = Neighbours.of(torch.eye(3), torch.tensor([0, 1, 1]), k=1, num_classes=4)
    logits = knn.logits(torch.eye(3))
    assert logits.argmax(dim=1).tolist() == [0, 1, 1]
    assert logits.isfinite().all()
    assert logits.softmax(dim=1)[:, 2:].max() < 1e-6


def test_of_fewer_cases_than_k_all_vote():
    knn = Neighbours.of(torch.eye(2), torch.tensor([0, 1]), k=20, num_classes=2)
    assert knn.logits(torch.tensor([[1.0, 1.0]])).softmax(dim=1).tolist()[0] == pytest.approx([0.5, 0.5])


def test_no_neighbour_is_refused():
    with pytest.raises(ConfigurationError, match="knn is 0"):
        Neighbours.of(torch.eye(2), torch.tensor([0, 1]), k=0, num_classes=2)


def test_a_checkpoint_gives_the_same_scores_and_a_damaged_one_is_refused():
    features, labels = made(30, 6, 3)
    knn = Neighbours.of(features, labels, k=4, num_classes=3)
    state = knn.state()
    again = Neighbours.from_state(state, k=4, num_classes=3, width=6)
    assert torch.equal(again.logits(features), knn.logits(features))
    for change in ({"bank": state["bank"][1:]}, {"labels": labels + 1}, {"bank": None}, {"labels": labels.float()}):
        with pytest.raises(CheckpointMismatchError, match="neighbours of the checkpoint are damaged"):
            Neighbours.from_state({**state, **change}, k=4, num_classes=3, width=6)
    with pytest.raises(CheckpointMismatchError, match="damaged"):
        Neighbours.from_state(state, k=4, num_classes=3, width=7)
