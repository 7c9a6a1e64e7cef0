"""Training goes on from last.ckpt as if it had never stopped."""

from functools import partial

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EarlyStopping
from torch.optim.lr_scheduler import CyclicLR

from medlit.callbacks import BestCheckpoint
from medlit.tasks import PaperCyclicLR
from tests.medlit.tasks.tiny import TinyDataModule, early_intervention, trainer

PAPER = partial(PaperCyclicLR, step_size_up=3, max_lr=0.02, amplitude_decay=0.8)
PLAIN = partial(CyclicLR, base_lr=1e-4, max_lr=0.02, step_size_up=3, cycle_momentum=False)


class Trace(Callback):
    """Learning rate and loss of each step."""

    def __init__(self) -> None:
        self.steps: list[tuple[float, float]] = []

    def on_train_batch_end(self, runner, task, outputs, batch, batch_idx) -> None:
        self.steps.append((runner.optimizers[0].param_groups[0]["lr"], float(outputs["loss"])))


def fit(folder, *, epochs: int, scheduler, resume: str | None = None):
    trace, task = Trace(), early_intervention(scheduler=scheduler)
    callbacks = [BestCheckpoint(), EarlyStopping("val/map", mode="max", patience=10), trace]
    runner = trainer(folder, max_epochs=epochs, callbacks=callbacks)
    runner.fit(task, datamodule=TinyDataModule(), ckpt_path=resume, weights_only=True if resume else None)
    return task, runner, trace.steps


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", [PAPER, PLAIN], ids=["PaperCyclicLR", "CyclicLR"])
def test_resumed_equals_unbroken(scheduler, tmp_path):
    whole, unbroken, steps = fit(tmp_path / "whole", epochs=4, scheduler=scheduler)
    _, _, first = fit(tmp_path / "parts", epochs=2, scheduler=scheduler)
    last = str(tmp_path / "parts" / "checkpoints" / "last.ckpt")
    task, resumed, second = fit(tmp_path / "parts", epochs=4, scheduler=scheduler, resume=last)
    assert first + second == steps
    assert len({lr for lr, _ in steps}) > 3
    assert (resumed.current_epoch, resumed.global_step) == (unbroken.current_epoch, unbroken.global_step)
    for name, parameter in whole.model.named_parameters():
        assert torch.equal(parameter, task.model.get_parameter(name)), name
    scores = [runner.checkpoint_callback.best_model_score for runner in (unbroken, resumed)]
    assert scores[0] == scores[1]
