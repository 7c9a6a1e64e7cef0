"""On a real SLURM: two nodes train together, a pre-empted run goes on, seeds, failures and recipes are jobs."""

import json
import re
import subprocess
import time
from pathlib import Path

import pytest
import torch
import yaml

from data_modules.synthetic import derm7pt
from tests.medlit.cluster.virtual_slurm import virtual_slurm, wait_until
from tests.medlit.command_line import EXPERIMENTS, SCRIPT, TINY

pytestmark = pytest.mark.slow

EPOCHS = 12


@pytest.fixture(scope="module")
def slurm():
    with virtual_slurm() as environment:
        yield environment


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("it's a study")  # a blank and a quote, as folders may have
    derm7pt.write(path / "data", cases=30, seed=0, img_size=32)
    return path


def medlit(slurm, folder, *words) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(SCRIPT), *map(str, words)], cwd=folder, env=slurm, capture_output=True, text=True, check=False, timeout=300
    )


def submit(slurm, folder, run_dir, *words, fit=()) -> str:
    """Submit a small training on CPUs; the job's number."""
    options = ("--config", EXPERIMENTS / "ei_derm7pt.yaml", "--config", TINY, "--run_dir", run_dir, "--time", "10")
    given = ("--data.init_args.root", "data", "--trainer.max_epochs", EPOCHS, *fit)
    done = medlit(slurm, folder, "submit", *options, "--gpus-per-node", 0, "--no-doctor", *words, "--", *given)
    assert done.returncode == 0, done.stderr
    return re.search(r"as job (\d+)", done.stdout)[1]


def status(slurm, folder, run_dir) -> str:
    done = medlit(slurm, folder, "status", run_dir)
    assert done.returncode == 0, done.stderr
    return done.stdout


def wait_for_the_end(slurm, number, *, what: Path) -> None:
    def is_gone() -> bool:
        done = subprocess.run(
            ["squeue", "--noheader", "--jobs", number], env=slurm, capture_output=True, text=True, check=False
        )
        return not done.stdout.strip()

    wait_until(is_gone, f"job {number} does not end:\n{output(what)}")


def output(run_dir: Path) -> str:
    """What the jobs of a run printed."""
    return "\n".join(path.read_text() for path in run_dir.rglob("slurm-*.out"))


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    return torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


@pytest.fixture(scope="module")
def unbroken(slurm, folder):
    """A run of two nodes, and what status said while and after it ran."""
    run_dir = folder / "runs" / "unbroken"
    number = submit(slurm, folder, "runs/unbroken", "--nodes", 2)
    wait_for_the_end(slurm, number, what=run_dir)
    return run_dir


def test_two_nodes_train_together(slurm, folder, unbroken):
    said = output(unbroken)
    assert (unbroken / "job_state").read_text().split()[1] == "0", said
    manifest = json.loads((unbroken / "manifest.json").read_text())
    assert manifest["devices"] == 2
    assert (unbroken / "predictions_test.parquet").is_file()
    assert re.search(rf"finished +{EPOCHS}/{EPOCHS} +val/map", status(slurm, folder, "runs/unbroken"))


def test_a_job_that_fails_passes_its_exit_code_on(slurm, folder):
    number = submit(slurm, folder, "runs/fails", fit=("--data.init_args.target", "nothing"))
    wait_for_the_end(slurm, number, what=folder / "runs" / "fails")
    assert "medlit: error:" in output(folder / "runs" / "fails")
    end = subprocess.run(["scontrol", "show", "job", number], env=slurm, capture_output=True, text=True, check=True)
    assert "JobState=FAILED" in end.stdout
    assert "ExitCode=2:0" in end.stdout
    assert "failed (exit code 2)" in status(slurm, folder, "runs/fails")
    forgotten = {**slurm, "SLURM_CONF": "/nonexistent"}
    assert "failed (exit code 2)" in status(forgotten, folder, "runs/fails")
