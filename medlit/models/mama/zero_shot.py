"""Zero-shot classification: images beside the captions that stand for classes."""

from collections import OrderedDict
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

KEPT_CAPTIONS = 1 << 14
"""Captions whose embeddings are kept between batches: 32 MB of 512 floats each."""


Key = tuple[bytes, int | None]
"""What tells texts apart."""


class TextTowerLike(Protocol):
    """The part of `MaMAModel` that embeds captions, pooled as in training."""

    fidelity: str
    """``code``: padding counts in the mean."""

    def encode_texts(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, T, H) hidden states."""

    def pool_text(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, H)."""

    def text_embedding(self, pooled: Tensor) -> Tensor:
        """(B, E), L2-normalised."""


def class_scores(
    image_embedding: Tensor, caption_embedding: Tensor, label: Tensor, *, num_classes: int, scale: Tensor | float
) -> Tensor:
    """Logits of classes: of each the logsumexp over its captions of ``scale * image . caption``.

    Their softmax is that over all captions, summed by class: with the labels 0, 0, 1, 1 the probability of class 1 is
    that of the third or the fourth caption (cancer: BI-RADS 4 or 5 against 1 or 2).

    Args:
        image_embedding: (B, E), L2-normalised.
        caption_embedding: (R, K, E), L2-normalised; R = 1 (the same captions for all) or B (each image's own).
        label: (K,) int64, the class of each caption, 0 to C - 1.
        num_classes: C; every class has a caption.
        scale: exp(tau), positive.

    Returns:
        (B, C) float32.

    Raises:
        ValueError: If there are captions of B' images, or a class has no caption.
    """
    if len(caption_embedding) not in (1, len(image_embedding)):
        raise ValueError(f"captions of {len(caption_embedding)} images for {len(image_embedding)} images")
    member = label[None, :] == torch.arange(num_classes, device=label.device)[:, None]  # (C, K)
    if not bool(member.any(dim=1).all()):
        without = (~member.any(dim=1)).nonzero()[:, 0].tolist()
        raise ValueError(f"no caption stands for the classes {without} of {num_classes}")
    own = caption_embedding.float().expand(len(image_embedding), -1, -1)  # (B, K, E)
    with torch.autocast(image_embedding.device.type, enabled=False):
        scores = scale * torch.einsum("be,bke->bk", image_embedding.float(), own)
    return scores[:, None, :].masked_fill(~member, float("-inf")).logsumexp(dim=2)


class CaptionEncoder:
    """Embeds the captions of classes, each text once: in a batch, and between batches while the weights stay.

    Several wordings of a caption are averaged: embeddings are L2-normalised, averaged, and normalised again.

    Args:
        model: In evaluation mode; its weights do not change while this lives, or `forget` is called.
        chunk: Most captions in the text tower at a time.
        kept: Most captions whose embeddings are kept; the oldest go first.
    """

    def __init__(self, model: TextTowerLike, *, chunk: int = 64, kept: int = KEPT_CAPTIONS) -> None:
        self.model = model
        self.chunk, self.kept = chunk, kept
        self._embeddings: OrderedDict[Key, Tensor] = OrderedDict()

    def forget(self) -> None:
        """Drop all embeddings, for the weights have changed."""
        self._embeddings.clear()

    @torch.no_grad()
    def __call__(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Embeddings of K captions in W wordings each, for R images.

        Args:
            input_ids: (R, W, K, T) int64, padded on the right.
            attention_mask: (R, W, K, T) int64, 1 for a token.

        Returns:
            (R, K, E) float32, L2-normalised.
        """
        rows, wordings, captions, length = input_ids.shape
        ids, mask = input_ids.reshape(-1, length), attention_mask.reshape(-1, length)
        padded = length if self.model.fidelity == "code" else None  # then a text is another one at another length
        keys = [_key(row, each, padded) for row, each in zip(ids.cpu(), mask.cpu(), strict=True)]
        found = {key: self._embeddings[key] for key in dict.fromkeys(keys) if key in self._embeddings}
        new: dict[Key, int] = {}  # where each text that is not known yet first stands
        for place, key in enumerate(keys):
            if key not in found:
                new.setdefault(key, place)
        for places in _chunks(list(new.values()), self.chunk):
            embedded = self._embed(ids[places], mask[places])
            found |= {keys[place]: embedding for place, embedding in zip(places, embedded, strict=True)}
        self._keep({key: found[key] for key in new})
        embeddings = torch.stack([found[key] for key in keys]).view(rows, wordings, captions, -1)
        return F.normalize(embeddings.mean(dim=1), dim=-1)

    def _embed(self, ids: Tensor, mask: Tensor) -> Tensor:
        """(N, E) float32, L2-normalised."""
        embedding = self.model.text_embedding(self.model.pool_text(self.model.encode_texts(ids, mask), mask))
        return F.normalize(embedding.float(), dim=-1)

    def _keep(self, embeddings: dict[Key, Tensor]) -> None:
        self._embeddings |= embeddings
        while len(self._embeddings) > self.kept:
            self._embeddings.popitem(last=False)


def _key(ids: Tensor, mask: Tensor, padded: int | None) -> tuple[bytes, int | None]:
    """A text without its padding: the same in batches of any length, where the length has no part in its mean."""
    return ids[mask.bool()].numpy().tobytes(), padded


def _chunks(places: list[int], size: int) -> list[list[int]]:
    return [places[start : start + size] for start in range(0, len(places), size)]
