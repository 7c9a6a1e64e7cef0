"""Two processes solve what one solves, and both end where there is nothing to solve."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.data_modules.trees import make_derm7pt

ROOT = Path(__file__).parents[3]


def run(tree, folder, *words):
    """In a process of its own: a fork after a backward pass hangs."""
    script = [sys.executable, "-m", "tests.medlit.tasks.run_probe_processes", str(tree), str(folder)]
    return subprocess.run([*script, *words], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.slow
def test_two_processes_agree_with_one(tmp_path):
    tree = make_derm7pt(tmp_path / "tree", cases=52)  # 13 cases validate, 13 test
    said = {}
    for devices in ("1", "2"):
        folder = tmp_path / devices / "run"
        done = run(tree, folder, devices)
        assert done.returncode == 0, done.stderr
        said[devices] = json.loads((folder / "said.json").read_text())
    one, two = said.values()
    assert (two["case_id"], two["l2"]) == (one["case_id"], one["l2"])
    for name in ("weight", "linear", "knn"):
        torch.testing.assert_close(torch.tensor(two[name]), torch.tensor(one[name]), atol=1e-4, rtol=1e-4)
    # Classes without a neighbour's vote tie; their softmax differs in the last bit of its sum, and ranks by that.
    figures = [{name: value for name, value in each["figures"].items() if "softmax" not in name} for each in (one, two)]
    assert figures[1] == pytest.approx(figures[0], abs=1e-4, nan_ok=True)


@pytest.mark.slow
def test_what_cannot_be_solved_stops_both(tmp_path):
    done = run(make_derm7pt(tmp_path / "tree", cases=24), tmp_path / "runs/a", "2", "one_class")
    assert done.returncode == 1
    assert "ConfigurationError: 12 training cases of 1 class" in done.stderr
