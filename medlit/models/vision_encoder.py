"""A timm vision transformer as a function from images to tokens that lets extra tokens in at any block."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from timm.layers.patch_dropout import patch_dropout_forward
from timm.layers.pos_embed_sincos import apply_keep_indices_nlc
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from medlit.errors import ConfigurationError
from medlit.models.foundations import FOUNDATIONS, architecture_of, require_known
from medlit.models.frugal_block import frugal_block, is_plain
from medlit.models.lineage import Cut, inherit
from medlit.models.mama.transfer import read_mama_run
from medlit.models.timm_vit import (
    attention_mask,
    cls_after,
    create_vit,
    padding_for,
    patch_size_of,
    wants_cls,
    without_rotation,
    zero_of,
)
from medlit.models.weights import download_weights, find_weights, load_foundation_weights, stated_info

Pooling = Literal["backbone", "mean_tokens"]
"""How an image becomes one vector; see :class:`VisionEncoder`."""


class VisionEncoder(nn.Module):
    """Images in, final-norm tokens out; a timm ``VisionTransformer`` (CLIP, DINOv2, ...) or ``Eva`` (DINOv3, EVA-02).

    Letters: B images, H = W = ``img_size`` pixels, N tokens (prefix, then patches), E extra tokens, D channels.

    Args:
        backbone: timm's name, with or without its tag, as ``vit_base_patch14_reg4_dinov2.lvd142m``; or a name of
            docs/foundation_models.md, as ``retfound_cfp``.
        img_size: Side of the square images, pixels; a multiple of the patch size, unless ``pad`` is set.
        pretrained: Take the released weights from the hub (or its local cache).
        weights: A local file or folder of weights instead; goes before ``pretrained``. A checkpoint of a MaMA run gives
            its image tower.
        model_args: Further arguments of the timm model, as ``{depth: 2, embed_dim: 32}``; ``{global_pool: avg}`` makes
            the mean of the patches the summary, in place of the CLS token.
        pad: Pad images with zeros, after normalisation, at the right and bottom to the next multiple of the patch size.
        image_mean: RGB mean in [0, 1] to normalise by; null takes the backbone's own, or the MaMA run's.
        image_std: RGB standard deviation, likewise.
        pooling: What an image's vector is: ``backbone``, the CLS token or what ``global_pool`` says, after the final
            norm; ``mean_tokens``, the mean of all its tokens before the final norm, as MaMA pools.
        patch_dropout: Share of the patches, in [0, 1), that training leaves out, drawn afresh for every image, after
            positions are added; prefix tokens stay.
        gradient_checkpointing: Recompute each block in the backward pass: less memory, about a third more time.

    Raises:
        ConfigurationError: If timm has no such model, it is no plain ViT, or a setting does not fit it.
        WeightsNotFoundError: If weights are asked for and not to be had.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: str,
        *,
        img_size: int,
        pretrained: bool = True,
        weights: str | None = None,
        model_args: dict[str, Any] | None = None,
        pad: bool = False,
        image_mean: Sequence[float] | None = None,
        image_std: Sequence[float] | None = None,
        pooling: Pooling = "backbone",
        patch_dropout: float = 0.0,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        require_known(backbone)
        foundation = FOUNDATIONS.get(backbone)
        if "img_size" in (model_args or {}):
            raise ConfigurationError("model_args: img_size is the data's, set it there")
        architecture, arguments = architecture_of(backbone, model_args)
        patch_size = patch_size_of(architecture, arguments)
        self.model_args = dict(model_args or {})
        self.padding = padding_for(img_size, patch_size, pad=pad)
        self.img_size = img_size
        self.gradient_checkpointing = gradient_checkpointing
        if pooling not in get_args(Pooling):
            raise ConfigurationError(f"pooling: one of {', '.join(get_args(Pooling))} is needed, got {pooling!r}")
        self.pooling = pooling
        if not 0 <= patch_dropout < 1:
            raise ConfigurationError(f"patch_dropout: a share from 0 to below 1 is needed, got {patch_dropout}")
        self.patch_dropout = patch_dropout
        self.vit = create_vit(architecture, {**arguments, "img_size": img_size + self.padding})
        self.reads_cls = self.vit.attn_pool is None and self.vit.cls_token is not None and wants_cls(arguments)
        self.width: int = self.vit.num_features
        file = None if weights is None else find_weights(weights)
        run = None if file is None else read_mama_run(file)
        self.restrictions: dict[str, str] = {} if run is None else run.restrictions
        self.cuts: list[Cut] = [] if run is None else run.cuts
        own = vars(foundation) if foundation is not None else self.vit.pretrained_cfg
        if run is not None:
            run.load(self.vit, backbone, model_args)
            own = {"mean": run.image_mean, "std": run.image_std}
        elif file is not None:
            load_foundation_weights(self.vit, file, foundation)
            inherit(self, stated_info(file), source=str(file))
        elif pretrained:
            load_foundation_weights(self.vit, download_weights(self.vit, backbone, foundation), foundation)
        for name, given in (("mean", image_mean), ("std", image_std)):
            values = tuple(own[name] if given is None else given)
            if len(values) != 3 or (name == "std" and not all(value > 0 for value in values)):
                raise ConfigurationError(f"image_{name}: three numbers are needed, of a std positive, got {values}")
            self.register_buffer(name, torch.tensor(values).float().view(1, 3, 1, 1), persistent=False)

    def forward(
        self,
        images: Tensor,
        extra_tokens: Tensor | None = None,
        *,
        insert_at: int = 0,
        extra_mask: Tensor | None = None,
    ) -> Tensor:
        """Tokens of the last block after the final norm, if the model has one before it pools.

        Args:
            images: (B, 3, H, W), RGB in [0, 1]; normalised here. Or (B, T, D): tokens in place of the patches, without
                a position.
            extra_tokens: (B, E, D) tokens without a position, which join the sequence before block ``insert_at``.
            insert_at: Block index, 0 to depth - 1.
            extra_mask: (B, E) bool, False for extra tokens that no token attends to, as if they were not there; None:
                all count.

        Returns:
            (B, N + E, D): prefix tokens, patch tokens, extra tokens at the end.
        """
        tokens = self._run_blocks(images, extra_tokens, insert_at=insert_at, extra_mask=extra_mask, summary_only=False)
        normed: Tensor = self.vit.norm(tokens)
        return normed

    def summarise(
        self,
        images: Tensor,
        extra_tokens: Tensor | None = None,
        *,
        insert_at: int = 0,
        extra_mask: Tensor | None = None,
    ) -> Tensor:
        """:meth:`summary` of :meth:`forward`, sparing what the last block would compute for tokens that nobody reads.

        Args:
            images: (B, 3, H, W), RGB in [0, 1]; or (B, T, D), tokens in place of the patches.
            extra_tokens: (B, E, D).
            insert_at: Block before which they join.
            extra_mask: (B, E) bool, False for extra tokens that do not count; None: all do.

        Returns:
            (B, D).
        """
        alone = self.pooling == "backbone"
        tokens = self._run_blocks(images, extra_tokens, insert_at=insert_at, extra_mask=extra_mask, summary_only=alone)
        own = tokens.shape[1] - (0 if extra_tokens is None else extra_tokens.shape[1])
        if not alone:
            return tokens[:, :own].mean(dim=1) + zero_of(self.parameters_after_blocks())
        return self.summary(self.vit.norm(tokens), num_patches=own - self.vit.num_prefix_tokens)

    def tokens(self, images: Tensor) -> Tensor:
        """Tokens of the last block before the final norm.

        Args:
            images: (B, 3, H, W), RGB in [0, 1].

        Returns:
            (B, N, D): prefix tokens, then patches; of those fewer where ``patch_dropout`` acts.
        """
        return self._run_blocks(images, None, insert_at=0, extra_mask=None, summary_only=False)

    def patch_features(self, tokens: Tensor) -> Tensor:
        """Patches after the final norm, wherever timm keeps that, (B, P, D), of :meth:`tokens`, (B, P + prefix, D)."""
        normed: Tensor = self.vit.fc_norm(self.vit.norm(tokens[:, self.vit.num_prefix_tokens :]))
        return normed

    def summary(self, tokens: Tensor, *, num_patches: int | None = None) -> Tensor:
        """The backbone's own vector of an image: the CLS token, else what timm pools (attention, or a mean of patches).

        Args:
            tokens: (B, N + E, D) of :meth:`forward`; extra tokens at the end are not pooled.
            num_patches: Tokens between prefix and extra ones; None: as many as an image has patches.

        Returns:
            (B, D).
        """
        if self.reads_cls:
            pooled: Tensor = tokens[:, 0]
        else:
            patches = num_patches or self.vit.patch_embed.num_patches
            pooled = self.vit.pool(tokens[:, : self.vit.num_prefix_tokens + patches])
        normed: Tensor = self.vit.fc_norm(pooled)
        return normed

    def _run_blocks(
        self,
        images: Tensor,
        extra_tokens: Tensor | None,
        *,
        insert_at: int,
        extra_mask: Tensor | None,
        summary_only: bool,
    ) -> Tensor:
        """Tokens (B, N + E, D) before the final norm; for a summary alone perhaps only the CLS token, (B, 1, D)."""
        tokens, rope = self._embed_tokens(images) if images.ndim == 3 else self._embed(images)
        attention: dict[str, Tensor] = {}
        for index, block in enumerate(self.vit.blocks):
            if extra_tokens is not None and index == insert_at:
                if extra_mask is not None:
                    attention = {"attn_mask": attention_mask(extra_mask, before=tokens)}
                tokens = torch.cat([tokens, extra_tokens.to(tokens.dtype)], dim=1)
                rope = without_rotation(rope, extra_tokens.shape[1])
            arguments: dict[str, Any] = dict(attention)
            if rope is not None:
                arguments["rope"] = rope[index] if getattr(self.vit, "rope_mixed", False) else rope
            if summary_only and index == self.depth - 1 and type(block) is Block and self.reads_cls:
                run: Callable[..., Tensor] = partial(cls_after, block)
            elif not (arguments or self.gradient_checkpointing) and torch.is_grad_enabled() and is_plain(block):
                run = partial(frugal_block, block)
            else:
                run = block
            if self.gradient_checkpointing and torch.is_grad_enabled():
                tokens = checkpoint(run, tokens, use_reentrant=False, **arguments)
            else:
                tokens = run(tokens, **arguments)
        return tokens

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return len(self.vit.blocks)

    def _embed(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Tokens (B, N, D) before the first block, and the rotary embedding of the patches where there is one."""
        if images.shape[-2:] != (self.img_size, self.img_size):
            raise ConfigurationError(
                f"images are {tuple(images.shape[-2:])} pixels, the encoder expects {self.img_size} x {self.img_size}"
            )
        images = F.pad((images - self.mean) / self.std, (0, self.padding, 0, self.padding))
        embedded = self.vit._pos_embed(self.vit.patch_embed(images))
        tokens, rope = embedded if isinstance(embedded, tuple) else (embedded, None)
        tokens, kept = patch_dropout_forward(
            tokens, self.patch_dropout, self.vit.num_prefix_tokens, ordered=False, training=self.training
        )
        if rope is not None and kept is not None:
            rope = apply_keep_indices_nlc(tokens, rope, kept)  # (B, P, d), or with a depth and heads behind B
            rope = rope.transpose(0, 1) if getattr(self.vit, "rope_mixed", False) else rope[:, None]
        return self.vit.norm_pre(tokens), rope

    def parameters_after_blocks(self) -> list[nn.Parameter]:
        """Parameters of what follows the last block: final norms, attention pooling."""
        parts = (self.vit.norm, self.vit.fc_norm, self.vit.attn_pool)
        return [parameter for part in parts if part is not None for parameter in part.parameters()]

    def _embed_tokens(self, tokens: Tensor) -> tuple[Tensor, Tensor | None]:
        """Tokens (B, P + T, D): the P prefix tokens as an image has them, then those given; no rotation of either."""
        grid = self.vit.patch_embed.grid_size
        shape = grid if self.vit.dynamic_img_size else (grid[0] * grid[1],)
        embedded = self.vit._pos_embed(tokens.new_zeros(1, *shape, self.width))
        nothing, rope = embedded if isinstance(embedded, tuple) else (embedded, None)
        prefix = self.vit.norm_pre(nothing[:, : self.vit.num_prefix_tokens]).expand(len(tokens), -1, -1)
        rope = None if rope is None else without_rotation(rope[..., :0, :], tokens.shape[1])
        return torch.cat([prefix, tokens.to(prefix.dtype)], dim=1), rope
