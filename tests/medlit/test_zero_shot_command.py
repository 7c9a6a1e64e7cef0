"""Zero-shot classification through the installed command, from a MaMA checkpoint to figures that a test repeats."""

import json

import polars as pl
import pytest
import torch
import yaml

from medlit.cli import main
from tests.data_modules.mammography.prepared_trees import pristine
from tests.medlit.command_line import EXPERIMENTS, warm
from tests.medlit.tasks.zero_shot_runs import IMAGE, SIZE, TEXT, TOWERS, rsna, save_mama


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A MaMA checkpoint, and an overlay that makes the shipped experiment fit it."""
    folder = tmp_path_factory.mktemp("mama")
    image = {"backbone": IMAGE.backbone, "model_args": IMAGE.model_args}
    text = {"backbone": "gpt2", "pretrained": False, "model_args": TEXT.model_args, "adapter": None}
    towers = {"image": image, "text": {**text, "train_backbone": True}}
    sizes = {name: TOWERS[name] for name in ("embed_dim", "local_hidden")}
    overlay = {
        "data": {
            "init_args": {
                "root": str(pristine("rsna_mammo")),
                "img_size": SIZE,
                "num_workers": 0,
                "class_text": {"tokenizer": "words"},
            }
        },
        "model": {"init_args": {"model": {"init_args": {**towers, **sizes}}}},
        "trainer": {"accelerator": "cpu", "precision": "32-true", "enable_progress_bar": False},
    }
    (folder / "small.yaml").write_text(yaml.safe_dump(overlay))
    save_mama(folder / "best.ckpt", num_tokens=rsna().num_tokens)
    return folder


@pytest.mark.slow
def test_the_shipped_experiment_leaves_a_run_that_tests_again(small, tmp_path):
    run = tmp_path / "run"
    configs = ["--config", EXPERIMENTS / "zero_shot_rsna_mammo.yaml", "--config", small / "small.yaml"]
    fit = warm("fit", *configs, "--model.init_args.checkpoint", small / "best.ckpt", "--run_dir", run)
    assert fit.returncode == 0, fit.stderr
    assert "Warning" not in fit.stderr
    kept = torch.load(run / "checkpoints/best.ckpt", weights_only=True)["medlit"]
    assert kept["model"] == "ZeroShot"
    assert json.loads((run / "manifest.json").read_text())["restrictions"] == {"EMBED": "not to be shared"}
    first = pl.read_parquet(run / "predictions_test.parquet")
    assert {"prob_cancer", "class_captions_with_metadata_prob_cancer"} <= set(first.columns)
    again = warm("test", "--config", run / "config.yaml")
    assert again.returncode == 0, again.stderr
    assert pl.read_parquet(run / "predictions_test.parquet").equals(first)


def test_a_wrong_key_of_a_tower_is_an_error_in_one_line(small, tmp_path, capsys):
    (tmp_path / "wrong.yaml").write_text("model: {init_args: {model: {init_args: {image: {backbon: x}}}}}\n")
    files = (EXPERIMENTS / "zero_shot_rsna_mammo.yaml", small / "small.yaml", tmp_path / "wrong.yaml")
    code = main(["fit", *(word for file in files for word in ("--config", str(file))), "--run_dir", str(tmp_path)])
    key = "model.init_args.model.init_args.image.backbon"
    wrong = f"{tmp_path / 'wrong.yaml'}:1: unknown key '{key}'; did you mean 'backbone'?"
    assert (code, capsys.readouterr().err.strip()) == (2, f"medlit: error: {wrong}")
