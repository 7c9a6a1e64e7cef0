"""The page's tables are the formulas', whose operations and weights are those of the models; and measuring works."""

import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from peft import LoraConfig
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import early_intervention_step, scaling
from benchmarks.scaling_model import ADAPTED, BIOMEDLM, DINOV2, PATCHES, Cluster, EarlyIntervention, MaMA, Tower, step
from medlit.losses.local_alignment import local_alignment_loss
from medlit.models import ImageTower, MaMAModel, TextTower
from medlit.models.text_encoder import TextEncoder

PAGE = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text()
LORA = LoraConfig(r=8, target_modules=["c_attn"], fan_in_fan_out=True)
CASES = 2


def gpt(layers):
    return {
        "pretrained": False,
        "model_args": {"n_embd": BIOMEDLM.width, "n_head": 20, "n_layer": layers},
        "adapter": LORA,
    }


def counted(compute):
    """Operations of a function's products of matrices, each multiplication and addition one."""
    unknown = {torch.ops.aten.addmm_: lambda _, left, right, **__: 2 * left[0] * left[1] * right[1]}  # in place
    with FlopCounterMode(display=False, custom_mapping=unknown) as counter:
        compute()
    return counter.get_total_flops()


def weights(module):
    trained = sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
    return sum(parameter.numel() for parameter in module.parameters()), trained


@pytest.fixture(scope="module")
def mama():
    """At its full size, without memory."""
    image = ImageTower(backbone="vit_base_patch14_reg4_dinov2", pretrained=False, gradient_checkpointing=True)
    text = TextTower(backbone="gpt2", **gpt(BIOMEDLM.depth))
    with torch.device("meta"):
        return MaMAModel(img_size=518, num_tokens=28_896, image=image, text=text)


def test_the_pages_tables_are_the_programs():
    assert scaling.tables() in PAGE


def test_every_figure_of_hardware_has_its_source_on_the_page():
    cluster = Cluster()
    assert f"{cluster.half_peak / 1e12:.0f} TFLOPS" in PAGE
    assert f"{cluster.float_peak / 1e12:.1f} TFLOPS" in PAGE
    for sheet in ("NVIDIA A100 Tensor Core GPU data sheet", "NVIDIA DGX A100 data sheet"):
        assert sheet in PAGE
    assert "nothing on this page was measured on a GPU" in re.sub(r"\s+", " ", PAGE)


@pytest.mark.slow
def test_weights_are_those_of_the_models(mama):
    method = MaMA()
    assert weights(mama) == pytest.approx((method.weights, method.trained), rel=2e-3)
    assert weights(mama.text_encoder) == pytest.approx(
        (BIOMEDLM.weights + BIOMEDLM.trained, BIOMEDLM.trained), rel=2e-3
    )
    assert weights(mama.image_encoder) == pytest.approx((DINOV2.weights, DINOV2.trained), rel=2e-3)
    with torch.device("meta"):
        model = early_intervention_step.make_product(
            early_intervention_step.Setting("vit_base_patch14_reg4_dinov2", size=518, batch=CASES, threads=1)
        )
    ei = EarlyIntervention()
    assert weights(model) == pytest.approx((ei.weights, ei.trained), rel=2e-3)


@pytest.mark.slow
def test_operations_of_early_intervention_are_the_models():
    setting = early_intervention_step.Setting("vit_base_patch14_reg4_dinov2", size=518, batch=CASES, threads=1)
    with torch.device("meta"):
        model = early_intervention_step.make_product(setting)
        images, label = {name: torch.rand(CASES, 1, 3, 518, 518) for name in ("clinic", "derm")}, torch.zeros(CASES)
        loss = early_intervention_step.product_loss()
        found = counted(lambda: loss(model(images), label.long()).backward())
    passes = EarlyIntervention().passes
    assert found / CASES == pytest.approx(1.01 * passes * ADAPTED.training(recomputed=False), rel=0.03)


