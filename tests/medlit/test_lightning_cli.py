"""fit, test, predict and export through the installed script: one run folder holds everything."""

import csv
import json

import polars as pl
import pytest
import torch
import yaml
from safetensors import safe_open

from tests.data_modules.trees import make_derm7pt
from tests.medlit.command_line import tiny, warm

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """Folder of work, data and run after one epoch of training, and what the script said."""
    folder = tmp_path_factory.mktemp("fitted")
    root = make_derm7pt(folder / "derm7pt", cases=16)
    done = warm("fit", *tiny(root, folder / "run"), "--trainer.max_epochs", 1, cwd=folder)
    return folder, done


def test_a_training_leaves_everything_in_its_folder(fitted):
    folder, done = fitted
    assert (done.returncode, done.stderr) == (0, "")
    run = folder / "run"
    assert {path.name for path in run.iterdir()} == {
        *("config.yaml", "manifest.json", "checkpoints", "logs", "predictions_test.parquet", "subsets_test.md"),
        "figures_test.json",
    }
    assert (run / "checkpoints" / "best.ckpt").is_file()
    assert json.loads((run / "manifest.json").read_text())["seed"] == 0
    with (run / "logs" / "csv" / "fit" / "metrics.csv").open() as file:
        assert any("train/loss" in row and row["train/loss"] for row in csv.DictReader(file))
    assert list((run / "logs" / "tensorboard" / "fit").glob("events.out.*"))
    assert [path.name for path in folder.iterdir() if path.name not in ("run", "derm7pt")] == []


def test_the_best_checkpoint_is_tested_and_named(fitted):
    folder, done = fitted
    assert "test after fit: run/checkpoints/best.ckpt" in done.stdout
    assert len(pl.read_parquet(folder / "run" / "predictions_test.parquet")) == 4


def test_the_saved_configuration_tests_and_predicts_the_same(fitted):
    folder, _ = fitted
    config = yaml.safe_load((folder / "run" / "config.yaml").read_text())
    assert config["run_dir"] == str(folder / "run")
    assert not {"ckpt_path", "overwrite", "test_after_fit"} & config.keys()
    assert "num_classes" not in config["model"]["init_args"]
    first = pl.read_parquet(folder / "run" / "predictions_test.parquet")
    for verb, options in (("test", []), ("predict", ["--data.predict_split", "all"])):
        done = warm(verb, "--config", folder / "run" / "config.yaml", *options, cwd=folder)
        assert (done.returncode, done.stderr) == (0, "")
        assert f"{verb}: {folder}/run/checkpoints/best.ckpt" in done.stdout
    assert pl.read_parquet(folder / "run" / "predictions_test.parquet").equals(first)
    assert len(pl.read_parquet(folder / "run" / "predict_all.parquet")) == 16


def test_training_goes_on_from_a_checkpoint_in_the_same_folder(fitted):
    folder, _ = fitted
    run = folder / "run"
    options = ["--ckpt_path", run / "checkpoints" / "last.ckpt", "--trainer.max_epochs", 2, "--test_after_fit", "false"]
    done = warm("fit", "--config", run / "config.yaml", *options, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    with (run / "logs" / "csv" / "fit_2" / "metrics.csv").open() as file:
        assert {row["epoch"] for row in csv.DictReader(file)} == {"1"}


def test_export_writes_weights_and_what_they_belong_to(fitted):
    folder, _ = fitted
    done = warm("export", folder / "run" / "checkpoints" / "best.ckpt", "--out", folder / "weights", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    about = json.loads((folder / "weights" / "weights.json").read_text())
    assert about["modalities"] == ["clinic", "derm"]
    with safe_open(folder / "weights" / "weights.safetensors", framework="numpy") as file:
        assert sum(file.get_tensor(name).size for name in file.keys()) == about["numbers"]  # noqa: SIM118
    done = warm("export", folder / "derm7pt" / "meta" / "meta.csv", "--out", folder / "none", cwd=folder)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "meta.csv" in done.stderr
    assert not (folder / "none").exists()


def test_clinical_variables_come_from_the_data_and_a_checkpoint_knows_them(fitted):
    folder, _ = fitted
    run, root = folder / "variables", folder / "derm7pt"
    options = ["--data.modalities", "[clinic, derm, variables]", "--data.modality_dropout", 0.3]
    done = warm("fit", *tiny(root, run), *options, "--trainer.max_epochs", 1, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    checkpoint = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    names = checkpoint["medlit"]["settings"]["variables"]
    assert names[:2] == ["sex=female", "sex=male"]
    assert checkpoint["state_dict"]["model.backbone.variable_encoder.layers.0.weight"].shape[1] == 2 * len(names)
    assert "gate_variables" in pl.read_parquet_schema(run / "predictions_test.parquet")
    assert "| clinic+variables |" in (run / "subsets_test.md").read_text()
    fewer = ["--data.variables", "{sex: [female, male]}"]
    done = warm("test", "--config", run / "config.yaml", *fewer, cwd=folder)
    assert done.returncode == 2
    assert "trained with variables ['sex=female', 'sex=male', 'location=" in done.stderr
