"""Gated late fusion: a head per modality, weighed case by case."""

import torch
from torch import Tensor, nn

from medlit.models.fusion.base import FusionClassifier, FusionOutput, pooled, share_out
from medlit.models.fusion.mean_of_logits import logits_by_modality
from medlit.models.pooling import CaseImages
from medlit.precision import autocast_off


class GatedFusion(FusionClassifier):
    """``sum_m g_m (W_m z_m + b_m)`` with ``g = softmax(G [z_1; ...; z_M] + c)`` over the modalities that a case has.

    Unlike the gate of Early Intervention this one is trained with all the rest: nothing is detached.

    Reference: Jacobs, Jordan, Nowlan, Hinton, "Adaptive Mixtures of Local Experts", Neural Computation 1991, eq. 1.2
    (a linear gate); each modality is an expert.

    Arguments as `medlit.models.FusionClassifier`.
    """

    def make_parts(self, width: int) -> None:
        """A head per modality, and the gate."""
        self.heads = nn.ModuleDict({name: nn.Linear(width, self.num_classes) for name in self.modalities})
        self.gate = nn.Linear(len(self.modalities) * width, len(self.modalities))

    def fuse(self, embeddings: dict[str, Tensor], batch: CaseImages) -> FusionOutput:
        """The weighted sum of the heads' answers, in float32."""
        vectors = pooled(embeddings, batch)
        logits = logits_by_modality(self.heads, vectors, batch.present)
        with autocast_off(vectors.device.type):
            weights = share_out(self.gate(vectors.flatten(1).float()), batch.present)
        answer = (weights[..., None] * torch.stack(list(logits.values()), dim=1).float()).sum(dim=1)
        return FusionOutput(logits=answer, present=batch.present, by_modality=logits, weights=weights)
