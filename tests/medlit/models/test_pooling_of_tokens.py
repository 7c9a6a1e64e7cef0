"""The mean of all tokens as an image's vector, and patches that training leaves out."""

import pytest
import torch

from medlit.checkpoint import checkpoint_info, restore, trainable_state
from medlit.errors import CheckpointMismatchError, ConfigurationError
from medlit.models import AttentionMILFusion, VisionEncoder
from tests.medlit.models.small import TINY_ARGS, early_intervention, pictures, randomise_adapters, unimodal

KINDS = {
    "vit_base_patch16_clip_224": 1,
    "vit_base_patch14_reg4_dinov2": 5,
    "vit_base_patch16_dinov3": 5,
    "eva02_base_patch14_224": 1,
    "vit_base_patch16_siglip_224": 0,
    "vit_base_patch16_rope_mixed_224": 1,
}
"""Prefix tokens (CLS and registers) of each."""


def lively(name="vit_base_patch16_clip_224", *, grid=4, **options):
    """Away from its first values, which nearly silence the blocks; of ``grid`` x ``grid`` patches."""
    size = grid * (14 if "patch14" in name else 16)
    settings = {"pretrained": False, "model_args": TINY_ARGS, **options}
    model, generator = VisionEncoder(name, img_size=size, **settings), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def images(model, count=2):
    return torch.rand(count, 3, model.img_size, model.img_size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", KINDS)
def test_the_vector_of_an_image_is_the_mean_of_all_tokens_before_the_final_norm(name):
    model = lively(name, pooling="mean_tokens")
    x, seen = images(model), []
    model.vit.blocks[-1].register_forward_hook(lambda *arguments: seen.append(arguments[-1]))
    found = model.summarise(x)
    assert seen[0].shape[1] == 16 + KINDS[name]
    torch.testing.assert_close(found, seen[0].mean(dim=1))
    torch.testing.assert_close(model.tokens(x), seen[0])


@pytest.mark.parametrize("name", KINDS)
def test_patch_features_are_timms_own_after_the_final_norm(name):
    model = lively(name)
    x = images(model)
    normed = model.vit.fc_norm(model.vit.forward_features((x - model.mean) / model.std))
    torch.testing.assert_close(model.patch_features(model.tokens(x)), normed[:, KINDS[name] :])


def test_extra_tokens_act_on_the_mean_and_are_not_in_it():
    model = lively(pooling="mean_tokens")
    x, extra = images(model), torch.randn(2, 3, 32)
    steered = model._run_blocks(x, extra, insert_at=1, extra_mask=None, summary_only=False)
    torch.testing.assert_close(model.summarise(x, extra, insert_at=1), steered[:, :-3].mean(dim=1))
    assert not torch.allclose(model.summarise(x, extra, insert_at=1), model.summarise(x), atol=1e-3)


@pytest.mark.parametrize("name", KINDS)
def test_every_weight_gets_a_gradient_when_all_are_trained(name):
    """Processes of one training wait for each other's: none may be missing, those of the unread norm are zero."""
    model = lively(name, pooling="mean_tokens").train()
    model.summarise(images(model)).square().sum().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
    assert all(not parameter.grad.any() for parameter in model.parameters_after_blocks())
    assert model.vit.blocks[1].mlp.fc2.weight.grad.any()


def test_classifiers_pool_as_told():
    for make in (unimodal, early_intervention):
        plain, mean = (randomise_adapters(make(pooling=pooling)) for pooling in ("backbone", "mean_tokens"))
        names = plain.modalities
        first, second = (model(pictures(modalities=names)) for model in (plain, mean))
        logits = "logits" if make is unimodal else "fused"
        assert not torch.allclose(getattr(first, logits), getattr(second, logits), atol=1e-3)
    fusion = {"backbone": "vit_base_patch16_clip_224", "pretrained": False, "img_size": 32, "model_args": TINY_ARGS}
    model = AttentionMILFusion(modalities=["a", "b"], num_classes=2, pooling="mean_tokens", **fusion)
    assert model.backbone.encoder.pooling == "mean_tokens"


def test_features_of_a_case_are_what_the_head_reads():
    model = randomise_adapters(unimodal(pooling="mean_tokens"))
    batch = pictures(modalities=["clinic"])
    torch.testing.assert_close(model.head(model.features(batch)), model(batch).logits)


def test_features_of_a_case_are_the_mean_over_its_real_images():
    model = randomise_adapters(unimodal())
    batch = pictures(modalities=["clinic"], per_case=3)
    mask = torch.tensor([[True, True, False]] * 3)
    each = [model.features({"clinic": batch["clinic"][:, i : i + 1]}) for i in range(2)]
    torch.testing.assert_close(model.features(batch, {"clinic": mask}), sum(each) / 2)


def test_a_checkpoint_of_one_pooling_does_not_enter_a_model_of_the_other():
    trained = unimodal(pooling="mean_tokens")
    state, info = trainable_state(trained), checkpoint_info(trained, class_names=None)
    message = "best.ckpt: trained with pooling mean_tokens, here it is backbone"
    with pytest.raises(CheckpointMismatchError, match=message):
        restore(unimodal(), state, info, source="best.ckpt")
    del info["settings"]["pooling"]  # of a version that knew one pooling alone
    restore(unimodal(), state, info, source="best.ckpt")
    with pytest.raises(CheckpointMismatchError, match="trained with pooling backbone, here it is mean_tokens"):
        restore(unimodal(pooling="mean_tokens"), state, info, source="best.ckpt")


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(("share", "left"), [(0.5, 8), (0.25, 12), (0.99, 1)])
def test_training_leaves_patches_out_and_keeps_the_prefix(name, share, left):
    model = lively(name, patch_dropout=share)
    x = images(model)
    assert model.train().tokens(x).shape[1] == KINDS[name] + left
    assert model.eval().tokens(x).shape[1] == KINDS[name] + 16


@pytest.mark.parametrize("name", KINDS)
def test_a_patch_that_stays_keeps_its_content_and_its_position(name):
    """With one patch left of each image: what attention sees is what a mask on all others would leave."""
    model = lively(name, patch_dropout=0.9)
    x, prefix = images(model, count=3), KINDS[name]
    torch.manual_seed(4)
    dropped = model.train().tokens(x)
    torch.manual_seed(4)
    kept = torch.randn(3, 16).argsort(dim=-1)[:, :1]
    tokens, rope = model.eval()._embed(x)
    mask = torch.full((3, 1, 1, prefix + 16), float("-inf"))
    mask[..., :prefix] = 0
    mask.scatter_(3, prefix + kept[:, None, None], 0)
    for index, block in enumerate(model.vit.blocks):
        own = {} if rope is None else {"rope": rope[index] if getattr(model.vit, "rope_mixed", False) else rope}
        tokens = block(tokens, attn_mask=mask, **own)
    patch = tokens[torch.arange(3), prefix + kept[:, 0]]
    torch.testing.assert_close(dropped[:, prefix], patch, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(dropped[:, :prefix], tokens[:, :prefix], rtol=1e-4, atol=1e-4)


def test_every_image_loses_patches_of_its_own():
    model = lively(patch_dropout=0.5).train()
    x = images(model, count=1).expand(4, -1, -1, -1)
    summaries = model.summarise(x)
    assert len(torch.unique(summaries.round(decimals=4), dim=0)) == 4


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("pooling", ["backbone", "mean_tokens"])
def test_summaries_pool_the_patches_that_are_left_and_no_extra_token(name, pooling):
    model = lively(name, patch_dropout=0.5, pooling=pooling).train()
    x, extra = images(model), torch.randn(2, 3, 32)
    torch.manual_seed(2)
    tokens = model._run_blocks(x, extra, insert_at=0, extra_mask=None, summary_only=False)
    own = tokens[:, : KINDS[name] + 8]
    normed = model.vit.norm(own)
    pooled = normed[:, 0] if model.reads_cls else model.vit.pool(normed)
    expected = own.mean(dim=1) if pooling == "mean_tokens" else model.vit.fc_norm(pooled)
    torch.manual_seed(2)
    torch.testing.assert_close(model.summarise(x, extra), expected)


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ConfigurationError, match="patch_dropout: a share from 0 to below 1 is needed"):
        lively(patch_dropout=share)
