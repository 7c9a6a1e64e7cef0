"""Rows of all processes as one batch, with gradient: negatives of a contrastive loss come from the global batch."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, distributed
from torch.autograd.function import once_differentiable

from medlit.collectives import counts_of_processes, gather_padded, rank, sum_over_processes, world_size


def gather_rows(tensor: Tensor, counts: Sequence[int] | None = None) -> Tensor:
    """The rows of all processes, in the order of their ranks.

    Backward, a process's rows get the sum of the gradients that all processes have for them (see
    ``medlit.collectives`` for what that means under DistributedDataParallel). All processes must call it alike.

    Args:
        tensor: (R, ...), any dtype; R may differ by process, and be 0.
        counts: R of each process, where the caller knows them; None: asked of the processes, which waits for the
            device.

    Returns:
        (sum of R, ...), the same on each process; with one process or none the tensor itself.
    """
    if world_size() == 1:
        return tensor
    if counts is None:
        (counts,) = counts_of_processes([len(tensor)], tensor.device)
    if tensor.is_floating_point():
        return _GatherRows.apply(tensor, list(counts))  # type: ignore[no-any-return]
    carried = tensor.to(torch.uint8) if tensor.dtype == torch.bool else tensor  # not every backend carries bool
    return gather_padded(carried, counts).to(tensor.dtype)


def rank_offset(rows: int) -> tuple[int, int]:
    """Where this process's rows lie in ``gather_rows``.

    Args:
        rows: R of this process.

    Returns:
        Index of its first row, and the number of all rows.
    """
    (counts,) = counts_of_processes([rows], _device_of_group())
    return sum(counts[: rank()]), sum(counts)


class _GatherRows(torch.autograd.Function):
    """Forward: all rows; backward: the sum over processes, of which each keeps its own rows."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, counts: list[int]) -> Tensor:
        """(R, ...) -> (sum of counts, ...)."""
        ctx.counts = counts
        return gather_padded(tensor, counts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """(sum of counts, ...) -> (R, ...)."""
        return sum_over_processes(gradient).split(ctx.counts)[rank()], None


def _device_of_group() -> torch.device:
    """Where the process group's collectives work: NCCL carries no tensors of the CPU."""
    is_nccl = world_size() > 1 and "nccl" in distributed.get_backend()
    return torch.device("cuda", torch.cuda.current_device()) if is_nccl else torch.device("cpu")
