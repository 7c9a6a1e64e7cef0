"""Nearest neighbours among kept features: a classifier that learns nothing."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from medlit.errors import CheckpointMismatchError, ConfigurationError

TEMPERATURE = 0.07
"""Of the weights of neighbours: Wu et al. (below), and the evaluation of DINO's released code."""

SMOOTHING = 1e-6
"""Share of the vote that is spread evenly over the classes: the logarithm of a class without a vote stays finite."""

CHUNK = 1024
"""Queries that are compared with the bank at a time."""


@dataclass(frozen=True)
class Neighbours:
    """Weighted vote of the k most similar of N known cases; D features, C classes.

    Each votes for its class with ``exp(cosine / T)``, T = 0.07.

    Reference: Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance Discrimination", CVPR 2018,
    section 3.4; k = 20 in Caron et al., "Emerging Properties in Self-Supervised Vision Transformers" (DINO), ICCV 2021.
    """

    bank: Tensor
    """(N, D) float16, L2-normalised."""
    labels: Tensor
    """(N,) int64."""
    k: int
    num_classes: int

    @classmethod
    def of(cls, features: Tensor, labels: Tensor, *, k: int, num_classes: int) -> "Neighbours":
        """Remember cases.

        Args:
            features: (N, D), any float dtype.
            labels: (N,) int64, 0 to C - 1.
            k: One or more; of fewer cases all vote.
            num_classes: C.

        Raises:
            ConfigurationError: If k is below one.
        """
        if k < 1:
            raise ConfigurationError(f"knn is {k}; give one neighbour or more, or null for none")
        bank = F.normalize(features.float(), dim=1).half().cpu()
        return cls(bank=bank, labels=labels.cpu(), k=k, num_classes=num_classes)

    def logits(self, features: Tensor) -> Tensor:
        """Logarithms of the shares of the vote, (B, C) float32: their softmax is the shares.

        Args:
            features: (B, D), any float dtype; on the device where the bank is compared.
        """
        bank = F.normalize(self.bank.to(features.device).float(), dim=1)  # float16 is not quite of length one
        labels, queries = self.labels.to(features.device), F.normalize(features.float(), dim=1)
        return torch.cat([self._vote(chunk, bank, labels) for chunk in queries.split(CHUNK)])

    def _vote(self, queries: Tensor, bank: Tensor, labels: Tensor) -> Tensor:
        """Of L2-normalised queries (B, D); the similarities (B, N) are the largest thing that is held."""
        similarity, nearest = (queries @ bank.T).topk(min(self.k, len(bank)), dim=1)  # (B, k)
        votes = ((similarity - similarity[:, :1]) / TEMPERATURE).exp()  # the nearest has 1: shares are the same
        shares = votes.new_zeros(len(queries), self.num_classes).scatter_add_(1, labels[nearest], votes)
        shares = shares / shares.sum(dim=1, keepdim=True)
        return ((1 - SMOOTHING) * shares + SMOOTHING / self.num_classes).log()

    def state(self) -> dict[str, Tensor]:
        """For a checkpoint: tensors alone."""
        return {"bank": self.bank, "labels": self.labels}

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], *, k: int, num_classes: int, width: int) -> "Neighbours":
        """What `state` kept.

        Raises:
            CheckpointMismatchError: If it is not what `state` writes.
        """
        bank, labels = state.get("bank"), state.get("labels")
        if (
            not isinstance(bank, Tensor)
            or not isinstance(labels, Tensor)
            or bank.ndim != 2
            or bank.shape != (len(labels), width)
            or not len(labels)
            or labels.dtype != torch.int64
            or not 0 <= int(labels.min()) <= int(labels.max()) < num_classes
        ):
            raise CheckpointMismatchError(
                "neighbours of the checkpoint are damaged; run the probe again, or set knn: null"
            )
        return cls(bank=bank.half(), labels=labels, k=k, num_classes=num_classes)
