"""Answers of images become answers of breasts and exams: against a loop over units."""

import math
import random

import pytest
import torch

from medlit.metrics import aggregate


def slow(probabilities, labels, ids, by, order):
    """The definition, unit by unit, in Python's floats."""
    answers, merged, disagreeing = [], [], 0
    for unit in dict.fromkeys(ids):
        rows = [row for row, name in enumerate(ids) if name == unit]
        mine = [probabilities[row] for row in rows]
        classes = range(len(mine[0]))
        answer = [math.fsum(row[c] for row in mine) / len(mine) for c in classes]
        if by == "any" and isinstance(labels[0], list):
            answer = [max(row[c] for row in mine) for c in classes]
        elif by == "any" and len(classes) == 2:
            largest = max(row[order[-1]] for row in mine)
            answer = [largest if c == order[-1] else 1 - largest for c in classes]
        answers.append(answer)
        if isinstance(labels[0], list):
            known = [labels[row] for row in rows if not math.isnan(labels[row][0])]
            merged.append([max(label[c] for label in known) for c in classes] if known else None)
        else:
            known = [labels[row] for row in rows if labels[row] >= 0]
            merged.append(max(known, key=order.index) if known else -1)
        disagreeing += any(label != known[0] for label in known)
    return answers, merged, disagreeing


@pytest.mark.parametrize("by", ["mean", "any"])
@pytest.mark.parametrize(("classes", "order"), [(2, [0, 1]), (2, [1, 0]), (7, [1, 2, 3, 6, 0, 4, 5])])
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_definition(by, classes, order, seed):
    draw = random.Random(seed)
    ids = [f"u{draw.randrange(12)}" for _ in range(40)]
    labels = [draw.randrange(-1, classes) for _ in ids]
    drawn = torch.rand(40, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    probabilities = drawn.softmax(dim=1)
    found = aggregate(probabilities, torch.tensor(labels), ids, by=by, severity=order)
    answers, merged, disagreeing = slow(probabilities.tolist(), labels, ids, by, order)
    assert found.ids == list(dict.fromkeys(ids))
    torch.testing.assert_close(found.probabilities, torch.tensor(answers, dtype=torch.float64), rtol=0, atol=1e-12)
    assert found.labels.tolist() == merged
    assert found.disagreeing == disagreeing
    assert found.counts.tolist() == [ids.count(unit) for unit in found.ids]
    assert [found.ids[place] for place in found.unit.tolist()] == ids


@pytest.mark.parametrize("by", ["mean", "any"])
def test_several_labels_equal_the_definition(by):
    draw = random.Random(0)
    ids = [f"u{draw.randrange(12)}" for _ in range(25)]
    labels = [[math.nan] * 3 if draw.random() < 0.6 else [float(draw.randrange(2)) for _ in range(3)] for _ in ids]
    probabilities = torch.rand(25, 3, generator=torch.Generator().manual_seed(1))
    found = aggregate(probabilities, torch.tensor(labels), ids, by=by, multi_label=True)
    answers, merged, disagreeing = slow(probabilities.tolist(), labels, ids, by, [])
    torch.testing.assert_close(found.probabilities, torch.tensor(answers, dtype=torch.float64), rtol=0, atol=1e-7)
    assert [None if math.isnan(row[0]) else row for row in found.labels.tolist()] == merged
    assert None in merged
    assert found.disagreeing == disagreeing > 0


def test_the_clinical_order_of_birads_makes_0_worse_than_3_and_4_worse_than_0():
    order = [1, 2, 3, 6, 0, 4, 5]
    labels = torch.tensor([3, 0, 0, 4, 6, 3])
    found = aggregate(torch.full((6, 7), 1 / 7), labels, ["a", "a", "b", "b", "c", "c"], severity=order)
    assert found.labels.tolist() == [0, 4, 6]


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_two_units_that_are_nearly_sure_are_told_apart(order):
    logits = torch.zeros(4, 2, dtype=torch.float64)
    logits[:, order[1]] = torch.tensor([60.0, -50, 70, -80])
    found = aggregate(logits.softmax(dim=1), None, ["a", "a", "b", "b"], by="any", severity=order)
    score = found.probabilities[:, order[1]].log() - found.probabilities[:, order[0]].log()
    torch.testing.assert_close(score, torch.tensor([60.0, 70], dtype=torch.float64))


def test_any_of_several_labels_needs_no_labels():
    found = aggregate(torch.tensor([[0.25, 1.0], [0.5, 0.5]]), None, ["a", "a"], by="any", multi_label=True)
    assert found.probabilities.tolist() == [[0.5, 1.0]]


def test_one_row_a_unit_changes_nothing_and_no_label_stays_none():
    probabilities = torch.tensor([[0.25, 0.75], [0.5, 0.5]])
    for by in ("mean", "any"):
        found = aggregate(probabilities, None, ["b", "a"], by=by)
        assert (found.ids, found.probabilities.tolist()) == (["b", "a"], probabilities.tolist())
        assert found.labels is None


@pytest.mark.parametrize(
    ("probabilities", "labels", "ids", "severity", "said"),
    [
        ((2, 3), (2,), ["a"], None, "N ids"),
        ((0, 3), (0,), [], None, "No rows"),
        ((2, 3), (3,), ["a", "b"], None, "Need labels"),
        ((2, 3), (2,), ["a", "b"], [0, 1], "each of the classes 0 to 2 once"),
        ((2, 3), (2,), ["a", "b"], [0, 1, 1], "each of the classes 0 to 2 once"),
    ],
)
def test_what_does_not_fit_is_refused(probabilities, labels, ids, severity, said):
    with pytest.raises(ValueError, match=said):
        aggregate(torch.ones(probabilities), torch.zeros(labels, dtype=torch.long), ids, severity=severity)


def test_a_label_that_is_no_class_is_refused():
    with pytest.raises(ValueError, match="integers in"):
        aggregate(torch.ones(2, 3), torch.tensor([0, 3]), ["a", "b"])
