"""Visual prompts: against the reference's formula written out, and as a tuner that peft can handle."""

import pytest
import timm
import torch
from jsonargparse import ArgumentParser
from peft import PeftConfig, PeftModel, get_peft_model, inject_adapter_in_model
from torch import nn

from medlit.models import VisionEncoder
from medlit.peft import VisualPromptBlock, VisualPromptConfig
from tests.medlit.peft.tiny import hf_bert, hf_vit, output, picture, timm_vit

# peft asks transformers' models for a property that transformers has since renamed.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

TARGETS = {timm_vit: r"blocks\.\d+", hf_vit: r"layers\.\d+"}
PLAIN, ROTARY = "vit_base_patch16_224", "vit_base_patch16_dinov3"
SMALL = {"img_size": 32, "pretrained": False, "model_args": {"depth": 2, "embed_dim": 32, "num_heads": 2}}


def trainable(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def prompted(backbone=PLAIN, *, tokens=3, **options):
    encoder = VisionEncoder(backbone, **{**SMALL, **options}).eval().requires_grad_(False)
    torch.manual_seed(0)
    inject_adapter_in_model(VisualPromptConfig(num_tokens=tokens), encoder.vit)
    for block in encoder.vit.blocks:
        nn.init.normal_(block.visual_prompt_tokens["default"])
    return encoder


def slow_prompted(vit, images):
    """Eq. 6 and 7 of the reference, layer by layer, on a plain ViT."""
    tokens = vit.norm_pre(vit._pos_embed(vit.patch_embed(images)))
    for block in vit.blocks:
        own = block.visual_prompt_tokens["default"].expand(len(tokens), -1, -1)
        tokens = block.base_layer(torch.cat([own, tokens], dim=1))[:, own.shape[1] :]
    return vit.norm(tokens)


def test_equals_the_formula_with_the_prompts_before_the_sequence():
    encoder = prompted()
    images = torch.rand(2, 3, 32, 32)
    normalised = (images - encoder.mean) / encoder.std
    torch.testing.assert_close(encoder(images), slow_prompted(encoder.vit, normalised))
    torch.testing.assert_close(encoder.summarise(images), slow_prompted(encoder.vit, normalised)[:, 0])


def test_the_order_of_prompts_means_nothing():
    encoder = prompted(ROTARY)
    images = torch.rand(2, 3, 32, 32)
    before = encoder(images)
    with torch.no_grad():
        for block in encoder.vit.blocks:
            tokens = block.visual_prompt_tokens["default"]
            tokens.copy_(tokens.flip(0))
    torch.testing.assert_close(encoder(images), before)


@pytest.mark.parametrize("backbone", [PLAIN, ROTARY])
@pytest.mark.parametrize("insert_at", [0, 1])
def test_extra_tokens_join_and_recomputing_changes_no_gradient(backbone, insert_at):
    gradients = []
    for recompute in (False, True):
        encoder = prompted(backbone, gradient_checkpointing=recompute)
        extra = torch.ones(2, 1, 32, requires_grad=True)
        tokens = encoder(
            torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)), extra, insert_at=insert_at
        )
        prefix = encoder.vit.num_prefix_tokens
        assert tokens.shape == (2, prefix + 4 + 1, 32)
        tokens[:, 0].square().sum().backward()
        gradients.append([extra.grad, *(p.grad for p in encoder.parameters() if p.requires_grad)])
    assert all(torch.equal(a, b) and a.abs().max() > 0 for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize("backbone", [PLAIN, ROTARY])
@pytest.mark.parametrize("kind", ["bool", "added", "row"])
def test_a_masked_token_is_as_if_it_were_not_there(backbone, kind):
    """The last patch is masked for all queries; the prompts stay seen."""
    block = prompted(backbone).vit.blocks[0]
    tokens = torch.randn(2, 6, 32, generator=torch.Generator().manual_seed(0))
    rope = None
    if backbone == ROTARY:
        prefix = block.base_layer.attn.num_prefix_tokens
        rope = torch.rand(6 - prefix, 2 * 16, generator=torch.Generator().manual_seed(1)) if prefix < 6 else None
    seen = torch.ones(2, 1, 1 if kind == "row" else 6, 6, dtype=torch.bool)
    seen[..., -1] = False
    mask = seen if kind == "bool" else torch.zeros(seen.shape).masked_fill(~seen, float("-inf"))
    masked = block(tokens, attn_mask=mask, **({} if rope is None else {"rope": rope}))
    removed = block(tokens[:, :-1], **({} if rope is None else {"rope": rope[:-1]}))
    torch.testing.assert_close(masked[:, :-1], removed)


@pytest.mark.parametrize("make", TARGETS, ids=lambda make: make.__name__)
def test_trains_its_prompts_alone_and_comes_off_without_a_trace(make, tmp_path):
    before = output(make(), picture())
    model = get_peft_model(make(), VisualPromptConfig(num_tokens=4, target_modules=TARGETS[make]))
    after = output(model, picture())
    assert after.shape == before.shape
    assert not torch.allclose(after, before)
    after.square().sum().backward()
    with_gradient = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert with_gradient == trainable(model)
    assert len(with_gradient) == 2
    assert all("visual_prompt_tokens" in name for name in with_gradient)
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(make(), tmp_path)
    assert torch.equal(output(loaded, picture()), after)
    with model.disable_adapter():
        assert torch.equal(output(model, picture()), before)
    bare = model.unload()
    assert torch.equal(output(bare, picture()), before)
    assert not any(isinstance(module, VisualPromptBlock) for module in bare.modules())


def test_two_adapters_switch_and_add_up():
    model = get_peft_model(timm_vit(), VisualPromptConfig(num_tokens=2))
    first = model(picture())
    model.add_adapter("b", VisualPromptConfig(num_tokens=5))
    assert torch.equal(model(picture()), first)
    model.set_adapter("b")
    second = model(picture())
    assert all(name.endswith(".b") for name in trainable(model))
    model.base_model.set_adapter(["default", "b"])
    assert not any(torch.allclose(model(picture()), one) for one in (first, second))
    model.delete_adapter("b")
    assert torch.equal(model(picture()), first)


def test_parameters_of_a_vit_base():
    with torch.device("meta"):
        model = inject_adapter_in_model(VisualPromptConfig(), timm.create_model("vit_base_patch16_224"))
    assert sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad) == 12 * 10 * 768
    assert model(torch.empty(1, 3, 224, 224, device="meta")).shape == (1, 1000)


