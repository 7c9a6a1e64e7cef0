"""Which case comes when, and with which augmentation: functions of seed and epoch, whatever the number of processes."""

import math
from collections.abc import Iterator, Sequence, Sized

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DistributedSampler

Request = tuple[int, int]
"""What a sampler asks of a dataset: index of the case, seed of its augmentation."""


def balanced_order(groups: Sequence[int], *, generator: np.random.Generator) -> NDArray[np.int64]:
    """Shuffled indices in which every group is as frequent as the largest one.

    A group of n members is repeated whole ``largest // n`` times; the remainder is drawn without replacement.

    Args:
        groups: Group of each case, length N (the class; for several labels their combination).
        generator: Draws the remainders and the order.

    Returns:
        Indices into ``groups``, (largest * number of groups,).
    """
    names, counts = np.unique(groups, return_counts=True)
    largest = int(counts.max())
    parts = []
    for name in names:
        members = np.flatnonzero(np.asarray(groups) == name)
        parts.append(np.tile(members, largest // len(members)))
        parts.append(generator.choice(members, size=largest % len(members), replace=False))
    return generator.permutation(np.concatenate(parts))


class TrainingSampler(DistributedSampler[Request]):
    """Shuffled requests in full global batches.

    The order is a function of (seed, epoch), an augmentation's seed of (seed, epoch, position in the epoch). The order
    is padded by wrapping round to a multiple of the global batch. Global batch s of G = world_size * batch_size
    positions gives process r the positions s * G + r * batch_size and following: two processes see the global batches
    that one process with twice the batch size sees. It is a DistributedSampler so that Lightning leaves it in place
    and calls ``set_epoch``. ``start`` is the position in this process's share at which it begins: a training that
    goes on within an epoch does not ask for what it has seen.

    Args:
        dataset: What is sampled, N cases.
        batch_size: Cases per batch of one process.
        seed: Zero or more.
        groups: Group of each case, to be sampled evenly (``balanced_order``); None takes each case once.
        world_size: Number of processes.
        rank: This process, 0 to world_size - 1.
    """

    def __init__(
        self,
        dataset: Sized,
        *,
        batch_size: int,
        seed: int,
        groups: Sequence[int] | None = None,
        world_size: int = 1,
        rank: int = 0,
    ) -> None:
        super().__init__(dataset, num_replicas=world_size, rank=rank, shuffle=True, seed=seed)  # type: ignore[arg-type]
        self.batch_size = batch_size
        self.groups = groups
        self.cases = len(dataset)
        length = self.cases
        if groups is not None:
            counts = np.unique(groups, return_counts=True)[1]
            length = int(counts.max()) * len(counts)
        steps = math.ceil(length / (batch_size * world_size))
        self.num_samples = steps * batch_size
        self.total_size = self.num_samples * world_size
        self.start = 0

    def identity(self) -> dict[str, int]:
        """What decides, beside the epoch, which cases a global batch holds; plain numbers, for a checkpoint."""
        return {
            "cases": self.cases,
            "seed": int(self.seed),
            "global_batch": self.batch_size * self.num_replicas,
            "epoch_length": self.total_size,
        }

    def __iter__(self) -> Iterator[Request]:
        """This process's share of the epoch that ``set_epoch`` named."""
        source = np.random.SeedSequence([self.seed, self.epoch])
        generator = np.random.default_rng(source)
        if self.groups is None:
            order = generator.permutation(self.cases)
        else:
            order = balanced_order(self.groups, generator=generator)
        order = np.resize(order, self.total_size)  # wraps round
        seeds = source.generate_state(self.total_size)
        mine = np.arange(self.total_size).reshape(-1, self.num_replicas, self.batch_size)[:, self.rank].ravel()
        return iter([(int(order[position]), int(seeds[position])) for position in mine[self.start :]])

    def __len__(self) -> int:
        """Requests of this process in an epoch."""
        return self.num_samples


class EvaluationSampler(DistributedSampler[Request]):
    """Every case once, in the order of the table: process r takes cases r, r + world_size, ...

    All processes make the same number of forward passes: there is communication inside of them, weights gathered by
    FSDP2 in each, buffers sent round by DistributedDataParallel in a validation's first, and a process with fewer would
    leave the others waiting. One whose cases make a batch fewer than those of others therefore gets one batch more,
    which repeats the first case; no case comes twice otherwise. Whoever gathers results keeps the first of each
    ``case_id``.

    With ``whole_batches`` batch b of the order goes to process b modulo world_size, for figures that are made of
    batches: the batches of any number of processes are those of one. What is repeated then is the first batch.

    Args:
        dataset: What is sampled, N cases.
        batch_size: Of the loader, which cuts the requests into as many.
        world_size: Number of processes.
        rank: This process, 0 to world_size - 1.
        whole_batches: Deal out batches instead of cases.
    """

    def __init__(
        self, dataset: Sized, *, batch_size: int, world_size: int = 1, rank: int = 0, whole_batches: bool = False
    ) -> None:
        super().__init__(dataset, num_replicas=world_size, rank=rank, shuffle=False)  # type: ignore[arg-type]
        order = np.arange(len(dataset))
        dealt = batch_size if whole_batches else 1
        turn = order // dealt  # the first process is never behind: it has the most passes
        shares = [order[turn % world_size == process] for process in (0, rank)]
        most, passes = (math.ceil(len(share) / batch_size) for share in shares)
        # A process that is behind has full batches alone, so that what is added is a batch of its own.
        self.indices = shares[1] if passes == most else np.concatenate([shares[1], order[:dealt]])
        self.num_samples = len(self.indices)

    def __iter__(self) -> Iterator[Request]:
        """This process's cases; the seed is zero, for nothing is drawn."""
        return iter([(index, 0) for index in self.indices.tolist()])

    def __len__(self) -> int:
        """Requests of this process."""
        return self.num_samples
