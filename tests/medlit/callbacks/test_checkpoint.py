"""best.ckpt and last.ckpt: fixed names, in the run folder, whatever happened there before."""

import torch

from medlit.callbacks import BestCheckpoint
from tests.medlit.tasks.tiny import TinyDataModule, trainer, unimodal


def epochs_kept(folder) -> tuple[int, int]:
    """Epoch of the best and of the last checkpoint."""
    files = (folder / "checkpoints" / name for name in ("best.ckpt", "last.ckpt"))
    return tuple(torch.load(file, weights_only=True)["epoch"] for file in files)


def test_best_is_the_best_and_last_is_the_last(tmp_path):
    best = BestCheckpoint(monitor="val/loss", mode="max")  # the loss falls, so that the first epoch is "best"
    trainer(tmp_path, callbacks=[best], max_epochs=3).fit(unimodal(), datamodule=TinyDataModule())
    assert epochs_kept(tmp_path) == (0, 2)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]
    assert best.best_model_path == str(tmp_path / "checkpoints" / "best.ckpt")
    assert best.last_model_path == str(tmp_path / "checkpoints" / "last.ckpt")


def test_a_better_epoch_replaces_the_best(tmp_path):
    best = BestCheckpoint(monitor="val/loss", mode="min")
    trainer(tmp_path, callbacks=[best], max_epochs=3).fit(unimodal(), datamodule=TinyDataModule())
    assert epochs_kept(tmp_path) == (2, 2)


def test_writes_over_what_an_earlier_run_left_without_a_warning(tmp_path):
    for epochs in (2, 1):
        runner = trainer(tmp_path, callbacks=[BestCheckpoint()], max_epochs=epochs)
        runner.fit(unimodal(), datamodule=TinyDataModule())
    assert epochs_kept(tmp_path) == (0, 0)
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2


def test_a_trial_run_writes_nothing(tmp_path):
    trainer(tmp_path, callbacks=[BestCheckpoint()], fast_dev_run=True).fit(unimodal(), datamodule=TinyDataModule())
    assert not (tmp_path / "checkpoints").exists()


def train_late(folder, **settings):
    """Train a task that learns something else in its first steps."""
    task = unimodal()
    task.select_from_step = 7
    best = BestCheckpoint(monitor="val/loss", mode="max")  # the loss falls, so that an earlier epoch is "better"
    trainer(folder, callbacks=[best], **settings).fit(task, datamodule=TinyDataModule())  # 4 steps an epoch
    return best


def test_the_best_is_chosen_from_the_step_on_that_the_task_names(tmp_path, capsys):
    best = train_late(tmp_path, max_epochs=3)
    assert epochs_kept(tmp_path) == (1, 2)  # of the epochs that end at steps 4, 8 and 12
    assert best.best_model_path
    assert "No best.ckpt" not in capsys.readouterr().out


def test_a_training_that_ends_before_has_the_last_alone_and_says_so(tmp_path, capsys):
    train_late(tmp_path, max_epochs=1)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["last.ckpt"]
    words = "No best.ckpt: it is chosen by val/loss from step 7 on, training ended at step 4, last validated at step 4"
    assert words in capsys.readouterr().out


def test_figures_of_an_earlier_validation_choose_nothing(tmp_path, capsys):
    best = train_late(tmp_path, max_epochs=2, max_steps=7)  # ends inside the second epoch
    assert not best.best_model_path
    assert "training ended at step 7, last validated at step 4; last.ckpt is there" in capsys.readouterr().out


def test_epochs_before_the_first_validation_are_no_candidates(tmp_path):
    best = BestCheckpoint(monitor="val/loss", mode="max")  # the loss falls, so that an earlier epoch is "better"
    settings = {"max_epochs": 5, "check_val_every_n_epoch": 2}
    trainer(tmp_path, callbacks=[best], **settings).fit(unimodal(), datamodule=TinyDataModule())
    assert epochs_kept(tmp_path) == (1, 4)
