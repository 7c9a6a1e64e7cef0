"""One process of a sum over processes: ``python -m medlit.doctor.all_reduce BACKEND RANK PROCESSES FILE``."""

import sys
from datetime import timedelta

SECONDS = 120
"""After which a process that waits for another gives up."""


def main(backend: str, rank: int, processes: int, file: str) -> int:
    """Sum rank + 1 over all processes.

    Args:
        backend: gloo or nccl.
        rank: Of this process.
        processes: How many there are.
        file: A path where there is nothing yet, in which they meet: to meet at an address, names are looked up.

    Returns:
        0, or 1 where the sum is not what it has to be.
    """
    import torch
    import torch.distributed as dist

    if backend == "nccl":
        torch.cuda.set_device(rank)
    dist.init_process_group(
        backend,
        init_method=f"file://{file}",
        rank=rank,
        world_size=processes,
        timeout=timedelta(seconds=SECONDS),
    )
    value = torch.full((1024,), rank + 1.0, device="cuda" if backend == "nccl" else "cpu")
    dist.all_reduce(value)
    expected = processes * (processes + 1) / 2
    summed = bool((value == expected).all())
    dist.destroy_process_group()
    if not summed:
        print(f"the sum is {value[0].item()}, not {expected}", file=sys.stderr)
    return 0 if summed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
