"""A training that came to its end within an epoch, and is given more, makes the rest of that epoch."""

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EarlyStopping

from tests.medlit.tasks.stopped import assert_same_end, fit, last_of

pytestmark = pytest.mark.slow


class Enough(Callback):
    """Stops after a step, as ``max_time`` does."""

    def on_train_batch_end(self, runner, *_):
        runner.should_stop = runner.global_step == 6  # of 4 an epoch


@pytest.mark.parametrize("interval", [1.0, 0.5])
def test_more_steps_equal_the_unbroken_run(interval, tmp_path):
    settings = {"max_epochs": -1, "val_check_interval": interval}
    whole = fit(tmp_path / "whole", max_steps=10, **settings)
    first = fit(tmp_path / "parts", max_steps=6, **settings)
    assert first[1].global_step == 6
    assert_same_end(whole, first, fit(tmp_path / "parts", resume=True, max_steps=10, **settings))


def test_more_time_gives_the_weights_of_the_unbroken_run(tmp_path):
    stop = [EarlyStopping("val/map", mode="max", patience=10), Enough()]
    whole = fit(tmp_path / "whole", max_epochs=3)
    first = fit(tmp_path / "parts", max_epochs=3, callbacks=stop)
    assert first[1].global_step == 6
    task, runner, sent, _ = fit(tmp_path / "parts", resume=True, max_epochs=3)
    assert {**first[2].losses, **sent.losses} == whole[2].losses
    assert (runner.current_epoch, runner.global_step) == (3, 12)
    for name, parameter in whole[0].model.named_parameters():
        assert torch.equal(parameter, task.model.get_parameter(name)), name


def test_an_end_at_the_end_of_an_epoch_stays_one(tmp_path):
    settings = {"max_epochs": -1}
    whole = fit(tmp_path / "whole", max_steps=10, **settings)
    first = fit(tmp_path / "parts", max_steps=8, **settings)
    assert torch.load(last_of(tmp_path / "parts"), weights_only=True)["epoch"] == 1
    assert_same_end(whole, first, fit(tmp_path / "parts", resume=True, max_steps=10, **settings))
