"""The loss against its definition, case by case, and the target of the gate."""

import math
from types import SimpleNamespace

import pytest
import torch

from medlit.losses import EarlyInterventionLoss, classification_loss


def scores(*, cases=6, classes=4, modalities=("a", "b", "c"), seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)

    def draw():
        return torch.randn(cases, classes, generator=generator, dtype=dtype)

    gate = torch.randn(cases, len(modalities), generator=generator, dtype=dtype).softmax(1)
    return SimpleNamespace(
        fused=draw(),
        auxiliary={m: draw() for m in modalities},
        main={m: draw() for m in modalities},
        gate=gate,
        present=torch.ones(cases, len(modalities), dtype=torch.bool),
    )


def slow_cross_entropy(row, label):
    return -row[label].item() + math.log(sum(math.exp(x) for x in row.tolist()))


def slow_binary(row, label):
    per_label = [math.log1p(math.exp(-x if y else x)) for x, y in zip(row.tolist(), label.tolist(), strict=True)]
    return sum(per_label)


def labels(kind, cases=6, classes=4):
    generator = torch.Generator().manual_seed(1)
    if kind == "single":
        return torch.randint(classes, (cases,), generator=generator)
    return torch.randint(2, (cases, classes), generator=generator).float()


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_equals_the_definition(kind):
    output, label, prior = scores(), labels(kind), [1.0, 0.5, 0.25]
    slow = slow_cross_entropy if kind == "single" else slow_binary
    scale = 1 if kind == "single" else 1 / 4  # binary cross-entropy: mean over labels

    def mean(logits):
        return scale * sum(slow(row, y) for row, y in zip(logits, label, strict=True)) / len(label)

    gate = 0.0
    for case, y in enumerate(label):
        weighted = [p * slow(output.main[m][case], y) for p, m in zip(prior, output.main, strict=True)]
        gate -= math.log(output.gate[case, weighted.index(min(weighted))].item()) / len(label)
    expected = {
        "fused": mean(output.fused),
        "auxiliary": sum(mean(logits) for logits in output.auxiliary.values()),
        "main": sum(mean(logits) for logits in output.main.values()),
        "gate": gate,
    }
    expected["total"] = expected["fused"] + 0.3 * expected["auxiliary"] + expected["main"] + 0.1 * expected["gate"]
    found = EarlyInterventionLoss(prior=prior)(output, label)
    assert {name: value.item() for name, value in found.items()} == pytest.approx(expected, rel=1e-5)


def test_a_small_prior_makes_its_modality_the_target():
    loss = EarlyInterventionLoss(prior=[1, 1e-6, 1])
    assert loss.gate_target(scores(), labels("single")).tolist() == [1] * 6


def test_the_best_modality_of_each_case_is_the_target_without_prior():
    output, label = scores(modalities=("a", "b")), torch.zeros(6, dtype=torch.int64)
    output.main["a"][:] = 0
    output.main["b"][:] = 0
    output.main["a"][:3, 0] = 5
    output.main["b"][3:, 0] = 5
    assert EarlyInterventionLoss(prior=[1, 1]).gate_target(output, label).tolist() == [0, 0, 0, 1, 1, 1]


def test_the_gates_loss_sends_no_gradient_into_the_main_logits():
    output = scores()
    for logits in output.main.values():
        logits.requires_grad_()
    output.gate.requires_grad_()
    EarlyInterventionLoss(prior=[1, 1, 1])(output, labels("single"))["gate"].backward()
    assert output.gate.grad is not None
    assert all(logits.grad is None for logits in output.main.values())


def test_code_takes_the_gates_weights_for_logits():
    output, label = scores(), labels("single")
    paper, code = (EarlyInterventionLoss(prior=[1, 1, 1], fidelity=f) for f in ("paper", "code"))
    target = paper.gate_target(output, label)
    expected = -output.gate.log_softmax(1).gather(1, target[:, None]).mean().item()
    assert code(output, label)["gate"].item() == pytest.approx(expected, rel=1e-5)
    assert code(output, label)["gate"].item() != pytest.approx(paper(output, label)["gate"].item(), rel=1e-2)


def test_code_takes_multi_label_targets_for_soft_classes():
    label = torch.tensor([[1.0, 0.0, 0.0]])
    output = scores(cases=1, classes=3, modalities=("a", "b"))
    output.main["a"] = torch.tensor([[2.0, 1.5, -9.0]])  # the better softmax
    output.main["b"] = torch.tensor([[1.0, -0.5, 0.5]])  # the better sigmoids
    targets = [
        EarlyInterventionLoss(prior=[1, 1], fidelity=f).gate_target(output, label).item() for f in ("paper", "code")
    ]
    assert targets == [1, 0]


def test_gradient_is_right():
    output, label = scores(cases=3), labels("single", cases=3)
    loss = EarlyInterventionLoss(prior=[1, 1, 1]).double()

    def total(fused, a, b):
        changed = SimpleNamespace(
            fused=fused,
            auxiliary=output.auxiliary,
            main={**output.main, "a": a},
            gate=b.softmax(1),
            present=output.present,
        )
        return loss(changed, label)["total"]

    inputs = [output.fused, output.main["a"], output.gate.log()]
    # The loss is float32 by design, so the differences are coarse.
    torch.autograd.gradcheck(total, [x.clone().requires_grad_() for x in inputs], eps=1e-2, atol=1e-3, rtol=1e-2)


def test_a_gate_that_rules_the_target_out_gives_a_large_finite_loss():
    output = scores(cases=1, modalities=("a", "b"))
    output.gate = torch.tensor([[1.0, 0.0]])
    assert 80 < EarlyInterventionLoss(prior=[1, 1e-9])(output, torch.tensor([0]))["gate"].item() < 90


def test_is_float32_for_bfloat16_logits():
    found = EarlyInterventionLoss(prior=[1, 1, 1])(scores(dtype=torch.bfloat16), labels("single"))
    assert all(value.dtype == torch.float32 for value in found.values())


def test_class_weights_weigh_classes():
    logits, label = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2])
    weighted = classification_loss(logits, label, class_weights=torch.tensor([1.0, 0.0, 0.0]))
    torch.testing.assert_close(weighted, classification_loss(logits[[0, 3]], label[[0, 3]]))


def test_priors_must_be_one_per_modality_and_finite():
    with pytest.raises(ValueError, match=r"2 priors for 3 modalities"):
        EarlyInterventionLoss(prior=[1, 1])(scores(), labels("single"))
    with pytest.raises(ValueError, match="finite"):
        EarlyInterventionLoss(prior=[1, float("nan")])
    with pytest.raises(ValueError, match="fidelity"):
        EarlyInterventionLoss(prior=[1, 1], fidelity="papre")
