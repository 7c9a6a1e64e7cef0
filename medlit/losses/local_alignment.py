"""MaMA's local loss: patches of an image meet the sentences of a caption.

N images of P patches, M texts with S sentences altogether, E channels.
"""

import torch
from torch import Tensor, nn

from medlit.collectives import counts_of_processes, rank
from medlit.losses.alignment_maxima import AlignmentMaxima, Settings, lay_out
from medlit.losses.clip import matched_cross_entropy
from medlit.losses.gather import gather_rows
from medlit.precision import at_least_float32, autocast_off

CHUNK_BYTES = 2**25
"""Size of a chunk's products; 32 MiB stay in the caches of a server, and larger chunks were no faster."""


def local_alignment_loss(
    patches: Tensor,
    sentences: Tensor,
    sentence_owner: Tensor,
    scale: Tensor,
    symmetric: bool = True,
    *,
    groups: Tensor | None = None,
    gather: bool = False,
) -> Tensor:
    """Contrast of images and captions by how well their patches and sentences find each other.

    For each of the two scores of ``local_alignment_scores``, an N x N matrix: times ``scale``, cross-entropy over rows
    plus cross-entropy over columns; the symmetric form adds both. Pairs whose caption has no sentence take no part, as
    rows and as columns (``captions_without_sentence`` counts them); the loss is zero where fewer than two others are
    left.

    Reference: Du et al., arXiv 2409.18119, section on symmetric local alignment.

    Args:
        patches: (N, P, E), L2-normalised over E, any float dtype; computed in float32 at least.
        sentences: (S, E), L2-normalised; sentences of all captions in any order.
        sentence_owner: (S,) int64, 0 to N - 1: caption of each sentence; caption i belongs to image i.
        scale: Scalar, > 0: exp(tau_local).
        symmetric: False keeps the text-to-image score alone.
        groups: (N,) integers, equal for rows whose captions say the same, which are then positives of each other;
            with ``gather`` those of all processes.
        gather: Whether the pairs of all processes form one batch. Each process then scores its own images against the
            sentences of all; patches stay where they are. N and S may differ by process, ``sentence_owner`` counts
            from this process's first pair.

    Returns:
        Scalar.

    Raises:
        ValueError: If N < 2 (nothing would repel), shapes or dtypes do not fit, or an owner is out of range.
    """
    total, rows = len(patches), [len(patches)]
    if gather:
        _check(patches, sentences, sentence_owner, total)
        rows, lines = counts_of_processes([total, len(sentences)], patches.device)
        first, total = sum(rows[: rank()]), sum(rows)
        sentences, sentence_owner = gather_rows(sentences, lines), gather_rows(sentence_owner + first, lines)
    if total < 2:
        raise ValueError(f"local_alignment_loss needs patches (N >= 2, P, E), got {tuple(patches.shape)}")
    scores = local_alignment_scores(patches, sentences, sentence_owner, num_texts=total, symmetric=symmetric)
    both = torch.cat([score for score in scores if score is not None], dim=1)  # (own rows, N or 2N)
    both = gather_rows(both, rows) if gather else both
    has_sentence = torch.bincount(sentence_owner, minlength=total) > 0
    with autocast_off(patches.device.type):
        taking_part = has_sentence.nonzero()[:, 0]
        if len(taking_part) < 2:
            return both.sum() * scale.to(both.dtype).sum() * 0  # zero, and every process still goes backward
        groups = None if groups is None else groups[taking_part]
        terms = [
            matched_cross_entropy(score[taking_part][:, taking_part], scale, groups=groups)
            for score in both.split(total, dim=1)
        ]
        return torch.stack(terms).sum()


def captions_without_sentence(sentence_owner: Tensor, num_texts: int) -> Tensor:
    """How many captions have no sentence.

    Args:
        sentence_owner: (S,) int64, 0 to ``num_texts`` - 1.
        num_texts: M.

    Returns:
        Scalar int64.
    """
    has_none = torch.ones(num_texts, dtype=torch.int64, device=sentence_owner.device)
    return has_none.index_fill(0, sentence_owner, 0).sum()


