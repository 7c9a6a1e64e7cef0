"""What several processes must know of each other inside a step: rows of all, sums over all, in a fixed order.

The convention for gradients, everywhere: each process computes the one loss of the global batch; going backward, a
collective sums the gradients of all processes, for each holds a copy of that loss. The mean that
DistributedDataParallel takes over processes then gives the gradient that one process would have, exactly.

Every process must call these in the same order, forward and (where its tensors need gradients) backward. Autograd goes
backward in the opposite order of the calls, so the same forward order on all processes is enough.
"""

import os
from collections.abc import Sequence

import torch
from torch import Tensor, distributed


def world_size() -> int:
    """How many processes train together; 1 without a process group."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return distributed.get_rank() if world_size() > 1 else 0


def is_first_to(key: str) -> bool:
    """Whether no other process has asked this before; nobody is waited for, and any number of processes may ask.

    Without a process group it is the first process of each machine that is.

    Args:
        key: What is asked for.
    """
    if world_size() == 1:
        return os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0")) == "0"
    try:
        return distributed.distributed_c10d._get_default_store().add(f"medlit/{key}", 1) == 1
    except RuntimeError:  # the process that keeps the count is gone
        return True


def counts_of_processes(counts: Sequence[int], device: torch.device) -> list[list[int]]:
    """Counts that may differ by process, as numbers of rows; waits for the device once.

    Args:
        counts: Of this process, as many on each.
        device: Where the process group's collectives work (that of the tensors that are counted).

    Returns:
        For each count, its values in the order of the ranks.
    """
    if world_size() == 1:
        return [[count] for count in counts]
    mine = torch.tensor(counts, dtype=torch.int64, device=device)
    shares = [torch.empty_like(mine) for _ in range(world_size())]
    distributed.all_gather(shares, mine)
    return torch.stack(shares, dim=1).tolist()


def sum_over_processes(tensor: Tensor) -> Tensor:
    """The sum of a tensor over all processes, without gradient.

    Args:
        tensor: Of the same shape on each process; left as it is.
    """
    if world_size() == 1:
        return tensor
    total = tensor.detach().clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(total)
    return total


def gather_padded(tensor: Tensor, counts: Sequence[int]) -> Tensor:
    """The rows of all processes in the order of the ranks, without gradient.

    Args:
        tensor: (R, ...), any dtype that the backend carries; R may differ by process, and be 0.
        counts: R of each process.

    Returns:
        (sum of counts, ...), the same on each process.
    """
    if len(counts) == 1:
        return tensor.detach()
    padded = tensor.new_zeros(max(counts), *tensor.shape[1:])  # collectives need one shape
    padded[: len(tensor)] = tensor.detach()
    shares = [torch.empty_like(padded) for _ in counts]
    distributed.all_gather(shares, padded)
    return torch.cat([share[:count] for share, count in zip(shares, counts, strict=True)])
