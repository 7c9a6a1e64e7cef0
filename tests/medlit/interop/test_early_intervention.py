"""Converted checkpoints against the released form: outputs, losses and gradients; and what is refused."""

import re

import pytest
import torch

from medlit.errors import CheckpointMismatchError, ConfigurationError
from medlit.interop import convert_ei_state_dict, convert_unimodal_state_dict, describe
from medlit.interop.early_intervention import foundation_state
from medlit.losses import EarlyInterventionLoss, classification_loss
from tests.medlit.interop.literal_release import BACKBONES, HEADS, EarlyIntervention, Unimodal, ViT, released_loss

ALL_LAYERS = ("attn.proj", "attn.qkv.k", "attn.qkv.q", "attn.qkv.v", "mlp.fc1", "mlp.fc2")
TWO, THREE = "two modalities, one label", "three views of four slices, several labels"
CASES = {
    TWO: (("clinic", "derm"), 1, False, (1.0, 0.001)),
    THREE: (("axial", "coronal", "sagittal"), 4, True, (1.0, 1.0, 0.001)),
}


def reference(kind="clip", *, modalities=2, num_classes=3, **options):
    torch.manual_seed(1)
    return EarlyIntervention(kind, modalities=modalities, num_classes=num_classes, **options)


def pictures(kind, names, *, per_case, less=0):
    patch, grid, _ = BACKBONES[kind]
    generator = torch.Generator().manual_seed(3)
    size = patch * grid - less
    return {name: torch.rand(3, per_case, 3, size, size, generator=generator) for name in names}


def labels(several):
    return torch.tensor([[1.0, 0, 1], [0, 0, 0], [1, 1, 1]]) if several else torch.tensor([2, 0, 1])


def converted(released, modalities, **sizes):
    state = released.state_dict()
    model = describe(state, num_heads=HEADS).make(modalities=modalities, **sizes)
    model.load_state_dict(convert_ei_state_dict(state, modalities=modalities), strict=True)
    return model


def gradients(module, state):
    """Gradients under the released names; the frozen weights themselves, so that they can be converted alike."""
    own = dict(module.named_parameters())
    return {name: own[name].grad if own[name].requires_grad else tensor for name, tensor in state.items()}


