"""Figures of image-text pairs: which captions are alike, who finds whom, and a whole set from its batches."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from medlit.metrics import classification_metrics
from medlit.models.mama.zero_shot import class_scores
from medlit.tasks.results import gather_objects

HASH_SEED = 0
"""Of the factors of `caption_ids`; the same in every process."""


@dataclass(frozen=True)
class PairBatch:
    """What is kept of B pairs that were evaluated, on the CPU."""

    case_id: tuple[str, ...]
    terms: dict[str, float]
    """By name, each a figure of this batch; the same names in every batch."""
    image: Tensor
    """(B, E) float32, embeddings of the images."""
    label: Tensor
    """(B,) int64, -1 where unknown."""
    cut: int = 0
    """Captions that were longer than the tokenizer's most and lost sentences."""


@dataclass(frozen=True)
class PairSet:
    """What came of a whole set of N pairs."""

    terms: dict[str, float]
    """Means over the pairs of batches of two or more."""
    left_out: int
    """Pairs that were alone in their batch: there is nothing to tell them apart from."""
    image: Tensor
    """(N, E) float32, in the order of the table; all pairs."""
    label: Tensor
    """(N,) int64."""
    cut: int
    """Captions that lost sentences."""


def caption_ids(input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """Numbers that are equal where captions are, whatever they are padded to, and on all processes alike.

    A hash of the tokens: a sum of them with odd factors modulo 2**64, that of two captions agreeing by chance once in
    about 2**63. No value is waited for.

    Args:
        input_ids: (B, T) int64.
        attention_mask: (B, T) int64, 0 for padding.

    Returns:
        (B,) int64.
    """
    # numpy draws one after the other: the first T factors are the same for every T.
    factors = np.random.default_rng(HASH_SEED).integers(0, 2**64, size=input_ids.shape[1], dtype=np.uint64)
    odd = torch.from_numpy((factors | np.uint64(1)).view(np.int64)).to(input_ids.device)
    hashes = (input_ids + 1) * attention_mask * odd
    return hashes.sum(dim=1)  # integers wrap round


def duplicate_share(caption_id: Tensor) -> Tensor:
    """Share of the captions that another of the same batch equals, a scalar from 0 to 1.

    Args:
        caption_id: (N,) int64, of `caption_ids`.
    """
    _, number, counts = caption_id.unique(return_inverse=True, return_counts=True)
    repeated: Tensor = counts[number] > 1
    return repeated.float().mean()


def retrieval_accuracy(image: Tensor, text: Tensor, caption_id: Tensor) -> dict[str, Tensor]:
    """How often the nearest caption is an image's own, and the nearest image a caption's own.

    A caption with the same words counts as the image's own, and so do their images: nothing tells them apart.

    Args:
        image: (N, E), L2-normalised.
        text: (N, E), L2-normalised; row i belongs to row i.
        caption_id: (N,) int64, equal for equal captions.

    Returns:
        ``image_to_text_accuracy`` and ``text_to_image_accuracy``, scalars from 0 to 1; chance is 1 / N where no two
        captions are alike.
    """
    scores = image.float() @ text.float().T  # (N, N)
    found = {"image_to_text_accuracy": scores.argmax(dim=1), "text_to_image_accuracy": scores.argmax(dim=0)}
    return {name: caption_id[nearest].eq(caption_id).float().mean() for name, nearest in found.items()}


def gather_pairs(batches: Sequence[PairBatch]) -> PairSet | None:
    """A whole set on every process, each batch once, in the order of the table.

    Process r of W evaluates the batches r, r + W, r + 2W, ..., and perhaps one a second time, so that all have as many;
    they are dealt back in turn, and of the same cases the first is kept. The means are taken in that order, so that the
    number of processes changes nothing.

    Args:
        batches: What this process has evaluated, in order.

    Returns:
        None if no process has evaluated anything.
    """
    return whole_set(gather_objects(list(batches)))


def whole_set(shares: Sequence[Sequence[PairBatch]]) -> PairSet | None:
    """What `gather_pairs` makes of the batches of each process, by rank."""
    first: dict[tuple[str, ...], PairBatch] = {}
    for turn in range(max(map(len, shares))):
        for share in shares:
            if turn < len(share):
                first.setdefault(share[turn].case_id, share[turn])
    whole = list(first.values())
    if not whole:
        return None
    judged = [batch for batch in whole if len(batch.case_id) > 1]
    pairs = sum(len(batch.case_id) for batch in judged)
    names = judged[0].terms if judged else {}
    return PairSet(
        terms={name: sum(batch.terms[name] * len(batch.case_id) for batch in judged) / pairs for name in names},
        left_out=sum(len(batch.case_id) for batch in whole) - pairs,
        image=torch.cat([batch.image for batch in whole]),
        label=torch.cat([batch.label for batch in whole]),
        cut=sum(batch.cut for batch in whole),
    )


def zero_shot_figures(pairs: PairSet, captions: Tensor, label: Tensor, *, scale: float) -> dict[str, float]:
    """How well the images of a set are told by the nearest class; of classes that captions stand for.

    Args:
        pairs: N images with their labels; those of other classes, and of unknown ones, are left out.
        captions: (1, K, E), embeddings of what classes would be called.
        label: (K,) int64, the class of each.
        scale: exp(tau).

    Returns:
        ``zero_shot_auroc`` and ``zero_shot_balanced_accuracy``; nothing where no image has such a class.
    """
    classes, place = label.unique(return_inverse=True)
    known = torch.isin(pairs.label, classes)
    if not bool(known.any()):
        return {}
    logits = class_scores(pairs.image[known], captions, place, num_classes=len(classes), scale=scale)
    figures = classification_metrics(logits, torch.searchsorted(classes, pairs.label[known]))
    return {f"zero_shot_{name}": figures[name] for name in ("auroc", "balanced_accuracy")}
