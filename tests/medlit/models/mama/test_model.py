"""MaMA's model: what enters the losses, by the words of the sheet."""

import json
import math

import pytest
import torch
from peft import LoraConfig

from medlit.errors import ConfigurationError
from tests.medlit.models.small import TEXT_ARGS, VIT14, captions, mama, randomise_adapters


def images(count=4, size=28):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def positions():
    """Of five captions: two sentences, one, three, none, one."""
    return torch.tensor([[2, 6, -1], [1, -1, -1], [0, 1, 3], [-1, -1, -1], [0, -1, -1]])


def test_an_image_is_the_mean_of_all_tokens_before_the_final_norm():
    model = randomise_adapters(mama()).eval()
    vit, seen = model.image_encoder.vit, []
    vit.blocks[-1].register_forward_hook(lambda *arguments: seen.append(arguments[-1]))
    found = model.encode_images(images())
    [tokens] = seen  # (B, CLS + 4 registers + 4 patches, D)
    assert tokens.shape[1] == 9
    torch.testing.assert_close(found.pooled, tokens.mean(dim=1))
    torch.testing.assert_close(found.patches, vit.norm(tokens)[:, 5:])


def test_images_are_normalised_by_one_half():
    model = mama()
    assert model.image_encoder.mean.flatten().tolist() == [0.5] * 3
    assert model.image_encoder.std.flatten().tolist() == [0.5] * 3


def test_patches_are_left_out_where_no_loss_reads_them():
    found = mama().encode_images(images(), patches=False)
    assert found.patches is None


def test_a_caption_is_the_mean_over_its_real_tokens():
    model = mama()
    hidden, (_, mask) = torch.randn(5, 9, 32), captions()
    slow = [hidden[i, : int(mask[i].sum())].mean(dim=0) for i in range(5)]
    torch.testing.assert_close(model.pool_text(hidden, mask), torch.stack(slow))
    hidden[mask == 0] = float("nan")
    torch.testing.assert_close(model.pool_text(hidden, mask), torch.stack(slow))


def test_the_released_code_takes_padding_into_the_mean():
    hidden, (_, mask) = torch.randn(5, 9, 32), captions()
    torch.testing.assert_close(mama(fidelity="code").pool_text(hidden, mask), hidden.mean(dim=1))


def test_a_sentence_is_the_hidden_state_at_its_end():
    hidden, ends = torch.randn(5, 9, 32), positions()
    slow = [(hidden[i, end], i) for i in range(5) for end in ends[i].tolist() if end >= 0]
    features, owner = mama().sentence_features(hidden, ends)
    assert torch.equal(features, torch.stack([feature for feature, _ in slow]))
    assert owner.tolist() == [i for _, i in slow] == [0, 0, 1, 2, 2, 2, 4]


def test_captions_without_any_sentence_give_no_features():
    features, owner = mama().sentence_features(torch.randn(2, 9, 32), torch.full((2, 0), -1))
    assert (features.shape, owner.shape) == ((0, 32), (0,))


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_what_losses_compare_has_length_one_and_float32(precision):
    model = mama().train()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision is torch.bfloat16):
        found = model.encode_images(images(5))
        hidden, (_, mask) = model.encode_texts(*captions()), captions()
        sentences, _ = model.sentence_features(hidden, positions())
        outputs = {
            "image": model.image_embedding(found.pooled),
            "text": model.text_embedding(model.pool_text(hidden, mask)),
            "patches": model.local_patches(found.patches),
            "sentences": model.local_sentences(sentences),
        }
    assert {name: tuple(rows.shape) for name, rows in outputs.items()} == {
        "image": (5, 8),
        "text": (5, 8),
        "patches": (5, 4, 8),
        "sentences": (7, 8),
    }
    for rows in outputs.values():
        assert rows.dtype == torch.float32
        torch.testing.assert_close(rows.norm(dim=-1), torch.ones(rows.shape[:-1]))


def test_the_heads_are_those_of_the_sheet():
    model = mama(embed_dim=8, local_hidden=16)
    layers = [type(layer).__name__ for layer in model.patch_head]
    assert layers == ["Linear", "GlobalBatchNorm1d", "ReLU", "Linear", "GlobalBatchNorm1d"]
    assert [type(layer).__name__ for layer in model.view_projection] == layers
    assert [tuple(tensor.shape) for tensor in model.sentence_head[0].parameters()] == [(16, 32), (16,)]
    assert model.sentence_head[4].weight is None
    assert [tuple(tensor.shape) for tensor in model.view_projection[0].parameters()] == [(32, 32)]
    assert [tuple(tensor.shape) for tensor in model.view_projection[3].parameters()] == [(8, 32)]
    assert model.view_projection[4].weight is not None
    assert all(projection.bias is not None for projection in (model.image_projection, model.text_projection))


