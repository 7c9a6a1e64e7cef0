"""Foundation models of the field that timm does not know by name: which of its transformers holds them, and how."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from medlit.errors import ConfigurationError

Tensors = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Foundation:
    """A released encoder: its architecture, its normalisation, and where and under which names its weights are kept.

    Args:
        architecture: timm's name of the plain vision transformer that computes the same.
        model_args: What differs from timm's defaults.
        img_size: Side of the images of pretraining, pixels; positions are resampled to any other.
        mean: RGB mean of pretraining, in [0, 1].
        std: RGB standard deviation, likewise.
        source: Page of the release.
        licence: Of the weights.
        repo: Repository of the hub; None: to be downloaded by hand from ``source``.
        file: Name of the file of weights.
        gated: Whether terms have to be accepted on that page first.
        prefix: Beginning of the names of the encoder's tensors, in a file that holds more than the encoder.
        leftovers: Beginnings of the names (without prefix) that are no part of the encoder; every other has a place.
        rename: From the file's names, without prefix, to timm's.
    """

    architecture: str
    img_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    source: str
    licence: str
    file: str
    repo: str | None = None
    gated: bool = False
    model_args: Mapping[str, Any] = field(default_factory=dict)
    prefix: str = ""
    leftovers: tuple[str, ...] = ()
    rename: Callable[[Tensors], Tensors] = dict

    def convert(self, state: Tensors) -> Tensors:
        """The encoder's tensors under timm's names; a name that is not known stays as it is.

        Args:
            state: Tensors of a released file, by name; with the prefix or without.

        Raises:
            KeyError: If two tensors have one name, or one that belongs to another is missing.
        """
        kept: Tensors = {}
        for name, tensor in state.items():
            bare = name.removeprefix(self.prefix)
            if bare.startswith(self.leftovers):
                continue
            if bare in kept:
                raise KeyError(f"{bare} is there twice")
            kept[bare] = tensor
        return self.rename(kept)


def _from_dinov2_of_transformers(state: Tensors) -> Tensors:
    """``Dinov2Model`` of transformers; names of the original DINOv2 are timm's own and stay."""
    return _fused(
        _replaced(
            state,
            ("embeddings.patch_embeddings.projection.", "patch_embed.proj."),
            ("embeddings.position_embeddings", "pos_embed"),
            ("embeddings.cls_token", "cls_token"),
            ("encoder.layer.", "blocks."),
            (".attention.attention.query.", ".attn.q."),
            (".attention.attention.key.", ".attn.k."),
            (".attention.attention.value.", ".attn.v."),
            (".attention.output.dense.", ".attn.proj."),
            ("layer_scale1.lambda1", "ls1.gamma"),
            ("layer_scale2.lambda1", "ls2.gamma"),
            ("layernorm.", "norm."),
        )
    )


def _from_siglip_of_transformers(state: Tensors) -> Tensors:
    """``SiglipVisionModel`` of transformers; its attention pool has one projection to q, k and v, timm's has two."""
    state = _fused(
        _replaced(
            state,
            ("embeddings.patch_embedding.", "patch_embed.proj."),
            ("embeddings.position_embedding.weight", "pos_embed"),
            ("encoder.layers.", "blocks."),
            (".layer_norm", ".norm"),
            (".self_attn.q_proj.", ".attn.q."),
            (".self_attn.k_proj.", ".attn.k."),
            (".self_attn.v_proj.", ".attn.v."),
            (".self_attn.out_proj.", ".attn.proj."),
            ("post_layernorm.", "norm."),
            ("head.probe", "attn_pool.latent"),
            ("head.attention.out_proj.", "attn_pool.proj."),
            ("head.layernorm.", "attn_pool.norm."),
            ("head.mlp.", "attn_pool.mlp."),
        )
    )
    state["pos_embed"] = state["pos_embed"][None]
    for kind in ("weight", "bias"):
        query, key, value = state.pop(f"head.attention.in_proj_{kind}").chunk(3)
        state |= {f"attn_pool.q.{kind}": query, f"attn_pool.kv.{kind}": torch.cat([key, value])}
    return state


def _from_panderm(state: Tensors) -> Tensors:
    """PanDerm's CAE encoder: no bias of the keys, layer scales named gamma, no relative positions."""
    state = _replaced(state, (".gamma_1", ".ls1.gamma"), (".gamma_2", ".ls2.gamma"))
    for name in [name for name in state if name.endswith(".attn.q_bias")]:
        attention = name.removesuffix("q_bias")
        query, value = state.pop(name), state.pop(f"{attention}v_bias")
        state[f"{attention}qkv.bias"] = torch.cat([query, torch.zeros_like(query), value])
    return state


def _replaced(state: Tensors, *pairs: tuple[str, str]) -> Tensors:
    """The same tensors, each old part of a name replaced by the new one, in this order."""
    renamed = {}
    for original, tensor in state.items():
        name = original
        for old, new in pairs:
            name = name.replace(old, new)
        renamed[name] = tensor
    return renamed


def _fused(state: Tensors) -> Tensors:
    """The same tensors, each block's projections to q, k and v stacked to the one that timm has."""
    for first in [name for name in state if ".attn.q." in name]:
        parts = [state.pop(first.replace(".attn.q.", f".attn.{part}.")) for part in "qkv"]
        state[first.replace(".attn.q.", ".attn.qkv.")] = torch.cat(parts)
    return state