def test_bfloat16_autocast_trains_float32_prompts():
    model = inject_adapter_in_model(VisualPromptConfig(), timm_vit())
    with torch.autocast("cpu", torch.bfloat16):
        model(picture()).sum().backward()
    assert all(p.grad.dtype == torch.float32 for p in model.parameters() if p.requires_grad)


def test_merging_is_refused():
    model = get_peft_model(timm_vit(), VisualPromptConfig())
    with pytest.raises(ValueError, match="tokens and cannot be merged"):
        model.merge_and_unload()


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (timm_vit, {"num_tokens": 0}, "at least 1, got 0"),
        (timm_vit, {"num_tokens": 2.5}, r"whole number of at least 1, got 2\.5"),
        (timm_vit, {"target_modules": []}, "target_modules is empty"),
        (timm_vit, {"target_modules": "layers"}, "not found in the base model"),
        (timm_vit, {"target_modules": ["mlp"]}, "transformer blocks, which hold a norm .* a Mlp holds none"),
        (hf_bert, {"target_modules": r"encoder\.layer\.\d"}, "a BertLayer holds none"),
    ],
)
def test_what_cannot_be_is_refused(make, settings, message):
    with pytest.raises(ValueError, match=message):
        inject_adapter_in_model(VisualPromptConfig(**settings), make())


def test_comes_from_yaml_by_class_path():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--adapter", type=PeftConfig | None, default=None)
    words = ["--adapter={class_path: medlit.peft.VisualPromptConfig, init_args: {num_tokens: 4}}"]
    config = parser.instantiate(parser.parse_args(words)).adapter
    assert isinstance(config, VisualPromptConfig)
    assert config.num_tokens == 4