def local_alignment_scores(
    patches: Tensor,
    sentences: Tensor,
    sentence_owner: Tensor,
    *,
    num_texts: int,
    symmetric: bool = True,
    chunk_bytes: int = CHUNK_BYTES,
) -> tuple[Tensor, Tensor | None]:
    """Scores of every image with every text, from the products ``c = patch . sentence``.

    Text to image: mean over the text's sentences of the maximum over patches. Image to text: mean over patches of the
    maximum over the text's sentences. Of equal maxima one gets the gradient.

    Args:
        patches: (N, P, E), any float dtype; computed in float32 at least, whatever autocast says.
        sentences: (S, E), float.
        sentence_owner: (S,) int64, 0 to M - 1: text of each sentence.
        num_texts: M.
        symmetric: False leaves the image-to-text score out.
        chunk_bytes: How large a chunk's products may be, unless one image's are larger.

    Returns:
        Text to image (N, M) and image to text (N, M) or None, float32 (float64 where an operand is); zero for texts
        without sentences.

    Raises:
        ValueError: If shapes or dtypes do not fit, there is no patch, or an owner is out of range.
    """
    _check(patches, sentences, sentence_owner, num_texts)
    with autocast_off(patches.device.type):
        layout = lay_out(sentence_owner, num_texts)
        dtype = torch.promote_types(at_least_float32(patches[:0]).dtype, at_least_float32(sentences[:0]).dtype)
        in_slots = sentences.to(dtype)[layout.order]  # (S, E)
        is_trained = torch.is_grad_enabled() and (patches.requires_grad or sentences.requires_grad)
        images = max(1, chunk_bytes // max(1, len(in_slots) * patches.shape[1] * in_slots.element_size()))
        settings = Settings(layout.sizes, symmetric, images, is_trained)
        by_sentence, by_patch = AlignmentMaxima.apply(patches, in_slots, layout.counts, settings)
        spread = by_sentence.new_zeros(len(patches), num_texts)
        text_to_image = spread.index_copy(1, layout.texts, by_sentence)
        return text_to_image, spread.index_copy(1, layout.texts, by_patch) if symmetric else None


class LocalAlignmentLoss(nn.Module):
    """``local_alignment_loss`` as a module.

    Args:
        symmetric: False keeps the text-to-image score alone.
        gather: Whether the pairs of all processes form one batch; else each process has negatives of its own alone.
    """

    def __init__(self, *, symmetric: bool = True, gather: bool = True) -> None:
        super().__init__()
        self.symmetric = symmetric
        self.gather = gather

    def forward(
        self,
        patches: Tensor,
        sentences: Tensor,
        sentence_owner: Tensor,
        scale: Tensor,
        groups: Tensor | None = None,
    ) -> Tensor:
        """See ``local_alignment_loss``; ``groups`` are this process's."""
        if self.gather and groups is not None:
            groups = gather_rows(groups)
        return local_alignment_loss(
            patches, sentences, sentence_owner, scale, self.symmetric, groups=groups, gather=self.gather
        )


def _check(patches: Tensor, sentences: Tensor, sentence_owner: Tensor, num_texts: int) -> None:
    """Refuse what does not fit; waits for the device once."""
    if patches.ndim != 3 or sentences.ndim != 2 or patches.shape[2] != sentences.shape[1] or not patches.shape[1]:
        raise ValueError(
            "the local loss needs patches (N, P >= 1, E) and sentences (S, E), "
            f"got {tuple(patches.shape)} and {tuple(sentences.shape)}"
        )
    if not (patches.is_floating_point() and sentences.is_floating_point()):
        raise ValueError(f"patches and sentences must be float, got {patches.dtype} and {sentences.dtype}")
    if sentence_owner.shape != sentences.shape[:1] or sentence_owner.dtype != torch.int64:
        raise ValueError(
            f"sentence_owner must be ({len(sentences)},) int64, one text for each sentence, "
            f"got {tuple(sentence_owner.shape)} of {sentence_owner.dtype}"
        )
    if len(sentence_owner):
        lowest, highest = torch.stack(sentence_owner.aminmax()).tolist()
        if lowest < 0 or highest >= num_texts:
            raise ValueError(
                f"sentence_owner must lie in 0 to {num_texts - 1} for {num_texts} texts, "
                f"got values from {lowest} to {highest}"
            )
