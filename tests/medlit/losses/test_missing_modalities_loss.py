"""The loss where cases lack modalities: sums and the gate's choice over those there are, means over all cases."""

import math
from types import SimpleNamespace

import pytest
import torch

from medlit.losses import EarlyInterventionLoss, classification_loss
from tests.medlit.losses.test_early_intervention_loss import labels, scores, slow_binary, slow_cross_entropy

PRESENT = torch.tensor([[1, 1, 1], [1, 0, 0], [0, 1, 1], [1, 1, 0], [0, 0, 1], [0, 1, 0]], dtype=torch.bool)


def partial_scores(**options):
    """Absent modalities hold what must not be read."""
    output = scores(**options)
    output.present = PRESENT
    for place, name in enumerate(output.main):
        for logits in (output.main, output.auxiliary):
            logits[name][~PRESENT[:, place]] = 1e4
    gate = output.gate * PRESENT
    output.gate = gate / gate.sum(dim=1, keepdim=True)
    return output


@pytest.mark.parametrize("kind", ["single", "multi"])
@pytest.mark.parametrize("fidelity", ["paper", "code"])
def test_equals_the_definition_over_what_a_case_has(kind, fidelity):
    output, label, prior = partial_scores(), labels(kind), dict(zip("abc", [1.0, 0.5, 0.25], strict=True))
    slow = slow_cross_entropy if kind == "single" else slow_binary
    scale = 1 if kind == "single" else 1 / 4  # binary cross-entropy: mean over labels
    expected = dict.fromkeys(("fused", "auxiliary", "main", "gate"), 0.0)
    for case, y in enumerate(label):
        there = [name for name, is_there in zip("abc", PRESENT[case], strict=True) if is_there]
        expected["fused"] += scale * slow(output.fused[case], y) / 6
        for kind_of_head in ("auxiliary", "main"):
            expected[kind_of_head] += sum(scale * slow(getattr(output, kind_of_head)[m][case], y) for m in there) / 6

        def difficulty(name, case=case, y=y):
            row = output.main[name][case]
            if fidelity == "code" and kind == "multi":  # the multi-hot vector as soft classes
                return prior[name] * -(y * row.log_softmax(0)).sum().item()
            return prior[name] * slow(row, y)

        weights = torch.stack([output.gate[case, "abc".index(m)] for m in there])
        chosen = there.index(min(there, key=difficulty))
        shares = weights.softmax(0) if fidelity == "code" else weights
        expected["gate"] -= math.log(shares[chosen].item()) / 6
    found = EarlyInterventionLoss(prior=list(prior.values()), fidelity=fidelity)(output, label)
    assert {name: found[name].item() for name in expected} == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("fidelity", "targets"), [("paper", [1, 0, 0, 1]), ("code", [0, 0, 0, 1])])
def test_trace_of_the_gates_target(fidelity, targets):
    """Several labels: binary cross-entropies and soft classes part in the first case; absence decides the last two."""
    worse_softmax, better_softmax = [1.0, -0.5, 0.5], [2.0, 1.5, -9.0]
    output = SimpleNamespace(
        main={
            "a": torch.tensor([better_softmax, [5.0, -5.0, -5.0], worse_softmax, better_softmax]),
            "b": torch.tensor([worse_softmax, [-5.0, 5.0, 5.0], better_softmax, worse_softmax]),
        },
        present=torch.tensor([[True, True], [True, True], [True, False], [False, True]]),
    )
    label = torch.tensor([[1.0, 0.0, 0.0]] * 4)
    assert EarlyInterventionLoss(prior=[1, 1], fidelity=fidelity).gate_target(output, label).tolist() == targets


def test_a_prior_chooses_among_those_there_are():
    target = EarlyInterventionLoss(prior=[1e-9, 1, 1]).gate_target(partial_scores(), labels("single"))
    assert target[PRESENT[:, 0]].tolist() == [0, 0, 0]
    assert PRESENT[torch.arange(6), target].all()


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_no_gradient_reaches_what_is_absent(kind):
    output = partial_scores()
    for logits in (*output.main.values(), *output.auxiliary.values()):
        logits.requires_grad_()
    EarlyInterventionLoss(prior=[1, 1, 1])(output, labels(kind))["total"].backward()
    for logits in (output.main, output.auxiliary):
        for place, name in enumerate(output.main):
            assert logits[name].grad[PRESENT[:, place]].any(dim=1).all()
            assert not logits[name].grad[~PRESENT[:, place]].any()


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_class_weights_weigh_all_cases_in_the_mean(kind):
    """Two halves of a batch average to the whole, as the gradients of two processes do where classes are even."""
    logits, label, present = torch.randn(6, 3), torch.tensor([0, 1, 2] * 2), PRESENT[:, 0]
    label = label if kind == "single" else torch.nn.functional.one_hot(label).float()
    weights = torch.tensor([1.0, 2.0, 0.5])
    whole = classification_loss(logits, label, class_weights=weights, present=present)
    halves = [
        classification_loss(logits[rows], label[rows], class_weights=weights, present=present[rows])
        for rows in (slice(3), slice(3, 6))
    ]
    torch.testing.assert_close(whole, torch.stack(halves).mean())
    full = classification_loss(logits, label, class_weights=weights, present=torch.ones(6, dtype=torch.bool))
    torch.testing.assert_close(full, classification_loss(logits, label, class_weights=weights))
