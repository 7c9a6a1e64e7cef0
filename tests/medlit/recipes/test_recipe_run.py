"""A whole recipe on a small look-alike: interrupted and killed on the way, its table is that of an unbroken one."""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from data_modules.synthetic import derm7pt
from medlit.commands import recipe as command
from medlit.errors import ConfigurationError
from medlit.recipes import results
from tests.medlit.command_line import EXPERIMENTS, SCRIPT, TINY

pytestmark = pytest.mark.slow

TABLES = (results.MARKDOWN, results.TABLE, results.BY_SEED)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe")
    derm7pt.write(path / "data", cases=30, seed=0, img_size=32)
    return path


def write_recipe(folder: Path, **changes) -> str:
    stages = {
        "derm": {"configs": [str(EXPERIMENTS / "unimodal_derm7pt_derm.yaml")]},
        "ei": {"configs": [str(EXPERIMENTS / "ei_derm7pt.yaml")], "init_from": {"derm": "derm"}},
    }
    content = {
        "name": "small",
        "seeds": [0, 1],
        "configs_after": [str(TINY)],
        "set": {"data.init_args.root": str(folder / "data"), "trainer.max_epochs": 8},
        "stages": stages,
        **changes,
    }
    path = folder / f"{content['name']}.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return str(path)


def start(recipe: str, out: Path) -> subprocess.Popen[str]:
    words = [str(SCRIPT), "recipe", "run", recipe, "--out", str(out), "--jobs", "2"]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)


def run(recipe: str, out: Path) -> str:
    process = start(recipe, out)
    said, _ = process.communicate(timeout=500)
    assert process.returncode == 0, said
    return said


def wait_for(path: Path) -> None:
    give_up = time.monotonic() + 300
    while not path.exists():
        assert time.monotonic() < give_up, f"{path} does not come"
        time.sleep(0.01)


