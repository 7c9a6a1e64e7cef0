"""Late fusions: each against its formula written out case by case, and what must hold for any of them."""

import itertools

import pytest
import torch
from torch.nn.functional import layer_norm

from medlit.errors import ConfigurationError
from medlit.models import (
    AttentionMILFusion,
    ConcatenationFusion,
    CrossAttentionFusion,
    GatedFusion,
    MeanOfLogitsFusion,
)
from medlit.peft import VisualPromptConfig
from tests.medlit.models.small import TINY, TINY_ARGS, pictures, randomise_adapters

VIEWS = ("axial", "coronal", "sagittal")
KINDS = [AttentionMILFusion, ConcatenationFusion, CrossAttentionFusion, GatedFusion, MeanOfLogitsFusion]
SUBSETS = [subset for size in (1, 2, 3) for subset in itertools.combinations(VIEWS, size)]

every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


def fusion(kind, *, modalities=VIEWS, seed=0, **options):
    torch.manual_seed(seed)
    model = kind(modalities=modalities, num_classes=5, **{**TINY, "model_args": TINY_ARGS, **options})
    return randomise_adapters(model)


def every_subset():
    """One case for each subset of the views, with two images of one view and one of the others."""
    images = pictures(modalities=VIEWS, cases=len(SUBSETS), per_case=2)
    masks = {}
    for index, name in enumerate(VIEWS):
        rows = [[name in subset, name in subset and (row + index) % 2 == 0] for row, subset in enumerate(SUBSETS)]
        masks[name] = torch.tensor(rows)
        images[name][~masks[name]] = float("nan")  # what is no image is never looked at
    return images, masks


def slow_embeddings(model, images, masks, case):
    """By present modality, (I, D): its real images one by one."""
    found = {}
    for name in model.modalities:
        rows = [image for image, real in zip(images[name][case], masks[name][case], strict=True) if real]
        if rows:
            found[name] = torch.stack([model.backbone.passes[name](image[None])[0, 0] for image in rows])
    return found


def slow_concatenation(model, found):
    width = model.head.in_features // len(model.modalities)
    answer = model.head.bias.clone()
    for name, rows in found.items():
        start = model.modalities.index(name) * width
        answer = answer + model.head.weight[:, start : start + width] @ rows.mean(0)
    return answer, None


def slow_mean_of_logits(model, found):
    return sum(model.heads[name](rows.mean(0)) for name, rows in found.items()) / len(found), None


def slow_gated(model, found):
    width = model.gate.in_features // len(model.modalities)
    place = {name: model.modalities.index(name) for name in found}
    scores = {}
    for name in found:
        row = model.gate.weight[place[name]].view(-1, width)
        scores[name] = model.gate.bias[place[name]] + sum(row[place[other]] @ found[other].mean(0) for other in found)
    total = sum(score.exp() for score in scores.values())
    weights = {name: score.exp() / total for name, score in scores.items()}
    return sum(weights[name] * model.heads[name](found[name].mean(0)) for name in found), weights


def slow_attention_mil(model, found):
    def score(h):
        hidden = torch.tanh(model.attention_value(h)) * torch.sigmoid(model.attention_gate(h))
        return model.attention_score(hidden).exp()

    total = sum(score(h) for rows in found.values() for h in rows)
    bag = sum(score(h) / total * h for rows in found.values() for h in rows)
    return model.head(bag), {name: sum(score(h) / total for h in rows)[0] for name, rows in found.items()}


def slow_cross_attention(model, found):
    tokens = {name: rows.mean(0) + model.modality[name] for name, rows in found.items()}
    width = len(tokens[next(iter(found))])
    after = []
    for name, token in tokens.items():
        gathered = torch.zeros(width)
        others = [other for other in tokens if other != name]
        if others:
            q, _, _ = normed_qkv(model, token)
            keys, values = zip(*(normed_qkv(model, tokens[other])[1:] for other in others), strict=True)
            heads = []
            for part in torch.arange(width).chunk(8):
                logits = torch.stack([q[part] @ key[part] for key in keys]) / len(part) ** 0.5
                heads.append(logits.softmax(0) @ torch.stack([value[part] for value in values]))
            gathered = model.projection(torch.cat(heads))
        steered = token + gathered
        after.append(model.norm(steered + model.mlp(steered)))
    return model.head(sum(after) / len(after)), None


