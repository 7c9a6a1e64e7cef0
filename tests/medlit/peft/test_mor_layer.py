"""One MoR layer against the formula, summed expert by expert in float64."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import linear
from torch.utils.checkpoint import checkpoint
from transformers.pytorch_utils import Conv1D

from medlit.peft import MoRConfig, MoRLinear
from medlit.peft.mor.layer import WHOLE


def literal_mor(x, weight, bias, downs, ups, router_weight, router_bias, scales, *, bypass=True):
    """The formula as it is written, with the (tokens, K, O) tensor: A_k and B_k are lists of matrices."""
    gates = torch.softmax(linear(x, router_weight, router_bias), dim=-1)[..., 1 if bypass else 0 :]
    experts = [scale * linear(linear(x, down), up) for down, up, scale in zip(downs, ups, scales, strict=True)]
    return linear(x, weight, bias) + (gates[..., None] * torch.stack(experts, dim=-2)).sum(-2)


def make_layer(inputs, outputs, config, *, seed=0, parts=(WHOLE,), dtype=torch.float32):
    torch.manual_seed(seed)
    layer = MoRLinear(nn.Linear(inputs, outputs, dtype=dtype).requires_grad_(False), "default", config, parts)
    for name, parameter in layer.named_parameters():
        if "mor_B" in name:
            nn.init.normal_(parameter)
    return layer


def leaves(layer, config, part=""):
    """The layer's weights as float64 leaves for the literal form, A and B cut into experts."""
    suffix = f"_{part}" if part else ""
    down, up = (getattr(layer, f"mor_{kind}{suffix}")["default"].detach().double() for kind in "AB")
    router = getattr(layer, f"mor_router{suffix}")["default"]
    downs = [expert.clone().requires_grad_() for expert in down.split(config.ranks)]
    ups = [expert.clone().requires_grad_() for expert in up.split(config.ranks, dim=1)]
    return downs, ups, *(p.detach().double().requires_grad_() for p in (router.weight, router.bias))


def assert_close(actual, expected, tolerance=1e-5):
    """Equal relative to the largest value of the tensor."""
    error = (actual.double() - expected).abs().max() / expected.abs().max().clamp_min(1e-3)
    assert error <= tolerance, f"off by {error:.1e}"


@st.composite
def cases(draw):
    experts = draw(st.integers(1, 4))
    return {
        "shape": tuple(draw(st.lists(st.integers(1, 5), min_size=0, max_size=3))),
        "inputs": draw(st.integers(1, 40)),
        "outputs": draw(st.integers(1, 40)),
        "ranks": draw(st.lists(st.integers(1, 9), min_size=experts, max_size=experts)),
        "alphas": draw(st.lists(st.sampled_from([0.5, 4.0, 16.0]), min_size=experts, max_size=experts)),
        "bypass": draw(st.booleans()),
        "seed": draw(st.integers(0, 1000)),
    }


@settings(max_examples=60, deadline=None, derandomize=True)
@given(cases())
def test_equals_the_literal_sum_in_outputs_and_all_gradients(case):
    config = MoRConfig(ranks=case["ranks"], alphas=case["alphas"], bypass=case["bypass"])
    layer = make_layer(case["inputs"], case["outputs"], config, seed=case["seed"])
    x = torch.randn(*case["shape"], case["inputs"], requires_grad=True)
    y = layer(x)
    weigh = torch.randn_like(y)
    (y * weigh).sum().backward()

    downs, ups, router_weight, router_bias = leaves(layer, config)
    slow_x = x.detach().double().requires_grad_()
    base = [p.double() for p in layer.base_layer.parameters()]
    slow = literal_mor(slow_x, *base, downs, ups, router_weight, router_bias, config.scales, bypass=case["bypass"])
    (slow * weigh).sum().backward()

    assert_close(y, slow)
    assert_close(x.grad, slow_x.grad)
    assert_close(layer.mor_A["default"].grad, torch.cat([expert.grad for expert in downs]))
    assert_close(layer.mor_B["default"].grad, torch.cat([expert.grad for expert in ups], dim=1))
    assert_close(layer.mor_router["default"].weight.grad, router_weight.grad)
    assert_close(layer.mor_router["default"].bias.grad, router_bias.grad)