@pytest.mark.slow
def test_operations_of_the_image_tower_are_the_models(mama):
    def train():
        features = mama.encode_images(images)
        (features.pooled.sum() + features.patches.sum()).backward()

    with torch.device("meta"):
        images = torch.rand(CASES, 3, 518, 518)
        assert counted(lambda: mama.encode_images(images)) / CASES == pytest.approx(DINOV2.forward(), rel=0.03)
        assert counted(train) / CASES == pytest.approx(DINOV2.training(recomputed=True), rel=0.03)


@pytest.mark.slow
def test_operations_of_the_text_tower_are_a_models_of_two_blocks():
    """transformers looks into the mask, which takes real tensors; two blocks in place of 32 fit."""
    layers, tokens = 2, BIOMEDLM.tokens
    encoder = TextEncoder("gpt2", num_tokens=100, gradient_checkpointing=True, **gpt(layers))
    ids = torch.zeros(1, tokens, dtype=torch.long)
    formula = Tower(BIOMEDLM.width, layers, tokens, weights=BIOMEDLM.weights, trained=BIOMEDLM.trained)
    found = counted(lambda: encoder(ids, torch.ones_like(ids)).sum().backward())
    assert found == pytest.approx(formula.training(recomputed=True), rel=0.05)


def local_loss(images, patches, sentences, channels):
    """Forward, of as many sentences a caption each; seen by the backward pass from the loss it returns."""
    rows = F.normalize(torch.randn(images, patches, channels), dim=-1).requires_grad_()
    lines = F.normalize(torch.randn(sentences, channels), dim=-1).requires_grad_()
    return local_alignment_loss(rows, lines, torch.arange(sentences) % images, torch.tensor(10.0))


def test_operations_of_the_local_loss_are_three_products():
    images, patches, channels = 6, 50, 64
    one = MaMA(embed_dim=channels)  # its own images by the sentences of all
    found = counted(lambda: local_loss(images, patches, images * one.sentences, channels).backward())
    assert found * PATCHES / patches == pytest.approx(one.operations(images, 1)[1])


def test_winners_of_the_local_loss_take_what_the_table_says():
    kept, images, one = [], 6, MaMA(embed_dim=8)
    with torch.autograd.graph.saved_tensors_hooks(kept.append, lambda _: None):
        local_loss(images, PATCHES, images * one.sentences, one.embed_dim)
    winners = [tensor.nbytes for tensor in kept if tensor.dtype in (torch.uint8, torch.int32)]
    assert sum(winners) == one.winners(images, gpus=1)


def test_what_a_gpu_has_no_memory_for_is_marked():
    too_much, fitting = step(MaMA(), 1, pairs=288), step(MaMA(), 2, pairs=144)
    assert too_much.memory > Cluster().memory > fitting.memory
    *_, first, second = scaling.table("", [too_much, fitting]).splitlines()
    assert first.endswith(f"| {too_much.memory / 1e9:.1f}, does not fit |")
    assert second.endswith(f"| {fitting.memory / 1e9:.1f} |")


def test_a_ring_sends_what_it_is_known_to_send():
    cluster = Cluster(nvlink=1e9, link_share=1.0, latency=(0.0, 0.0))
    assert cluster.all_reduce(2, 1e9) == pytest.approx(1.0)  # half of it there, half of the sums back
    assert cluster.all_reduce(8, 1e9) == pytest.approx(2 * 7 / 8)
    assert cluster.all_gather(4, 1e9) == pytest.approx(3 / 4)


def test_sharing_the_weights_out_saves_what_the_text_tower_weighs():
    method = MaMA()
    whole, shared = (step(method, 4, sharded=sharded) for sharded in (False, True))
    assert 0.5 * 4 * BIOMEDLM.weights < whole.memory - shared.memory < 4 * method.weights
    assert shared.gradients > whole.gradients


@pytest.mark.slow
def test_one_and_two_processes_are_measured():
    tokens, seconds = scaling.measure("EI", repeats=1)
    assert tokens == 4 * 4 * (49 + 1)
    assert set(seconds) == set(scaling.SIDES)
    *rates, ratio = scaling.report("EI", tokens, seconds)
    assert len(rates) == len(scaling.SIDES)
    assert re.fullmatch(r"EI +two processes: \d\.\d\d times the tokens of one; -?\d+% of their step .*", ratio)
