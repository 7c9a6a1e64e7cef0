"""A fit without an optimizer: its pass over the data, its checkpoints, nothing after that."""

import math
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import torch
from lightning.pytorch import Callback

from tests.medlit.tasks.run_one_pass import MeanColour, run
from tests.medlit.tasks.stopped import fit

ROOT = Path(__file__).parents[3]


def test_checkpoints_hold_what_the_pass_found_though_no_step_was_made(tmp_path):
    task, runner = run(tmp_path)
    assert runner.global_step == 0
    for name in ("best", "last"):
        kept = torch.load(tmp_path / f"checkpoints/{name}.ckpt", weights_only=True)
        assert torch.equal(kept["state_dict"]["mean"], task.mean.detach())
        assert kept["state_dict"]["mean"].abs().sum() > 0
    assert len(pl.read_csv(tmp_path / "predictions_test.csv")) == 13


def test_every_training_batch_is_seen_once_and_nothing_is_dropped_out(tmp_path):
    task, runner = run(tmp_path, epochs=5)
    assert len(task.batches) == math.ceil(13 / 4)
    assert runner.current_epoch == 1
    assert all(batch.min() > 0 for batch in task.batches)


@pytest.mark.parametrize("where", ["training", "validation"])
def test_a_pass_that_a_signal_stops_starts_anew(where, tmp_path):
    kind = {"make": MeanColour, "callbacks": [Callback()]}
    whole, *_ = fit(tmp_path / "whole", **kind)
    first, _, _, stopped = fit(tmp_path / "parts", where=where, step=0, **kind)
    assert str(stopped) == "stopped by SIGUSR1 where there was nothing to keep"
    assert len(first.batches) == {"training": 1, "validation": 4}[where]
    assert not list((tmp_path / "parts/checkpoints").glob("*"))
    again, runner, *_ = fit(tmp_path / "parts", **kind)
    assert torch.equal(again.mean, whole.mean)
    assert runner.current_epoch == 1


@pytest.mark.slow
def test_two_processes_need_no_gradient(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tests.medlit.tasks.run_one_pass", str(tmp_path), "2"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(pl.read_csv(tmp_path / "predictions_test.csv")) == 13
