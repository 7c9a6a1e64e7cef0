"""What every classifier over an adapted backbone has, whatever it does with the embeddings."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from medlit.models.adapted_backbone import AdaptedBackbone, adapter_settings
from medlit.models.lineage import Cut
from medlit.models.variables import check_variables


class AdaptedClassifier(nn.Module):
    """A classifier that is kept as its trainable part and the name of its foundation (see :mod:`medlit.checkpoint`).

    Args:
        modalities: Names of the modalities, in order.
        num_classes: C, number of classes or labels.
        backbone_name: The foundation model: timm's name, or one of docs/foundation_models.md.
        backbone: The foundation model with the adapters of each pass.
        variables: Names of the clinical variables, where those are one of the modalities.

    Raises:
        ConfigurationError: If there are variables without their modality, or the modality without variables.
    """

    def __init__(
        self,
        *,
        modalities: Sequence[str],
        num_classes: int,
        backbone_name: str,
        backbone: AdaptedBackbone,
        variables: Sequence[str] = (),
    ) -> None:
        super().__init__()
        check_variables(modalities, variables)
        self.modalities = list(modalities)
        self.variables = list(variables)
        self.num_classes = num_classes
        self.backbone_name = backbone_name
        self.backbone = backbone
        # Of the checkpoints that were loaded into it, see medlit.models.lineage.
        self.restrictions: dict[str, str] = {}
        self.cuts: list[Cut] = []

    def settings(self) -> dict[str, Any]:
        """What shaped training beside the weights, as plain types: a checkpoint means nothing under other settings."""
        encoder = self.backbone.encoder
        return {
            "img_size": encoder.img_size,
            "padding": encoder.padding,
            "image_mean": encoder.mean.flatten().tolist(),
            "image_std": encoder.std.flatten().tolist(),
            "pooling": encoder.pooling,
            **adapter_settings(self.backbone.adapter),
            **({"variables": self.variables} if self.variables else {}),
        }