def test_sentences_of_all_captions_share_one_batch_norm():
    model = mama().train()
    rows = torch.randn(7, 32)
    mixed = model.sentence_head(rows)
    torch.testing.assert_close(mixed.mean(dim=0), torch.zeros(8), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("scale", "log"), [("scale", "log_scale"), ("local_scale", "log_local_scale")])
def test_the_scale_starts_at_one_over_seven_hundredths_and_stops_at_a_hundred(scale, log):
    model = mama()
    assert getattr(model, scale).item() == pytest.approx(1 / 0.07)
    with torch.no_grad():
        getattr(model, log).fill_(math.log(300))
    at_the_end = getattr(model, scale)
    assert at_the_end.item() == pytest.approx(100)
    at_the_end.backward()
    assert getattr(model, log).grad.item() == pytest.approx(100)  # it may come back
    assert getattr(model, log).item() == pytest.approx(math.log(100))


def test_late_parameters_are_those_that_the_first_loss_does_not_reach():
    model = mama().train()
    mask = captions(count=4)[1]
    image = model.image_embedding(model.encode_images(images(), patches=False).pooled)
    text = model.text_embedding(model.pool_text(model.encode_texts(*captions(count=4)), mask))
    (model.scale * image @ text.T).sum().backward()
    late = {id(parameter) for parameter in model.late_parameters()}
    assert late == {id(parameter) for parameter in model.parameters() if parameter.grad is None}


def test_an_attention_pool_that_no_loss_reads_is_not_trained():
    model = mama(img_size=32, image={"backbone": "vit_base_patch16_siglip_224"})
    pool = model.image_encoder.vit.attn_pool
    assert not any(parameter.requires_grad for parameter in pool.parameters())
    assert all(parameter.requires_grad for parameter in model.image_encoder.vit.blocks.parameters())
    names = {name for name in model.state_dict() if "attn_pool" in name}
    assert names
    assert names <= model.trained_state().keys()  # whoever takes the tower takes it whole


def test_a_fidelity_that_is_none_is_refused():
    with pytest.raises(ConfigurationError, match="fidelity: one of paper, code is needed, got 'codes'"):
        mama(fidelity="codes")


LORA = LoraConfig(r=2, target_modules=["c_attn"])


def test_what_is_kept_of_a_training_leaves_out_the_frozen_text_alone():
    model = mama(adapter=LORA)
    left_out = model.state_dict().keys() - model.trained_state().keys()
    assert left_out == {f"text_encoder.{name}" for name in model.text_encoder.frozen_names()}
    assert all(name.startswith("text_encoder.model.") for name in left_out)
    assert "view_projection.1.running_mean" in model.trained_state()
    assert mama().trained_state().keys() == mama().state_dict().keys()


def test_what_is_kept_makes_another_model_the_same():
    trained, fresh = randomise_adapters(mama(adapter=LORA)).eval(), mama(adapter=LORA, seed=1).eval()
    assert not torch.equal(trained.encode_images(images()).pooled, fresh.encode_images(images()).pooled)
    fresh.load_state_dict(trained.trained_state(), strict=False)
    assert torch.equal(trained.encode_images(images()).pooled, fresh.encode_images(images()).pooled)
    assert torch.equal(trained.encode_texts(*captions()), fresh.encode_texts(*captions()))


@pytest.mark.parametrize("options", [{}, {"adapter": LORA, "fidelity": "code"}])
def test_what_a_checkpoint_says_is_the_same_after_it_was_written(options):
    model = mama(**options)
    said = [model.settings(), model.image_info(), model.text_info()]
    assert json.loads(json.dumps(said)) == said
    assert said[0]["fidelity"] == options.get("fidelity", "paper")
    assert said[0]["text_adapter"] == ("LoraConfig" if options else None)
    assert said[1] == {
        "name": VIT14["backbone"],
        "model_args": VIT14["model_args"],
        "img_size": 28,
        "padding": 0,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
    }
    assert said[2]["model_args"] == TEXT_ARGS["gpt2"]
    assert (said[2]["num_tokens"], len(said[2]["fingerprint"])) == (40, 64)


def test_patch_dropout_reaches_the_image_tower_in_training_alone():
    model = mama(image={"patch_dropout": 0.5})
    assert model.train().encode_images(images()).patches.shape[1] == 2
    assert model.eval().encode_images(images()).patches.shape[1] == 4
    with pytest.raises(ConfigurationError, match="patch_dropout: a share from 0 to below 1 is needed, got 1"):
        mama(image={"patch_dropout": 1.0})