_IMAGENET: dict[str, Any] = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
_CLIP: dict[str, Any] = {
    "mean": (0.48145466, 0.4578275, 0.40821073),
    "std": (0.26862954, 0.26130258, 0.27577711),
}


def _retfound_mae(name: str) -> Foundation:
    """A masked autoencoder with its decoder, optimizer and arguments; util/datasets.py there has the normalisation."""
    return Foundation(
        architecture="vit_large_patch16_224",
        img_size=224,
        **_IMAGENET,
        source="https://github.com/rmaphoh/RETFound",
        licence="CC BY-NC 4.0",
        repo=f"YukunZhou/{name}",
        file=f"{name}.pth",
        gated=True,
        leftovers=("decoder_", "mask_token", "head."),
    )


def _retfound_dinov2(name: str) -> Foundation:
    """The teacher of DINOv2 with its heads; positions of 37 x 37 patches, though its card says patch 16."""
    return Foundation(
        architecture="vit_large_patch14_dinov2",
        img_size=518,
        **_IMAGENET,
        source="https://github.com/rmaphoh/RETFound",
        licence="CC BY-NC 4.0",
        repo=f"YukunZhou/{name}",
        file=f"{name}.pth",
        gated=True,
        prefix="backbone.",
        leftovers=("dino_head.", "ibot_head.", "mask_token", "head."),
    )


def _panderm(architecture: str, file: str) -> Foundation:
    """classification/models there: modeling_finetune.py has the architecture, builder.py normalisation and names."""
    return Foundation(
        architecture=architecture,
        model_args={"init_values": 0.1},  # any number: it makes the layer scales, whose values are in the file
        img_size=224,
        **_IMAGENET,
        source="https://github.com/SiyuanYan1/PanDerm",
        licence="CC BY-NC-ND 4.0",
        file=file,
        prefix="encoder.",
        leftovers=("decoder.", "teacher.", "head."),
        rename=_from_panderm,
    )


FOUNDATIONS: Mapping[str, Foundation] = {
    "retfound_cfp": _retfound_mae("RETFound_mae_natureCFP"),
    "retfound_oct": _retfound_mae("RETFound_mae_natureOCT"),
    "retfound_dinov2_meh": _retfound_dinov2("RETFound_dinov2_meh"),
    "retfound_dinov2_shanghai": _retfound_dinov2("RETFound_dinov2_shanghai"),
    "panderm_base": _panderm("vit_base_patch16_224", "panderm_bb_data6_checkpoint-499.pth"),
    "panderm_large": _panderm("vit_large_patch16_224", "panderm_ll_data6_checkpoint-499.pth"),
    "rad_dino": Foundation(
        architecture="vit_base_patch14_dinov2",
        img_size=518,
        mean=(0.5307, 0.5307, 0.5307),  # MIMIC-CXR's, from the release's preprocessor_config.json
        std=(0.2583, 0.2583, 0.2583),
        source="https://huggingface.co/microsoft/rad-dino",
        licence="MIT",
        repo="microsoft/rad-dino",
        file="model.safetensors",
        leftovers=("embeddings.mask_token", "mask_token"),
        rename=_from_dinov2_of_transformers,
    ),
    "biomedclip": Foundation(
        architecture="vit_base_patch16_224",
        img_size=224,
        **_CLIP,  # open_clip_config.json
        source="https://huggingface.co/microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224",
        licence="MIT",
        repo="microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224",
        file="open_clip_pytorch_model.bin",
        prefix="visual.trunk.",
        leftovers=("visual.head.", "text.", "logit_scale"),
    ),
    "medsiglip": Foundation(
        architecture="vit_so400m_patch14_siglip_378",
        model_args={"act_layer": "gelu_tanh"},  # transformers' default for SigLIP; timm's is the exact GELU
        img_size=448,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        source="https://huggingface.co/google/medsiglip-448",
        licence="Health AI Developer Foundations terms",
        repo="google/medsiglip-448",
        file="model.safetensors",
        gated=True,
        prefix="vision_model.",
        leftovers=("text_model.", "logit_scale", "logit_bias", "embeddings.position_ids"),
        rename=_from_siglip_of_transformers,
    ),
}
"""By the name that ``backbone:`` takes; docs/foundation_models.md tells more of each."""


def architecture_of(backbone: str, model_args: Mapping[str, Any] | None) -> tuple[str, dict[str, Any]]:
    """Timm's name of what computes a backbone, with its tag where one was given, and all arguments of it.

    Args:
        backbone: timm's name or one of :data:`FOUNDATIONS`.
        model_args: Further arguments.
    """
    foundation = FOUNDATIONS.get(backbone)
    if foundation is None:
        return backbone, dict(model_args or {})
    return foundation.architecture, {**foundation.model_args, **(model_args or {})}


def require_known(name: str) -> None:
    """Refuse a backbone that neither timm nor medlit knows, with the nearest names.

    Raises:
        ConfigurationError: Naming up to three similar models.
    """
    import difflib

    import timm

    if name not in FOUNDATIONS and not timm.is_model(name):
        near = difflib.get_close_matches(name, [*FOUNDATIONS, *timm.list_models(), *timm.list_pretrained()], n=3)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise ConfigurationError(f"backbone: neither timm nor medlit has a model {name!r}{hint}")
