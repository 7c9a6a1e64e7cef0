"""Fusion by the mean: a head per modality, all of one voice."""

import torch
from torch import Tensor, nn

from medlit.models.fusion.base import FusionClassifier, FusionOutput, pooled
from medlit.models.pooling import CaseImages, zero_absent


def logits_by_modality(heads: nn.ModuleDict, embeddings: Tensor, present: Tensor) -> dict[str, Tensor]:
    """Logits (B, C) of each modality's own head, zero where absent.

    Args:
        heads: By modality, in order.
        embeddings: (B, M, D).
        present: (B, M) bool.
    """
    return {
        name: zero_absent(head(embeddings[:, index]), present[:, index])
        for index, (name, head) in enumerate(heads.items())
    }


class MeanOfLogitsFusion(FusionClassifier):
    """``mean_m (W_m z_m + b_m)`` over the modalities that a case has, trained as one.

    Reference: Kittler, Hatef, Duin, Matas, "On Combining Classifiers", IEEE TPAMI 1998 (the sum rule, here on logits).

    Arguments as `medlit.models.FusionClassifier`.
    """

    def make_parts(self, width: int) -> None:
        """A head per modality."""
        self.heads = nn.ModuleDict({name: nn.Linear(width, self.num_classes) for name in self.modalities})

    def fuse(self, embeddings: dict[str, Tensor], batch: CaseImages) -> FusionOutput:
        """The mean of the heads' answers."""
        logits = logits_by_modality(self.heads, pooled(embeddings, batch), batch.present)
        count = batch.present.sum(dim=1, keepdim=True)
        mean = torch.stack(list(logits.values())).float().sum(dim=0) / count
        return FusionOutput(logits=mean, present=batch.present, by_modality=logits)
