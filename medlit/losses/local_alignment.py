"""MaMA's local loss: patches of an image meet the sentences of a caption, chunk by chunk.

N images of P patches, M texts with S sentences altogether, E channels. The N x S x P products are never held: images
pass in chunks, and of each chunk stay the winners of its maxima (one byte for each image, patch and text, four for each
image and sentence), from which the gradient is written without computing a product again.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from medlit.losses.clip import matched_cross_entropy
from medlit.losses.gather import gather_rows, rank_offset
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
    total = len(patches)
    if gather:
        _check(patches, sentences, sentence_owner, total)
        first, total = rank_offset(total)
        sentences, sentence_owner = gather_rows(sentences), gather_rows(sentence_owner + first)
    if total < 2:
        raise ValueError(f"local_alignment_loss needs patches (N >= 2, P, E), got {tuple(patches.shape)}")
    scores = local_alignment_scores(patches, sentences, sentence_owner, num_texts=total, symmetric=symmetric)
    both = torch.cat([score for score in scores if score is not None], dim=1)  # (own rows, N or 2N)
    both = gather_rows(both) if gather else both
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
        layout = _lay_out(sentence_owner, num_texts)
        dtype = torch.promote_types(at_least_float32(patches[:0]).dtype, at_least_float32(sentences[:0]).dtype)
        in_slots = sentences.to(dtype)[layout.order]  # (S, E)
        is_trained = torch.is_grad_enabled() and (patches.requires_grad or sentences.requires_grad)
        images = max(1, chunk_bytes // max(1, len(in_slots) * patches.shape[1] * in_slots.element_size()))
        settings = _Settings(layout.sizes, symmetric, images, is_trained)
        by_sentence, by_patch = _Maxima.apply(patches, in_slots, settings)
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


class _Layout(NamedTuple):
    """Sentences by their place in their text: slot 0 holds the first sentence of every text that has one, and so on.

    Texts stand in the order of their numbers of sentences, most first, so that slot k holds texts 0 to ``sizes[k]`` - 1
    of that order: a maximum over a ragged number of sentences is one over contiguous blocks.
    """

    order: Tensor
    """(S,) int64: which sentence stands at each place."""
    texts: Tensor
    """(texts with a sentence,) int64, in their order."""
    sizes: list[int]
    """Sentences in each slot; falls."""


def _lay_out(owner: Tensor, num_texts: int) -> _Layout:
    """Slots of sentences (S,) that belong to texts 0 to M - 1."""
    counts = torch.bincount(owner, minlength=num_texts)
    texts = counts.argsort(descending=True, stable=True)
    by_owner = owner.argsort(stable=True)
    place = torch.arange(len(owner), device=owner.device)
    slot = torch.empty_like(owner)
    slot[by_owner] = place - (counts.cumsum(0) - counts)[owner[by_owner]]
    sizes = torch.bincount(slot).tolist()
    order = (slot * num_texts + texts.argsort()[owner]).argsort()
    return _Layout(order, texts[: sizes[0] if sizes else 0], sizes)


class _Settings(NamedTuple):
    """What the maxima are computed with besides tensors."""

    sizes: list[int]
    symmetric: bool
    images: int
    """Of a chunk."""
    keep: bool
    """Whether to keep the winners, for the gradient."""


class _Maxima(torch.autograd.Function):
    """Both scores of all images with the texts of a layout; letters as above, T texts, C images of a chunk.

    Products of a chunk lie as (S, C * P), so that every pass is over contiguous memory and every product one GEMM.
    """

    @staticmethod
    def forward(ctx: Any, patches: Tensor, sentences: Tensor, settings: _Settings) -> tuple[Tensor, Tensor]:
        """Patches (N, P, E) and sentences (S, E) in slots -> (N, T) and (N, T); the second is zero if not symmetric."""
        images, length, _ = patches.shape
        texts = settings.sizes[0] if settings.sizes else 0
        counts = sentences.new_tensor([sum(size > text for size in settings.sizes) for text in range(texts)])
        by_sentence, by_patch = sentences.new_zeros(2, texts, images)
        best_patch = torch.empty(len(sentences), images, dtype=torch.int32, device=patches.device)
        kept = (texts, images, length) if settings.keep and settings.symmetric else (0,)
        best_slot = torch.zeros(kept, dtype=_index_dtype(len(settings.sizes)), device=patches.device)
        for start in range(0, images if texts else 0, settings.images):
            chunk = slice(start, min(start + settings.images, images))
            products = sentences @ patches[chunk].reshape(-1, patches.shape[2]).to(sentences.dtype).T  # (S, C * P)
            by_image = products.view(len(sentences), -1, length)
            values, where = by_image.max(dim=2)
            best_patch[:, chunk] = where
            for rows, block in _blocks(settings.sizes):
                by_sentence[rows, chunk] += values[block]
            if settings.symmetric:
                slots = best_slot[:, chunk] if settings.keep else None
                by_patch[:, chunk] = _best_of_slots(by_image, settings.sizes, slots).mean(dim=2)
        by_sentence /= counts[:, None]
        ctx.settings = settings
        ctx.save_for_backward(patches, sentences, counts, best_patch, best_slot)
        return by_sentence.T, by_patch.T

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_by_sentence: Tensor, d_by_patch: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """The products' gradient is non-zero at the winners alone; it is written chunk by chunk, then multiplied."""
        patches, sentences, counts, best_patch, best_slot = ctx.saved_tensors
        settings: _Settings = ctx.settings
        images, length, channels = patches.shape
        by_sentence, by_patch = (d_by_sentence / counts).T, (d_by_patch / length).T  # (T, N)
        d_patches = torch.zeros_like(patches, memory_format=torch.contiguous_format)
        d_sentences = torch.zeros_like(sentences)
        with autocast_off(patches.device.type):
            for start in range(0, images if settings.sizes else 0, settings.images):
                chunk = slice(start, min(start + settings.images, images))
                d_products = sentences.new_zeros(len(sentences), chunk.stop - start, length)
                for slot, (rows, block) in enumerate(_blocks(settings.sizes)):
                    if settings.symmetric:
                        is_best = best_slot[rows, chunk] == slot
                        torch.mul(is_best, by_patch[rows, chunk, None], out=d_products[block])
                    where = best_patch[block, chunk, None].long()
                    there = d_products[block].gather(2, where) + by_sentence[rows, chunk, None]
                    d_products[block].scatter_(2, where, there)
                flat = d_products.view(len(sentences), -1)
                d_sentences.addmm_(flat, patches[chunk].reshape(-1, channels).to(sentences.dtype))
                d_patches[chunk] = (flat.T @ sentences).view(-1, length, channels)
        return d_patches, d_sentences, None


def _blocks(sizes: list[int]) -> list[tuple[slice, slice]]:
    """For each slot, its texts (from the first on) and the places of its sentences."""
    blocks, start = [], 0
    for size in sizes:
        blocks.append((slice(size), slice(start, start + size)))
        start += size
    return blocks


def _best_of_slots(products: Tensor, sizes: list[int], slots: Tensor | None) -> Tensor:
    """Maximum over each text's sentences of (S, C, P): (T, C, P); ``slots``, of that shape, learns which one won."""
    best = products[: sizes[0]].clone()
    for slot, (rows, block) in enumerate(_blocks(sizes)):
        if slot == 0:
            continue
        if slots is not None:
            slots[rows].masked_fill_(products[block] > best[rows], slot)
        torch.maximum(best[rows], products[block], out=best[rows])  # carries NaN on, for the loss to show it
    return best


def _index_dtype(slots: int) -> torch.dtype:
    """The smallest that counts the slots: a caption of 144 tokens has fewer than 256 sentences."""
    return torch.uint8 if slots <= 256 else torch.int16
