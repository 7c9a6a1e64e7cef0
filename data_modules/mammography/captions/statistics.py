"""Figures of the captions of a set: how many are alike, how long they are."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from data_modules.mammography.tokens import CaptionTokenizer

Caption = tuple[str, ...]
"""Sentences."""


class Lengths(NamedTuple):
    """Tokens of captions, those that the model puts before and behind a text included."""

    tokens: NDArray[np.int64]
    """Of each caption."""
    unknown: float
    """Share of tokens that stand for a word that the tokenizer does not know."""


def duplicate_rate(captions: Sequence[Caption]) -> float:
    """Share of captions that stand for more than one image, word for word.

    Args:
        captions: One or more.
    """
    times = Counter(captions)
    return sum(count for count in times.values() if count > 1) / len(captions)


def duplicate_rate_in_batches(captions: Sequence[Caption], *, batch: int, generator: np.random.Generator) -> float:
    """The same, within random batches: those are false negatives of each other in a contrastive loss.

    Args:
        captions: One or more.
        batch: Captions in a batch; a remainder is left out, unless there is no whole batch.
        generator: Draws the batches.

    Returns:
        Mean of the batches.
    """
    order = generator.permutation(len(captions))
    starts = range(0, max(len(order) - batch, 0) + 1, batch)
    return float(np.mean([duplicate_rate([captions[i] for i in order[start : start + batch]]) for start in starts]))


def token_lengths(tokenizer: "CaptionTokenizer", captions: Sequence[Caption]) -> Lengths:
    """How long captions are before any is cut.

    Args:
        tokenizer: Theirs.
        captions: One or more.
    """
    frame = len(tokenizer.prefix) + len(tokenizer.suffix)
    counted: dict[Caption, tuple[int, int]] = {}
    for caption in captions:
        if caption not in counted:
            ids = [token for sentence in caption for token in tokenizer.sentence(sentence)]
            counted[caption] = (
                len(ids) + frame,
                0 if tokenizer.unknown_id is None else ids.count(tokenizer.unknown_id),
            )
    figures = np.array([counted[caption] for caption in captions], dtype=np.int64)
    return Lengths(figures[:, 0], float(figures[:, 1].sum() / figures[:, 0].sum()))
