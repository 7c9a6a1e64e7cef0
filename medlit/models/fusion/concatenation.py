"""Fusion by concatenation: one linear head reads all embeddings side by side."""

from torch import Tensor, nn

from medlit.models.fusion.base import FusionClassifier, FusionOutput, pooled
from medlit.models.pooling import CaseImages


class ConcatenationFusion(FusionClassifier):
    """``W [z_1; ...; z_M] + b``, z_m the mean embedding of modality m's images; zero for one that a case lacks.

    Reference: Baltrusaitis, Ahuja, Morency, "Multimodal Machine Learning: A Survey and Taxonomy", IEEE TPAMI 2019,
    section 6.1 (feature concatenation).

    Arguments as `medlit.models.FusionClassifier`.
    """

    def make_parts(self, width: int) -> None:
        """One head."""
        self.head = nn.Linear(len(self.modalities) * width, self.num_classes)

    def fuse(self, embeddings: dict[str, Tensor], batch: CaseImages) -> FusionOutput:
        """The head's answer; an absent modality adds nothing to it."""
        return FusionOutput(logits=self.head(pooled(embeddings, batch).flatten(1)), present=batch.present)