def processes_that_name(text: str) -> list[str]:
    """Command lines of this machine with a text in them."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has ended
            continue
        if text in line and int(entry.parent.name) != os.getpid():
            found.append(line)
    return found


def assert_none_is_left(out: Path) -> None:
    give_up = time.monotonic() + 5
    while left := processes_that_name(str(out)):
        assert time.monotonic() < give_up, left
        time.sleep(0.05)


def traces(out: Path, pattern: str) -> dict[str, tuple[int, int]]:
    """Inode and time of change of every file of the runs that are finished."""
    finished = [path.parent for path in out.glob(f"{pattern}/recipe.json") if '"finished"' in path.read_text()]
    files = [file for folder in finished for file in sorted(folder.rglob("*")) if file.is_file()]
    return {str(file): (file.stat().st_ino, file.stat().st_mtime_ns) for file in files}


@pytest.fixture(scope="module")
def unbroken(folder):
    run(write_recipe(folder), folder / "unbroken")
    return folder / "unbroken"


def test_interrupted_and_killed_it_ends_in_the_same_table(folder, unbroken):
    recipe, out = write_recipe(folder), folder / "broken"
    process = start(recipe, out)  # ended politely, somewhere in the first stage
    wait_for(out / "derm" / "seed_0" / "recipe.json")
    time.sleep(random.uniform(0.5, 6))
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert_none_is_left(out)

    process = start(recipe, out)  # killed with its whole group, while the second stage trains
    wait_for(out / "ei" / "seed_0" / "checkpoints" / "last.ckpt")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert_none_is_left(out)
    finished = traces(out, "derm/seed_*")
    assert any("seed_0" in name for name in finished)
    assert not any((out / name).exists() for name in TABLES)

    said = run(recipe, out)
    assert "ei, seed 0: going on" in said
    assert "derm, seed 0" not in said
    assert {name: trace for name, trace in traces(out, "derm/seed_*").items() if name in finished} == finished
    for name in TABLES:
        assert (out / name).read_bytes() == (unbroken / name).read_bytes(), name


def test_what_is_finished_is_not_repeated(folder, unbroken, capsys):
    before, table = traces(unbroken, "*/seed_*"), (unbroken / results.TABLE).read_bytes()
    assert len(before) >= 4 * 6
    assert command.main(["run", write_recipe(folder), "--out", str(unbroken)]) == 0
    assert "starting" not in capsys.readouterr().out
    assert traces(unbroken, "*/seed_*") == before
    assert (unbroken / results.TABLE).read_bytes() == table


def test_what_was_killed_after_its_last_epoch_is_only_tested(folder, unbroken):
    first, second = (unbroken / "derm" / f"seed_{seed}" for seed in (0, 1))
    rows = [(one / "predictions_test.parquet").read_bytes() for one in (first, second)]
    checkpoints = [(one / "checkpoints" / "best.ckpt").stat().st_mtime_ns for one in (first, second)]
    for one in (first, second):
        (one / "predictions_test.parquet").unlink()
    manifest = json.loads((first / "manifest.json").read_text())
    manifest["stages"]["fit"]["status"] = "started"  # it did not even learn that its training had ended
    (first / "manifest.json").write_text(json.dumps(manifest))
    said = run(write_recipe(folder), unbroken)
    assert "derm, seed 0: going on" in said
    assert "derm, seed 1: testing" in said
    assert [(one / "predictions_test.parquet").read_bytes() for one in (first, second)] == rows
    assert [(one / "checkpoints" / "best.ckpt").stat().st_mtime_ns for one in (first, second)] == checkpoints


def test_other_settings_are_refused_and_named(folder, unbroken):
    with pytest.raises(ConfigurationError, match=r"derm, seed 0 \(and 3 more\).*trainer.max_epochs: 8 -> 9; .*--rerun"):
        command.main(["run", write_recipe(folder), "--out", str(unbroken), "--set", "trainer.max_epochs=9"])


def test_what_failed_holds_up_only_what_needs_it(folder, capfd):
    stages = {
        "wrong": {"configs": [str(EXPERIMENTS / "unimodal_derm7pt_derm.yaml")], "set": {"trainer.max_epoch": 1}},
        "needs": {"configs": [str(EXPERIMENTS / "ei_derm7pt.yaml")], "init_from": {"derm": "wrong"}},
        "derm": {"configs": [str(EXPERIMENTS / "unimodal_derm7pt_derm.yaml")], "set": {"trainer.max_epochs": 1}},
    }
    recipe, out = write_recipe(folder, name="failing", seeds=[0], stages=stages), folder / "failing"
    assert command.main(["run", recipe, "--out", str(out), "--jobs", "2"]) == 1
    said, errors = capfd.readouterr()
    log = out / "wrong" / "seed_0" / "recipe.log"
    assert errors == f"medlit: error: wrong, seed 0 failed (exit code 2), see {log}\n"
    assert "did you mean 'max_epochs'?" in log.read_text()
    assert "Not started, for they need what failed: needs, seed 0" in said
    assert "| derm | " in (out / results.MARKDOWN).read_text()
    assert not (out / "needs").exists()


def test_the_plan_counts_steps_and_says_where_data_are_missing(folder, capsys):
    stages = {"derm": {"configs": [str(EXPERIMENTS / "unimodal_derm7pt_derm.yaml")]}}
    recipe = write_recipe(folder, name="planned", stages=stages, num_folds=3)
    out = folder / "planned"
    assert command.main(["run", recipe, "--out", str(out), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "1. derm, seed 0, fold 0: new\n   medlit fit --config" in said
    assert "6. derm, seed 1, fold 2: new" in said
    assert "derm: 1 steps an epoch x 8 epochs = 8 steps" in said  # a third of 30 cases, balanced, in batches of 32
    assert "At most 48 steps are left" in said
    assert not out.exists()
    smaller = ["data.init_args.batch_size=2", "trainer.limit_train_batches=3", "trainer.accumulate_grad_batches=2"]
    command.main(["run", recipe, "--out", str(out), "--dry-run", "--set", *smaller])
    assert "derm: 2 steps an epoch x 8 epochs = 16 steps" in capsys.readouterr().out  # three batches, added up by two
    command.main(["run", recipe, "--out", str(out), "--dry-run", "--set", f"data.init_args.root={folder / 'nothing'}"])
    said = capsys.readouterr().out
    assert f"derm: steps unknown, Derm7pt not found: no meta/meta.csv below {folder / 'nothing'}" in said
    assert "The data are not there" in said
    unbounded = ["--set", "trainer.max_epochs=-1"]
    command.main(["run", recipe, "--out", str(out), "--dry-run", *unbounded])
    said = capsys.readouterr().out
    assert "derm: steps unknown, trainer.max_epochs sets no bound" in said
    assert "Nothing bounds the epochs" in said
    with pytest.raises(ConfigurationError, match=r"^derm, seed 0, fold 0: .*did you mean 'max_epochs'\?"):
        command.main(["run", recipe, "--out", str(out), "--dry-run", "--set", "trainer.max_epoch=1"])
