"""Trainings of the tiny task that are stopped somewhere, and gone on with."""

import os
import signal
from contextlib import contextmanager
from functools import partial

import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.cli import ReduceLROnPlateau
from torch.utils.data import DataLoader

from data_modules.dataset import collate
from data_modules.loaders import ResumableLoader
from data_modules.sampling import TrainingSampler
from medlit import preemption
from medlit.callbacks import BestCheckpoint
from medlit.checkpoint_io import SealedCheckpointIO
from medlit.preemption import Preempted
from tests.medlit.tasks.tiny import TinyDataModule, _Requested, early_intervention, trainer


class Data(TinyDataModule):
    """Whose training can go on within an epoch, as that of every set."""

    def _loader(self, sampler):
        kind = ResumableLoader if isinstance(sampler, TrainingSampler) else DataLoader
        return kind(_Requested(self.samples), batch_size=self.batch_size, sampler=sampler, collate_fn=collate)


class Killed(Exception):
    """As a kill: nothing is kept for it."""


class Send(Callback):
    """Sends a signal to this process after a step, in its training or in the validation behind it; notes losses.

    With ``kill`` the process goes away there instead.
    """

    def __init__(self, where=None, step=None, *, kill=False):
        self.where, self.step, self.kill = where, step, kill
        self.losses, self.validated = {}, []

    def on_train_batch_end(self, runner, task, outputs, batch, batch_idx):
        if outputs:
            self.losses[batch_idx + 100 * runner.current_epoch] = float(outputs["loss"])
        self._send(runner, "training")

    def on_validation_batch_end(self, runner, *_):
        if not runner.sanity_checking:
            self._send(runner, "validation")

    def on_validation_end(self, runner, task):
        if not runner.sanity_checking:
            self.validated.append((runner.global_step, float(runner.callback_metrics.get("val/loss", 0.0))))

    def _send(self, runner, where):
        if (self.where, self.step) == (where, runner.global_step):
            if self.kill:
                raise Killed
            os.kill(os.getpid(), signal.SIGUSR1)


@contextmanager
def own_handlers():
    """Gives back what a training changes for the whole process."""
    kept = {number: signal.getsignal(number) for number in preemption.SIGNALS}
    try:
        yield
    finally:
        preemption.note_only(False)
        for number, handler in kept.items():
            signal.signal(number, handler)


def last_of(folder):
    return folder / "checkpoints" / "last.ckpt"


def fit(folder, *, where=None, step=None, kill=False, resume=False, keeper=None, callbacks=(), make=None, **settings):
    """A training of Early Intervention with a plateau and early stopping, stopped by a signal if asked.

    Returns:
        Task, Trainer, what was noted, and what stopped it.
    """
    plateau = partial(ReduceLROnPlateau, monitor="val/loss", patience=0, factor=0.5, threshold=0.5)
    send, task = Send(where, step, kill=kill), (make or partial(early_intervention, scheduler=plateau))()
    callbacks = callbacks or [EarlyStopping("val/map", mode="max", patience=10)]
    plugins = [SealedCheckpointIO()]
    runner = trainer(folder, callbacks=[send, *callbacks, keeper or BestCheckpoint()], plugins=plugins, **settings)
    checkpoint, stopped = str(last_of(folder)) if resume else None, None
    with own_handlers():
        try:
            runner.fit(task, datamodule=Data(), ckpt_path=checkpoint, weights_only=True if resume else None)
        except (Preempted, Killed) as error:
            stopped = error
    return task, runner, send, stopped


def assert_same_end(whole, *parts):
    """That parts of a run, each of `fit`, made the steps of the unbroken one and came to its end."""
    (task, unbroken, all_of, _), (end, resumed, *_) = whole, parts[-1]
    losses = {}
    for _, _, sent, _ in parts:
        losses |= sent.losses
    assert losses == all_of.losses
    assert sorted({figure for _, _, sent, _ in parts for figure in sent.validated}) == all_of.validated
    for name, parameter in task.model.named_parameters():
        assert torch.equal(parameter, end.model.get_parameter(name)), name
    scores = [runner.checkpoint_callback.best_model_score for runner in (unbroken, resumed)]
    assert scores[0] == scores[1]
    assert (resumed.current_epoch, resumed.global_step) == (unbroken.current_epoch, unbroken.global_step)
    logged = [runner.fit_loop.epoch_loop._batches_that_stepped for runner in (unbroken, resumed)]
    assert logged[0] == logged[1]
