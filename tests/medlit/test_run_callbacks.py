"""Every run folder gets checkpoints, manifest, predictions and figures, whatever callbacks a configuration lists."""

import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, OnExceptionCheckpoint

from medlit.callbacks import BestCheckpoint, FiguresWriter, PredictionWriter, RunManifest
from medlit.callbacks.checkpoint import keeper_of
from medlit.callbacks.defaults import with_defaults

STOP, CSV, OTHER, MANIFEST = EarlyStopping("val/map"), PredictionWriter("csv"), ModelCheckpoint(), RunManifest()
FIGURES, RESCUE = FiguresWriter(), OnExceptionCheckpoint(".")


@pytest.mark.parametrize("configured", [None, [], STOP, [STOP]])
def test_every_run_writes_them(configured):
    kinds = {type(callback) for callback in with_defaults(configured, checkpoints=True)}
    assert kinds - {EarlyStopping} == {BestCheckpoint, FiguresWriter, PredictionWriter, RunManifest}
    assert (EarlyStopping in kinds) == bool(configured)


def test_those_of_the_configuration_come_first():
    best = BestCheckpoint()
    callbacks = with_defaults([CSV, MANIFEST, FIGURES, best], checkpoints=True)
    assert callbacks == [CSV, MANIFEST, FIGURES, best]


def test_other_checkpoints_take_no_place_of_those_that_a_run_goes_on_from():
    *others, added = with_defaults([OTHER, CSV, MANIFEST, FIGURES, RESCUE], checkpoints=True)
    assert others == [OTHER, CSV, MANIFEST, FIGURES, RESCUE]
    assert isinstance(added, BestCheckpoint)
    assert with_defaults([added, OTHER], checkpoints=True)[-1] is added  # keeps what the others noted of the same step
    runner = Trainer(accelerator="cpu", logger=False, callbacks=[OTHER, added])
    assert keeper_of(runner) is added
    assert keeper_of(Trainer(accelerator="cpu", logger=False, callbacks=[OTHER])) is OTHER


def test_without_checkpoints_none_is_added():
    assert not any(isinstance(found, ModelCheckpoint) for found in with_defaults(None, checkpoints=False))