@pytest.mark.parametrize("parts", [("q",), ("k",), ("v",), ("q", "v"), ("q", "k", "v")], ids="".join)
def test_each_third_has_experts_and_a_router_of_its_own(parts):
    config = MoRConfig(ranks=[1, 3], alphas=[2, 3])
    layer = make_layer(8, 15, config, parts=parts)
    x = torch.randn(4, 6, 8)
    weights, biases = (p.double().chunk(3) for p in layer.base_layer.parameters())
    expected = [
        literal_mor(x.double(), weight, bias, *leaves(layer, config, part), config.scales)
        if part in parts
        else linear(x.double(), weight, bias)
        for part, weight, bias in zip("qkv", weights, biases, strict=True)
    ]
    assert_close(layer(x), torch.cat(expected, dim=-1))


@pytest.mark.parametrize("parts", [(WHOLE,), ("q", "v")])
@pytest.mark.parametrize("bypass", [True, False])
def test_gradient_is_right(parts, bypass):
    config = MoRConfig(ranks=[1, 2], alphas=[2, 2], bypass=bypass)
    layer = make_layer(4, 6, config, parts=parts, dtype=torch.float64)
    names, values = zip(*((n, p) for n, p in layer.named_parameters() if p.requires_grad), strict=True)
    assert len(names) == 4 * len(parts)

    def run(x, *parameters):
        return torch.func.functional_call(layer, dict(zip(names, parameters, strict=True)), (x,))

    assert torch.autograd.gradcheck(run, (torch.randn(3, 4, dtype=torch.float64, requires_grad=True), *values))


def test_starts_as_the_frozen_layer_to_the_bit():
    frozen = nn.Linear(8, 12)
    x = torch.randn(5, 7, 8)
    assert torch.equal(MoRLinear(frozen, "default", MoRConfig())(x), frozen(x))
    assert torch.equal(MoRLinear(frozen, "default", MoRConfig(), ("q", "k"))(x), frozen(x))


def test_starts_with_each_expert_as_a_layer_of_its_own():
    torch.manual_seed(0)
    layer = MoRLinear(nn.Linear(100, 8), "default", MoRConfig(ranks=[200, 1], alphas=[1, 1]))
    for expert in layer.mor_A["default"].split([200, 1]):
        assert expert.abs().max() <= 0.1  # Kaiming-uniform with a = sqrt(5): +- 1 / sqrt(D), whatever the rank
    assert layer.mor_A["default"].abs().max() > 0.099
    assert layer.mor_router["default"].weight.shape == (3, 100)


def test_without_bypass_the_expert_weights_sum_to_one():
    """With all experts the same, what the router says must not matter."""
    layer = make_layer(6, 5, MoRConfig(ranks=[2, 2], alphas=[2, 2], bypass=False))
    with torch.no_grad():
        layer.mor_A["default"][2:] = layer.mor_A["default"][:2]
        layer.mor_B["default"][:, 2:] = layer.mor_B["default"][:, :2]
    x = torch.randn(3, 6)
    alone = layer.base_layer(x) + x @ layer.mor_A["default"][:2].T @ layer.mor_B["default"][:, :2].T
    torch.testing.assert_close(layer(x), alone)


def test_each_token_is_on_its_own():
    layer = make_layer(6, 5, MoRConfig())
    x = torch.randn(4, 6)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(layer(x[order]), layer(x)[order])


