"""Pooling over the images of a case, padding left aside."""

import torch
from torch import Tensor


def masked_max(values: Tensor, mask: Tensor) -> Tensor:
    """Element-wise maximum over a case's images.

    Args:
        values: (B, I, K), any float dtype.
        mask: (B, I) bool, True where there is an image; at least one a case.

    Returns:
        (B, K).
    """
    return values.masked_fill(~mask[..., None], float("-inf")).amax(dim=1)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over a case's images; shapes as in :func:`masked_max`."""
    weight = mask[..., None].to(values.dtype)
    return (values * weight).sum(dim=1) / weight.sum(dim=1)


def image_masks(
    images: dict[str, Tensor], image_mask: dict[str, Tensor] | None, modalities: list[str]
) -> dict[str, Tensor]:
    """The mask of each modality, all True where none is given.

    Args:
        images: By modality, (B, I, 3, H, W).
        image_mask: By modality, (B, I) bool; or None.
        modalities: Those that the model needs.

    Returns:
        By modality, (B, I) bool.

    Raises:
        ValueError: If a case has no image of a modality.
    """
    masks = {}
    for modality in modalities:
        if modality not in images:
            raise ValueError(f"the batch has no images of modality {modality!r}, only of {sorted(images)}")
        pictures = images[modality]
        mask = None if image_mask is None else image_mask.get(modality)
        if mask is None:
            mask = torch.ones(pictures.shape[:2], dtype=torch.bool, device=pictures.device)
        elif not bool(mask.any(dim=1).all()):
            case = int((~mask.any(dim=1)).nonzero()[0])
            raise ValueError(f"case {case} of the batch has no image of modality {modality!r}; every case needs one")
        masks[modality] = mask
    return masks
