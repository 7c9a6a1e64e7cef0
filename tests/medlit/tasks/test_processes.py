"""Two processes see what one sees, and low precision trains, tests and predicts."""

import json
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from tests.medlit.command_line import warm_module

ROOT = Path(__file__).parents[3]


def run(folder: Path, *, devices: int, batch_size: int, precision: str = "32-true") -> None:
    """In a process of its own: a fork after a backward pass hangs."""
    folder.mkdir()
    words = ["run_processes", folder, devices, batch_size, precision]
    done = warm_module("tests.medlit.tasks.run_processes", *words, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def predictions(folder: Path, name: str) -> pl.DataFrame:
    return pl.read_csv(folder / f"{name}.csv")


@pytest.mark.slow
def test_two_processes_agree_with_one(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    run(one, devices=1, batch_size=4)
    run(two, devices=2, batch_size=2)
    figures = [json.loads((folder / "figures.json").read_text()) for folder in (one, two)]
    assert figures[0].keys() == figures[1].keys()
    assert figures[1] == pytest.approx(figures[0], abs=1e-4, nan_ok=True)
    for name in ("predictions_test", "predict_all"):
        expected, found = predictions(one, name), predictions(two, name)
        assert found["case_id"].to_list() == [f"c{case}" for case in range(13)]
        for column in expected.columns:
            if "prob" in column or column.startswith("gate"):
                assert found[column].to_list() == pytest.approx(expected[column].to_list(), abs=1e-6)
    for kind, units in (("breast", 7), ("exam", 4)):
        expected, found = predictions(one, f"predict_all_{kind}"), predictions(two, f"predict_all_{kind}")
        assert found[f"{kind}_id"].to_list() == [f"{kind[0]}{unit}" for unit in range(units)]
        assert found["num_cases"].to_list() == expected["num_cases"].to_list()
        assert found["prob_MEL"].to_list() == pytest.approx(expected["prob_MEL"].to_list(), abs=1e-6)


@pytest.mark.slow
def test_low_precision_trains_tests_and_predicts(tmp_path):
    run(tmp_path / "bf16", devices=1, batch_size=4, precision="bf16-mixed")
    for name in ("predictions_test", "predict_all"):
        assert predictions(tmp_path / "bf16", name)["prob_MEL"].n_unique() > 1


@pytest.mark.slow
def test_a_loss_that_is_not_finite_on_one_process_stops_both(tmp_path):
    words = ["run_processes", tmp_path, 2, 2, "32-true", "poisoned"]
    done = warm_module("tests.medlit.tasks.run_processes", *words, cwd=ROOT)
    assert done.returncode == 1
    assert "NonFiniteLossError: training loss is not finite at epoch 0" in done.stderr
    assert re.search(r"cases .*\bc3\b", done.stderr)


@pytest.mark.slow
def test_gradients_are_one_processs_whatever_modalities_are_missing_from_one(tmp_path):
    words = [sys.executable, "-m", "tests.medlit.tasks.run_missing"]
    options = {"cwd": ROOT, "stderr": subprocess.PIPE}
    with (
        subprocess.Popen([*words, "0", str(tmp_path)], **options) as first,
        subprocess.Popen([*words, "1", str(tmp_path)], **options) as second,
    ):
        try:
            errors = [process.communicate(timeout=500)[1].decode() for process in (first, second)]
        finally:
            first.kill()
            second.kill()
    assert (first.returncode, second.returncode) == (0, 0), errors
    differences = json.loads((tmp_path / "differences.json").read_text())
    assert len(differences) == 8
    assert max(differences.values()) < 1e-6, differences
