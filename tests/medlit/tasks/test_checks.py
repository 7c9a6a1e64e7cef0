"""Settings that cannot work end in an error that names them."""

from functools import partial

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping
from torch.optim.lr_scheduler import OneCycleLR

from data_modules.mammography import EMBEDDataModule
from data_modules.mammography.image_text import PairSettings
from medlit.callbacks import BestCheckpoint
from medlit.errors import ConfigurationError
from medlit.tasks.checks import refuse_pairs
from tests.medlit.tasks.tiny import TinyDataModule, early_intervention, trainer, unimodal


@pytest.mark.parametrize("name", ["fused", "items", "training", "popitem"])
def test_a_modality_with_a_name_of_the_models_own_is_refused(name):
    """Its head would take the place of the answer, or its parts that of a method."""
    with pytest.raises(ConfigurationError, match=f"modality '{name}': this name is taken"):
        early_intervention(modalities=["clinic", name])


@pytest.mark.parametrize("sanity_steps", [0, 2])
@pytest.mark.parametrize("callback", [EarlyStopping("val/mpa"), BestCheckpoint("val/mpa")])
def test_a_figure_that_nobody_logs_is_refused_with_the_nearest(callback, sanity_steps, tmp_path):
    runner = trainer(tmp_path, callbacks=[callback], num_sanity_val_steps=sanity_steps)
    with pytest.raises(
        ConfigurationError, match=f"{type(callback).__name__}: monitor 'val/mpa' .* did you mean val/map"
    ):
        runner.fit(unimodal(), datamodule=TinyDataModule())


def test_figures_of_training_and_validation_may_be_watched(tmp_path):
    callbacks = [EarlyStopping("train/loss"), BestCheckpoint("val/f1/MEL")]
    runner = trainer(tmp_path, callbacks=callbacks, max_epochs=2)
    runner.fit(unimodal(), datamodule=TinyDataModule())
    assert runner.current_epoch == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": partial(torch.optim.SGD, lr=-1)}, "optimizer: Invalid learning rate: -1"),
        ({"scheduler": partial(OneCycleLR, max_lr=0.1, total_steps=-1)}, "scheduler: .*total_steps"),
    ],
)
def test_what_an_optimizer_or_schedule_refuses_is_an_error_of_the_setting(settings, message, tmp_path):
    with pytest.raises(ConfigurationError, match=message):
        trainer(tmp_path).fit(unimodal(**settings), datamodule=TinyDataModule())


def test_images_with_captions_are_no_cases():
    refuse_pairs(None)
    refuse_pairs(EMBEDDataModule())
    with pytest.raises(ConfigurationError, match=r"EMBEDDataModule gives pairs of images with .*pretraining to null"):
        refuse_pairs(EMBEDDataModule(pretraining=PairSettings()))
