"""``medlit submit`` before SLURM has a say: what is refused in one line, and what a dry run leaves alone."""

import json
import os
import re
import stat
import subprocess
import sys

import pytest
import yaml

from medlit.cli import main
from medlit.cluster import recipe_jobs, slurm, submission
from medlit.cluster.slurm import SlurmError
from medlit.commands import submit, submit_recipe
from medlit.commands.submit_options import make_parser
from medlit.errors import ConfigurationError
from tests.medlit.cluster.test_script import script
from tests.medlit.command_line import EXPERIMENTS, SCRIPT, TINY

CONFIG = ("--config", str(EXPERIMENTS / "ei_derm7pt.yaml"))


def dry(*words: object) -> int:
    return submit.main([*CONFIG, "--time", "30", "--dry-run", *map(str, words)])


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "nothing to submit: give --config, --recipe or --resume"),
        (CONFIG, "--time is missing"),
        (("experiments/a.yaml",), "experiments/a.yaml: a configuration is named by --config"),
        (("--config", "nowhere.yaml", "--time", "30"), "configuration file nowhere.yaml does not exist"),
        ((*CONFIG, "--time", "30", "--array", "x"), "--array 'x'"),
        ((*CONFIG, "--time", "30", "--stage", "nowhere"), "nowhere does not exist"),
        ((*CONFIG, "--time", "30", "--container", "nowhere.sif"), "nowhere.sif does not exist"),
        ((*CONFIG, "--time", "30", "--seeds", "1"), "--seeds: with --recipe alone"),
        (("--recipe", "x.yaml", "--array", "0-2"), "--array: not with --recipe"),
        (("--recipe", "x.yaml", "--container", "nowhere.sif"), "nowhere.sif does not exist"),
        (("--recipe", "x.yaml", "--", "--trainer.max_epochs", "1"), "options behind --: not with --recipe"),
        (("--resume", "runs/x", "--nodes", "2"), "--nodes: not with --resume"),
        (("--resume", "runs/x", *CONFIG), "--config: not with --resume"),
        ((*CONFIG, "--time", "30", "--", "--trainer.devices", "2"), "--trainer.devices comes from --gpus-per-node"),
        ((*CONFIG, "--time", "30", "--", "--ckpt_path=x"), "--ckpt_path comes from the script"),
        ((*CONFIG, "--time", "30", "--array", "0,1", "--", "--seed_everything", "1"), "comes from --array"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(words, why, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["submit", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert why in line
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert dry("--gpus-per-node", 4) == 0
    assert capsys.readouterr().out.startswith("#!/bin/bash\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "folder"),
    [
        ((), "runs/ei_derm7pt"),
        (("--config", TINY), "runs/ei_derm7pt-tiny"),
        (("--run_dir", "runs/mine"), "runs/mine"),
        (("--", "--trainer.max_epochs", 3), "runs/ei_derm7pt"),
    ],
)
def test_the_run_folder_is_that_of_medlit_fit_unless_it_is_named(words, folder, capsys):
    assert dry(*words) == 0
    assert f"\nrun_dir={folder}\n" in capsys.readouterr().out


def test_a_saved_configuration_keeps_its_folder(tmp_path, capsys):
    saved = tmp_path / "config.yaml"
    saved.write_text("run_dir: runs/earlier\n")
    assert submit.main(["--config", str(saved), "--time", "30", "--dry-run"]) == 0
    assert "\nrun_dir=runs/earlier\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--gpus-per-node", 0, "--tasks-per-node", 2), True),
        (("--gpus-per-node", 0, "--nodes", 2), True),
        (("--gpus-per-node", 0), False),
        (("--gpus-per-node", 2), False),
        (("--gpus-per-node", 0, "--nodes", 2, "--", "--trainer.strategy", "ddp_find_unused_parameters_true"), False),
        (("--gpus-per-node", 0, "--nodes", 2, "--", "--trainer.strategy", "auto"), True),
    ],
)
def test_several_processes_on_cpus_are_told_to_train_by_ddp(words, told, capsys):
    assert dry(*words) == 0
    assert ("--trainer.strategy ddp\n" in capsys.readouterr().out) == told


