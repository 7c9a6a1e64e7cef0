"""MoR as a tuner: what peft does with any of its own must work with it, on timm's and transformers' models."""

import copy

import peft
import pytest
import timm
import torch
from peft import PeftModel, get_peft_model, inject_adapter_in_model
from torch import nn

from medlit.peft import MoRConfig, MoRLinear, MoRModel
from tests.medlit.peft.tiny import hf_bert, hf_gpt2, hf_vit, output, picture, randomise, timm_vit, words

# peft asks transformers' models for a property that transformers has since renamed.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

MODELS = {
    "timm_vit": (timm_vit, picture, ["mlp.fc1", "mlp.fc2", "attn.proj", "attn.qkv.q", "attn.qkv.v"]),
    "hf_vit": (hf_vit, picture, ["q_proj", "v_proj", "mlp.fc1"]),
    "hf_bert": (hf_bert, words, ["query", "output.dense"]),
    "hf_gpt2": (hf_gpt2, words, ["c_attn.q", "c_attn.v", "mlp.c_fc"]),
}


def trainable(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


@pytest.fixture(params=MODELS)
def case(request):
    """A way to make a model, its input, and targets in it."""
    make, inputs, targets = MODELS[request.param]
    return make, inputs(), MoRConfig(target_modules=targets)


def test_any_model_starts_unchanged_and_trains_its_adapters_alone(case):
    make, inputs, config = case
    before = output(make(), inputs)
    model = get_peft_model(make(), config)
    assert isinstance(model.base_model, MoRModel)
    assert torch.equal(output(model, inputs), before)
    randomise(model)
    output(model, inputs).square().sum().backward()
    with_gradient = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert with_gradient == trainable(model)
    assert all("mor_" in name for name in with_gradient)


def test_disabling_and_unloading_give_the_frozen_model_back(case):
    make, inputs, config = case
    before = output(make(), inputs)
    model = randomise(get_peft_model(make(), config))
    after = output(model, inputs)
    assert not torch.allclose(after, before)
    with model.disable_adapter():
        assert torch.equal(output(model, inputs), before)
    assert torch.equal(output(model, inputs), after)
    bare = model.unload()
    assert torch.equal(output(bare, inputs), before)
    assert not any(isinstance(module, MoRLinear) for module in bare.modules())


def test_saved_and_loaded_it_is_the_same(case, tmp_path):
    make, inputs, config = case
    model = randomise(get_peft_model(make(), config))
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(make(), tmp_path)
    assert torch.equal(output(loaded, inputs), output(model, inputs))
    assert not trainable(loaded)
    assert trainable(PeftModel.from_pretrained(make(), tmp_path, is_trainable=True)) == trainable(model)
    kept = loaded.peft_config["default"]
    assert isinstance(kept, MoRConfig)
    assert (kept.ranks, kept.alphas, kept.target_modules) == (config.ranks, config.alphas, config.target_modules)


def test_loading_without_first_making_random_weights(tmp_path):
    model = randomise(get_peft_model(timm_vit(), MoRConfig(target_modules=["mlp.fc1", "attn.qkv.k"])))
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(timm_vit(), tmp_path, low_cpu_mem_usage=True)
    assert torch.equal(loaded(picture()), model(picture()))


def test_layers_to_train_in_full_are_saved_with_the_adapter(tmp_path):
    model = get_peft_model(timm_vit(), MoRConfig(modules_to_save=["head"]))
    nn.init.ones_(model.head.modules_to_save["default"].weight)
    assert {name.rpartition(".")[2] for name in trainable(model) if "head" in name} == {"weight", "bias"}
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(timm_vit(), tmp_path)
    assert torch.equal(loaded(picture()), model(picture()))


def test_several_adapters_of_different_size_and_place(tmp_path):
    model = randomise(get_peft_model(timm_vit(), MoRConfig(target_modules=["mlp.fc1", "attn.qkv"])))
    first = model(picture())
    model.add_adapter("b", MoRConfig(ranks=[3], alphas=[3], target_modules=["mlp.fc1", "attn.qkv.v"]))
    assert torch.equal(model(picture()), first)
    randomise(model, "b", seed=1)

    model.set_adapter("b")
    second = model(picture())
    assert not torch.allclose(second, first)
    assert all(".b" in name for name in trainable(model))

    model.save_pretrained(tmp_path, selected_adapters=["b"])
    loaded = PeftModel.from_pretrained(timm_vit(), tmp_path / "b", adapter_name="again")
    assert torch.equal(loaded(picture()), second)

    model.base_model.set_adapter(["default", "b"])
    assert not torch.allclose(model(picture()), second)
    model.base_model.set_adapter("default")
    model.delete_adapter("b")
    assert torch.equal(model(picture()), first)
    assert not any(name.endswith(".b") or ".b." in name for name in model.state_dict())


def test_injection_keeps_the_model_its_own_type():
    model = timm_vit()
    inject_adapter_in_model(MoRConfig(), model)
    assert isinstance(model, timm.models.VisionTransformer)
    assert isinstance(model.blocks[1].mlp.fc2, MoRLinear)
    state = peft.get_peft_model_state_dict(randomise(model))
    twin = inject_adapter_in_model(MoRConfig(), timm_vit())
    peft.set_peft_model_state_dict(twin, state)
    assert torch.equal(twin(picture()), model(picture()))


def test_a_copy_is_independent():
    model = randomise(inject_adapter_in_model(MoRConfig(), timm_vit()))
    before = model(picture())
    randomise(copy.deepcopy(model), seed=5)
    assert torch.equal(model(picture()), before)


def test_all_linear_reaches_every_linear_layer():
    model = inject_adapter_in_model(MoRConfig(target_modules="all-linear"), timm_vit())
    assert sum(isinstance(module, MoRLinear) for module in model.modules()) == 2 * 4 + 1  # two blocks, and the head


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (r"blocks\.1\.mlp\.fc\d", {"blocks.1.mlp.fc1": {"mor_A"}, "blocks.1.mlp.fc2": {"mor_A"}}),
        (r"blocks\.0\.attn\.qkv\.[qv]", {"blocks.0.attn.qkv": {"mor_A_q", "mor_A_v"}}),
        (r"blocks\.0\.attn\.qkv.*", {"blocks.0.attn.qkv": {"mor_A"}}),
    ],
)
def test_a_regular_expression_matches_whole_names(pattern, expected):
    model = inject_adapter_in_model(MoRConfig(target_modules=pattern), timm_vit())
    layers = {name: module for name, module in model.named_modules() if isinstance(module, MoRLinear)}
    found = {
        name: {attribute for attribute in layer.adapter_layer_names if attribute.startswith("mor_A")}
        for name, layer in layers.items()
    }
    assert found == expected


