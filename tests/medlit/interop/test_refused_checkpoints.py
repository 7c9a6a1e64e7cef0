"""What is no released checkpoint, or a damaged one, is refused with the names of its tensors."""

import re

import pytest
import torch

from medlit.errors import CheckpointMismatchError, ConfigurationError
from medlit.interop import convert_ei_state_dict, convert_unimodal_state_dict, describe
from tests.medlit.interop.literal_release import HEADS, EarlyIntervention, Unimodal, ViT


def reference(kind="clip"):
    torch.manual_seed(1)
    return EarlyIntervention(kind, modalities=2, num_classes=3)


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


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("fc.weight", (3,), r"first_backbones\.0\.fc\.weight is not there, or no matrix"),
        ("backbone.pos_embed", (10,), r"pos_embed has the shape \(10,\), not one of 3 dimensions"),
        ("backbone.pos_embed", (1, 10, 16), r"pos_embed has the shape \(1, 10, 16\), .* 32 channels"),
        ("backbone.register_tokens", (4,), r"register_tokens has the shape \(4,\)"),
        ("backbone.patch_embed.proj.weight", (), r"patch_embed\.proj\.weight has the shape \(\)"),
        ("backbone.patch_embed.proj.weight", (0, 3, 14, 14), r"patch_embed\.proj\.weight has the shape \(0, 3"),
        ("backbone.blocks.0.mlp.fc1.linear.weight", (3,), r"no linear\.weight that is a matrix"),
        ("backbone.blocks.0.mlp.fc1.route.bias", (), r"shapes that do not fit"),
        ("backbone.blocks.0.mlp.fc1.lora_as.0.weight", (), r"shapes that do not fit"),
        ("backbone.blocks.1.norm1.bias", (31,), r"another shape 1 tensors .*blocks\.1\.norm1\.bias"),
    ],
)
def test_tensors_of_other_dimensions_are_refused_by_name(name, shape, message):
    end = re.compile(rf"(first|second)_backbones\.\d\.{re.escape(name)}")
    state = {k: torch.ones(shape) if end.fullmatch(k) else v for k, v in reference("dinov2").state_dict().items()}
    with pytest.raises(CheckpointMismatchError, match=message):
        convert_ei_state_dict(state, modalities=["a", "b"])


@pytest.mark.parametrize("entry", [{3: torch.ones(2)}, {"epoch": 3}])
def test_what_is_no_tensor_with_a_name_is_refused(entry):
    with pytest.raises(CheckpointMismatchError, match=r"(3|epoch) is no tensor with a name"):
        convert_ei_state_dict(reference().state_dict() | entry, modalities=["a", "b"])


def test_other_backbones_are_refused():
    state = {name: tensor for name, tensor in reference().state_dict().items() if "norm_pre" not in name}
    with pytest.raises(CheckpointMismatchError, match="neither timm's CLIP"):
        convert_ei_state_dict(state, modalities=["a", "b"])


@pytest.mark.parametrize("size", [27, 43, 0])
def test_images_that_padding_does_not_bring_to_the_size_are_refused(size):
    found = describe(reference("dinov2").state_dict(), num_heads=HEADS)
    with pytest.raises(ConfigurationError, match=f"img_size {size}: .* for 42 pixels"):
        found.settings(img_size=size)
