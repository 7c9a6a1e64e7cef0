"""Cross-entropy for one label a case, binary cross-entropy for several."""

import torch
import torch.nn.functional as F
from torch import Tensor

from medlit.collectives import sum_over_processes, world_size


def classification_loss(
    logits: Tensor, label: Tensor, *, class_weights: Tensor | None = None, present: Tensor | None = None
) -> Tensor:
    """Mean loss over cases, in float32 whatever the precision of the logits.

    Args:
        logits: (B, C), any float dtype.
        label: (B,) int64 -> cross-entropy; (B, C) float of zeros and ones -> binary cross-entropy, mean over labels.
        class_weights: (C,) factors on the classes (cross-entropy; the mean is weighted too) or on the positives.
        present: (B,) bool, False for cases whose logits mean nothing: they add zero, and count in the mean all the
            same, so that the gradients of processes average to those of one; None: all cases have logits.

    Returns:
        Scalar float32.
    """
    logits = logits.float()
    several = label.is_floating_point()
    if present is None and several:
        return F.binary_cross_entropy_with_logits(logits, label.float(), pos_weight=class_weights)
    if present is None and class_weights is None:
        return F.cross_entropy(logits, label)
    if several:
        losses = F.binary_cross_entropy_with_logits(logits, label.float(), pos_weight=class_weights, reduction="none")
        losses = losses.mean(dim=1)
    else:
        losses = F.cross_entropy(logits, label, weight=class_weights, reduction="none")
    divisor: int | Tensor = len(label)
    if not several and class_weights is not None:  # that of the global batch: processes that train have equal shares
        divisor = sum_over_processes(class_weights[label].sum()) / world_size()
    return (losses if present is None else torch.where(present, losses, 0.0)).sum() / divisor
