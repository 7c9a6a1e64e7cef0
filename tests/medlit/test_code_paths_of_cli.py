"""Of lightning not all is for configurations: of what parses them, one class; of what fetches and serves, none."""

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


@pytest.mark.parametrize(
    "settings",
    [
        {**VALID, "data": {"class_path": "lightning.pytorch.demos.mnist_datamodule.MNISTDataModule"}},
        {**VALID, "data": "lightning.pytorch.demos.mnist_datamodule.MNISTDataModule"},
        with_callback({"class_path": "lightning.pytorch.serve.ServableModuleValidator"}),
        with_callback("lightning.pytorch.serve.servable_module_validator.ServableModuleValidator"),
    ],
)
def test_what_downloads_and_what_serves_may_not(tmp_path, monkeypatch, settings):
    monkeypatch.chdir(tmp_path)
    message = complaint("fit", "--config", written(tmp_path, settings))
    assert message.startswith("x.yaml:")
    assert "is a part of lightning that no configuration needs" in message
