"""A signal at any place of a training: what was trained is kept, and going on equals the unbroken run."""

import os
import signal
from functools import partial

import pytest
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
from medlit.preemption import EXIT_CODE, Preempted
from tests.medlit.tasks.tiny import TinyDataModule, _Requested, early_intervention, trainer

pytestmark = pytest.mark.slow


class Data(TinyDataModule):
    """Whose training can go on within an epoch, as that of every set."""

    def _loader(self, sampler):
        kind = ResumableLoader if isinstance(sampler, TrainingSampler) else DataLoader
        return kind(_Requested(self.samples), batch_size=self.batch_size, sampler=sampler, collate_fn=collate)


class Send(Callback):
    """Sends a signal to this process after a step, in its training or in the validation behind it; notes losses."""

    def __init__(self, where=None, step=None):
        self.where, self.step = where, step
        self.losses, self.validated = {}, []

    def on_train_batch_end(self, runner, task, outputs, batch, batch_idx):
        self.losses[batch_idx + 100 * runner.current_epoch] = float(outputs["loss"])
        self._send(runner, "training")

    def on_validation_batch_end(self, runner, *_):
        if not runner.sanity_checking:
            self._send(runner, "validation")

    def on_validation_end(self, runner, task):
        if not runner.sanity_checking:
            self.validated.append((runner.global_step, float(runner.callback_metrics["val/loss"])))

    def _send(self, runner, where):
        if (self.where, self.step) == (where, runner.global_step):
            os.kill(os.getpid(), signal.SIGUSR1)


@pytest.fixture(autouse=True)
def handlers():
    """What these tests change for the whole process."""
    kept = {number: signal.getsignal(number) for number in preemption.SIGNALS}
    yield
    preemption.note_only(False)
    for number, handler in kept.items():
        signal.signal(number, handler)


def fit(folder, *, where=None, step=None, resume=None, **settings):
    """A training of Early Intervention with a plateau and early stopping, stopped by a signal if asked."""
    plateau = partial(ReduceLROnPlateau, monitor="val/loss", patience=0, factor=0.5, threshold=0.5)
    send, task = Send(where, step), early_intervention(scheduler=plateau)
    callbacks = [send, EarlyStopping("val/map", mode="max", patience=10), BestCheckpoint()]
    runner = trainer(folder, callbacks=callbacks, plugins=[SealedCheckpointIO()], **settings)
    stopped = None
    try:
        runner.fit(task, datamodule=Data(), ckpt_path=resume, weights_only=True if resume else None)
    except Preempted as error:
        stopped = error
    return task, runner, send, stopped


SETTINGS = {
    "epochs": {"max_epochs": 3},
    "steps": {"max_steps": 10, "max_epochs": -1},
    "twice an epoch": {"max_epochs": 3, "val_check_interval": 0.5},
    "accumulated": {"max_epochs": 3, "accumulate_grad_batches": 2},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("where", ["training", "validation"])
def test_a_run_stopped_by_a_signal_goes_on_as_the_unbroken_one(settings, where, tmp_path):
    whole, unbroken, all_of, _ = fit(tmp_path / "whole", **settings)
    validated = [step for step, _ in all_of.validated]
    for step in {3, validated[0], validated[-1] - 1} if where == "training" else {validated[0], validated[-1]}:
        folder = tmp_path / f"{step}"
        _, _, first, stopped = fit(folder, where=where, step=step, **settings)
        assert (stopped.code, stopped.signal_name) == (EXIT_CODE, "SIGUSR1")
        last = folder / "checkpoints" / "last.ckpt"
        assert torch.load(last, weights_only=True)["global_step"] == step
        task, resumed, second, _ = fit(folder, resume=str(last), **settings)
        assert {**first.losses, **second.losses} == all_of.losses
        assert sorted({*first.validated, *second.validated}) == all_of.validated
        for name, parameter in whole.model.named_parameters():
            assert torch.equal(parameter, task.model.get_parameter(name)), (step, name)
        scores = [runner.checkpoint_callback.best_model_score for runner in (unbroken, resumed)]
        assert scores[0] == scores[1]


def test_before_there_is_anything_to_keep_a_signal_ends_the_process():
    preemption.arm()
    with pytest.raises(Preempted, match="stopped by SIGTERM where there was nothing to keep") as stopped:
        os.kill(os.getpid(), signal.SIGTERM)
    assert stopped.value.code == EXIT_CODE


def test_a_checkpoint_every_few_steps_is_no_later_than_that(tmp_path):
    kept = []

    class Note(Callback):
        def on_save_checkpoint(self, runner, task, checkpoint):
            kept.append(runner.global_step)

    callbacks = [Note(), BestCheckpoint(every_n_steps=3)]
    trainer(tmp_path, callbacks=callbacks, max_epochs=3).fit(early_intervention(), datamodule=Data(batch_size=2))
    assert sorted(set(kept)) == [3, 6, 7, 10, 13, 14, 17, 20, 21]  # 7 steps an epoch
