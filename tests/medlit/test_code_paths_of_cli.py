"""Of the module that parses configurations one class is for configurations: a plateau that says what it watches."""

import pytest

from data_modules.errors import DatasetNotFoundError
from medlit.lightning_cli import main
from tests.medlit.test_code_paths import VALID, complaint, with_callback, written


def test_the_plateau_that_an_error_of_ours_recommends_may_be_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scheduler = {"class_path": "lightning.pytorch.cli.ReduceLROnPlateau", "init_args": {"monitor": "val/map"}}
    settings = {**VALID, "model": {**VALID["model"]}, "trainer": {"max_epochs": 1, "accelerator": "cpu"}}
    settings["model"]["init_args"] = {**VALID["model"]["init_args"], "scheduler": scheduler}
    with pytest.raises(DatasetNotFoundError, match="nowhere"):  # all before the data was accepted
        main(["fit", "--config", written(tmp_path, settings)])


@pytest.mark.parametrize("name", ["LightningCLI", "LightningArgumentParser", "SaveConfigCallback", "instantiate_class"])
def test_what_parses_and_runs_configurations_may_not(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    path = f"lightning.pytorch.cli.{name}"
    assert path in complaint("fit", "--config", written(tmp_path, with_callback({"class_path": path})))
