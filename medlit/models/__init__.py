"""Models: plain torch modules over a frozen vision foundation model."""

from medlit.models.base import AdaptedClassifier
from medlit.models.early_intervention import EarlyInterventionClassifier, EarlyInterventionOutput
from medlit.models.fusion import (
    AttentionMILFusion,
    ConcatenationFusion,
    CrossAttentionFusion,
    FusionClassifier,
    FusionOutput,
    GatedFusion,
    MeanOfLogitsFusion,
)
from medlit.models.unimodal import UnimodalClassifier, UnimodalOutput
from medlit.models.vision_encoder import VisionEncoder

__all__ = [
    "AdaptedClassifier",
    "AttentionMILFusion",
    "ConcatenationFusion",
    "CrossAttentionFusion",
    "EarlyInterventionClassifier",
    "EarlyInterventionOutput",
    "FusionClassifier",
    "FusionOutput",
    "GatedFusion",
    "MeanOfLogitsFusion",
    "UnimodalClassifier",
    "UnimodalOutput",
    "VisionEncoder",
]
