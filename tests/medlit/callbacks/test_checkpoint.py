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