def test_excluded_layers_are_left_alone():
    config = MoRConfig(target_modules=["mlp.fc1", "attn.qkv.q"], exclude_modules=["blocks.0.mlp.fc1", "0.attn.qkv"])
    model = inject_adapter_in_model(config, timm_vit())
    adapted = {name for name, module in model.named_modules() if isinstance(module, MoRLinear)}
    assert adapted == {"blocks.1.mlp.fc1", "blocks.1.attn.qkv"}


def test_many_targets_by_name_are_saved_as_they_were_given(tmp_path):
    targets = [f"blocks.{block}.{layer}" for block in range(12) for layer in ("attn.qkv.q", "mlp.fc1")]
    with torch.device("meta"):
        deep = timm.create_model("vit_base_patch16_224")
    model = get_peft_model(deep, MoRConfig(target_modules=targets))
    assert model.peft_config["default"].target_modules == targets


def test_parameters_of_a_vit_base():
    with torch.device("meta"):
        model = inject_adapter_in_model(MoRConfig(), timm.create_model("vit_base_patch16_224"))
    assert sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad) == 1_474_656
    assert model(torch.empty(1, 3, 224, 224, device="meta")).shape == (1, 1000)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (["mlp.fc3"], r"'mlp\.fc3' matches no layer\. Linear layers end in: attn\.proj, attn\.qkv, head, mlp\.fc1"),
        (["mlp.fc1", "attn.qkv.w"], r"'attn\.qkv\.w' matches no layer"),
        (["attn.q"], r"'attn\.q' matches no layer"),
        (["attn.proj.q"], r"thirds of blocks\.0\.attn\.proj: its 32 outputs are no multiple of 3"),
        (["attn.qkv", "attn.qkv.k"], r"both blocks\.0\.attn\.qkv and its thirds \('k',\): choose one"),
        (["mlp.fc1", "norm1"], r"linear layers; target blocks\.0\.norm1 is a LayerNorm"),
        (["attn"], r"target blocks\.0\.attn is a Attention"),
        (r".*nothing", "not found in the base model"),
    ],
)
def test_targets_that_cannot_be_adapted_are_refused_and_leave_the_model_as_it_was(targets, message):
    model = timm_vit()
    with pytest.raises(ValueError, match=message):
        inject_adapter_in_model(MoRConfig(target_modules=targets), model)
    assert not any(isinstance(module, MoRLinear) for module in model.modules())


@pytest.mark.parametrize("merge", ["merge_adapter", "merge_and_unload"])
def test_merging_is_refused_and_changes_nothing(merge):
    model = randomise(get_peft_model(timm_vit(), MoRConfig()))
    before = model(picture())
    with pytest.raises(ValueError, match=r"differs from token to token\. Keep the adapter, or take it off with unload"):
        getattr(model, merge)()
    assert torch.equal(model(picture()), before)


def test_bfloat16_autocast_trains_with_float32_adapters():
    model = randomise(inject_adapter_in_model(MoRConfig(), timm_vit()))
    expected = model(picture())
    with torch.autocast("cpu", torch.bfloat16):
        result = model(picture())
    result.sum().backward()
    torch.testing.assert_close(result.float(), expected, atol=0.05, rtol=0.05)
    assert all(p.grad.dtype == torch.float32 for p in model.parameters() if p.requires_grad)
