"""One answer for what several answers are about: images of a breast, breasts of an exam."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class Aggregate:
    """Answers for U units; C classes."""

    ids: list[str]
    """Each unit once, in the order in which they come first."""
    probabilities: Tensor
    """(U, C) float64."""
    labels: Tensor | None
    """(U,) int64, -1 where unknown, or (U, C) float32, NaN where unknown; the most severe of the unit's own."""
    counts: Tensor
    """(U,) int64: rows of the unit."""
    unit: Tensor
    """(N,) int64: the place of each row's unit."""
    disagreeing: int
    """Units whose known labels are not all the same."""


def aggregate(
    probabilities: Tensor,
    labels: Tensor | None,
    ids: Sequence[str],
    *,
    by: Literal["mean", "any"] = "mean",
    multi_label: bool = False,
    severity: Sequence[int] | None = None,
) -> Aggregate:
    """Answers and labels of units from those of their rows.

    ``mean`` is the mean over the rows. ``any`` is for parts each of which makes the whole positive (an exam is positive
    if one breast is): of two classes the more severe takes the largest of its probabilities and the other one the rest;
    of several labels each takes its largest; of more than two classes it is the mean, for there is no positive one.
    The RSNA challenge (2022) asks for one answer per breast and leaves open how; mean and maximum are our choice.

    A unit's label is the most severe of its rows' known ones; unknown where none is known. Several labels: a unit has
    each label that any of its rows has.

    Args:
        probabilities: (N, C) floats in [0, 1]; of one label they sum to 1.
        labels: (N,) integers in [0, C), -1 where unknown; multi-label (N, C) of zeros and ones, rows of NaN where
            unknown; None where no row has one.
        ids: N names of units.
        by: How answers become one.
        multi_label: Whether a row may have several labels; then ``labels`` is (N, C).
        severity: The C class ids from the least to the most severe; None: ascending. Not used for several labels.

    Raises:
        ValueError: If shapes do not fit, there is no row, or ``severity`` does not name each class once.
    """
    _check(probabilities, labels, ids, multi_label=multi_label)
    order = severity_order(severity, num_classes=probabilities.shape[1])
    places: dict[str, int] = {}
    unit = torch.tensor([places.setdefault(name, len(places)) for name in ids], dtype=torch.long)
    counts = torch.bincount(unit, minlength=len(places))
    values = probabilities.detach().to("cpu", torch.float64)
    if by == "any" and multi_label:
        answers = _largest(values, unit, len(places))
    elif by == "any" and values.shape[1] == 2:
        # The smallest of the other class's is that rest; near one it has digits that a difference would round away.
        sign = torch.tensor([1.0 if index == order[-1] else -1.0 for index in range(2)], dtype=torch.float64)
        answers = sign * _largest(sign * values, unit, len(places))
    else:
        answers = torch.zeros(len(places), values.shape[1], dtype=torch.float64).index_add_(0, unit, values)
        answers /= counts[:, None]
    if labels is None:
        return Aggregate(list(places), answers, None, counts, unit, 0)
    merge = _any_label if multi_label else _most_severe
    merged, disagreeing = merge(labels.detach().cpu(), unit, order, len(places))
    return Aggregate(list(places), answers, merged, counts, unit, disagreeing)


def severity_order(severity: Sequence[int] | None, *, num_classes: int) -> list[int]:
    """Class ids from the least to the most severe; None is ascending.

    Raises:
        ValueError: If not each class is named once.
    """
    order = list(range(num_classes)) if severity is None else [int(index) for index in severity]
    if sorted(order) != list(range(num_classes)):
        raise ValueError(
            f"severity is {order}; name each of the classes 0 to {num_classes - 1} once, least severe first"
        )
    return order


def _largest(values: Tensor, unit: Tensor, size: int) -> Tensor:
    """(size, C): the largest value (N, C) of each unit."""
    start = values.new_full((size, values.shape[1]), float("-inf"))
    return start.scatter_reduce(0, unit[:, None].expand_as(values), values, "amax")


def _most_severe(labels: Tensor, unit: Tensor, order: Sequence[int], size: int) -> tuple[Tensor, int]:
    """Labels (size,) int64, -1 where no row's is known, and how many units have different ones."""
    ranks = torch.empty(len(order) + 1, dtype=torch.long)  # the last place is reached by label -1
    ranks[list(order)] = torch.arange(len(order))
    ranks[-1] = -1
    rank = ranks[labels]
    most = torch.full((size,), -1).scatter_reduce(0, unit, rank, "amax")
    known = rank >= 0
    least = torch.full((size,), len(order)).scatter_reduce(0, unit[known], rank[known], "amin")
    disagreeing = int(((most >= 0) & (least < most)).sum())
    return torch.tensor([*order, -1])[most], disagreeing


def _any_label(labels: Tensor, unit: Tensor, _order: Sequence[int], size: int) -> tuple[Tensor, int]:
    """Labels (size, C) float32, NaN where no row's are known, and how many units have different ones."""
    labels = labels.to(torch.float32)
    known = ~labels.isnan().any(dim=1)
    most = _largest(labels[known], unit[known], size)
    least = -_largest(-labels[known], unit[known], size)
    disagreeing = int((least < most).any(dim=1)[most.isfinite().all(dim=1)].sum())
    return most.masked_fill(most.isinf(), float("nan")), disagreeing


def _check(probabilities: Tensor, labels: Tensor | None, ids: Sequence[str], *, multi_label: bool) -> None:
    if probabilities.ndim != 2 or len(ids) != len(probabilities):
        raise ValueError(f"Need probabilities (N, C) and N ids, got {tuple(probabilities.shape)} and {len(ids)} ids")
    if not len(ids):
        raise ValueError("No rows: a unit needs at least one")
    if labels is None:
        return
    shape = probabilities.shape if multi_label else probabilities.shape[:1]
    if labels.shape != shape:
        raise ValueError(f"Need labels {tuple(shape)}, got {tuple(labels.shape)}")
    if not multi_label and not ((labels >= -1) & (labels < probabilities.shape[1])).all():
        raise ValueError(f"Labels must be integers in [0, {probabilities.shape[1]}), or -1 where unknown")
