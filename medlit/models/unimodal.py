"""One modality, one backbone, a linear head: the first stage, and what Early Intervention is compared with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from peft import PeftConfig
from torch import Tensor, nn

from medlit.errors import ConfigurationError
from medlit.models.adapted_backbone import DEFAULT_ADAPTER, AdaptedBackbone
from medlit.models.base import AdaptedClassifier
from medlit.models.pooling import case_images, masked_max, masked_mean
from medlit.models.vision_encoder import Pooling, VisionEncoder

PASS = "unimodal"
"""Name of the one pass through the backbone."""


@dataclass(frozen=True)
class UnimodalOutput:
    """What one forward pass yields; B cases, C classes."""

    logits: Tensor
    """(B, C): maximum over the images of a case."""


class UnimodalClassifier(AdaptedClassifier):
    """Classifier over one modality: every image of a case is scored, the maximum counts.

    Args:
        modalities: Exactly one name.
        num_classes: C, number of classes (or of labels, where a case may have several).
        img_size: Side of the images, pixels.
        variables: Names of the clinical variables, where those are the modality.
        backbone: The vision transformer: timm's name, or one of docs/foundation_models.md, as ``retfound_cfp``.
        pretrained: Take the released weights from the hub (or its local cache).
        weights: A local file or folder of foundation weights instead, or a checkpoint of a MaMA run.
        model_args: Further arguments of the timm model.
        adapter: Any configuration of PEFT; null: no adapter (linear probe, or full fine-tuning).
        train_backbone: Train the backbone's own weights; needs ``adapter: null``.
        pad: Pad images to a multiple of the patch size.
        image_mean: RGB mean to normalise by; null: the backbone's own, or the MaMA run's.
        image_std: RGB standard deviation, likewise.
        pooling: ``backbone``: an image is the backbone's own summary; ``mean_tokens``: the mean of all its tokens
            before the final norm, as MaMA pools.
        gradient_checkpointing: Recompute blocks in the backward pass to save memory.

    Raises:
        ConfigurationError: If there is not exactly one modality, or a setting does not fit the backbone.
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
        if len(modalities) != 1:
            raise ConfigurationError(
                f"a unimodal model takes one modality, got {list(modalities)}; set the data's modalities to one name"
            )
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
                passes=[PASS],
                adapter=adapter,
                train_encoder=train_backbone,
                num_variables=len(variables),
            ),
            variables=variables,
        )
        self.head = nn.Linear(encoder.width, num_classes)

    def forward(self, images: dict[str, Tensor], image_mask: dict[str, Tensor] | None = None) -> UnimodalOutput:
        """Logits (B, C) of each case.

        Args:
            images: By modality, (B, I, 3, H, W), RGB in [0, 1], or clinical variables (B, 1, V), NaN where unknown;
                other modalities than the model's are not looked at.
            image_mask: By modality, (B, I) bool, False for padding; None: there is none.

        Raises:
            ValueError: If a case has no image of the modality.
        """
        embeddings, mask = self._embed(images, image_mask)
        return UnimodalOutput(logits=masked_max(self.head(embeddings), mask))

    def features(self, images: dict[str, Tensor], image_mask: dict[str, Tensor] | None = None) -> Tensor:
        """One vector of each case, (B, D): the mean over its images of what the head reads.

        Args:
            images: As in :meth:`forward`.
            image_mask: Likewise.

        Raises:
            ValueError: If a case has no image of the modality.
        """
        return masked_mean(*self._embed(images, image_mask))

    def _embed(self, images: dict[str, Tensor], image_mask: dict[str, Tensor] | None) -> tuple[Tensor, Tensor | None]:
        """Each image as a vector, (B, I, D), and which images are real, (B, I); None: all."""
        [modality] = self.modalities
        mask = case_images(images, image_mask, self.modalities).masks[modality]
        return self.backbone(images[modality], adapter=PASS, image_mask=mask), mask
