"""CLIP's loss: an image and its caption attract, all other images and captions of the batch repel."""

from torch import Tensor, nn

from medlit.losses.gather import gather_rows
from medlit.precision import at_least_float32, autocast_off


def clip_loss(image_emb: Tensor, text_emb: Tensor, scale: Tensor, *, groups: Tensor | None = None) -> Tensor:
    """Cross-entropy over images plus cross-entropy over texts, in float32 at least.

    With ``s = scale * image . text``: ``CE(s, i) + CE(s^T, i)``, row i's positive being column i. With ``groups``, the
    positives of row i are all columns of its group, each with the same share (a cross-entropy with soft targets).

    Reference: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021,
    figure 3 (there the mean of the two directions; arXiv 2409.18119 adds them).

    Args:
        image_emb: (N, E), L2-normalised rows, any float dtype.
        text_emb: (N, E), L2-normalised rows; row i belongs to row i of ``image_emb``.
        scale: Scalar, > 0: exp(tau).
        groups: (N,) integers, equal for rows whose captions say the same; None: each row is a group of its own.

    Returns:
        Scalar.

    Raises:
        ValueError: If the shapes differ or N < 2 (nothing would repel), scale is no scalar, or groups are not (N,)
            integers.
    """
    if image_emb.ndim != 2 or image_emb.shape != text_emb.shape or len(image_emb) < 2:
        raise ValueError(
            "clip_loss needs two equal (N >= 2, E) tensors of embeddings, "
            f"got {tuple(image_emb.shape)} and {tuple(text_emb.shape)}"
        )
    with autocast_off(image_emb.device.type):
        logits = at_least_float32(image_emb) @ at_least_float32(text_emb).T
        return matched_cross_entropy(logits, scale, groups=groups)


def matched_cross_entropy(scores: Tensor, scale: Tensor, *, groups: Tensor | None = None) -> Tensor:
    """Cross-entropy over the rows plus cross-entropy over the columns of scaled scores.

    Args:
        scores: (N, N) float32 or float64, N >= 1; row i's positive is column i.
        scale: Scalar.
        groups: (N,) integers: rows and columns of one group are positives of each other; None: see ``clip_loss``.

    Returns:
        Scalar, of the scores' dtype.

    Raises:
        ValueError: If scale is no scalar, or groups are not (N,) integers.
    """
    if scale.numel() != 1:
        raise ValueError(f"scale must be a scalar (exp(tau)), got shape {tuple(scale.shape)}")
    logits = scores * scale.to(scores.dtype).reshape(())
    if groups is None:
        rows, columns = logits.log_softmax(dim=1).diagonal(), logits.log_softmax(dim=0).diagonal()
        return -(rows.mean() + columns.mean())
    if groups.shape != scores.shape[:1] or groups.is_floating_point():
        raise ValueError(
            f"groups must be ({len(scores)},) integers, one per row, got {tuple(groups.shape)} of {groups.dtype}"
        )
    same = (groups[:, None] == groups[None, :]).to(logits.dtype)
    share = same / same.sum(dim=1, keepdim=True)  # (N, N), symmetric: a group's rows share one size
    return -((share * logits.log_softmax(dim=1)).sum() + (share * logits.log_softmax(dim=0)).sum()) / len(scores)


class CLIPLoss(nn.Module):
    """``clip_loss`` as a module.

    Args:
        gather: Whether the rows of all processes form one batch; else each process has negatives of its own alone.
    """

    def __init__(self, *, gather: bool = True) -> None:
        super().__init__()
        self.gather = gather

    def forward(self, image_emb: Tensor, text_emb: Tensor, scale: Tensor, groups: Tensor | None = None) -> Tensor:
        """See ``clip_loss``; with ``gather``, N may differ by process, and groups mean the same on all."""
        if self.gather:
            image_emb, text_emb = gather_rows(image_emb), gather_rows(text_emb)
            groups = None if groups is None else gather_rows(groups)
        return clip_loss(image_emb, text_emb, scale, groups=groups)
