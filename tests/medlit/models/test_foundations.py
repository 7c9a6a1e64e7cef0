"""Each model of the field from a file in its released format, against an independent computation of the same."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Dinov2Config, Dinov2Model, SiglipConfig, SiglipModel, SiglipVisionConfig, SiglipVisionModel

from medlit.errors import CheckpointMismatchError
from medlit.losses import EarlyInterventionLoss
from medlit.models import EarlyInterventionClassifier, VisionEncoder
from medlit.models.adapted_backbone import DEFAULT_ADAPTER
from medlit.models.foundations import FOUNDATIONS
from medlit.peft import MoRConfig
from tests.medlit.models import releases
from tests.medlit.models.releases import lively
from tests.medlit.models.small import pictures

VIT = {"depth": 2, "embed_dim": 32, "num_heads": 2}
RELEASED = {
    "retfound_cfp": (releases.retfound_mae, "model", ""),
    "retfound_oct": (releases.retfound_mae, "model", ""),
    "retfound_dinov2_meh": (releases.retfound_dinov2, "teacher", "backbone."),
    "retfound_dinov2_shanghai": (releases.retfound_dinov2, "teacher", "backbone."),
    "panderm_base": (releases.panderm, None, ""),
    "panderm_large": (releases.panderm_in_full, "model", "encoder."),
    "biomedclip": (releases.biomedclip, None, "visual.trunk."),
}
"""By name: what makes a file, where in it the tensors are, and how the encoder's begin."""
FAMILIES = [
    "retfound_cfp",
    "retfound_dinov2_meh",
    "panderm_base",
    "rad_dino",
    "biomedclip",
    "medsiglip",
    "vit_base_patch14_reg4_dinov2.lvd142m",
    "vit_base_patch16_dinov3.lvd1689m",
    "vit_base_patch16_clip_224.openai",
    "vit_base_patch16_siglip_224.v2_webli",
    "eva02_base_patch14_224",
]
GATED_MLP = ["mlp.fc1_g", "mlp.fc1_x", "mlp.fc2"]  # EVA-02's, as documented


def patch(name):
    architecture = FOUNDATIONS[name].architecture if name in FOUNDATIONS else name
    return 14 if "patch14" in architecture else 16


def encoder(name, weights=None, *, img_size=None, model_args=VIT):
    options = {"img_size": img_size or 2 * patch(name), "model_args": model_args}
    return VisionEncoder(name, pretrained=False, weights=None if weights is None else str(weights), **options).eval()


def images(size, seed=0):
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(seed))


def normalised(name, x):
    foundation = FOUNDATIONS[name]
    return (x - torch.tensor(foundation.mean).view(3, 1, 1)) / torch.tensor(foundation.std).view(3, 1, 1)


@pytest.mark.parametrize("name", RELEASED)
def test_a_released_file_gives_the_models_own_tokens(name, tmp_path):
    make, key, prefix = RELEASED[name]
    content = make()
    torch.save(content, tmp_path / FOUNDATIONS[name].file)
    model = encoder(name, tmp_path)
    tensors = content if key is None else content[key]
    own = {k.removeprefix(prefix): tensor for k, tensor in tensors.items() if k.startswith(prefix)}
    x = images(model.img_size)
    expected = releases.slow_vit(own, normalised(name, x), heads=2)
    torch.testing.assert_close(model(x), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(model.summarise(x), expected[:, 0], rtol=1e-5, atol=1e-5)


def test_rad_dino_equals_transformers(tmp_path):
    config = Dinov2Config(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=56, patch_size=14)
    theirs = lively(Dinov2Model(config))
    theirs.save_pretrained(tmp_path)
    assert "encoder.layer.1.attention.attention.query.weight" in load_file(tmp_path / "model.safetensors")
    model = encoder("rad_dino", tmp_path, img_size=56)
    x = images(56)
    output = theirs(normalised("rad_dino", x))
    torch.testing.assert_close(model(x), output.last_hidden_state, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(model.summarise(x), output.pooler_output, rtol=1e-5, atol=1e-5)


def test_rad_dinos_file_for_the_original_code_holds_the_same(tmp_path):
    """backbone_compatible.safetensors of the release has DINOv2's own names."""
    shapes = {**releases.vit_shapes(32, 2, 14, 5, scale="ls{}.gamma"), "mask_token": (1, 32)}
    state = releases.filled(shapes)
    save_file(state, tmp_path / "backbone_compatible.safetensors")
    model = encoder("rad_dino", tmp_path / "backbone_compatible.safetensors")
    x = images(28)
    expected = releases.slow_vit(state, normalised("rad_dino", x), heads=2)
    torch.testing.assert_close(model(x), expected, rtol=1e-5, atol=1e-5)


SIGLIP = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 56, "patch_size": 14}


def test_medsiglip_equals_transformers(tmp_path):
    vision = {**SIGLIP, "intermediate_size": 119}  # 3.7362 times the width, as in the release
    text = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 9}
    ids = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    theirs = lively(SiglipModel(SiglipConfig(vision_config=vision, text_config={**text, **ids}, **ids)))
    theirs.save_pretrained(tmp_path)
    model = encoder("medsiglip", tmp_path, img_size=56)
    x = images(56)
    output = theirs.vision_model(normalised("medsiglip", x))
    torch.testing.assert_close(model(x), output.last_hidden_state, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(model.summarise(x), output.pooler_output, rtol=1e-5, atol=1e-5)


def test_siglip_of_timm_equals_transformers(tmp_path):
    config = SiglipVisionConfig(
        **{**SIGLIP, "image_size": 32, "patch_size": 16}, intermediate_size=128, hidden_act="gelu"
    )
    theirs = lively(SiglipVisionModel(config))
    state = FOUNDATIONS["medsiglip"].convert(theirs.state_dict())
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, tmp_path / "model.safetensors")
    model = encoder("vit_base_patch16_siglip_224.v2_webli", tmp_path)
    x = images(32)
    output = theirs((x - 0.5) / 0.5)
    torch.testing.assert_close(model.summarise(x), output.pooler_output, rtol=1e-5, atol=1e-5)


