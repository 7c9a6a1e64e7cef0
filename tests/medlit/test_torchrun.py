"""Commands under torchrun: every task trains and tests, says things once, and ends with its exit code."""

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from tests.data_modules.trees import make_derm7pt
from tests.medlit.command_line import tiny
from tests.medlit.run_commands import NAMES

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

STOPPING = '[{"class_path": "lightning.pytorch.callbacks.EarlyStopping", "init_args": {"monitor": "val/none"}}]'
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m"]


def torchrun(module, *words):
    script = [*TORCHRUN, module, *map(str, words)]
    return subprocess.run(script, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("torchrun")
    make_derm7pt(folder / "data", cases=42)
    return folder


@pytest.fixture(scope="module")
def told(folder):
    """What all tasks but EI's have printed."""
    done = torchrun("tests.medlit.run_commands", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_every_task_leaves_one_run(told, folder, name):
    run = folder / name
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["devices"] == 2
    assert (run / "checkpoints/best.ckpt").is_file()
    if name in ("mama", "sharded"):
        return
    table = pl.read_parquet(run / "predictions_test.parquet")
    assert table["case_id"].n_unique() == len(table) > 2


def test_messages_come_once(told):
    assert told.count("Global batch: 8 = 2 devices x 4 per device x 1 accumulated") == 2  # unimodal and fusion
    assert told.count("Global batch: 12 = 2 devices x 6 per device x 1 accumulated") >= 2
    assert told.count("predictions: ") == 4
    assert told.count("test after fit: ") == len(NAMES)


def test_a_run_is_claimed_once_and_its_refusal_told_once(folder):
    options = [*tiny(folder / "data", folder / "ei"), "--data.batch_size", 4, "--trainer.max_epochs", 1]
    ddp = ["--trainer.devices", 2, "--trainer.strategy", "ddp"]
    first = torchrun("medlit.cli", "fit", *options, *ddp)
    assert first.returncode == 0, first.stdout + first.stderr
    assert first.stdout.count("Global batch: 8 = 2 devices x 4 per device x 1 accumulated") == 1
    assert first.stdout.count("11 predictions: ") == 1
    before = (folder / "ei/manifest.json").read_bytes()
    second = torchrun("medlit.cli", "fit", *options, *ddp)
    assert second.returncode != 0
    assert second.stderr.count("medlit: error: ") == 1
    assert (folder / "ei/manifest.json").read_bytes() == before


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--data.root", "nowhere"], "Derm7pt not found: "),
        (["--model.init_args.init_from", '{"derm": "none.ckpt"}'], "no such checkpoint: none.ckpt"),
        (["--trainer.callbacks", STOPPING], "EarlyStopping: monitor 'val/none' is no figure of the validation"),
    ],
)
def test_an_error_that_all_processes_meet_is_told_once(folder, tmp_path, wrong, message):
    options = [*tiny(folder / "data", tmp_path / "run"), "--data.batch_size", 4, "--trainer.max_epochs", 1]
    done = torchrun("medlit.cli", "fit", *options, "--trainer.devices", 2, "--trainer.strategy", "ddp", *wrong)
    assert done.returncode != 0
    assert "exitcode  : 2" in done.stderr  # as torchrun reports it
    [line] = [line for line in done.stderr.splitlines() if "medlit: error: " in line]
    assert message in line
