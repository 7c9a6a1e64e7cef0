"""Cross-entropy for one label a case, binary cross-entropy for several."""

import torch.nn.functional as F
from torch import Tensor


def classification_loss(logits: Tensor, label: Tensor, *, class_weights: Tensor | None = None) -> Tensor:
    """Mean loss over cases, in float32 whatever the precision of the logits.

    Args:
        logits: (B, C), any float dtype.
        label: (B,) int64 -> cross-entropy; (B, C) float of zeros and ones -> binary cross-entropy, mean over labels.
        class_weights: (C,) factors on the classes (cross-entropy; the mean is weighted too) or on the positives.

    Returns:
        Scalar float32.
    """
    logits = logits.float()
    if label.is_floating_point():
        return F.binary_cross_entropy_with_logits(logits, label.float(), pos_weight=class_weights)
    return F.cross_entropy(logits, label, weight=class_weights)
