"""The two maxima of MaMA's local loss over products that are never held whole, with their gradient.

N images of P patches, S sentences of T texts, E channels. Images pass in chunks, and of each chunk stay the winners of
its maxima (one byte for each image, patch and text, four for each image and sentence), from which the gradient is
written without computing a product again.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from medlit.precision import autocast_off


class Layout(NamedTuple):
    """Sentences by their place in their text: slot 0 holds the first sentence of every text that has one, and so on.

    Texts stand in the order of their numbers of sentences, most first, so that slot k holds texts 0 to ``sizes[k]`` - 1
    of that order: a maximum over a ragged number of sentences is one over contiguous blocks.
    """

    order: Tensor
    """(S,) int64: which sentence stands at each place."""
    texts: Tensor
    """(T,) int64: the texts that have a sentence, in their order."""
    counts: Tensor
    """(T,) int64: sentences of each."""
    sizes: list[int]
    """Sentences in each slot; falls."""


def lay_out(owner: Tensor, num_texts: int) -> Layout:
    """Put sentences into slots.

    Args:
        owner: (S,) int64, 0 to M - 1: text of each sentence.
        num_texts: M.
    """
    counts = torch.bincount(owner, minlength=num_texts)
    texts = counts.argsort(descending=True, stable=True)
    by_owner = owner.argsort(stable=True)
    place = torch.arange(len(owner), device=owner.device)
    slot = torch.empty_like(owner)
    slot[by_owner] = place - (counts.cumsum(0) - counts)[owner[by_owner]]
    sizes = torch.bincount(slot).tolist()
    order = (slot * num_texts + texts.argsort()[owner]).argsort()
    texts = texts[: sizes[0] if sizes else 0]
    return Layout(order, texts, counts[texts], sizes)


class Settings(NamedTuple):
    """What the maxima are computed with besides tensors."""

    sizes: list[int]
    """Of the layout."""
    symmetric: bool
    """Whether the maximum over sentences is wanted too."""
    images: int
    """Of a chunk."""
    keep: bool
    """Whether to keep the winners, for the gradient."""


class AlignmentMaxima(torch.autograd.Function):
    """Both scores of all images with the texts of a layout.

    The products of a chunk of C images lie as (S, C * P), so that passes are over contiguous memory, and forward and
    backward are three GEMMs in all. The matrices of the backward pass are mostly zeros; gathering the winners' rows
    instead would save a tenth of the time on a CPU (tried with ``embedding_bag``), for a second form of everything.
    """

    @staticmethod
    def forward(
        ctx: Any, patches: Tensor, sentences: Tensor, counts: Tensor, settings: Settings
    ) -> tuple[Tensor, Tensor]:
        """Text to image (N, T) and image to text (N, T).

        Args:
            ctx: Autograd's.
            patches: (N, P, E), any float dtype.
            sentences: (S, E) float32 or float64, in slots; what is computed has this dtype.
            counts: (T,) int64, sentences of each text.
            settings: The rest.

        Returns:
            For each image and text the mean over sentences of the maximum over patches, and the mean over patches of
            the maximum over sentences (zero if not symmetric).
        """
        images, length, _ = patches.shape
        texts = len(counts)
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
    def backward(ctx: Any, d_by_sentence: Tensor, d_by_patch: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """The products' gradient is non-zero at the winners alone; it is written chunk by chunk, then multiplied."""
        patches, sentences, counts, best_patch, best_slot = ctx.saved_tensors
        settings: Settings = ctx.settings
        images, length, channels = patches.shape
        by_sentence, by_patch = (d_by_sentence / counts).T, (d_by_patch / length).T  # (T, N)
        blank = torch.empty if settings.symmetric else torch.zeros  # the symmetric form writes every product's gradient
        d_patches = torch.zeros_like(patches, memory_format=torch.contiguous_format)
        d_sentences = torch.zeros_like(sentences)
        with autocast_off(patches.device.type):
            for start in range(0, images if settings.sizes else 0, settings.images):
                chunk = slice(start, min(start + settings.images, images))
                shape = (len(sentences), chunk.stop - start, length)
                d_products = blank(shape, dtype=sentences.dtype, device=sentences.device)
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
        return d_patches, d_sentences, None, None


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
            won = (products[block] > best[rows]).to(slots.dtype).mul_(slot)
            torch.maximum(slots[rows], won, out=slots[rows])  # a later slot has the larger number
        torch.maximum(best[rows], products[block], out=best[rows])  # carries NaN on, for the loss to show it
    return best


def _index_dtype(slots: int) -> torch.dtype:
    """The smallest that counts the slots: a caption of 144 tokens has fewer than 256 sentences."""
    return torch.uint8 if slots <= 256 else torch.int16
