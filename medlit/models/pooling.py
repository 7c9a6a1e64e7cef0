"""Which cases of a batch have which modality, and pooling over the images of a case, padding left aside."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class CaseImages:
    """The images of a batch in every modality of a model; B cases, M modalities."""

    images: dict[str, Tensor]
    """By modality, (B, I, 3, H, W), of clinical variables (B, 1, V); (B, 1, 0) where no case has the modality."""
    masks: dict[str, Tensor | None]
    """By modality, (B, I) bool, False for padding and for absent cases; None: all images are real."""
    present: Tensor
    """(B, M) bool, in the order of the modalities: whether a case has any image of the modality."""
    complete: bool
    """Whether every case has every modality."""


def case_images(
    images: dict[str, Tensor], image_mask: dict[str, Tensor] | None, modalities: Sequence[str]
) -> CaseImages:
    """What a batch has of each modality of a model.

    Args:
        images: By modality, (B, I, 3, H, W), of clinical variables (B, 1, V); one that no case has may be left out.
        image_mask: By modality, (B, I) bool, False for padding and for absent cases; None: all images are real.
        modalities: Those of the model.

    Raises:
        ValueError: If a case has no image of any modality.
    """
    known = [name for name in modalities if name in images]
    if not known:
        raise ValueError(f"the batch has no images of {' or '.join(modalities)}, only of {sorted(images)}")
    first = images[known[0]]
    stacks, masks, present = {}, {}, []
    for name in modalities:
        stack, mask = images.get(name), None if image_mask is None else image_mask.get(name)
        if stack is None:
            stack, mask = first.new_zeros(len(first), 1, 0), first.new_zeros(len(first), 1, dtype=torch.bool)
        elif mask is not None and bool(mask.all()):
            mask = None
        stacks[name], masks[name] = stack, mask
        present.append(first.new_ones(len(first), dtype=torch.bool) if mask is None else mask.any(dim=1))
    table = torch.stack(present, dim=1)
    complete = all(mask is None for mask in masks.values()) or bool(table.all())
    if not complete and not bool(table.any(dim=1).all()):
        case = int((~table.any(dim=1)).nonzero()[0])
        raise ValueError(f"case {case} of the batch has no image of {' or '.join(modalities)}; every case needs one")
    return CaseImages(images=stacks, masks=masks, present=table, complete=complete)


def masked_max(values: Tensor, mask: Tensor | None) -> Tensor:
    """Element-wise maximum over a case's images; zeros for a case without any.

    Args:
        values: (B, I, K), any float dtype.
        mask: (B, I) bool, True where there is an image; None: everywhere.

    Returns:
        (B, K).
    """
    if mask is None:
        return values.amax(dim=1)
    highest = values.masked_fill(~mask[..., None], float("-inf")).amax(dim=1)
    return zero_absent(highest, mask.any(dim=1))


def masked_mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over a case's images; zeros for a case without any. Shapes as in :func:`masked_max`."""
    if mask is None:
        return values.mean(dim=1)
    weight = mask[..., None].to(values.dtype)
    return (values * weight).sum(dim=1) / weight.sum(dim=1).clamp_min(1)


def zero_absent(values: Tensor, present: Tensor) -> Tensor:
    """Values (B, K), zero in the rows that are not ``present`` (B,), whatever they were; no gradient reaches those."""
    return torch.where(present[:, None], values, values.new_zeros(()))
