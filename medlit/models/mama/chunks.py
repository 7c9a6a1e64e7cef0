"""A tower over a large batch in small parts: the gradient of the whole batch in a fraction of the memory."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from medlit.errors import ConfigurationError


def in_chunks(
    tower: Callable[..., tuple[Tensor, ...]], *inputs: Tensor, micro_batch_size: int | None
) -> tuple[Tensor, ...]:
    """What a tower makes of a batch, computed and recomputed part by part.

    The forward pass keeps the inputs and outputs of each part alone; the backward pass runs a part again, with the
    random state it had, before it goes through it. The gradient is therefore that of all parts at once, whatever the
    loss does with the rows of the batch together, at the price of a second forward pass. This is what Gao et al.,
    "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup" (RepL4NLP 2021) call a gradient cache, by
    means of autograd alone, so that DistributedDataParallel and gradient checkpointing inside the tower work as ever.

    Args:
        tower: From rows of each input to rows of each output, row by row.
        inputs: (B, ...) each.
        micro_batch_size: Rows of a part; None: the whole batch at once, nothing recomputed.

    Raises:
        ConfigurationError: If ``micro_batch_size`` is no number of rows.
    """
    if micro_batch_size is None:
        return tower(*inputs)
    if micro_batch_size < 1:
        raise ConfigurationError(f"micro_batch_size: one row or more, or null, got {micro_batch_size}")
    parts = []
    for rows in zip(*(tensor.split(micro_batch_size) for tensor in inputs), strict=True):
        if torch.is_grad_enabled():
            parts.append(checkpoint(tower, *rows, use_reentrant=False))
        else:
            parts.append(tower(*rows))
    return tuple(torch.cat(outputs) for outputs in zip(*parts, strict=True))