def full_release(name):
    """Names and shapes of the whole released encoder, without memory."""
    if name in RELEASED:
        make, key, _ = RELEASED[name]
        base = name in ("panderm_base", "biomedclip")
        side = FOUNDATIONS[name].img_size // patch(name)
        content = make(768 if base else 1024, 12 if base else 24, side**2 + 1, device="meta")
        return content if key is None else content[key]
    with torch.device("meta"):
        if name == "rad_dino":
            theirs = Dinov2Model(Dinov2Config(image_size=518))
            names = {"q_proj": "attention.query", "k_proj": "attention.key", "v_proj": "attention.value"}
            names["o_proj"] = "output.dense"
            state = theirs.state_dict()
            for new, old in names.items():
                state = {k.replace(f".{new}.", f".{old}."): tensor for k, tensor in state.items()}
            return state
        sizes = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16}
        theirs = SiglipVisionModel(SiglipVisionConfig(**sizes, image_size=448, patch_size=14))
        return {f"vision_model.{k}": tensor for k, tensor in theirs.state_dict().items()}


def documented():
    """The cells of docs/foundation_models.md, by name."""
    text = (Path(__file__).parents[3] / "docs" / "foundation_models.md").read_text()
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:2] == "| "]
    table = rows[1 : 1 + len(FOUNDATIONS)]
    return {name: cells for name, *cells in table}


NORMALISATION = {
    "ImageNet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "CLIP": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "0.5307; 0.2583": ((0.5307,) * 3, (0.2583,) * 3),
    "0.5; 0.5": ((0.5,) * 3, (0.5,) * 3),
}


@pytest.mark.parametrize("name", FOUNDATIONS)
def test_every_tensor_of_the_full_size_has_a_place_of_its_shape_and_the_table_tells_it(name):
    foundation = FOUNDATIONS[name]
    with torch.device("meta"):
        model = VisionEncoder(name, img_size=foundation.img_size, pretrained=False, model_args={"weight_init": "skip"})
    converted = foundation.convert(full_release(name))
    expected = {k: tuple(tensor.shape) for k, tensor in model.vit.state_dict().items()}
    assert {k: tuple(tensor.shape) for k, tensor in converted.items()} == expected
    sizes = [str(size) for size in (patch(name), foundation.img_size, model.width, model.depth)]
    place = "by hand" if foundation.repo is None else "hub, gated" if foundation.gated else "hub"
    architecture, *told, colours, where, licence = documented()[name]
    assert [architecture, *told, where, licence] == [foundation.architecture, *sizes, place, foundation.licence]
    assert NORMALISATION[colours] == (foundation.mean, foundation.std)


def test_the_table_has_a_row_for_each():
    assert list(documented()) == list(FOUNDATIONS)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "millions"), [("panderm_base", 7.1), ("retfound_cfp", 17.3), ("medsiglip", 21.4)])
def test_trainable_parameters_are_those_told(name, millions):
    with torch.device("meta"):
        model = EarlyInterventionClassifier(
            modalities=["cfp", "oct"],
            num_classes=4,
            img_size=FOUNDATIONS[name].img_size,
            backbone=name,
            pretrained=False,
        )
    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert round(trainable / 1e6, 1) == millions


