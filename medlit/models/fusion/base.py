"""What all late fusions share: one pass of the backbone per modality, and cases that lack some."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from peft import PeftConfig
from torch import Tensor

from medlit.errors import ConfigurationError
from medlit.models.adapted_backbone import DEFAULT_ADAPTER, AdaptedBackbone
from medlit.models.base import AdaptedClassifier
from medlit.models.pooling import CaseImages, case_images, masked_mean
from medlit.models.vision_encoder import Pooling, VisionEncoder


@dataclass(frozen=True)
class FusionOutput:
    """What one forward pass yields; B cases, C classes, M modalities."""

    logits: Tensor
    """(B, C): the answer, from all modalities of a case."""
    present: Tensor
    """(B, M) bool: which modalities a case has."""
    by_modality: dict[str, Tensor] = field(default_factory=dict)
    """By modality, (B, C) logits of its own head, zero where absent; empty for a model without such heads."""
    weights: Tensor | None = None
    """(B, M) float32 shares of the modalities in the answer, in their order, zero where absent, each row sums to one;
    None for a model that gives none."""


class FusionClassifier(AdaptedClassifier, ABC):
    """Classifier over several modalities that meet after the backbone; subclasses say how.

    A case that lacks a modality is answered from those it has, as if the model had no others.

    Args:
        modalities: Names, two or more; weights follow this order.
        num_classes: C, number of classes (or of labels, where a case may have several).
        img_size: Side of the images, pixels.
        variables: Names of the clinical variables, where those are one of the modalities.
        backbone: The vision transformer, shared by the passes of all modalities: timm's name, or one of
            docs/foundation_models.md, as ``retfound_cfp``.
        pretrained: Take the released weights from the hub (or its local cache).
        weights: A local file or folder of foundation weights instead, or a checkpoint of a MaMA run.
        model_args: Further arguments of the timm model.
        adapter: Adapters of each pass, any configuration of PEFT; null: none (linear probe, or full fine-tuning).
        train_backbone: Train the backbone's own weights, one encoder by all passes; needs ``adapter: null``.
        pad: Pad images to a multiple of the patch size.
        image_mean: RGB mean to normalise by; null: the backbone's own, or the MaMA run's.
        image_std: RGB standard deviation, likewise.
        pooling: ``backbone``: an image is the backbone's own summary; ``mean_tokens``: the mean of all its tokens
            before the final norm, as MaMA pools.
        gradient_checkpointing: Recompute blocks in the backward pass to save memory.

    Raises:
        ConfigurationError: If fewer than two modalities are given, or a setting does not fit the backbone.
    """

    def __init__(
        self,
        *,
        modalities: Sequence[str],
        num_classes: int,
        img_size: int,
        variables: Sequence[str] = (),
        backbone: str = "vit_base_patch14_reg4_dinov2.lvd142m",
        pretrained: bool = True,
        weights: str | None = None,
        model_args: dict[str, Any] | None = None,
        adapter: PeftConfig | None = DEFAULT_ADAPTER,
        train_backbone: bool = False,
        pad: bool = False,
        image_mean: Sequence[float] | None = None,
        image_std: Sequence[float] | None = None,
        pooling: Pooling = "backbone",
        gradient_checkpointing: bool = False,
    ) -> None:
        if len(modalities) < 2 or len(set(modalities)) < len(modalities):
            raise ConfigurationError(f"a fusion needs two or more different modalities, got {list(modalities)}")
        encoder = VisionEncoder(
            backbone,
            img_size=img_size,
            pretrained=pretrained,
            weights=weights,
            model_args=model_args,
            pad=pad,
            image_mean=image_mean,
            image_std=image_std,
            pooling=pooling,
            gradient_checkpointing=gradient_checkpointing,
        )
        super().__init__(
            modalities=modalities,
            num_classes=num_classes,
            backbone_name=backbone,
            backbone=AdaptedBackbone(
                encoder,
                passes=modalities,
                adapter=adapter,
                train_encoder=train_backbone,
                num_variables=len(variables),
            ),
            variables=variables,
        )
        self.make_parts(encoder.width)

    @abstractmethod
    def make_parts(self, width: int) -> None:
        """Make what comes after the backbone, whose embeddings have ``width`` channels."""

    @abstractmethod
    def fuse(self, embeddings: dict[str, Tensor], batch: CaseImages) -> FusionOutput:
        """The answer from the embeddings of each modality's images, (B, I, D), zero where there is no image."""

    def forward(self, images: dict[str, Tensor], image_mask: dict[str, Tensor] | None = None) -> FusionOutput:
        """Logits (B, C) of each case.

        Args:
            images: By modality, (B, I, 3, H, W), RGB in [0, 1]; I images of a case, which may differ by modality. Of
                clinical variables (B, 1, V), NaN where unknown. A modality that no case has may be left out.
            image_mask: By modality, (B, I) bool, False for padding and for absent cases; None: all images are real.

        Raises:
            ValueError: If a case has no image of any modality.
        """
        batch = case_images(images, image_mask, self.modalities)
        embeddings = {
            name: self.backbone(batch.images[name], adapter=name, image_mask=batch.masks[name])
            for name in self.modalities
        }
        return self.fuse(embeddings, batch)


def pooled(embeddings: dict[str, Tensor], batch: CaseImages) -> Tensor:
    """Each modality as the mean over its images, (B, M, D); zeros where absent.

    Args:
        embeddings: By modality, (B, I, D), in the order of the modalities.
        batch: Whose masks say which images are real.
    """
    return torch.stack([masked_mean(values, batch.masks[name]) for name, values in embeddings.items()], dim=1)


def share_out(scores: Tensor, mask: Tensor) -> Tensor:
    """Softmax over the last axis, in float32, among what the mask lets through; zero elsewhere.

    Args:
        scores: (B, K), any float dtype.
        mask: (B, K) bool, True somewhere in each row.
    """
    return scores.float().masked_fill(~mask, float("-inf")).softmax(dim=-1)
