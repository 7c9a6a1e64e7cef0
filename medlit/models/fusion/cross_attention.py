"""Cross-attention after the backbone: each modality's embedding reads the others' once."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medlit.errors import ConfigurationError
from medlit.models.fusion.base import FusionClassifier, FusionOutput, pooled
from medlit.models.pooling import CaseImages

NUM_HEADS = 8
MLP_RATIO = 4
"""Attention heads, and width of the MLP in units of D (Vaswani et al. 2017, section 3.2.2 and table 3)."""


class CrossAttentionFusion(FusionClassifier):
    """One transformer layer over the modalities' mean embeddings, in which each attends to all others, not to itself.

    ``x_m = z_m + e_m``; ``y_m = x_m + Attention(x_m; x_n, n != m)``; ``y_m += MLP(y_m)``; a linear head reads the mean
    of the normalised y_m. e_m is a learned vector per modality, norms come first, and the attention of a case with one
    modality adds nothing.

    Reference: Tsai et al., "Multimodal Transformer for Unaligned Multimodal Language Sequences", ACL 2019, eq. 3 to 5
    (crossmodal attention, here with one token a modality); the layer is that of Vaswani et al., NeurIPS 2017.

    Arguments as `medlit.models.FusionClassifier`.
    """

    def make_parts(self, width: int) -> None:
        """The layer, and one head.

        Raises:
            ConfigurationError: If the heads cannot share the channels evenly.
        """
        if width % NUM_HEADS:
            raise ConfigurationError(f"cross-attention has {NUM_HEADS} heads; {width} channels are no multiple of that")
        self.modality = nn.ParameterDict({name: torch.empty(width) for name in self.modalities})
        for vector in self.modality.values():
            nn.init.trunc_normal_(vector, std=0.02)
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, MLP_RATIO * width), nn.GELU(), nn.Linear(MLP_RATIO * width, width)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, self.num_classes)

    def fuse(self, embeddings: dict[str, Tensor], batch: CaseImages) -> FusionOutput:
        """The head's answer to the mean of the embeddings after the layer."""
        own = torch.stack([self.modality[name] for name in self.modalities])
        tokens = pooled(embeddings, batch) + own
        tokens = tokens + self._attend(tokens, batch.present)
        tokens = self.norm(tokens + self.mlp(tokens))
        share = batch.present.to(tokens.dtype)[..., None]
        return FusionOutput(logits=self.head((share * tokens).sum(dim=1) / share.sum(dim=1)), present=batch.present)

    def _attend(self, tokens: Tensor, present: Tensor) -> Tensor:
        """What each token (B, M, D) gathers from the other present ones; zero where there is no other."""
        itself = torch.eye(tokens.shape[1], dtype=torch.bool, device=tokens.device)
        others = present[:, None, :] & ~itself  # (B, M, M)
        alone = ~others.any(dim=-1, keepdim=True)
        parts = self.qkv(self.attention_norm(tokens)).unflatten(-1, (3, NUM_HEADS, -1))
        query, key, value = parts.permute(2, 0, 3, 1, 4)  # (B, heads, M, D / heads) each
        # A token that has no other reads itself, so that its softmax is defined, and drops what it read.
        mask = (others | (alone & itself))[:, None]
        gathered = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        output: Tensor = self.projection(gathered.transpose(1, 2).flatten(2))
        return output.masked_fill(alone, 0.0)