def test_retfound_green_is_read_by_timms_name_as_documented():
    """Its README pools the patches after the norm, with no norm after the pooling."""
    green = VisionEncoder(
        "vit_small_patch14_reg4_dinov2",
        img_size=28,
        pretrained=False,
        model_args={**VIT, "global_pool": "avg", "fc_norm": False},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    lively(green)
    x = images(28)
    tokens = green.vit.forward_features((x - 0.5) / 0.5)
    torch.testing.assert_close(green.summarise(x), tokens[:, 5:].mean(dim=1))


def test_the_full_size_is_that_of_the_release():
    """186 tensors in PanDerm's base file; 303.3 million parameters of RETFound's encoder, as its code prints."""
    assert len(full_release("panderm_base")) == 186
    encoder_of_retfound = FOUNDATIONS["retfound_cfp"].convert(full_release("retfound_cfp"))
    assert sum(tensor.numel() for tensor in encoder_of_retfound.values()) == 303_301_632


@pytest.mark.parametrize("name", FAMILIES)
def test_early_intervention_steers_and_trains_every_family(name):
    size = 2 * patch(name)
    torch.manual_seed(0)
    model = EarlyInterventionClassifier(
        modalities=["clinic", "derm"],
        num_classes=5,
        img_size=size,
        backbone=name,
        pretrained=False,
        model_args=VIT,
        adapter=MoRConfig(ranks=[2, 4], alphas=[4, 8], target_modules=GATED_MLP)
        if "eva02" in name
        else DEFAULT_ADAPTER,
        intervene_at=1,
    )
    lively(model).train()
    x = pictures(size=size, cases=4)
    output = model(x)
    swapped = model({"clinic": x["clinic"], "derm": x["derm"].roll(1, 0)})
    assert (output.main["clinic"] - swapped.main["clinic"]).abs().max() > 1e-6
    EarlyInterventionLoss(prior=[1, 0.001])(output, torch.tensor([0, 1, 2, 3]))["total"].backward()
    trainable = {k: parameter for k, parameter in model.named_parameters() if parameter.requires_grad}
    assert [k for k, parameter in trainable.items() if parameter.grad is None] == []
    assert model.backbone_name == name


def test_a_tensor_that_is_neither_the_encoders_nor_a_known_leftover_is_refused_by_name(tmp_path):
    for name, (make, key, prefix) in RELEASED.items():
        content = make()
        (content if key is None else content[key])[f"{prefix}blocks.0.attn.relative_position_bias_table"] = torch.ones(
            3
        )
        torch.save(content, tmp_path / "model.pth")
        with pytest.raises(CheckpointMismatchError, match=r"has unknown 1 .*relative_position_bias_table"):
            encoder(name, tmp_path / "model.pth")


@pytest.mark.parametrize("name", [*RELEASED, "rad_dino", "medsiglip"])
def test_the_file_of_another_model_is_refused(name, tmp_path):
    other = "biomedclip" if name.startswith("panderm") else "panderm_base"
    torch.save(RELEASED[other][0](), tmp_path / "other.pth")
    with pytest.raises(CheckpointMismatchError, match=r"other\.pth"):
        encoder(name, tmp_path / "other.pth")


def test_half_a_projection_is_refused_by_name(tmp_path):
    state = releases.panderm()
    del state["blocks.1.attn.v_bias"]
    torch.save(state, tmp_path / "model.pth")
    with pytest.raises(CheckpointMismatchError, match=r"model\.pth: does not fit .*blocks\.1\.attn\.v_bias"):
        encoder("panderm_base", tmp_path / "model.pth")


def test_a_tensor_that_is_there_twice_is_refused(tmp_path):
    state = releases.panderm()
    state["encoder.cls_token"] = state["cls_token"] + 1
    torch.save(state, tmp_path / "model.pth")
    with pytest.raises(CheckpointMismatchError, match="cls_token is there twice"):
        encoder("panderm_base", tmp_path / "model.pth")


def test_positions_are_resampled_to_another_size(tmp_path):
    torch.save(releases.retfound_mae(tokens=197), tmp_path / "RETFound_mae_natureCFP.pth")
    assert encoder("retfound_cfp", tmp_path, img_size=64).vit.pos_embed.shape == (1, 17, 32)


def test_settings_given_go_before_the_foundations_own():
    model = VisionEncoder(
        "medsiglip", img_size=28, pretrained=False, model_args={**VIT, "act_layer": "silu"}, image_mean=[0.4, 0.4, 0.4]
    )
    assert model.mean.flatten().tolist() == pytest.approx([0.4] * 3)
    assert model.std.flatten().tolist() == [0.5] * 3
    assert isinstance(model.vit.blocks[0].mlp.act, torch.nn.SiLU)
