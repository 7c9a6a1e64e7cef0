"""What every classifier over an adapted backbone has, whatever it does with the embeddings."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from medlit.models.adapted_backbone import AdaptedBackbone, adapter_settings
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
        self.restrictions: dict[str, str] = {}  # of the checkpoints that were loaded into it, see restrictions_of

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


def restrictions_of(module: nn.Module) -> dict[str, str]:
    """Why weights must not be shared: terms by data set, of all that a module or a part of it was started from.

    Args:
        module: A model or a task; every part with an attribute ``restrictions`` counts.
    """
    found: dict[str, str] = {}
    for part in module.modules():
        own = getattr(part, "restrictions", None)
        found |= own if isinstance(own, dict) else {}
    return dict(sorted(found.items()))
