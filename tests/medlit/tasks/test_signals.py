"""A signal at any place of a training: what was trained is kept, and going on equals the unbroken run."""

import json
import os
import signal
from functools import partial
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.cli import ReduceLROnPlateau

from medlit import preemption
from medlit.callbacks import BestCheckpoint
from medlit.preemption import EXIT_CODE, Preempted
from tests.medlit.command_line import warm_ranks
from tests.medlit.tasks.run_stopped import STOPS
from tests.medlit.tasks.stopped import Data, assert_same_end, fit, last_of, own_handlers
from tests.medlit.tasks.tiny import early_intervention, trainer

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]

SETTINGS = {
    "epochs": {"max_epochs": 3},
    "steps": {"max_steps": 10, "max_epochs": -1},
    "twice an epoch": {"max_epochs": 3, "val_check_interval": 0.5},
    "accumulated": {"max_epochs": 3, "accumulate_grad_batches": 2},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("where", ["training", "validation"])
def test_a_run_stopped_by_a_signal_goes_on_as_the_unbroken_one(settings, where, tmp_path):
    whole = fit(tmp_path / "whole", **settings)
    validated = [step for step, _ in whole[2].validated]
    for step in {3, validated[0], validated[-1] - 1} if where == "training" else {validated[0], validated[-1]}:
        folder = tmp_path / f"{step}"
        first = fit(folder, where=where, step=step, **settings)
        assert (first[3].code, first[3].signal_name) == (EXIT_CODE, "SIGUSR1")
        assert torch.load(last_of(folder), weights_only=True)["global_step"] == step
        assert_same_end(whole, first, fit(folder, resume=True, **settings))


def test_a_signal_to_one_of_two_processes_stops_both_and_they_go_on_as_unbroken(tmp_path):
    for done in warm_ranks(2, "tests.medlit.tasks.run_stopped", "run_stopped", tmp_path, cwd=ROOT):
        assert done.returncode == 0, done.stderr
    for rank in (0, 1):
        stopped = json.loads((tmp_path / f"stopped{rank}.json").read_text())
        assert stopped == {where: [EXIT_CODE, step] for where, step in STOPS.items()}


def test_a_validation_stopped_twice_is_done_anew(tmp_path):
    whole = fit(tmp_path / "whole", max_epochs=2)
    stop = {"where": "validation", "step": 4, "max_epochs": 2}
    parts = [fit(tmp_path / "parts", resume=resume, **stop) for resume in (False, True)]
    assert [stopped.code for *_, stopped in parts] == [EXIT_CODE] * 2
    assert_same_end(whole, *parts, fit(tmp_path / "parts", resume=True, max_epochs=2))


def test_a_stop_in_a_validation_does_not_change_a_later_one_of_its_epoch(tmp_path):
    def settings():
        return {"max_epochs": 1, "val_check_interval": 1, "keeper": BestCheckpoint(every_n_steps=1)}

    whole, folder = fit(tmp_path / "whole", **settings()), tmp_path / "parts"
    first = fit(folder, where="validation", step=1, **settings())
    second = fit(folder, resume=True, where="training", step=3, kill=True, **settings())
    assert torch.load(last_of(folder), weights_only=True)["global_step"] == 2
    assert_same_end(whole, first, second, fit(folder, resume=True, **settings()))


def test_a_signal_in_a_validation_amid_accumulation_waits_for_the_step(tmp_path):
    settings = {"max_epochs": 1, "accumulate_grad_batches": 2, "val_check_interval": 3}
    whole = fit(tmp_path / "whole", **settings)
    assert [step for step, _ in whole[2].validated] == [1]  # the third batch adds to the second step
    first = fit(tmp_path / "parts", where="validation", step=1, **settings)
    assert first[3].code == EXIT_CODE
    assert torch.load(last_of(tmp_path / "parts"), weights_only=True)["global_step"] == 2
    assert_same_end(whole, first, fit(tmp_path / "parts", resume=True, **settings))


@pytest.mark.parametrize("step", [6, 7])
def test_validations_are_counted_across_epochs_where_they_are_asked_for_so(step, tmp_path):
    settings = {"max_epochs": 3, "check_val_every_n_epoch": None, "val_check_interval": 3}
    whole = fit(tmp_path / "whole", **settings)
    assert [validated for validated, _ in whole[2].validated] == [3, 6, 9, 12]
    first = fit(tmp_path / "parts", where="training", step=step, **settings)
    assert torch.load(last_of(tmp_path / "parts"), weights_only=True)["global_step"] == step
    assert_same_end(whole, first, fit(tmp_path / "parts", resume=True, **settings))


def test_an_epoch_without_a_validation_waits_for_none(tmp_path):
    settings = {"max_epochs": 2, "check_val_every_n_epoch": 2, "val_check_interval": 1, "make": early_intervention}
    whole = fit(tmp_path / "whole", **settings)
    first = fit(tmp_path / "parts", where="training", step=2, **settings)
    assert torch.load(last_of(tmp_path / "parts"), weights_only=True)["global_step"] == 2
    assert_same_end(whole, first, fit(tmp_path / "parts", resume=True, **settings))


def test_a_validation_before_the_first_step_leaves_nothing_to_keep_where_it_is_stopped(tmp_path):
    settings = {"max_epochs": 1, "make": partial(early_intervention, fidelity="code")}
    whole, folder = fit(tmp_path / "whole", **settings), tmp_path / "parts"
    assert [step for step, _ in whole[2].validated] == [0, 4]
    first = fit(folder, where="validation", step=0, **settings)
    assert str(first[3]) == "stopped by SIGUSR1 where there was nothing to keep"
    assert not last_of(folder).exists()
    assert_same_end(whole, first, fit(folder, **settings))


@pytest.mark.parametrize("settings", [{"max_epochs": 2}, {"max_epochs": -1, "max_steps": 6}], ids=["epochs", "steps"])
def test_a_training_goes_on_behind_the_validation_before_its_first_step(settings, tmp_path):
    plateau = partial(ReduceLROnPlateau, monitor="val/loss", patience=0, factor=0.5, threshold=0.5)
    settings |= {"make": partial(early_intervention, fidelity="code", scheduler=plateau)}
    whole, folder = fit(tmp_path / "whole", **settings), tmp_path / "parts"
    first = fit(folder, where="training", step=2, kill=True, **settings)
    assert torch.load(last_of(folder), weights_only=True)["global_step"] == 0
    assert_same_end(whole, first, fit(folder, resume=True, **settings))


def test_a_signal_at_the_very_end_is_heard(tmp_path):
    class Late(Callback):
        def on_train_end(self, *_):
            os.kill(os.getpid(), signal.SIGTERM)

    *_, stopped = fit(tmp_path, callbacks=[Late()], max_epochs=1)
    assert str(stopped) == f"stopped by SIGTERM, {last_of(tmp_path)} of step 4 is whole"
    *_, second, stopped = fit(tmp_path, resume=True, max_epochs=1)
    assert (second.losses, stopped) == ({}, None)


def test_before_there_is_anything_to_keep_a_signal_ends_the_process():
    with own_handlers():
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
