import pytest
import torch

from medlit.errors import ConfigurationError
from medlit.models import VisionEncoder

VIT = {"depth": 2, "embed_dim": 32, "num_heads": 2}
KINDS = {
    "vit_base_patch16_clip_224": VIT,
    "vit_base_patch14_reg4_dinov2": VIT,
    "vit_base_patch16_dinov3": VIT,
    "eva02_base_patch14_224": VIT,
    "vit_base_patch16_siglip_224": VIT,
    "vit_base_patch16_rope_mixed_224": VIT,
}


def encoder(name="vit_base_patch16_clip_224", *, img_size=None, **options):
    size = img_size or (28 if "patch14" in name else 32)
    return VisionEncoder(name, img_size=size, pretrained=False, **{"model_args": VIT, **options}).eval()


def lively(name, **options):
    """With layer scales and positions away from their first values, which nearly silence the blocks."""
    model, generator = encoder(name, **options), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model


def images(size, seed=0):
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", KINDS)
def test_equals_timms_own_features(name):
    model = lively(name)
    x = images(model.img_size)
    expected = model.vit.forward_features((x - model.mean) / model.std)
    torch.testing.assert_close(model(x), expected)


@pytest.mark.parametrize(
    ("name", "global_pool"),
    [
        ("vit_base_patch16_siglip_224", "map"),
        ("vit_base_patch16_rope_mixed_224", "avg"),
        ("vit_base_patch16_clip_224", "avg"),
        ("vit_base_patch16_dinov3", "avg"),
        ("vit_base_patch14_reg4_dinov2", "avg"),
        ("vit_base_patch14_reg4_dinov2", "token"),
    ],
)
def test_the_summary_is_timms_own_pooling(name, global_pool):
    model = lively(name, model_args={**VIT, "global_pool": global_pool})
    x = images(model.img_size)
    features = model.vit.forward_features((x - model.mean) / model.std)
    torch.testing.assert_close(model.summarise(x), model.vit.forward_head(features, pre_logits=True))
    steered = model.summarise(x, torch.randn(2, 3, 32), insert_at=1)
    assert steered.shape == (2, 32)
    assert not torch.allclose(steered, model.summarise(x), atol=1e-4)


def test_the_cls_token_is_the_summary_unless_asked_otherwise():
    """DINOv3 and EVA-02 have one, though timm pools their patches by default."""
    for name in ("vit_base_patch16_dinov3", "eva02_base_patch14_224"):
        model = lively(name)
        tokens = model(images(model.img_size))
        torch.testing.assert_close(model.summary(tokens), model.vit.fc_norm(tokens[:, 0]))


def test_every_weight_of_an_attention_pool_is_trained_when_the_model_is():
    model = lively("vit_base_patch16_siglip_224").train()
    model.summarise(images(32)).square().sum().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_a_pooling_without_one_vector_is_refused():
    with pytest.raises(ConfigurationError, match="global_pool must be token, avg or map, got ''"):
        encoder(model_args={**VIT, "global_pool": ""})


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("insert_at", [0, 1])
def test_extra_tokens_join_at_any_block_and_stay_at_the_end(name, insert_at):
    model = lively(name)
    x, extra = images(model.img_size), torch.randn(2, 3, 32)
    plain, steered = model(x), model(x, extra, insert_at=insert_at)
    assert steered.shape == (2, plain.shape[1] + 3, 32)
    assert not torch.allclose(steered[:, : plain.shape[1]], plain, atol=1e-3)
    assert not torch.allclose(model.summary(steered), model.summary(plain), atol=1e-4)


@pytest.mark.parametrize("name", KINDS)
def test_the_summary_alone_equals_that_of_all_tokens(name):
    model, extra = lively(name), torch.randn(2, 3, 32)
    x = images(model.img_size)
    torch.testing.assert_close(model.summarise(x), model.summary(model(x)))
    torch.testing.assert_close(model.summarise(x, extra, insert_at=1), model.summary(model(x, extra, insert_at=1)))