def normed_qkv(model, token):
    norm = model.attention_norm
    return model.qkv(layer_norm(token, norm.normalized_shape, norm.weight, norm.bias)).chunk(3)


SLOW = {
    AttentionMILFusion: slow_attention_mil,
    ConcatenationFusion: slow_concatenation,
    CrossAttentionFusion: slow_cross_attention,
    GatedFusion: slow_gated,
    MeanOfLogitsFusion: slow_mean_of_logits,
}


@every_kind
def test_equals_the_formula_over_the_modalities_a_case_has(kind):
    """In outputs and in every gradient: an absent modality is as if the model had none such."""
    model = fusion(kind)
    images, masks = every_subset()
    output = model(images, masks)
    rows = []
    for case, subset in enumerate(SUBSETS):
        found = slow_embeddings(model, images, masks, case)
        assert tuple(found) == subset
        answer, weights = SLOW[kind](model, found)
        torch.testing.assert_close(output.logits[case], answer, rtol=1e-4, atol=1e-5)
        if weights is not None:
            expected = torch.stack([weights.get(name, torch.zeros(())) for name in VIEWS])
            torch.testing.assert_close(output.weights[case], expected, rtol=1e-4, atol=1e-5)
        rows.append(answer)
    assert output.present.tolist() == [[name in subset for name in VIEWS] for subset in SUBSETS]
    trained = {name: tensor for name, tensor in model.named_parameters() if tensor.requires_grad}
    ours = torch.autograd.grad(output.logits.square().mean(), list(trained.values()))
    theirs = torch.autograd.grad(torch.stack(rows).square().mean(), list(trained.values()))
    for name, a, b in zip(trained, ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5, msg=name)


@every_kind
def test_heads_and_weights_of_absent_modalities_are_zero(kind):
    images, masks = every_subset()
    output = fusion(kind)(images, masks)
    for index, logits in enumerate(output.by_modality.values()):
        assert torch.equal(logits.abs().sum(dim=1) > 0, output.present[:, index])
    if output.weights is not None:
        assert torch.equal(output.weights > 0, output.present)
        torch.testing.assert_close(output.weights.sum(dim=1), torch.ones(len(SUBSETS)))


@every_kind
def test_a_modality_that_no_case_has_is_left_out_and_its_parts_get_gradients_of_zero(kind):
    """Processes of one training wait for every gradient."""
    model = fusion(kind).train()
    images = pictures(modalities=VIEWS[:2])
    masked = {**images, "sagittal": torch.zeros(3, 1, 3, 32, 32)}
    output = model(images)
    masks = {"sagittal": torch.zeros(3, 1, dtype=torch.bool)}
    assert torch.equal(output.logits, model(masked, masks).logits)
    output.logits.square().sum().backward()
    gradients = {name: tensor.grad for name, tensor in model.named_parameters() if tensor.requires_grad}
    assert [name for name, gradient in gradients.items() if gradient is None] == []
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    absent = [gradient for name, gradient in gradients.items() if ".passes.sagittal." in name]
    assert absent
    assert all(gradient.abs().max() == 0 for gradient in absent)


@every_kind
def test_the_order_of_modalities_only_renames_the_weights(kind):
    model = fusion(kind, modalities=VIEWS[:2])
    turned = fusion(kind, modalities=VIEWS[1::-1], seed=1)
    state = model.state_dict()
    for name in ("head.weight", "gate.weight"):
        if name in state and state[name].shape[1] == 64:
            state[name] = torch.cat(state[name].chunk(2, dim=1)[::-1], dim=1)
    for name in ("gate.weight", "gate.bias"):
        if name in state:
            state[name] = state[name].flip(0)
    turned.load_state_dict(state)
    one, other = model(pictures(modalities=VIEWS)), turned(pictures(modalities=VIEWS))
    torch.testing.assert_close(one.logits, other.logits)
    if one.weights is not None:
        torch.testing.assert_close(one.weights, other.weights.flip(1))