def close(one, other):
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "targets", "less", "case"),
    [
        ("clip", ("mlp.fc1", "mlp.fc2"), 0, TWO),
        ("clip", ALL_LAYERS, 0, THREE),
        ("dinov2", ("mlp.fc1", "mlp.fc2"), 0, THREE),
        ("dinov2", ("attn.qkv.q", "attn.qkv.v"), 5, TWO),
        ("dinov2", ("mlp.fc1", "mlp.fc2"), 5, TWO),
        ("dinov2_plain", ("mlp.fc1", "mlp.fc2"), 0, TWO),
    ],
)
def test_outputs_losses_and_every_gradient_are_those_of_the_released_form(kind, targets, less, case):
    names, per_case, several, prior = CASES[case]
    released = reference(kind, modalities=len(names), targets=targets)
    images, label = pictures(kind, names, per_case=per_case, less=less), labels(several)
    patch, grid, _ = BACKBONES[kind]
    model = converted(released, names, img_size=patch * grid - less)
    output, expected = model(images), released(list(images.values()))
    close(output.fused, expected[0])
    close(output.gate, expected[3])
    for name, first, second in zip(names, expected[1], expected[2], strict=True):
        close(output.auxiliary[name], first)
        close(output.main[name], second)

    terms = EarlyInterventionLoss(prior=prior, fidelity="code")(output, label)
    expected_terms = released_loss(expected, label, prior)
    for name, term in expected_terms.items():
        close(terms[name], term)

    terms["total"].backward()
    expected_terms["total"].backward()
    wanted = convert_ei_state_dict(gradients(released, released.state_dict()), modalities=names)
    trained = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert len(trained) > 30
    for name, gradient in trained.items():
        assert wanted[name].abs().max() > 0
        torch.testing.assert_close(gradient, wanted[name], rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize(("kind", "several"), [("clip", False), ("dinov2", True), ("dinov2_plain", False)])
def test_the_first_stage_too(kind, several):
    torch.manual_seed(2)
    released = Unimodal(kind, ViT(kind).state_dict(), num_classes=3)
    state = released.state_dict()
    model = describe(state, num_heads=HEADS).make(modalities=["oct"])
    model.load_state_dict(convert_unimodal_state_dict(state), strict=True)
    images, label = pictures(kind, ["oct"], per_case=2), labels(several)
    logits, expected = model(images).logits, released(images["oct"])
    close(logits, expected)
    classification_loss(logits, label).backward()
    classification_loss(expected, label).backward()
    wanted = convert_unimodal_state_dict(gradients(released, state))
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(parameter.grad, wanted[name], rtol=1e-4, atol=1e-6, msg=name)


def test_says_what_a_checkpoint_holds():
    found = describe(reference("dinov2", modalities=3, targets=ALL_LAYERS).state_dict(), num_heads=HEADS)
    assert (found.kind, found.num_modalities, found.num_classes, found.img_size) == ("ei", 3, 3, 42)
    assert found.foundation.name == "vit_base_patch14_reg4_dinov2.lvd142m"
    assert found.foundation.model_args == {"embed_dim": 32, "depth": 2, "num_heads": 2}
    assert (found.ranks, found.bypass, found.target_modules) == ([2, 4, 8], True, list(ALL_LAYERS))
    assert found.adapter().alphas == [4, 8, 16]
    assert found.adapter([1, 1, 1]).alphas == [1, 1, 1]


@pytest.mark.parametrize(
    ("family", "width", "name"),
    [
        ("clip", 768, "vit_base_patch16_clip_224.openai"),
        ("dinov2", 384, "vit_small_patch14_reg4_dinov2.lvd142m"),
        ("dinov2", 1024, "vit_large_patch14_reg4_dinov2.lvd142m"),
        ("dinov2_plain", 768, "vit_base_patch14_dinov2.lvd142m"),
    ],
)
def test_published_sizes_need_no_arguments(family, width, name):
    """Names and shapes of the real models, without their memory."""
    patch, _, registers = BACKBONES[family]
    depth = 24 if width == 1024 else 12
    with torch.device("meta"):
        frozen = {
            "patch_embed.proj.weight": torch.empty(width, 3, patch, patch),
            "pos_embed": torch.empty(1, 1370, width),
            "cls_token": torch.empty(1, 1, width),
            **({"norm_pre.weight": torch.empty(width)} if family == "clip" else {}),
            **({"register_tokens": torch.empty(1, registers, width)} if registers else {}),
        }
        for block in range(depth):
            frozen[f"blocks.{block}.ls1.gamma" if family != "clip" else f"blocks.{block}.norm1.bias"] = torch.empty(
                width
            )
            frozen[f"blocks.{block}.mlp.fc1.linear.weight"] = torch.empty(4 * width, width)
            frozen[f"blocks.{block}.mlp.fc1.lora_as.0.weight"] = torch.empty(2, width)
            frozen[f"blocks.{block}.mlp.fc1.lora_bs.0.weight"] = torch.empty(4 * width, 2)
            frozen[f"blocks.{block}.mlp.fc1.route.weight"] = torch.empty(2, width)
            frozen[f"blocks.{block}.mlp.fc1.route.bias"] = torch.empty(2)
        state = {f"backbone.{key}": tensor for key, tensor in frozen.items()} | {"fc.weight": torch.empty(5, width)}
    found = describe(state)
    assert (found.foundation.name, found.foundation.model_args) == (name, {})
    assert found.img_size == 37 * patch


def test_the_foundation_is_kept_once_and_its_position_embedding_as_it_is():
    released = reference("clip")
    state = convert_ei_state_dict(released.state_dict(), modalities=["a", "b"])
    positions = [name for name in state if name.endswith("pos_embed")]
    assert positions == ["backbone.encoder.vit.pos_embed"]
    assert torch.equal(state[positions[0]], released.first_backbones[0].backbone.pos_embed)
    assert set(foundation_state(state)) >= {"pos_embed", "norm_pre.weight", "blocks.1.mlp.fc2.bias"}


def test_registers_follow_timms_filter():
    from timm.models.vision_transformer import _convert_dinov2

    vit = ViT("dinov2")
    torch.manual_seed(0)
    released = Unimodal("dinov2", vit.state_dict(), num_classes=3).state_dict()
    expected = _convert_dinov2(dict(vit.state_dict()), None)
    found = foundation_state(convert_unimodal_state_dict(released))
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor)


def test_a_router_without_bypass_is_recognised():
    state = reference().state_dict()
    for name in list(state):
        if re.search(r"\.route\.(weight|bias)$", name) and "backbone" in name:
            state[name] = state[name][1:]
    assert describe(state).bypass is False
    converted = convert_ei_state_dict(state, modalities=["a", "b"])
    model = describe(state, num_heads=HEADS).make(modalities=["a", "b"])
    model.load_state_dict(converted, strict=True)


def test_layers_adapted_in_some_blocks_alone_go_by_their_names():
    released = reference()
    for kind in (released.first_backbones, released.second_backbones):
        for part in kind:
            part.backbone.blocks[0].mlp.fc1 = part.backbone.blocks[0].mlp.fc1.linear
    state = released.state_dict()
    assert describe(state).target_modules == ["blocks.0.mlp.fc2", "blocks.1.mlp.fc1", "blocks.1.mlp.fc2"]
    images = pictures("clip", ["a", "b"], per_case=1)
    close(converted(released, ["a", "b"])(images).fused, released(list(images.values()))[0])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("route.bias", r"lacks 1 tensors, as route\.bias"),
        ("projs_cls.1_0.mlp.2.weight", r"lacks 1 tensors, as projs_cls\.1_0\.mlp\.2\.weight"),
        ("second_backbones.1.fc.bias", r"lacks 1 tensors, as second_backbones\.1\.fc\.bias"),
        ("first_backbones.0.fc.weight", r"first_backbones\.0\.fc\.weight is not there"),
        ("first_backbones.1.backbone.blocks.1.mlp.fc2.lora_bs.1.weight", r"lora_as \[0, 1, 2\] and lora_bs \[0, 2\]"),
        ("first_backbones.1.backbone.blocks.1.mlp.fc2.route.bias", r"of route only \['weight'\]"),
        ("first_backbones.1.backbone.blocks.1.mlp.fc2.linear.weight", r"blocks\.1\.mlp\.fc2 has adapters, but no"),
        ("second_backbones.0.backbone.norm.bias", r"1 frozen tensors differ .* as second_backbones\.0\.backbone\.norm"),
    ],
)
def test_a_missing_tensor_is_named(name, message):
    state = reference().state_dict()
    del state[name]
    with pytest.raises(CheckpointMismatchError, match=rf"best\.pkl: .*{message}|best\.pkl: {message}"):
        convert_ei_state_dict(state, modalities=["a", "b"], source="best.pkl")