@pytest.mark.parametrize("name", KINDS)
def test_extra_tokens_have_no_position(name):
    """Attention does not care for their order, with rotary positions either."""
    model = lively(name)
    x, extra = images(model.img_size), torch.randn(2, 3, 32)
    torch.testing.assert_close(
        model.summary(model(x, extra)), model.summary(model(x, extra.flip(1))), rtol=1e-4, atol=1e-5
    )


def test_normalises_by_the_backbones_own_figures_or_by_those_given():
    assert encoder().mean.flatten().tolist() == pytest.approx([0.48145466, 0.4578275, 0.40821073])
    assert encoder(image_mean=[0.5] * 3, image_std=[0.25] * 3).std.flatten().tolist() == [0.25] * 3


@pytest.mark.parametrize(
    "options", [{"image_mean": [0.5]}, {"image_mean": []}, {"image_std": [0.2] * 4}, {"image_std": [0.2, 0.2, 0.0]}]
)
def test_a_normalisation_of_other_than_three_colours_is_refused(options):
    [name] = options
    with pytest.raises(ConfigurationError, match=f"{name}: three numbers are needed"):
        encoder(**options)


def test_a_pooling_that_is_none_is_refused():
    with pytest.raises(ConfigurationError, match="pooling: one of backbone, mean_tokens is needed, got 'mean'"):
        encoder(pooling="mean")


def test_a_size_beside_the_datas_is_refused():
    with pytest.raises(ConfigurationError, match="model_args: img_size is the data's"):
        encoder(model_args={**VIT, "img_size": 64})


@pytest.mark.parametrize(
    "wrong", [{"num_heads": 0}, {"num_heads": 5}, {"embed_dim": -32}, {"depth": "2"}, {"dpeth": 2}]
)
def test_arguments_that_timm_cannot_take_are_refused(wrong):
    with pytest.raises(ConfigurationError, match="backbone vit_base_patch16_clip_224: timm refuses"):
        encoder(model_args={**VIT, **wrong})


def test_a_size_off_the_patch_names_the_two_nearest():
    with pytest.raises(ConfigurationError, match=r"img_size 512 .* patch size 14.* 504 and 518"):
        encoder("vit_base_patch14_reg4_dinov2", img_size=512)


def test_padding_adds_zeros_after_normalisation_at_the_right_and_bottom():
    padded, whole = encoder(img_size=30, pad=True), encoder(img_size=32)  # the same random weights
    x = images(30)
    normalised = torch.zeros(2, 3, 32, 32)
    normalised[..., :30, :30] = (x - whole.mean) / whole.std
    torch.testing.assert_close(padded(x), whole(normalised * whole.std + whole.mean))


def test_random_weights_do_not_depend_on_the_seed_and_leave_it_alone():
    torch.manual_seed(1)
    first, after_first = encoder(), torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), after_first)
    torch.manual_seed(2)
    second = encoder()
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_gradient_checkpointing_gives_the_same_gradients():
    gradients = []
    for recompute in (False, True):
        model = encoder(gradient_checkpointing=recompute).train()
        model.summary(model(images(32), torch.ones(2, 1, 32), insert_at=1)).square().sum().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, recomputed, rtol=0, atol=0)


def test_an_unknown_name_is_answered_with_near_ones():
    with pytest.raises(ConfigurationError, match=r"vit_base_patch16_clip_224"):
        encoder("vit_base_patch16_clip_225")


def test_a_model_that_is_no_plain_vit_is_refused():
    with pytest.raises(ConfigurationError, match=r"ResNet.*plain vision transformers"):
        VisionEncoder("resnet18", img_size=32, pretrained=False)


def test_dropping_patches_is_refused():
    with pytest.raises(ConfigurationError, match="patch_drop_rate"):
        VisionEncoder("vit_base_patch16_224", img_size=32, pretrained=False, model_args={**VIT, "patch_drop_rate": 0.5})


def test_images_of_another_size_are_refused():
    with pytest.raises(ConfigurationError, match=r"\(48, 48\) pixels.*32 x 32"):
        encoder()(images(48))
