"""Every run folder gets checkpoints, manifest, predictions and figures, whatever callbacks a configuration lists."""

import pytest
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from medlit.callbacks import BestCheckpoint, FiguresWriter, PredictionWriter, RunManifest
from medlit.lightning_cli import with_defaults

STOP, CSV, OTHER, MANIFEST = EarlyStopping("val/map"), PredictionWriter("csv"), ModelCheckpoint(), RunManifest()
FIGURES = FiguresWriter()


@pytest.mark.parametrize("configured", [None, [], STOP, [STOP]])
def test_every_run_writes_them(configured):
    kinds = {type(callback) for callback in with_defaults(configured, checkpoints=True)}
    assert kinds - {EarlyStopping} == {BestCheckpoint, FiguresWriter, PredictionWriter, RunManifest}
    assert (EarlyStopping in kinds) == bool(configured)


def test_those_of_the_configuration_come_first():
    callbacks = with_defaults([OTHER, CSV, MANIFEST, FIGURES], checkpoints=True)
    assert callbacks == [OTHER, CSV, MANIFEST, FIGURES]


def test_without_checkpoints_none_is_added():
    assert not any(isinstance(found, ModelCheckpoint) for found in with_defaults(None, checkpoints=False))
