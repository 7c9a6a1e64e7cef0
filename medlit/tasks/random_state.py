"""Random state of a training step as a function of the step: what is resumed draws what an unbroken run would draw."""

import os

import numpy as np
import torch
from lightning.pytorch import LightningModule


def step_seed(*, seed: int, epoch: int, batch: int, rank: int) -> int:
    """A seed that belongs to one step of one process, the same in every run.

    Args:
        seed: Of the run, zero or more.
        epoch: From 0.
        batch: Index of the batch in the epoch, from 0.
        rank: Of the process, so that no two draw alike.

    Returns:
        From 0 to 2**63 - 1; numpy's SeedSequence mixes the four, so that neighbours have nothing in common.
    """
    state = np.random.SeedSequence([seed, epoch, batch, rank]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))  # torch takes seeds of 63 bits on every device


def reseed(task: LightningModule, batch_idx: int) -> None:
    """Seed torch, on every device, for one training step; called at its start, before anything is drawn.

    Dropout, dropped patches and whatever else draws in the step become a function of (seed of the run, epoch, batch,
    process), so that a run resumed at any batch goes on as if unbroken, and nothing of the random state has to be kept.
    The seed of the run is that of ``seed_everything``; without it that of the data, else 0.

    Args:
        task: In training.
        batch_idx: Of the batch in the epoch.
    """
    trainer = task.trainer
    given = os.environ.get("PL_GLOBAL_SEED")  # where Lightning's seed_everything leaves it, for all processes
    seed = int(given) if given else int(getattr(getattr(trainer, "datamodule", None), "seed", 0))
    torch.manual_seed(step_seed(seed=seed, epoch=trainer.current_epoch, batch=batch_idx, rank=trainer.global_rank))
