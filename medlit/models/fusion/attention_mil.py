"""Attention-based multiple-instance learning: a case is a bag of the images of all its modalities."""

import torch
from torch import Tensor, nn

from medlit.models.fusion.base import FusionClassifier, FusionOutput, share_out
from medlit.models.pooling import CaseImages
from medlit.precision import autocast_off

ATTENTION_WIDTH = 128
"""L, width of the attention network (Ilse et al. 2018, section 4.3)."""


class AttentionMILFusion(FusionClassifier):
    """``W (sum_k a_k h_k) + b``, ``a = softmax_k(w . (tanh(V h_k) * sigmoid(U h_k)))``, k over all images of a case.

    The weights of a modality's images add up to its share in the answer.

    Reference: Ilse, Tomczak, Welling, "Attention-based Deep Multiple Instance Learning", ICML 2018, eq. 7 and 9 (gated
    attention); with the images of several modalities as instances: Li et al., "Multi-Modal Multi-Instance Learning for
    Retinal Disease Recognition", ACM MM 2021.

    Arguments as `medlit.models.FusionClassifier`.
    """

    def make_parts(self, width: int) -> None:
        """The attention over instances, and one head."""
        self.attention_value = nn.Linear(width, ATTENTION_WIDTH)
        self.attention_gate = nn.Linear(width, ATTENTION_WIDTH)
        self.attention_score = nn.Linear(ATTENTION_WIDTH, 1, bias=False)  # a bias would change no weight
        self.head = nn.Linear(width, self.num_classes)

    def fuse(self, embeddings: dict[str, Tensor], batch: CaseImages) -> FusionOutput:
        """The head's answer to the weighted mean of all images."""
        instances = torch.cat(list(embeddings.values()), dim=1)  # (B, K, D)
        weights = self._weights(instances, self._real(embeddings, batch))
        bag = (weights[..., None] * instances.float()).sum(dim=1)
        shares = [part.sum(dim=1) for part in weights.split([part.shape[1] for part in embeddings.values()], dim=1)]
        return FusionOutput(
            logits=self.head(bag.to(instances.dtype)), present=batch.present, weights=torch.stack(shares, dim=1)
        )

    def _weights(self, instances: Tensor, real: Tensor) -> Tensor:
        """Weights (B, K) of the instances (B, K, D), zero where there is no image, in float32."""
        with autocast_off(instances.device.type):
            instances = instances.float()
            hidden = self.attention_value(instances).tanh() * self.attention_gate(instances).sigmoid()
            return share_out(self.attention_score(hidden)[..., 0], real)

    @staticmethod
    def _real(embeddings: dict[str, Tensor], batch: CaseImages) -> Tensor:
        """Which instances are images, (B, K) bool."""
        masks = []
        for name, values in embeddings.items():
            mask = batch.masks[name]
            masks.append(batch.present.new_ones(values.shape[:2]) if mask is None else mask)
        return torch.cat(masks, dim=1)
