"""Pretraining in two processes across ``late_start``: no hang, and one process's gradients and figures."""

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import pytest
import torch

from tests.medlit.tasks.run_mama_processes import LATE_START, PRECISIONS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
STEPS = 12
SECONDS = 500
"""After which a run counts as hanging; it takes about ten."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders and outcomes by name, run beside each other, each in a process of its own."""
    root = tmp_path_factory.mktemp("processes")
    words = {"one": ["1"], "two": ["2"], "poisoned": ["2", "poisoned"]}
    script = [sys.executable, "-m", "tests.medlit.tasks.run_mama_processes"]
    with ExitStack() as stack:
        started = {}
        for name, own in words.items():
            options = {"cwd": ROOT, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
            started[name] = stack.enter_context(subprocess.Popen([*script, str(root / name), *own], **options))
            stack.callback(started[name].kill)
        errors = {name: process.communicate(timeout=SECONDS)[1] for name, process in started.items()}
    return {name: (root / name, started[name].returncode, errors[name]) for name in words}


@pytest.fixture(scope="module")
def folders(runs):
    for name in ("one", "two"):
        assert runs[name][1] == 0, runs[name][2]
    return {name: runs[name][0] for name in ("one", "two")}


def gradients(folder, precision):
    """Of each step, all in one vector."""
    steps = torch.load(folder / precision / "gradients.pt", weights_only=True)
    assert len(steps) == STEPS
    return [{name: gradient.flatten().double() for name, gradient in step.items()} for step in steps]


def apart(one, other):
    """By step, the distance of two runs' gradients, as a share of their length."""
    whole = [[torch.cat(list(step.values())) for step in steps] for steps in (one, other)]
    return [float((a - b).norm() / a.norm()) for a, b in zip(*whole, strict=True)]


def test_gradients_are_one_processs(folders):
    one, two = (gradients(folders[name], "32-true") for name in ("one", "two"))
    assert [step.keys() for step in one] == [step.keys() for step in two]
    assert len(one[LATE_START]) == len(one[0]) > 0
    assert max(apart(one, two)) < 1e-6


def test_in_bf16_they_are_to_the_rounding_of_bf16(folders):
    """A number of bf16 has 8 bits. The local loss takes maxima over patches: a step in which rounding makes it take
    another patch has another gradient, also of one process against itself in float32, so late steps are judged by their
    median, against that.
    """
    exact, one = (gradients(folders["one"], precision) for precision in PRECISIONS)
    found, rounding = apart(one, gradients(folders["two"], "bf16-mixed")), apart(exact, one)
    assert min(rounding) > 1e-3  # bf16 was on
    assert max(found[:LATE_START]) < 2**-8
    assert median(found[LATE_START:]) < median(rounding[LATE_START:])


def test_figures_of_training_and_validation_are_one_processs(folders):
    one, two = (json.loads((folders[name] / "32-true" / "figures.json").read_text()) for name in ("one", "two"))
    assert {"train/view", "train/cut_captions", "val/loss", "val/zero_shot_auroc"} <= one.keys()
    assert two == pytest.approx(one, rel=1e-6, abs=1e-6)


def test_weights_are_one_processs(folders):
    one, two = (torch.load(folders[name] / "32-true" / "weights.pt", weights_only=True) for name in ("one", "two"))
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        assert torch.allclose(tensor, two[name], rtol=1e-5, atol=1e-6), name


def test_an_image_that_is_no_number_stops_both_and_is_named(runs):
    _, code, errors = runs["poisoned"]
    assert code == 1
    assert "NonFiniteLossError: training loss is not finite at epoch 0, step" in errors
    assert "cases c7;" in errors
