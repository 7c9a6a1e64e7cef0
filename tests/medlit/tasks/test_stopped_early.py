"""Whether a training had decided to stop is read from its last checkpoint, whatever the callback thought of it."""

from datetime import timedelta

import pytest
from lightning.pytorch.callbacks import EarlyStopping, Timer

from medlit.callbacks import RunFolder
from medlit.resume import stopped_early
from tests.medlit.tasks.stopped import fit

THRESHOLD = {"mode": "min", "stopping_threshold": 1e9}


def train(folder, *callbacks, **settings):
    keeper = RunFolder(folder, lambda path: None, settings={})
    return fit(folder, callbacks=[keeper, *callbacks], max_epochs=4, **settings)


@pytest.mark.slow
def test_one_that_has_to_train_on_has_not_stopped(tmp_path):
    def patience():
        return EarlyStopping("val/loss", mode="max", patience=1)  # the loss falls: decided after the second epoch

    train(tmp_path / "killed", patience(), min_epochs=3, where="training", step=9, kill=True)
    assert not stopped_early(tmp_path / "killed")
    _, runner, *_ = train(tmp_path / "ended", patience(), min_epochs=3)
    assert (runner.current_epoch, stopped_early(tmp_path / "ended")) == (3, True)


def test_one_that_stopped_in_its_first_epoch_has(tmp_path):
    _, runner, *_ = train(tmp_path, EarlyStopping("val/loss", **THRESHOLD))
    assert (runner.current_epoch, stopped_early(tmp_path)) == (1, True)


def test_one_whose_time_was_up_may_be_given_more(tmp_path):
    _, runner, *_ = train(tmp_path, Timer(timedelta(milliseconds=1)))
    assert (runner.global_step, stopped_early(tmp_path)) == (1, False)
