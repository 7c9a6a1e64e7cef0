"""Where a training stands, said so that Lightning goes on there: in a validation, and at the end of an epoch."""

from copy import deepcopy
from typing import Any

import torch
from lightning.pytorch import Trainer

VALIDATION_PROGRESS = "epoch_loop.val_loop.batch_progress"
"""Key of the counted validation batches in the state of Lightning's fit loop."""


class Positions:
    """The training's position at the start of a validation, for checkpoints that are written during it.

    A validation's figures are made of all of its batches: one that was stopped midway has to be done anew. Lightning
    resumes a validation of which one batch was started and none is done at its first batch.
    """

    def __init__(self) -> None:
        self._loops: dict[str, Any] | None = None
        self._shared_batches = 0

    def enter_validation(self, trainer: Trainer) -> None:
        """Count the batches that every process has; each process has to call it."""
        counts = trainer.num_val_batches
        number = sum(counts) if isinstance(counts, list) else counts
        mine = torch.tensor(min(float(number), 1e9), device=trainer.strategy.root_device)
        self._shared_batches = int(trainer.strategy.reduce(mine, reduce_op="min"))

    def in_step(self, trainer: Trainer, batch_idx: int) -> bool:
        """Note the position at the first batch.

        Returns:
            Whether all processes have a batch of this index, and may wait for each other.
        """
        if batch_idx == 0 and self._loops is None:
            self._loops = deepcopy(trainer.fit_loop.state_dict())
            for progress in ("total", "current"):
                counts = self._loops[VALIDATION_PROGRESS][progress]
                counts["started"] = counts["ready"]
        return batch_idx < self._shared_batches

    def leave_validation(self) -> None:
        """Forget the position."""
        self._loops = None

    def put_into(self, checkpoint: dict[str, Any]) -> None:
        """Put the position in the place of a checkpoint's own, during a validation."""
        if self._loops is not None and "loops" in checkpoint:
            checkpoint["loops"]["fit_loop"] = self._loops


def epoch_has_ended(trainer: Trainer) -> bool:
    """Whether Lightning has ended the newest epoch: all of its batches are done, or training ends."""
    counts: Any = trainer.fit_loop.epoch_progress.current  # declared without all that it counts
    return bool(counts.processed == counts.ready)


def stay_within_epoch(trainer: Trainer, checkpoint: dict[str, Any]) -> None:
    """Let a checkpoint of a training that ended within an epoch lead there, should it be given more steps or time.

    Lightning ends the epoch where it ends the training, and would go on with the next one.
    """
    loop, fetcher = trainer.fit_loop.epoch_loop, trainer.fit_loop._data_fetcher
    is_within = loop.batch_progress.current.ready > 0 and not loop._num_ready_batches_reached()
    if "loops" not in checkpoint or not is_within or not epoch_has_ended(trainer):
        return
    state = checkpoint["loops"]["fit_loop"]
    for counts in state["epoch_progress"].values():
        counts["processed"] -= 1
        counts["completed"] = min(counts["completed"], counts["processed"])
    if fetcher is not None and not trainer.should_stop and loop._should_check_val_fx(fetcher):
        # Lightning counts the batch again where it passes over the validation.
        state["epoch_loop.state_dict"]["_batches_that_stepped"] -= 1


def forget_stopped_validation(trainer: Trainer) -> None:
    """Count the batches of a stopped validation as not begun; called when training starts.

    Lightning has taken from them by now where training goes on, and leaves them so until the epoch ends: what it would
    take from a later checkpoint of the same epoch, or from a second stop in the same validation, would be wrong.
    """
    trainer.fit_loop.epoch_loop.val_loop.batch_progress.total.reset_on_restart()


def go_on_with_next_epoch(trainer: Trainer) -> None:
    """Let a training that was kept between two epochs go on with the next one; called when training starts.

    With ``max_steps`` Lightning takes every training that goes on for one within an epoch: it would end the epoch a
    second time, count it twice, and let a plateau step again; that also before the first epoch.
    """
    loop = trainer.fit_loop
    if loop.restarted_on_epoch_end:
        loop.epoch_progress.increment_completed()
    if loop.restarted_on_epoch_end or loop.epoch_progress.total.ready == 0:
        loop.reset_restart_stage()
        loop._restarting = False  # its setter says yes to whatever has max_steps
        loop.epoch_loop.restarting = False
