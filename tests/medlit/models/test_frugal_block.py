"""A frugal block computes what timm's does, at the same cost in products, and keeps less."""

import copy

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from timm.layers.mlp import GluMlp
from timm.models.vision_transformer import Block
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from medlit.models import VisionEncoder
from medlit.models.frugal_block import frugal_block, is_plain

WIDTH, TOKENS = 32, 17


def make_block(**settings):
    torch.manual_seed(0)
    block = Block(WIDTH, num_heads=4, qkv_bias=True, **settings)
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.5)
    return block


def tokens():
    return torch.randn(2, TOKENS, WIDTH, generator=torch.Generator().manual_seed(1)).requires_grad_()


def gradients(run, block, x):
    output = run(x)
    output.square().sum().backward()
    return [output.detach(), x.grad, *(parameter.grad for parameter in block.parameters())]


@pytest.mark.parametrize("init_values", [None, 1e-5])
def test_equals_the_block_in_output_and_all_gradients(init_values):
    block = make_block(init_values=init_values)
    other = copy.deepcopy(block)
    ours = gradients(lambda x: frugal_block(block, x), block, tokens())
    theirs = gradients(other, other, tokens())
    for mine, its in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-5, atol=1e-5 * float(its.abs().max()))


def test_half_precision_keeps_small_factors():
    block = make_block(init_values=1e-5)
    nn.init.constant_(block.ls1.gamma, 1e-7)
    nn.init.constant_(block.ls2.gamma, 1e-7)
    with torch.autocast("cpu", dtype=torch.float16):
        assert torch.equal(frugal_block(block, tokens()), block(tokens()))


def floating_point_operations(run):
    with FlopCounterMode(display=False) as counter:
        run(tokens()).sum().backward()
    return counter.get_total_flops()


def test_no_product_of_matrices_is_computed_twice():
    block = make_block(init_values=1e-5)
    assert floating_point_operations(lambda x: frugal_block(block, x)) == floating_point_operations(block)


class LiveStorages(TorchDispatchMode):
    """Remembers every piece of memory that operations make, and which of it is still held."""

    def __init__(self):
        super().__init__()
        self.made = {}

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        output = operation(*args, **(kwargs or {}))
        for tensor in tree_leaves(output):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                self.made[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        return output

    def held(self):
        return sum(size for reference, size in self.made.values() if not reference.expired())


def held(module, run):
    """Bytes that are held between forward and backward pass, weights left aside, the output among them; the output."""
    with LiveStorages() as live:
        output = run()
    weights = {parameter.untyped_storage()._cdata for parameter in module.parameters()}
    return live.held() - sum(size for key, (_, size) in live.made.items() if key in weights), output


def kept(block, run):
    """The same as numbers per token and channel."""
    x = tokens()
    size, output = held(block, lambda: run(x))
    assert output.shape == x.shape
    return size / x.nbytes


def test_keeps_ten_numbers_per_token_and_channel_in_place_of_eighteen():
    block = make_block(init_values=1e-5)
    # Counted without the input, which was there before; with the output, and a little for norms and attention.
    assert 18 <= kept(block, block) < 18.5
    assert 10 <= kept(block, lambda x: frugal_block(block, x)) < 10.5


def with_adapters(block):
    return inject_adapter_in_model(LoraConfig(target_modules=["qkv"]), block)


def test_blocks_of_another_kind_are_left_to_timm():
    assert is_plain(make_block())
    assert is_plain(make_block(init_values=1e-5))
    assert not is_plain(make_block().requires_grad_(False))
    assert not is_plain(with_adapters(make_block()))
    for name, value in (("fused_attn", False), ("gate", nn.Linear(WIDTH, WIDTH))):
        other = make_block()
        setattr(other.attn, name, value)
        assert not is_plain(other)
    assert not is_plain(nn.Identity())


@pytest.mark.parametrize(
    "settings",
    [
        *({"qk_norm": True}, {"scale_attn_norm": True}, {"scale_mlp_norm": True}),
        *({"proj_drop": 0.1}, {"attn_drop": 0.1}, {"drop_path": 0.1}),
        {"mlp_layer": GluMlp},
    ],
)
def test_blocks_with_more_in_them_are_left_to_timm(settings):
    assert not is_plain(make_block(**settings))


@pytest.mark.parametrize("part", ["", "attn", "attn.proj", "norm2", "mlp", "ls1"])
@pytest.mark.parametrize(
    "register",
    [
        nn.Module.register_forward_hook,
        nn.Module.register_forward_pre_hook,
        nn.Module.register_full_backward_hook,
        nn.Module.register_full_backward_pre_hook,
    ],
)
def test_hooks_are_not_passed_by(part, register):
    hooked = make_block(init_values=1e-5)
    register(hooked.get_submodule(part), lambda *_: None)
    assert not is_plain(hooked)


def test_a_tower_that_is_trained_as_a_whole_runs_its_blocks_so():
    """Of two blocks each 18 numbers are kept in place of 10 where a hook leaves them to timm."""
    arguments = {"depth": 2, "embed_dim": WIDTH, "num_heads": 4}
    tower = VisionEncoder("vit_base_patch14_reg4_dinov2", img_size=56, pretrained=False, model_args=arguments)
    images = torch.rand(2, 3, 56, 56)
    frugal, output = held(tower, lambda: tower.tokens(images))
    for block in tower.vit.blocks:
        block.register_forward_hook(lambda *_: None)
    plain, same = held(tower, lambda: tower.tokens(images))
    torch.testing.assert_close(output, same)
    assert plain - frugal == pytest.approx(2 * 8 * output.nbytes, rel=0.05)
