"""What :mod:`medlit.models.vision_encoder` asks of timm: how a transformer is made, and what tokens need on the way."""

from collections.abc import Iterable
from typing import Any

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from medlit.errors import ConfigurationError

RANDOM_WEIGHTS_SEED = 0
"""Random foundation weights are the same in every run, as pretrained ones are: two stages must share them."""


def create_vit(backbone: str, arguments: dict[str, Any]) -> Any:
    """A timm ViT with random weights that depend on nothing but its arguments.

    Raises:
        ConfigurationError: If the arguments do not suit the model, or it is of another kind than a plain ViT.
    """
    import timm
    from timm.models.eva import Eva
    from timm.models.vision_transformer import VisionTransformer

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(RANDOM_WEIGHTS_SEED)
        try:
            model = timm.create_model(backbone, pretrained=False, num_classes=0, **arguments)
        except (TypeError, ValueError, AssertionError, ArithmeticError, RuntimeError) as error:
            raise ConfigurationError(f"backbone {backbone}: timm refuses {arguments}: {error}") from error
    if not isinstance(model, VisionTransformer | Eva):
        raise ConfigurationError(
            f"backbone {backbone} is a {type(model).__name__}; medlit takes plain vision transformers "
            "(timm's VisionTransformer and Eva: CLIP, DINOv2, DINOv3, EVA-02, MAE, SigLIP)"
        )
    if not isinstance(model.patch_drop or nn.Identity(), nn.Identity):
        raise ConfigurationError(f"backbone {backbone}: patch_drop_rate is not supported, every patch is read")
    return model


def patch_size_of(backbone: str, model_args: dict[str, Any]) -> int:
    """Side of a patch, pixels, read off a model without memory."""
    with torch.device("meta"):
        size = create_vit(backbone, model_args).patch_embed.patch_size
    return int(size[0])


def wants_cls(arguments: dict[str, Any]) -> bool:
    """Whether the CLS token is to be read where there is one: nothing else was asked for.

    Raises:
        ConfigurationError: If what was asked for gives no single vector.
    """
    pooling = arguments.get("global_pool", "token")
    if pooling not in ("token", "avg", "map"):
        raise ConfigurationError(f"model_args: global_pool must be token, avg or map, got {pooling!r}")
    return bool(pooling == "token")


def padding_for(img_size: int, patch_size: int, *, pad: bool) -> int:
    """Pixels to add at the right and bottom.

    Raises:
        ConfigurationError: If the size is no multiple of the patch and padding was not asked for.
    """
    if img_size < 1:
        raise ConfigurationError(f"img_size must be positive, got {img_size}")
    missing = -img_size % patch_size
    if missing and not pad:
        below, above = img_size + missing - patch_size, img_size + missing
        near = f"{below} and {above}" if below else f"{above}"
        raise ConfigurationError(
            f"img_size {img_size} is no multiple of the patch size {patch_size}; the nearest are {near} "
            f"(or set pad: true to pad with zeros to {above})"
        )
    return missing


def cls_after(block: Block, tokens: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """The CLS token (B, 1, D) after a block: it attends to all tokens (B, N, D), its MLP runs on no other."""
    attended = block.drop_path1(block.ls1(block.attn(block.norm1(tokens), attn_mask=attn_mask)))
    cls = tokens[:, :1] + attended[:, :1]
    output: Tensor = cls + block.drop_path2(block.ls2(block.mlp(block.norm2(cls))))
    return output


def attention_mask(extra_mask: Tensor, *, before: Tensor) -> Tensor:
    """What is added to attention scores, (B, 1, 1, N + E): 0, and -inf for the extra tokens that do not count.

    Args:
        extra_mask: (B, E) bool.
        before: (B, N, D), the tokens that the extra ones join.
    """
    counts = torch.cat([extra_mask.new_ones(before.shape[:2]), extra_mask], dim=1)
    return torch.zeros_like(counts, dtype=before.dtype).masked_fill(~counts, float("-inf"))[:, None, None]


def without_rotation(rope: Tensor | None, extra: int) -> Tensor | None:
    """Rotary embedding (..., N, 2 d) of patches, lengthened by ``extra`` rows of the identity: sine 0, cosine 1."""
    if rope is None:
        return None
    rows = rope.new_zeros(*rope.shape[:-2], extra, rope.shape[-1])
    rows[..., rope.shape[-1] // 2 :] = 1
    return torch.cat([rope, rows], dim=-2)


def zero_of(tensors: Iterable[Tensor]) -> Tensor | float:
    """Zero, whose backward pass gives gradients of zero to those of ``tensors`` that are trained."""
    trained = [tensor for tensor in tensors if tensor.requires_grad] if torch.is_grad_enabled() else []
    return sum((0 * tensor.sum(dtype=torch.float32) for tensor in trained), 0.0)
