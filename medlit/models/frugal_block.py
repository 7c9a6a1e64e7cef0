"""A transformer block that is trained as a whole, with about half of what autograd would keep of it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers.attention import Attention
from timm.layers.layer_scale import LayerScale
from timm.layers.mlp import Mlp
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def is_plain(block: nn.Module) -> bool:
    """Whether :func:`frugal_block` computes what the block computes and is worth it: timm's own layers, all trained.

    Adapters, dropout, stochastic depth, norms of queries and gates make a block one of another kind; hooks on it or
    on a part of it would be passed by.

    Args:
        block: Of a vision transformer.
    """
    return (
        type(block) is Block
        and type(block.attn) is Attention
        and type(block.mlp) is Mlp
        and not any(_is_hooked(part) for part in block.modules())
        and block.attn.fused_attn
        and block.attn.gate is None
        and all(_is_trained_linear(layer) for layer in (block.attn.qkv, block.attn.proj, block.mlp.fc1, block.mlp.fc2))
        and all(type(scale) in (LayerScale, nn.Identity) for scale in (block.ls1, block.ls2))
        and all(type(layer) is nn.Identity for layer in (block.attn.q_norm, block.attn.k_norm, block.attn.norm))
        and all(type(layer) is nn.Identity for layer in (block.mlp.norm, block.drop_path1, block.drop_path2))
        and not any(layer.p for layer in (block.attn.attn_drop, block.attn.proj_drop, block.mlp.drop1, block.mlp.drop2))
    )


def frugal_block(block: Block, tokens: Tensor) -> Tensor:
    """The block's output; what is cheap is computed again in the backward pass: norms, activation, scaled weights.

    Autograd keeps 10 numbers per token and channel (queries, keys and values, the hidden layer, what attention mixed,
    and the two inputs), in place of 18. No product of matrices is computed twice, so that time stays the same. The
    factors of the layer scale are applied to the weights, for then the layer's output need not be kept.

    Args:
        block: One that :func:`is_plain`.
        tokens: (B, N, D).

    Returns:
        (B, N, D).
    """
    attention: Any = block.attn
    mlp: Any = block.mlp
    qkv = _keeping_inputs(lambda x: attention.qkv(block.norm1(x)), tokens)
    queries, keys, values = qkv.unflatten(2, (3, attention.num_heads, attention.head_dim)).permute(2, 0, 3, 1, 4)
    mixed = F.scaled_dot_product_attention(queries, keys, values).transpose(1, 2).flatten(2)
    tokens = tokens + _keeping_inputs(partial(_scaled, attention.proj, block.ls1), mixed)
    hidden = _keeping_inputs(lambda x: mlp.fc1(block.norm2(x)), tokens)
    return tokens + _keeping_inputs(lambda x: _scaled(mlp.fc2, block.ls2, mlp.act(x)), hidden)


def _keeping_inputs(layers: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """``layers(x)`` of which ``x`` alone is kept.

    The second run ends as soon as the last layer has its input again: its product is not computed. Nothing is random.
    """
    output: Tensor = checkpoint(layers, x, use_reentrant=False, preserve_rng_state=False)
    return output


def _scaled(linear: nn.Linear, scale: nn.Module, x: Tensor) -> Tensor:
    """``gamma * (W x + b)`` as ``(gamma W) x + gamma b``."""
    if not isinstance(scale, LayerScale) or _is_half(x):
        output: Tensor = scale(linear(x))
        return output
    bias = None if linear.bias is None else scale.gamma * linear.bias
    return F.linear(x, scale.gamma[:, None] * linear.weight, bias)


def _is_half(x: Tensor) -> bool:
    """Whether products are of float16, in which small factors times small weights would vanish."""
    device = x.device.type
    autocast = torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) == torch.float16
    return autocast or x.dtype == torch.float16


def _is_hooked(module: nn.Module) -> bool:
    """Whether something listens to what goes in or comes out of a module, or to their gradients."""
    hooks = (module._forward_pre_hooks, module._forward_hooks, module._backward_pre_hooks, module._backward_hooks)
    return any(hooks)


def _is_trained_linear(layer: nn.Module) -> bool:
    return type(layer) is nn.Linear and layer.weight.requires_grad
