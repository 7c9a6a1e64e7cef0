"""Callbacks with which a training would not go on as unbroken end it before it starts."""

import pytest
from lightning.pytorch.callbacks import (
    EMAWeightAveraging,
    GradientAccumulationScheduler,
    ModelCheckpoint,
    StochasticWeightAveraging,
)

from medlit.callbacks import BestCheckpoint
from medlit.errors import ConfigurationError
from tests.medlit.tasks.tiny import TinyDataModule, trainer, unimodal


@pytest.mark.filterwarnings("ignore:You're using the WeightAveraging callback")
@pytest.mark.parametrize(
    ("callback", "message"),
    [
        (EMAWeightAveraging(), "EMAWeightAveraging cannot be used: .* remove it from trainer.callbacks"),
        (StochasticWeightAveraging(1e-2), "StochasticWeightAveraging cannot be used"),
        (GradientAccumulationScheduler({0: 2}), "GradientAccumulationScheduler .* trainer.accumulate_grad_batches"),
        (ModelCheckpoint(save_last=True), r"ModelCheckpoint writes into .*checkpoints, .*give it another dirpath"),
    ],
)
def test_it_is_named_in_one_line(callback, message, tmp_path):
    runner = trainer(tmp_path, callbacks=[callback, BestCheckpoint()])
    with pytest.raises(ConfigurationError, match=message) as error:
        runner.fit(unimodal(), datamodule=TinyDataModule())
    assert "\n" not in str(error.value)
    assert not (tmp_path / "checkpoints").exists()


def test_other_checkpoints_write_elsewhere(tmp_path):
    other = ModelCheckpoint(tmp_path / "mine", save_last=True)
    trainer(tmp_path, callbacks=[other, BestCheckpoint()]).fit(unimodal(), datamodule=TinyDataModule())
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["epoch=0-step=4.ckpt", "last.ckpt"]
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]
