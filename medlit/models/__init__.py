"""Models: plain torch modules over vision foundation models, and text models beside them."""

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
from medlit.models.mama.model import ImageFeatures, MaMAModel
from medlit.models.mama.settings import ImageTower, TextTower
from medlit.models.text_encoder import TextEncoder
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
    "ImageFeatures",
    "ImageTower",
    "MaMAModel",
    "MeanOfLogitsFusion",
    "TextEncoder",
    "TextTower",
    "UnimodalClassifier",
    "UnimodalOutput",
    "VisionEncoder",
]
