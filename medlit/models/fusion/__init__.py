"""Late fusion: each modality is embedded by itself, and the embeddings meet after the backbone."""

from medlit.models.fusion.attention_mil import AttentionMILFusion
from medlit.models.fusion.base import FusionClassifier, FusionOutput
from medlit.models.fusion.concatenation import ConcatenationFusion
from medlit.models.fusion.cross_attention import CrossAttentionFusion
from medlit.models.fusion.gated import GatedFusion
from medlit.models.fusion.mean_of_logits import MeanOfLogitsFusion

__all__ = [
    "AttentionMILFusion",
    "ConcatenationFusion",
    "CrossAttentionFusion",
    "FusionClassifier",
    "FusionOutput",
    "GatedFusion",
    "MeanOfLogitsFusion",
]
