"""MaMA: an image tower and a text tower, and the heads by which images, texts, patches and sentences are compared."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from medlit.errors import ConfigurationError
from medlit.models.adapted_backbone import adapter_settings
from medlit.models.lineage import Cut
from medlit.models.mama.chunks import in_chunks
from medlit.models.mama.heads import clamped_exp, first_log_scale, local_head, unit_length, view_head
from medlit.models.mama.settings import ImageTower, TextTower, plain
from medlit.models.text_encoder import TextEncoder
from medlit.models.vision_encoder import VisionEncoder

Fidelity = Literal["paper", "code"]
"""Whether a text's mean leaves padding out, as the paper says, or takes all positions, as the released code does."""


@dataclass(frozen=True)
class ImageFeatures:
    """What the image tower yields; B images, P patches, D channels."""

    pooled: Tensor
    """(B, D): mean of all tokens of the last block, before the final norm."""
    patches: Tensor | None
    """(B, P, D): patches after the final norm; None where they were not asked for."""


class MaMAModel(nn.Module):
    """Two towers in one space.

    Letters: B images or captions, T tokens of a caption, S sentences, P patches, D and H channels of the image and of
    the text tower, E of the common space.

    Reference: Du, Onofrey, Dvornek, "Multi-View and Multi-Scale Alignment for Contrastive Language-Image Pre-training
    in Mammography", IPMI 2025, arXiv 2409.18119.

    Args:
        img_size: Side of the images, pixels.
        num_tokens: Tokens that the data's tokenizer knows.
        image: The image tower; null: DINOv2 ViT-B/14 with registers, as Du et al.
        text: The text tower; null: BioMedLM, frozen (Du et al. add LoRA).
        embed_dim: E.
        local_hidden: Width between the layers of the local heads.
        fidelity: ``code``: a text is the mean over all positions of its batch, padding included, as in the released
            code (which pads every text to 144 tokens, not to the longest of the batch); ``paper``: over its real
            tokens.

    Raises:
        ConfigurationError: If a setting does not fit a tower.
        WeightsNotFoundError: If weights are asked for and not to be had.
    """

    def __init__(
        self,
        *,
        img_size: int,
        num_tokens: int,
        image: ImageTower | None = None,
        text: TextTower | None = None,
        embed_dim: int = 512,
        local_hidden: int = 2048,
        fidelity: Fidelity = "paper",
    ) -> None:
        super().__init__()
        self.image_tower = image or ImageTower()
        self.text_tower = text or TextTower()
        self.embed_dim, self.local_hidden, self.fidelity = embed_dim, local_hidden, fidelity
        if fidelity not in get_args(Fidelity):
            raise ConfigurationError(f"fidelity: one of {', '.join(get_args(Fidelity))} is needed, got {fidelity!r}")
        self.image_encoder = VisionEncoder(**vars(self.image_tower), img_size=img_size, pooling="mean_tokens")
        if self.image_encoder.vit.attn_pool is not None:
            self.image_encoder.vit.attn_pool.requires_grad_(False)  # no loss reads it, weight decay would shrink it
        self.text_encoder = TextEncoder(**vars(self.text_tower), num_tokens=num_tokens)
        width, text_width = self.image_encoder.width, self.text_encoder.width
        self.image_projection = nn.Linear(width, embed_dim)
        self.text_projection = nn.Linear(text_width, embed_dim)
        self.view_projection = view_head(width, embed_dim)
        self.patch_head = local_head(width, local_hidden, embed_dim)
        self.sentence_head = local_head(text_width, local_hidden, embed_dim)
        self.log_scale, self.log_local_scale = first_log_scale(), first_log_scale()
        # Of a checkpoint that was loaded into it, see medlit.models.lineage.
        self.restrictions: dict[str, str] = {}
        self.cuts: list[Cut] = []

    def encode_images(
        self, images: Tensor, *, patches: bool = True, micro_batch_size: int | None = None
    ) -> ImageFeatures:
        """The image tower, run once for all losses.

        Args:
            images: (B, 3, H, W), RGB in [0, 1].
            patches: Whether the features of patches are needed.
            micro_batch_size: See :func:`in_chunks`; None: all images at once.
        """

        def tower(part: Tensor) -> tuple[Tensor, ...]:
            """Features of some images."""
            tokens = self.image_encoder.tokens(part)
            pooled = tokens.mean(dim=1)
            return (pooled, self.image_encoder.patch_features(tokens)) if patches else (pooled,)

        pooled, *rest = in_chunks(tower, images, micro_batch_size=micro_batch_size)
        return ImageFeatures(pooled=pooled, patches=rest[0] if rest else None)

    def encode_texts(self, input_ids: Tensor, attention_mask: Tensor, *, micro_batch_size: int | None = None) -> Tensor:
        """Last hidden states of the text tower, (B, T, H).

        Args:
            input_ids: (B, T) int64, padded on the right.
            attention_mask: (B, T) int64, 0 for padding.
            micro_batch_size: See :func:`in_chunks`; None: all captions at once.
        """

        def tower(ids: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
            """Hidden states of some captions."""
            return (self.text_encoder(ids, mask),)

        with torch.set_grad_enabled(torch.is_grad_enabled() and self.text_encoder.is_trained):
            [hidden] = in_chunks(tower, input_ids, attention_mask, micro_batch_size=micro_batch_size)
        return hidden

    def pool_text(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        """One vector per caption, (B, H): the mean over its real tokens, of ``fidelity: code`` over all T positions.

        Args:
            hidden: (B, T, H) of :meth:`encode_texts`.
            attention_mask: (B, T) int64; every caption has a token.
        """
        if self.fidelity == "code":
            return hidden.mean(dim=1)
        real = attention_mask[..., None].bool()
        total = hidden.masked_fill(~real, 0).sum(dim=1)  # not a product: padding may hold anything
        return total / real.sum(dim=1).clamp_min(1).to(hidden.dtype)

    def sentence_features(self, hidden: Tensor, sentence_positions: Tensor) -> tuple[Tensor, Tensor]:
        """The hidden state at the end of each sentence.

        Args:
            hidden: (B, T, H).
            sentence_positions: (B, S) int64, places in T; -1 where a caption has fewer sentences.

        Returns:
            Features (S', H) of all S' sentences and the row in B of each, (S',) int64; in the order of the captions.
        """
        owner, column = (sentence_positions >= 0).nonzero(as_tuple=True)
        return hidden[owner, sentence_positions[owner, column]], owner

    def image_embedding(self, pooled: Tensor) -> Tensor:
        """Images (B, D) in the common space: (B, E) float32 of length one."""
        return unit_length(self.image_projection(pooled))

    def text_embedding(self, pooled: Tensor) -> Tensor:
        """Captions (B, H) in the common space: (B, E) float32 of length one."""
        return unit_length(self.text_projection(pooled))

    def view_embedding(self, pooled: Tensor) -> Tensor:
        """Images (B, D) as the loss between two images compares them, (B, E); that loss normalises."""
        projected: Tensor = self.view_projection(pooled)
        return projected

    def local_patches(self, patches: Tensor) -> Tensor:
        """Patches (B, P, D) as the local loss compares them: (B, P, E) float32 of length one."""
        rows: Tensor = self.patch_head(patches.flatten(0, 1))
        return unit_length(rows).view(*patches.shape[:2], -1)

    def local_sentences(self, sentences: Tensor) -> Tensor:
        """Sentences (S', H) as the local loss compares them: (S', E) float32 of length one."""
        return unit_length(self.sentence_head(sentences))

    @property
    def scale(self) -> Tensor:
        """exp(tau) of the losses between images and texts, scalar, at most 100."""
        return clamped_exp(self.log_scale)

    @property
    def local_scale(self) -> Tensor:
        """exp(tau) of the local loss, scalar, at most 100."""
        return clamped_exp(self.log_local_scale)

    def late_parameters(self, terms: Collection[str] = ("view", "local")) -> list[nn.Parameter]:
        """Parameters that no loss but the late ones reads; the final norm of the image tower is among the local ones.

        Args:
            terms: Of the late losses; those of the view loss, of the local loss, or both.
        """
        view = list(self.view_projection.parameters())
        local = [parameter for head in (self.patch_head, self.sentence_head) for parameter in head.parameters()]
        local += [self.log_local_scale, *self.image_encoder.parameters_after_blocks()]
        return [*(view if "view" in terms else []), *(local if "local" in terms else [])]

    def trained_state(self) -> dict[str, Tensor]:
        """Tensors that training may change, by name: all but the frozen parameters of the text tower."""
        frozen = {f"text_encoder.{name}" for name in self.text_encoder.frozen_names()}
        return {name: tensor for name, tensor in self.state_dict().items() if name not in frozen}

    def settings(self) -> dict[str, Any]:
        """What shaped training beside the weights, as plain types: a checkpoint means nothing under other settings."""
        adapter = adapter_settings(self.text_tower.adapter)
        return {
            "embed_dim": self.embed_dim,
            "local_hidden": self.local_hidden,
            "fidelity": self.fidelity,
            "train_text": self.text_tower.train_backbone,
            "train_new_tokens": self.text_tower.train_new_tokens,
            **{f"text_{name}": value for name, value in adapter.items()},
        }

    def image_info(self) -> dict[str, Any]:
        """What the image tower is, as plain types: a checkpoint says so, and whoever takes the tower compares."""
        encoder = self.image_encoder
        return {
            "name": self.image_tower.backbone,
            "model_args": plain(self.image_tower.model_args or {}),
            "img_size": encoder.img_size,
            "padding": encoder.padding,
            "image_mean": encoder.mean.flatten().tolist(),
            "image_std": encoder.std.flatten().tolist(),
        }

    def text_info(self) -> dict[str, Any]:
        """What the text tower is, as plain types, and which frozen weights it has."""
        return {
            "name": self.text_tower.backbone,
            "model_args": plain(self.text_tower.model_args or {}),
            "num_tokens": self.text_encoder.num_tokens,
            "fingerprint": self.text_encoder.fingerprint(),
        }
