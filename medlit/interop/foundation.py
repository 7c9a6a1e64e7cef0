"""Foundation weights inside released checkpoints: which timm model they are, and how timm names them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from medlit.errors import CheckpointMismatchError, ConfigurationError

HEAD_WIDTH = 64
"""Channels of an attention head in every published CLIP and DINOv2; a state dict does not tell."""

KNOWN: dict[str, dict[str, tuple[int, int, int, int]]] = {
    "CLIP": {
        "vit_base_patch16_clip_224.openai": (16, 768, 12, 12),
        "vit_base_patch32_clip_224.openai": (32, 768, 12, 12),
        "vit_large_patch14_clip_224.openai": (14, 1024, 24, 16),
    },
    "DINOv2": {
        "vit_base_patch14_dinov2.lvd142m": (14, 768, 12, 12),
        "vit_small_patch14_dinov2.lvd142m": (14, 384, 12, 6),
        "vit_large_patch14_dinov2.lvd142m": (14, 1024, 24, 16),
    },
    "DINOv2 with registers": {
        "vit_base_patch14_reg4_dinov2.lvd142m": (14, 768, 12, 12),
        "vit_small_patch14_reg4_dinov2.lvd142m": (14, 384, 12, 6),
        "vit_large_patch14_reg4_dinov2.lvd142m": (14, 1024, 24, 16),
    },
}
"""By family, timm's names with patch size, width, depth and heads; the first stands for sizes that are none of them."""

ARGUMENTS = ("patch_size", "embed_dim", "depth", "num_heads")
REGISTERS, HIDDEN = 4, 4
"""Register tokens, and width of the MLPs as a multiple of D, of the models above."""

NEEDED = {"patch_embed.proj.weight": 4, "pos_embed": 3, "cls_token": 3, "blocks.0.mlp.fc1.weight": 2}
"""Tensors by which a foundation is told, and how many dimensions each has."""

SHOWN = 4
"""Names in a message."""


@dataclass(frozen=True)
class Foundation:
    """A vision transformer by timm's name."""

    family: str
    """A key of ``KNOWN``."""
    name: str
    """timm's name."""
    model_args: dict[str, Any]
    """What differs from the model of that name; empty for published sizes."""
    patch_size: int
    """Side of a patch, pixels."""
    grid: int
    """Patches a side, from the position embedding, which is taken as it is."""


def recognise(frozen: Mapping[str, Tensor], *, num_heads: int | None = None, source: str) -> Foundation:
    """Tell the timm model from names and shapes.

    Args:
        frozen: Foundation weights in the names of the released code: timm's for CLIP, the original's for DINOv2.
        num_heads: Attention heads; None: a head per 64 channels.
        source: For messages.

    Raises:
        CheckpointMismatchError: If it is neither CLIP nor DINOv2, or the patches make no square.
        ConfigurationError: If ``num_heads`` does not divide the width, or is left out where 64 does not.
    """
    family = "CLIP" if "norm_pre.weight" in frozen else "DINOv2" if "blocks.0.ls1.gamma" in frozen else None
    if family is None or any(name not in frozen for name in NEEDED):
        raise CheckpointMismatchError(
            f"{source}: neither timm's CLIP (norm_pre.weight) nor the original's DINOv2 (blocks.0.ls1.gamma), with "
            f"{', '.join(NEEDED)}; it has {', '.join(sorted(frozen)[:SHOWN])}, ..."
        )
    if "register_tokens" in frozen:
        family = "DINOv2 with registers"
    width = _width(frozen, source=source)
    patches = frozen["pos_embed"].shape[1] - 1
    grid = math.isqrt(max(patches, 0))
    if grid < 1 or grid**2 != patches:
        raise CheckpointMismatchError(
            f"{source}: pos_embed has {patches + 1} rows, which is not one for the CLS token and a square of patches"
        )
    patch_size = frozen["patch_embed.proj.weight"].shape[-1]
    depth = len({name.split(".")[1] for name in frozen if name.startswith("blocks.")})
    name, model_args = _nearest(family, (patch_size, width, depth, _heads(width, num_heads, source=source)))
    hidden = len(frozen["blocks.0.mlp.fc1.weight"]) / width
    if hidden != HIDDEN:
        model_args["mlp_ratio"] = hidden
    if family == "DINOv2 with registers" and frozen["register_tokens"].shape[1] != REGISTERS:
        model_args["reg_tokens"] = frozen["register_tokens"].shape[1]
    return Foundation(family=family, name=name, model_args=model_args, patch_size=patch_size, grid=grid)


def timm_names(frozen: Mapping[str, Tensor], foundation: Foundation) -> dict[str, Tensor]:
    """Foundation weights as timm keeps them; position embeddings are not resampled.

    DINOv2's mask token serves its pretraining alone and is left out. timm's models with registers give positions to
    patches only: the CLS token takes the first row of ``pos_embed`` into itself. Heads of classifiers are left out.

    Args:
        frozen: In the names of the released code.
        foundation: What :func:`recognise` says of them.
    """
    state = {name: tensor for name, tensor in frozen.items() if not name.startswith(("head.", "head_dist."))}
    if foundation.family == "CLIP":
        return state
    state.pop("mask_token", None)
    if foundation.family == "DINOv2 with registers":
        positions = state["pos_embed"]  # (1, 1 + N, D)
        state["cls_token"] = state["cls_token"] + positions[:, :1]
        state["pos_embed"] = positions[:, 1:]
        state["reg_token"] = state.pop("register_tokens")
    return state


def _width(frozen: Mapping[str, Tensor], *, source: str) -> int:
    """Channels D, once the tensors that tell of the foundation have the shapes they need."""
    width = next(iter(frozen["patch_embed.proj.weight"].shape), 0)
    for name, dimensions in {**NEEDED, "register_tokens": 3}.items():
        shape = tuple(frozen[name].shape) if name in frozen else ()
        channels = shape[:1] if dimensions == 4 else shape[-1:]  # a kernel has them first
        if name in frozen and (len(shape) != dimensions or 0 in shape or channels != (width,)):
            raise CheckpointMismatchError(
                f"{source}: {name} has the shape {shape}, not one of {dimensions} dimensions and {width} channels"
            )
    return width


def _heads(width: int, num_heads: int | None, *, source: str) -> int:
    """Attention heads, given or by the channels of one."""
    if num_heads is None and width % HEAD_WIDTH == 0:
        return width // HEAD_WIDTH
    if num_heads is None or num_heads < 1 or width % num_heads:
        given = "is needed" if num_heads is None else f"{num_heads} does not fit"
        raise ConfigurationError(f"{source}: num_heads {given}: heads have to divide the {width} channels")
    return num_heads


def _nearest(family: str, sizes: tuple[int, int, int, int]) -> tuple[str, dict[str, Any]]:
    """The timm name with the sizes, or the nearest and what differs from it."""

    def differences(name: str) -> dict[str, Any]:
        """The sizes in which a checkpoint differs from a released architecture."""
        standard = zip(ARGUMENTS, sizes, KNOWN[family][name], strict=True)
        return {argument: size for argument, size, usual in standard if size != usual}

    name = min(KNOWN[family], key=lambda name: len(differences(name)))
    return name, differences(name)
