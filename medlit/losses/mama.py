"""MaMA's loss: image and text, the second image and the text, the two views, patches and sentences."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from medlit.collectives import counts_of_processes, world_size
from medlit.errors import ConfigurationError
from medlit.losses.clip import clip_loss
from medlit.losses.gather import gather_rows
from medlit.losses.local_alignment import local_alignment_loss
from medlit.losses.nt_xent import nt_xent_loss
from medlit.precision import at_least_float32


@dataclass(frozen=True, kw_only=True)
class MaMAEmbeddings:
    """What the loss reads of N pairs of an image and a caption; None where a term that is not computed needs it.

    Attributes:
        image: (N, E) float, L2-normalised.
        text: (N, E) float, L2-normalised; row i is the caption of image i.
        same_breast: (N,) bool: the second image shows the breast that the caption is about.
        caption_id: (N,) int64, equal for equal captions (on all processes).
        second_image: (N, E) float, L2-normalised, or None.
        view: (N, E') float, the image's projection for the loss between views, or None.
        second_view: (N, E') float, the second image's, or None.
        patches: (N, P, E) float, L2-normalised over E, or None.
        sentences: (S, E) float, L2-normalised, or None.
        sentence_owner: (S,) int64, 0 to N - 1: row of each sentence's caption, or None.
    """

    image: Tensor
    text: Tensor
    same_breast: Tensor
    caption_id: Tensor
    second_image: Tensor | None = None
    view: Tensor | None = None
    second_view: Tensor | None = None
    patches: Tensor | None = None
    sentences: Tensor | None = None
    sentence_owner: Tensor | None = None


class MaMALoss(nn.Module):
    """``L_clip(v, t)``, and the late terms ``L_clip(v2, t)``, ``L_view`` and ``L_local``, weighted.

    A term of weight 0 is neither computed nor reported: with all three at 0 it is CLIP's loss, with the view's alone
    SLIP's. The inputs of a term that is computed must be there on every process.

    Reference: Du et al., arXiv 2409.18119, section on losses (all weights 1, temperature 0.5, ``text_pair: all``).

    Args:
        text_pair: Which pairs enter ``L_clip(v2, t)``: all (the paper's), those whose second image shows the same
            breast, or none (the term is absent).
        symmetric: Whether the local loss scores both ways; False keeps text to image.
        identical_captions: Whether rows with equal captions are positives of each other in the terms with text.
        temperature: Of the loss between views.
        second_image_weight: Of ``L_clip(v2, t)``.
        view_weight: Of the loss between views.
        local_weight: Of the local loss.

    Raises:
        ConfigurationError: If a choice is unknown, a weight is negative or not finite, or the temperature is not above
            zero.
    """

    def __init__(
        self,
        *,
        text_pair: Literal["all", "same_breast", "none"] = "all",
        symmetric: bool = True,
        identical_captions: Literal["negatives", "positives"] = "negatives",
        temperature: float = 0.5,
        second_image_weight: float = 1.0,
        view_weight: float = 1.0,
        local_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if text_pair not in ("all", "same_breast", "none"):
            raise ConfigurationError(f"text_pair must be 'all', 'same_breast' or 'none', got {text_pair!r}")
        if identical_captions not in ("negatives", "positives"):
            raise ConfigurationError(
                f"identical_captions must be 'negatives' or 'positives', got {identical_captions!r}"
            )
        if not 0 < temperature < float("inf"):
            raise ConfigurationError(f"temperature must be above 0 and finite, got {temperature}")
        weights = {"second_image_text": second_image_weight, "view": view_weight, "local": local_weight}
        if not all(0 <= weight < float("inf") for weight in weights.values()):
            raise ConfigurationError(f"weights must be finite and >= 0, got {weights}")
        self.text_pair = text_pair
        self.symmetric = symmetric
        self.identical_captions = identical_captions
        self.temperature = temperature
        self.weights = {"image_text": 1.0, **weights}
        if text_pair == "none":
            self.weights["second_image_text"] = 0.0

    @property
    def late_terms(self) -> tuple[str, ...]:
        """Which of ``second_image_text``, ``view`` and ``local`` have a weight above zero."""
        return tuple(name for name, weight in self.weights.items() if weight > 0 and name != "image_text")

    @property
    def has_late_terms(self) -> bool:
        """Whether anything joins the image-text term late."""
        return bool(self.late_terms)

    def forward(
        self, embeddings: MaMAEmbeddings, *, scale: Tensor, local_scale: Tensor, late: bool, gather: bool
    ) -> dict[str, Tensor]:
        """The unweighted terms, and their weighted sum.

        Args:
            embeddings: Of this process's N pairs; N may differ by process.
            scale: Scalar, > 0: exp(tau) of the terms between image and text.
            local_scale: Scalar, > 0: exp(tau_local).
            late: Whether the late terms take part.
            gather: Whether the pairs of all processes form one batch; all processes then compute the same terms.

        Returns:
            Scalars ``image_text``, where ``late`` those of ``late_terms``, and ``total``.

        Raises:
            ValueError: If the batch has fewer than two pairs, or inputs of a term are absent or do not fit.
        """
        wanted = self.late_terms if late else ()
        rows = _global_rows(embeddings, wanted, gather=gather)
        groups = rows.caption_id if self.identical_captions == "positives" else None
        terms = {"image_text": clip_loss(rows.image, rows.text, scale, groups=groups)}
        if "second_image_text" in wanted:
            terms["second_image_text"] = self._second_image_text(rows, scale, groups)
        if "view" in wanted:
            terms["view"] = nt_xent_loss(
                _there(rows.view, "view", "view"), _there(rows.second_view, "second_view", "view"), self.temperature
            )
        if "local" in wanted:
            terms["local"] = local_alignment_loss(
                _there(embeddings.patches, "patches", "local"),
                _there(embeddings.sentences, "sentences", "local"),
                _there(embeddings.sentence_owner, "sentence_owner", "local"),
                local_scale,
                self.symmetric,
                groups=groups,
                gather=gather,
            )
        total = torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()
        return {**terms, "total": total}

    def _second_image_text(self, rows: MaMAEmbeddings, scale: Tensor, groups: Tensor | None) -> Tensor:
        """``L_clip(v2, t)`` of the rows that enter; zero where fewer than two do, with a gradient of zeros."""
        second = _there(rows.second_image, "second_image", "second_image_text")
        if self.text_pair == "all":
            return clip_loss(second, rows.text, scale, groups=groups)
        entering = rows.same_breast.nonzero()[:, 0]
        if len(entering) < 2:
            return (second.sum() + rows.text.sum()) * scale * 0
        groups = None if groups is None else groups[entering]
        return clip_loss(second[entering], rows.text[entering], scale, groups=groups)


_GATHERED = {"image_text": ("image", "text"), "second_image_text": ("second_image",), "view": ("view", "second_view")}
"""What all processes share of each term, besides the scores of the local loss."""


def _there(tensor: Tensor | None, name: str, term: str) -> Tensor:
    """The tensor, refused if absent."""
    if tensor is None:
        raise ValueError(f"the term {term} of MaMALoss needs embeddings.{name}, which is None")
    return tensor


def _global_rows(embeddings: MaMAEmbeddings, late_terms: tuple[str, ...], *, gather: bool) -> MaMAEmbeddings:
    """The rows (not patches and sentences) of all processes, as far as the terms need them."""
    if not gather or world_size() == 1:
        return embeddings
    parts = {
        name: _there(getattr(embeddings, name), name, term)
        for term in ("image_text", *late_terms)
        for name in _GATHERED.get(term, ())
    }
    (counts,) = counts_of_processes([len(embeddings.image)], embeddings.image.device)
    floats = gather_rows(torch.cat([at_least_float32(part) for part in parts.values()], dim=1), counts)
    integers = gather_rows(torch.stack([embeddings.same_breast.long(), embeddings.caption_id], dim=1), counts)
    gathered = dict(zip(parts, floats.split([part.shape[1] for part in parts.values()], dim=1), strict=True))
    return MaMAEmbeddings(**gathered, same_breast=integers[:, 0].bool(), caption_id=integers[:, 1])