def test_two_active_adapters_add_up():
    layer = make_layer(6, 9, MoRConfig(ranks=[2], alphas=[2]))
    layer.update_layer("other", MoRConfig(ranks=[3], alphas=[6]), ("k",))
    nn.init.normal_(layer.mor_B_k["other"])
    x = torch.randn(4, 6)
    base, changes = layer.base_layer(x), []
    for name in ("default", "other"):
        layer.set_adapter(name)
        changes.append(layer(x) - base)
    layer.set_adapter(["default", "other"])
    torch.testing.assert_close(layer(x), base + changes[0] + changes[1])


def test_the_router_stays_float32_under_autocast():
    """The two inputs nearly cancel in the logit: in bfloat16 the weight 255.5 is 256 and the logit 0."""
    layer = MoRLinear(nn.Linear(2, 1, bias=False), "default", MoRConfig(ranks=[1], alphas=[1]))
    with torch.no_grad():
        layer.base_layer.weight.zero_()
        layer.mor_A["default"].copy_(torch.tensor([[1.0, 0.0]]))
        layer.mor_B["default"].fill_(1.0)
        layer.mor_router["default"].weight.copy_(torch.tensor([[0.0, 0.0], [256.0, -255.5]]))
        layer.mor_router["default"].bias.zero_()
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(torch.ones(1, 2))
    assert y.dtype == torch.bfloat16
    assert y.item() == pytest.approx(torch.tensor(0.5).sigmoid().item(), abs=2e-3)


@pytest.mark.parametrize("base", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_adapter_keeps_float32_and_output_keeps_the_dtype_of_the_frozen_layer(base):
    layer = make_layer(4, 6, MoRConfig(), dtype=base)
    y = layer(torch.randn(3, 4, dtype=base))
    y.sum().backward()
    assert y.dtype == base
    for name, parameter in layer.named_parameters():
        if parameter.requires_grad:
            assert parameter.dtype == torch.promote_types(base, torch.float32), name
            assert parameter.grad.dtype == parameter.dtype


@pytest.mark.parametrize("reentrant", [True, False])
def test_gradient_checkpointing_changes_nothing(reentrant):
    layer = make_layer(6, 9, MoRConfig(), parts=("q", "v"))
    again = copy.deepcopy(layer)
    x = torch.randn(4, 6, requires_grad=True)
    layer(x).square().sum().backward()
    checkpoint(again, x, use_reentrant=reentrant).square().sum().backward()
    for expected, actual in zip(layer.parameters(), again.parameters(), strict=True):
        assert (expected.grad is None) == (actual.grad is None)
        assert expected.grad is None or torch.equal(expected.grad, actual.grad)


def test_conv1d_is_a_transposed_linear_layer():
    torch.manual_seed(0)
    conv = Conv1D(15, 8)
    layer = MoRLinear(conv, "default", MoRConfig(ranks=[2], alphas=[2]), ("q", "v"))
    twin = MoRLinear(nn.Linear(8, 15), "default", MoRConfig(ranks=[2], alphas=[2]), ("q", "v"))
    state = {name: torch.randn_like(value) for name, value in layer.state_dict().items()}
    layer.load_state_dict(state)
    twin.load_state_dict({**state, "base_layer.weight": state["base_layer.weight"].T})
    x = torch.randn(3, 8)
    torch.testing.assert_close(layer(x), twin(x))


def test_no_tokens_and_one_token():
    layer = make_layer(6, 5, MoRConfig())
    assert layer(torch.randn(0, 3, 6)).shape == (0, 3, 5)
    assert layer(torch.randn(6)).shape == (5,)


def test_only_linear_layers_are_accepted():
    with pytest.raises(ValueError, match=r"nn\.Linear and transformers' Conv1D layers, not Conv2d"):
        MoRLinear(nn.Conv2d(3, 3, 1), "default", MoRConfig())


def test_merging_is_refused_with_the_reason():
    with pytest.raises(ValueError, match="differs from token to token"):
        make_layer(4, 4, MoRConfig()).merge()