@every_kind
def test_padding_changes_nothing(kind):
    model, images = fusion(kind), pictures(modalities=VIEWS, per_case=2)
    padded = {name: torch.cat([value, torch.full_like(value, 0.7)], dim=1) for name, value in images.items()}
    masks = {name: torch.tensor([[True, True, False, False]] * 3) for name in images}
    torch.testing.assert_close(model(padded, masks).logits, model(images).logits, rtol=1e-5, atol=1e-6)


@every_kind
def test_every_modality_has_a_say(kind):
    model, images = fusion(kind), pictures(modalities=VIEWS)
    before = model(images).logits
    for name in VIEWS:
        assert (model({**images, name: images[name].roll(1, 0)}).logits - before).abs().max() > 1e-5


@every_kind
def test_the_whole_backbone_can_be_trained_by_all_passes(kind):
    model = fusion(kind, adapter=None, train_backbone=True)
    model(pictures(modalities=VIEWS)).logits.square().sum().backward()
    gradients = {name: tensor.grad for name, tensor in model.named_parameters()}
    assert all(
        gradient is not None and gradient.abs().max() > 0 for name, gradient in gradients.items() if "mlp" in name
    )
    assert not any(name.startswith("backbone.passes") for name in model.state_dict())


@every_kind
def test_prompts_serve_as_adapters(kind):
    model, images = fusion(kind, adapter=VisualPromptConfig(num_tokens=2)), pictures(modalities=VIEWS)
    before = model(images).logits
    prompts = [tensor for name, tensor in model.named_parameters() if "visual_prompt_tokens" in name]
    assert len(prompts) == len(VIEWS) * 2
    for tensor in prompts:
        torch.nn.init.normal_(tensor)
    assert (model(images).logits - before).abs().max() > 1e-5


@every_kind
def test_clinical_variables_are_one_more_modality(kind):
    model = fusion(kind, modalities=("clinic", "variables"), variables=["age", "sex=female"])
    images = pictures(modalities=["clinic"])
    variables = torch.tensor([[[0.3, 1.0]], [[float("nan"), 0.0]], [[float("nan")] * 2]])
    masks = {"variables": torch.tensor([[True], [True], [False]])}
    output = model({**images, "variables": variables}, masks)
    assert output.logits.isfinite().all()
    alone = model({"clinic": images["clinic"][2:]})
    torch.testing.assert_close(output.logits[2:], alone.logits)
    output.logits.square().sum().backward()
    assert all(tensor.grad.isfinite().all() for tensor in model.parameters() if tensor.requires_grad)


@every_kind
def test_mixed_precision_keeps_weights_in_float32(kind):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = fusion(kind)(pictures(modalities=VIEWS))
    assert output.logits.isfinite().all()
    assert output.weights is None or output.weights.dtype == torch.float32


@every_kind
def test_state_dict_makes_the_round_trip_strictly(kind):
    first, second = fusion(kind), fusion(kind, seed=9)
    images = pictures(modalities=VIEWS)
    assert not torch.allclose(first(images).logits, second(images).logits)
    second.load_state_dict(first.state_dict(), strict=True)
    assert torch.equal(first(images).logits, second(images).logits)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modalities": ["axial"]}, "two or more"),
        ({"modalities": ["axial", "axial"]}, "different"),
        ({"train_backbone": True}, "needs adapter: null"),
        ({"model_args": {"depth": 2, "embed_dim": 12, "num_heads": 2}}, "12 channels are no multiple"),
        ({"variables": ["age"]}, "need 'variables' among the modalities"),
    ],
)
def test_impossible_settings_are_refused(options, message):
    with pytest.raises(ConfigurationError, match=message):
        fusion(CrossAttentionFusion, **options)
