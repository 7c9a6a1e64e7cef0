"""Converted checkpoints against the released form: outputs, losses and gradients; and what is said of them."""

import re

import pytest
import torch

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
        torch.testing.assert_close(gradient, wanted[name], rtol=1e-5, atol=1e-6, msg=name)


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
            torch.testing.assert_close(parameter.grad, wanted[name], rtol=1e-5, atol=1e-6, msg=name)


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
    assert describe(state, num_heads=HEADS).bypass is False
    converted = convert_ei_state_dict(state, modalities=["a", "b"])
    model = describe(state, num_heads=HEADS).make(modalities=["a", "b"])
    model.load_state_dict(converted, strict=True)


def test_layers_adapted_in_some_blocks_alone_go_by_their_names():
    released = reference()
    for kind in (released.first_backbones, released.second_backbones):
        for part in kind:
            part.backbone.blocks[0].mlp.fc1 = part.backbone.blocks[0].mlp.fc1.linear
    state = released.state_dict()
    assert describe(state, num_heads=HEADS).target_modules == [
        "blocks.0.mlp.fc2",
        "blocks.1.mlp.fc1",
        "blocks.1.mlp.fc2",
    ]
    images = pictures("clip", ["a", "b"], per_case=1)
    close(converted(released, ["a", "b"])(images).fused, released(list(images.values()))[0])
