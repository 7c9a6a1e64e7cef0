"""Early Intervention: a token of each modality steers the embedding of every other from the first block on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftConfig
from torch import Tensor, nn

from medlit.errors import ConfigurationError
from medlit.models.adapted_backbone import DEFAULT_ADAPTER, AdaptedBackbone
from medlit.models.base import AdaptedClassifier
from medlit.models.pooling import case_images, masked_max, masked_mean, zero_absent
from medlit.models.vision_encoder import Pooling, VisionEncoder
from medlit.precision import autocast_off

PROJECTOR_WIDTH = 384
"""Hidden width of the projector of an intervention token (released configuration: 592,512 parameters at D = 768)."""


@dataclass(frozen=True)
class EarlyInterventionOutput:
    """What one forward pass yields; B cases, C classes, M modalities."""

    fused: Tensor
    """(B, C) logits: the main logits weighted by the gate; its gradient reaches the gate alone."""
    auxiliary: dict[str, Tensor]
    """By modality, (B, C) logits of the pass without intervention."""
    main: dict[str, Tensor]
    """By modality, (B, C) logits of the pass steered by the other modalities."""
    gate: Tensor
    """(B, M) float32 weights in the order of the modalities, each row sums to one."""
    present: Tensor
    """(B, M) bool: which modalities a case has; logits and weights of the others are zero and mean nothing."""


class EarlyInterventionClassifier(AdaptedClassifier):
    """Classifier over several modalities by Early Intervention.

    A case that lacks a modality is answered exactly as by a model without it: it gives no intervention token, and the
    gate chooses among the others.

    Reference: Wei, Lin, Li, "EI: Early Intervention for Multimodal Imaging based Disease Recognition",
    arXiv 2603.17514.

    Args:
        modalities: Names, two or more; the gate's weights follow this order.
        num_classes: C, number of classes (or of labels, where a case may have several).
        img_size: Side of the images, pixels.
        variables: Names of the clinical variables, where those are one of the modalities.
        backbone: The frozen vision transformer, shared by all passes: timm's name, or one of docs/foundation_models.md,
            as ``retfound_cfp``.
        pretrained: Take the released weights from the hub (or its local cache).
        weights: A local file or folder of foundation weights instead, or a checkpoint of a MaMA run.
        model_args: Further arguments of the timm model.
        adapter: Adapters of each pass, any configuration of PEFT; null: none (linear probe, or full fine-tuning).
        train_backbone: Train the backbone's own weights, one encoder by all passes; needs ``adapter: null``.
        intervene_at: Block before which the intervention tokens join, 0 to depth - 1; negative: counted from the end.
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
        intervene_at: int = 0,
        pad: bool = False,
        image_mean: Sequence[float] | None = None,
        image_std: Sequence[float] | None = None,
        pooling: Pooling = "backbone",
        gradient_checkpointing: bool = False,
    ) -> None:
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
        _check(modalities, intervene_at, encoder.depth)
        passes = [f"{kind}_{modality}" for kind in ("auxiliary", "main") for modality in modalities]
        super().__init__(
            modalities=modalities,
            num_classes=num_classes,
            backbone_name=backbone,
            backbone=AdaptedBackbone(
                encoder,
                passes=passes,
                adapter=adapter,
                train_encoder=train_backbone,
                num_variables=len(variables),
            ),
            variables=variables,
        )
        self.intervene_at = intervene_at % encoder.depth
        self.auxiliary_heads = nn.ModuleDict({name: nn.Linear(encoder.width, num_classes) for name in self.modalities})
        self.main_heads = nn.ModuleDict({name: nn.Linear(encoder.width, num_classes) for name in self.modalities})
        self.projectors = nn.ModuleDict(
            {
                target: nn.ModuleDict({other: projector(encoder.width) for other in self.modalities if other != target})
                for target in self.modalities
            }
        )
        self.gate = nn.Linear(len(self.modalities) * encoder.width, len(self.modalities))

    def forward(
        self, images: dict[str, Tensor], image_mask: dict[str, Tensor] | None = None
    ) -> EarlyInterventionOutput:
        """Logits of every pass and the gate that weighs them.

        Args:
            images: By modality, (B, I, 3, H, W), RGB in [0, 1]; I images of a case, which may differ by modality. Of
                clinical variables (B, 1, V), NaN where unknown. A modality that no case has may be left out.
            image_mask: By modality, (B, I) bool, False for padding and for absent cases; None: all images are real.

        Returns:
            Logits and gate. Nothing is detached between the passes: the main losses train the auxiliary adapters too.

        Raises:
            ValueError: If a case has no image of any modality.
        """
        batch = case_images(images, image_mask, self.modalities)
        auxiliary, reference = {}, {}
        for name in self.modalities:
            mask = batch.masks[name]
            embedding = self.backbone(batch.images[name], adapter=f"auxiliary_{name}", image_mask=mask)  # (B, I, D)
            auxiliary[name] = masked_max(self.auxiliary_heads[name](embedding), mask)
            reference[name] = masked_max(embedding, mask)
        main, steered = {}, []
        for index, name in enumerate(self.modalities):
            mask = batch.masks[name]
            others = [other for other in range(len(self.modalities)) if other != index]
            embedding = self.backbone(
                batch.images[name],
                adapter=f"main_{name}",
                image_mask=mask,
                extra_tokens=torch.stack([project(reference[other]) for other, project in self._projectors(name)], 1),
                extra_mask=None if batch.complete else batch.present[:, others],
                insert_at=self.intervene_at,
            )
            steered.append(masked_mean(embedding, mask))  # (B, D)
            main[name] = self.main_heads[name](steered[-1])
            if not batch.complete:
                main[name] = zero_absent(main[name], batch.present[:, index])
        gate = self._gate(steered, None if batch.complete else batch.present)
        logits = torch.stack([main[name] for name in self.modalities], dim=1).detach()  # (B, M, C)
        fused = (gate[..., None] * logits.float()).sum(dim=1)
        return EarlyInterventionOutput(fused=fused, auxiliary=auxiliary, main=main, gate=gate, present=batch.present)

    def settings(self) -> dict[str, Any]:
        """What shaped training beside the weights; also the block of the intervention."""
        return {**super().settings(), "intervene_at": self.intervene_at}

    def _projectors(self, target: str) -> list[tuple[str, nn.Module]]:
        """Each reference of a target with the projector that makes its intervention token."""
        projectors = self.projectors[target]
        return [(other, projectors.get_submodule(other)) for other in self.modalities if other != target]

    def _gate(self, steered: list[Tensor], present: Tensor | None) -> Tensor:
        """Weights (B, M) of the modalities from the detached main embeddings M x (B, D), in float32.

        Embeddings of absent modalities are zero, and so are their weights; ``present`` (B, M), None: all are there.
        """
        embedding = torch.cat(steered, dim=-1).detach().float()
        with autocast_off(embedding.device.type):
            scores: Tensor = self.gate(embedding)
        return (scores if present is None else scores.masked_fill(~present, float("-inf"))).softmax(dim=-1)


def projector(width: int) -> nn.Sequential:
    """From the CLS token of a reference, (B, D), to an intervention token, (B, D)."""
    return nn.Sequential(
        nn.LayerNorm(width, eps=1e-6), nn.Linear(width, PROJECTOR_WIDTH), nn.GELU(), nn.Linear(PROJECTOR_WIDTH, width)
    )


def _check(modalities: Sequence[str], intervene_at: int, depth: int) -> None:
    """Refuse settings that no Early Intervention can have.

    Raises:
        ConfigurationError: Saying which.
    """
    if len(modalities) < 2 or len(set(modalities)) < len(modalities):
        raise ConfigurationError(f"Early Intervention needs two or more different modalities, got {list(modalities)}")
    if not -depth <= intervene_at < depth:
        raise ConfigurationError(
            f"intervene_at must be a block from 0 to {depth - 1}, got {intervene_at} (-1 is the last block)"
        )
