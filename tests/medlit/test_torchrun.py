"""Commands in two processes, under torchrun: every task trains, says things once, and ends with its exit code.

Those that go wrong get what torchrun gives, without its own seconds and those of the imports.
"""

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from tests.data_modules.trees import make_derm7pt
from tests.medlit.command_line import SCRIPT, tiny, warm_ranks
from tests.medlit.run_commands import NAMES

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

STOPPING = '[{"class_path": "lightning.pytorch.callbacks.EarlyStopping", "init_args": {"monitor": "val/none"}}]'
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m"]


def fit(*options):
    """``medlit fit`` in two processes: exit codes, and what both have said, on standard output and error."""
    ddp = ["--trainer.devices", 2, "--trainer.strategy", "ddp", "--data.batch_size", 4, "--trainer.max_epochs", 1]
    done = warm_ranks(2, "medlit.cli", SCRIPT, "fit", *options, *ddp, cwd=ROOT)
    return (
        [each.returncode for each in done],
        "".join(each.stdout for each in done),
        "".join(each.stderr for each in done),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("torchrun")
    make_derm7pt(folder / "data", cases=42)
    return folder


@pytest.fixture(scope="module")
def told(folder):
    """What all tasks but EI's have printed."""
    script = [*TORCHRUN, "tests.medlit.run_commands", str(folder)]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)
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
    options = tiny(folder / "data", folder / "ei")
    codes, said, errors = fit(*options)
    assert codes == [0, 0], errors
    assert said.count("Global batch: 8 = 2 devices x 4 per device x 1 accumulated") == 1
    assert said.count("11 predictions: ") == 1
    before = (folder / "ei/manifest.json").read_bytes()
    codes, _, errors = fit(*options)
    assert codes == [2, 2]
    assert errors.count("medlit: error: ") == 1
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
    codes, _, errors = fit(*tiny(folder / "data", tmp_path / "run"), *wrong)
    assert codes == [2, 2]
    [line] = [line for line in errors.splitlines() if "medlit: error: " in line]
    assert message in line