def test_a_run_that_is_there_is_not_submitted_over(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "runs" / "mine"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints" / "last.ckpt").touch()
    with pytest.raises(ConfigurationError, match="runs/mine already holds a run; go on with medlit fit --resume true"):
        submit.main([*CONFIG, "--time", "30", "--run_dir", "runs/mine"])


@pytest.mark.parametrize("made", [False, True])
def test_nothing_submitted_is_nothing_to_submit_again(tmp_path, made):
    if made:
        (tmp_path / "config.yaml").touch()
    with pytest.raises(ConfigurationError, match="no run that medlit submit has submitted") as refusal:
        submit.main(["--resume", str(tmp_path)])
    assert (f"give its configuration: --config {tmp_path}/config.yaml" in str(refusal.value)) == made


def test_without_slurm_one_line_says_so(tmp_path):
    (tmp_path / "submit.sh").touch()
    (tmp_path / "submit.json").write_text(json.dumps({"job": "1", "seed": None}))
    environment = {**os.environ, "PATH": str(tmp_path)}
    done = subprocess.run(
        [str(SCRIPT), "submit", "--resume", str(tmp_path)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert re.fullmatch(
        r"medlit: error: .*: this machine has no squeue; use a login node of the cluster\n", done.stderr
    )


@pytest.mark.parametrize(("logger", "mode"), [({"api_key": "abc"}, 0o600), ({"name": "abc"}, 0o640)])
def test_secrets_of_a_configuration_are_for_its_owner_alone(logger, mode, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")  # no sbatch: what was written stays, to be looked at
    config = yaml.safe_dump({"trainer": {"logger": {"class_path": "CometLogger", "init_args": logger}}})
    before = os.umask(0o027)
    try:
        with pytest.raises(SlurmError):
            submission.submit(script(folder=tmp_path), config)
    finally:
        os.umask(before)
    written = tmp_path / "submit.yaml"
    assert (stat.S_IMODE(written.stat().st_mode), written.read_text()) == (mode, config)


@pytest.mark.parametrize(
    ("words", "mode"),
    [
        (("--set", "trainer.logger.init_args.api_key=abc"), 0o600),
        (("--set", "ei:model.hub_token=abc"), 0o600),
        (("--set", "trainer.max_epochs=1"), 0o640),
    ],
)
def test_secrets_in_a_script_are_for_its_owner_alone(words, mode, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    table = script(folder=tmp_path, words=("recipe", "table", "x.yaml", *words))
    before = os.umask(0o027)
    try:
        with pytest.raises(SlurmError):
            submission.submit(table, None)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "submit.sh").stat().st_mode) == mode


@pytest.mark.parametrize(
    ("signal", "time", "refused"),
    [
        ("USR1@120", "2", True),
        ("USR1@120", "3", True),
        ("USR1@120", "4", False),
        ("USR1@600", "10", True),
        ("R:USR1@30", "2", False),
        ("USR1", "2", True),
        (None, "1", False),
    ],
)
def test_less_time_than_the_script_asks_its_signal_before_is_refused(signal, time, refused, tmp_path, monkeypatch):
    monkeypatch.setattr(slurm, "queue", dict)
    (tmp_path / "submit.sh").write_text("#!/bin/bash\n" + (f"#SBATCH --signal={signal}\n" if signal else ""))
    (tmp_path / "submit.json").write_text(json.dumps({"job": "1", "seed": None}))
    words = ["--resume", str(tmp_path), "--time", time, "--dry-run"]
    if refused:
        with pytest.raises(ConfigurationError, match=f"--time {time} is .*give more time, or change --signal in"):
            submit.main(words)
    else:
        assert submit.main(words) == 0


def test_a_table_that_slurm_refuses_leaves_its_trainings_in_the_queue(tmp_path, monkeypatch):
    def refuse(*args: object) -> str:
        raise SlurmError("x/submit.sh was not submitted: a GPU is needed here")

    monkeypatch.setattr(slurm, "sbatch", refuse)
    words = ("recipe", "table", "my own.yaml", "--set", "api_key=abc")
    said = (
        r"the table has no job: x/submit.sh was not submitted: a GPU is needed here; "
        r"the trainings are queued \(12, 13\): when they have ended, "
        r"medlit recipe table 'my own.yaml' --set 'api_key=\*\*\*'"
    )
    with pytest.raises(SlurmError, match=said):
        recipe_jobs.submit_steps({}, {("a", 0, None): "12", ("b", 0, None): "13"}, script(folder=tmp_path, words=words))


def test_a_table_asks_for_the_memory_of_its_recipe(tmp_path):
    asked = make_parser().parse_args(["--recipe", "x.yaml", "--time", "30", "--mem", "8G"])
    assert submit_recipe._table_script(asked, tmp_path, name="table").resources.mem == "8G"


@pytest.mark.parametrize("words", [["submit", *CONFIG, "--time", "30", "--dry-run"], ["status", "."]])
def test_it_starts_without_torch(words):
    code = f"import sys; from medlit.cli import main; main({words!r}); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
