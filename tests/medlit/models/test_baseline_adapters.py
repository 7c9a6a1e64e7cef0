"""What is compared with MoR, as the overlays set it: it works in every kind of model, and is what it says."""

import itertools
from pathlib import Path

import pytest
import torch
import yaml
from jsonargparse import ArgumentParser
from peft import PeftConfig

from medlit.checkpoint import trainable_state
from medlit.errors import ConfigurationError
from medlit.models import AttentionMILFusion, EarlyInterventionClassifier, UnimodalClassifier
from medlit.peft import MoRConfig, MoRLinear
from medlit.peft.mor import layer as mor_layer
from tests.medlit.models.small import TINY, TINY_ARGS, early_intervention, pictures, randomise_adapters

OVERLAYS = Path(__file__).parents[3] / "experiments" / "overlays"
ADAPTERS = sorted(path.stem for path in OVERLAYS.glob("adapter_*.yaml"))
KINDS = [UnimodalClassifier, EarlyInterventionClassifier, AttentionMILFusion]
"""Fusions differ after the backbone alone."""


def settings(overlay):
    """The model's arguments that an overlay sets, the adapter as an object."""
    found = yaml.safe_load((OVERLAYS / f"{overlay}.yaml").read_text())["model"]["init_args"]["model"]["init_args"]
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--adapter", type=PeftConfig | None, default=None)
    adapter = parser.instantiate(parser.parse_object({"adapter": found["adapter"]})).adapter
    return {**found, "adapter": adapter}


def model(kind, overlay, **options):
    torch.manual_seed(0)
    modalities = ["clinic"] if kind is UnimodalClassifier else ["clinic", "derm"]
    made = {**TINY, "model_args": TINY_ARGS, **settings(overlay), **options}
    return kind(modalities=modalities, num_classes=5, **made)


def logits(output):
    return output.fused if hasattr(output, "fused") else output.logits


def test_none_is_forgotten():
    assert [
        f"adapter_{name}" for name in ("full_finetuning", "linear_probe", "lora", "lora_moe", "visual_prompt")
    ] == ADAPTERS


@pytest.mark.parametrize("overlay", ADAPTERS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_adapter_trains_in_every_model(kind, overlay):
    """The same gradients with blocks recomputed, and none missing."""
    gradients = []
    for recompute in (False, True):
        made = randomise_adapters(model(kind, overlay, gradient_checkpointing=recompute).train())
        output = made(pictures(cases=2))
        total = logits(output).square().sum()
        if kind is EarlyInterventionClassifier:
            total = total + sum(part.square().sum() for part in (*output.main.values(), *output.auxiliary.values()))
        total.backward()
        named = {name: tensor.grad for name, tensor in made.named_parameters() if tensor.requires_grad}
        assert [name for name, gradient in named.items() if gradient is None] == []
        gradients.append(named)
    for name, plain in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], plain, rtol=0, atol=0, msg=name)


@pytest.mark.parametrize("overlay", ADAPTERS)
def test_what_is_trained_is_what_the_name_says(overlay):
    made = model(EarlyInterventionClassifier, overlay)
    encoder = {name for name in trainable_state(made) if name.startswith("backbone.encoder.")}
    passes = {name.rpartition(".default")[0].rpartition(".")[2] for name in trainable_state(made) if ".passes." in name}
    kept = {
        "adapter_full_finetuning": set(),
        "adapter_linear_probe": set(),
        "adapter_lora": {"lora_A", "lora_B"},
        "adapter_lora_moe": {"mor_A", "mor_B", "mor_router"},
        "adapter_visual_prompt": {"visual_prompt_tokens"},
    }
    assert passes == kept[overlay]
    assert bool(encoder) == (overlay == "adapter_full_finetuning")


def test_without_bypass_the_weights_of_the_experts_sum_to_one(monkeypatch):
    """And with it they sum to less: the bypass takes the rest."""
    seen = []
    rows = mor_layer._row_gates

    def spy(scores, ranks, scales):
        factors = rows(scores, ranks, scales)
        experts = torch.split(factors, ranks, dim=1)
        seen.append(sum(part[:, 0] / scale for part, scale in zip(experts, scales, strict=True)))
        return factors

    monkeypatch.setattr(mor_layer, "_row_gates", spy)
    for overlay in ("adapter_lora_moe", "ablation_no_bypass"):
        made = randomise_adapters(model(EarlyInterventionClassifier, overlay))
        seen.clear()
        made(pictures())
        layers = [layer for layer in made.modules() if isinstance(layer, MoRLinear)]
        assert len(seen) == len(layers)
        for total in seen:
            torch.testing.assert_close(total, torch.ones_like(total))
    seen.clear()
    randomise_adapters(early_intervention(adapter=MoRConfig()))(pictures())
    assert all((total < 0.99).all() for total in seen)


def test_one_encoder_is_trained_by_all_passes_of_early_intervention():
    made = model(EarlyInterventionClassifier, "adapter_full_finetuning")
    output = made(pictures())
    qkv = made.backbone.encoder.vit.blocks[0].attn.qkv.weight
    shares = [
        torch.autograd.grad(part.square().sum(), qkv, retain_graph=True)[0]
        for part in (*output.auxiliary.values(), *output.main.values())
    ]
    assert all(share.abs().max() > 0 for share in shares)
    for one, other in itertools.combinations(shares, 2):
        assert not torch.allclose(one, other)


def test_training_the_backbone_excludes_adapters():
    with pytest.raises(ConfigurationError, match="needs adapter: null"):
        early_intervention(train_backbone=True)


@pytest.mark.parametrize(("given", "block"), [(-1, 1), (-2, 0)])
def test_the_block_of_the_intervention_may_be_counted_from_the_end(given, block):
    one, other = (randomise_adapters(early_intervention(intervene_at=at)) for at in (given, block))
    assert one.settings() == other.settings()
    assert torch.equal(one(pictures()).fused, other(pictures()).fused)
    with pytest.raises(ConfigurationError, match="from 0 to 1, got -3"):
        early_intervention(intervene_at=-3)