def test_a_frozen_tensor_that_all_backbones_lack_is_named():
    state = {
        name: tensor for name, tensor in reference().state_dict().items() if not name.endswith("blocks.1.norm1.bias")
    }
    with pytest.raises(CheckpointMismatchError, match=r"lacks 1 tensors .*, as blocks\.1\.norm1\.bias"):
        convert_ei_state_dict(state, modalities=["a", "b"])


def test_what_is_left_over_is_named():
    state = reference().state_dict() | {"extra.weight": torch.zeros(1)}
    with pytest.raises(CheckpointMismatchError, match=r"has left over 1 tensors, as extra\.weight"):
        convert_ei_state_dict(state, modalities=["a", "b"])


def test_backbones_with_other_frozen_weights_are_refused_by_name():
    state = reference().state_dict()
    state["second_backbones.0.backbone.blocks.0.attn.qkv.weight"] += 1e-7
    state["second_backbones.1.backbone.blocks.1.mlp.fc1.linear.bias"] += 1e-3
    with pytest.raises(CheckpointMismatchError, match=r"2 frozen tensors differ .*second_backbones\.0\..*qkv\.weight"):
        convert_ei_state_dict(state, modalities=["a", "b"])


def test_backbones_that_are_adapted_differently_are_refused():
    state = reference().state_dict()
    stem = "second_backbones.1.backbone.blocks.0.mlp.fc1"
    state[f"{stem}.lora_as.2.weight"] = torch.zeros(5, 32)
    state[f"{stem}.lora_bs.2.weight"] = torch.zeros(128, 5)
    with pytest.raises(CheckpointMismatchError, match=r"second_backbones\.1 is adapted in .* \(2, 4, 5\), \(2, 4, 8\)"):
        convert_ei_state_dict(state, modalities=["a", "b"])


def test_experts_of_another_layers_size_are_refused():
    state = reference().state_dict()
    state["first_backbones.0.backbone.blocks.0.mlp.fc1.lora_as.2.weight"] = torch.zeros(5, 32)
    with pytest.raises(CheckpointMismatchError, match=r"mlp\.fc1 has shapes that do not fit its weight \(128, 32\)"):
        convert_ei_state_dict(state, modalities=["a", "b"])


@pytest.mark.parametrize("names", [["a"], ["a", "b", "c"]])
def test_a_name_for_each_modality_is_needed(names):
    with pytest.raises(ConfigurationError, match=f"2 modalities, but {len(names)} names"):
        convert_ei_state_dict(reference().state_dict(), modalities=names)


def test_the_two_kinds_are_not_mixed_up():
    torch.manual_seed(0)
    unimodal = Unimodal("clip", ViT("clip").state_dict(), num_classes=3).state_dict()
    with pytest.raises(CheckpointMismatchError, match="a unimodal checkpoint"):
        convert_ei_state_dict(unimodal, modalities=["a", "b"])
    with pytest.raises(CheckpointMismatchError, match="a checkpoint of 2 modalities"):
        convert_unimodal_state_dict(reference().state_dict())


@pytest.mark.parametrize(
    "state", [{}, {"model.weight": torch.zeros(2)}, {"first_backbones.0.backbone.norm.bias": torch.zeros(2)}]
)
def test_other_state_dicts_are_refused(state):
    with pytest.raises(CheckpointMismatchError, match="no checkpoint of the released Early Intervention code"):
        convert_ei_state_dict(state, modalities=["a", "b"])


def test_other_backbones_are_refused():
    state = {name: tensor for name, tensor in reference().state_dict().items() if "norm_pre" not in name}
    with pytest.raises(CheckpointMismatchError, match="neither timm's CLIP"):
        convert_ei_state_dict(state, modalities=["a", "b"])


@pytest.mark.parametrize("size", [27, 43, 0])
def test_images_that_padding_does_not_bring_to_the_size_are_refused(size):
    found = describe(reference("dinov2").state_dict(), num_heads=HEADS)
    with pytest.raises(ConfigurationError, match=f"img_size {size}: .* for 42 pixels"):
        found.settings(img_size=size)
