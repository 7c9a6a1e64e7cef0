"""``medlit status`` by the files of runs, where there is no SLURM to ask."""

import json
import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from medlit import run_folder
from medlit.cluster.progress import progress_of
from medlit.cluster.states import duration, find_runs, look
from medlit.cluster.submission import read_submission
from medlit.commands import status
from medlit.errors import ConfigurationError
from tests.medlit.command_line import SCRIPT


def write_run(
    folder: Path, *, started: float = 0, test: str = "", log: dict[str, list[str]] | None = None, **fit: object
) -> Path:
    """A run folder: its manifest, and logs by name with rows of epoch, step, train/loss and val/map."""
    start = datetime.now(UTC) - timedelta(seconds=started)
    stages: dict[str, dict] = {"fit": {"started": start.isoformat(timespec="seconds"), "status": "started", **fit}}
    if test:
        stages["test"] = {"status": test}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps({"stages": stages}))
    for name, rows in (log or {}).items():
        path = folder / "logs" / "csv" / name / "metrics.csv"
        path.parent.mkdir(parents=True)
        path.write_text("\n".join(["epoch,step,train/loss,val/map", *rows]) + "\n")
    return folder


def write_job(folder: Path, *, job: str = "12", said: str | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / run_folder.SUBMISSION).write_text(json.dumps({"job": job, "seed": None}))
    if said is not None:
        (folder / run_folder.JOB_STATE).write_text(f"{said}\n")


AIMS = {"max_epochs": 10, "monitor": "val/map", "mode": "max", "select_from_step": 0}
TWO_EPOCHS = ["0,4,,0.5", "0,4,1.2,", "1,9,,0.7", "1,9,1.1,", "2,12,,0.9"]  # the third has been validated, not ended


def test_epochs_best_metric_and_time_left_are_those_of_the_log(tmp_path):
    progress = progress_of(write_run(tmp_path, started=60, log={"fit": TWO_EPOCHS}, **AIMS))
    assert (progress.epochs, progress.max_epochs, progress.monitor, progress.best) == (2, 10, "val/map", 0.9)
    assert progress.seconds_left == pytest.approx(8 * 30, abs=10)


def test_a_run_that_went_on_keeps_its_best_and_goes_by_its_new_pace(tmp_path):
    logs = {"fit": TWO_EPOCHS, "fit_2": ["2,14,1,", "2,14,,0.6"]}
    run = write_run(tmp_path, started=100, log=logs, **AIMS)
    os.utime(run / "logs" / "csv" / "fit" / "metrics.csv", (0, 0))
    progress = progress_of(run)
    assert (progress.epochs, progress.best) == (3, 0.9)
    assert progress.seconds_left == pytest.approx(7 * 100, abs=20)


@pytest.mark.parametrize(
    ("aims", "best"), [({"mode": "min"}, 0.5), ({"select_from_step": 10}, 0.9), ({"monitor": "x"}, None)]
)
def test_the_best_is_chosen_as_the_checkpoint_is(tmp_path, aims, best):
    assert progress_of(write_run(tmp_path, log={"fit": TWO_EPOCHS}, **{**AIMS, **aims})).best == best


def test_what_is_no_number_is_never_best(tmp_path):
    assert progress_of(write_run(tmp_path, log={"fit": ["0,1,1,nan", "1,2,1,0.2"]}, **AIMS)).best == 0.2


@pytest.mark.parametrize("content", ["", "{", "[]", '{"stages": 3}', '{"stages": {"fit": 3}}'])
def test_a_manifest_that_says_nothing_is_no_error(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)
    assert look(tmp_path, None).state == "not started"


@pytest.mark.parametrize(
    ("fit", "test", "state"),
    [
        ("started", "", "running"),
        ("finished", "started", "running"),
        ("finished", "finished", "finished"),
        ("interrupted", "", "interrupted"),
        ("failed: NonFiniteLossError", "", "failed (NonFiniteLossError)"),
    ],
)
def test_without_a_job_the_manifest_tells(tmp_path, fit, test, state):
    assert look(write_run(tmp_path, status=fit, test=test), None).state == state


def test_a_run_that_fell_silent_may_have_been_interrupted(tmp_path):
    run = write_run(tmp_path)
    os.utime(run / "manifest.json", (0, datetime.now(UTC).timestamp() - 7200))
    assert look(run, None).state.startswith("interrupted? (silent for 2:00:")


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("12 0", "finished"),
        ("12 2", "failed (exit code 2)"),
        ("12 75", "pre-empted"),
        ("12 138", "pre-empted"),
        ("12 143", "pre-empted"),
        ("12 137", "failed (exit code 137)"),
    ],
)
def test_what_the_script_left_tells_how_a_job_ended(tmp_path, said, state):
    write_job(write_run(tmp_path), said=said)
    run = look(tmp_path, None)
    assert (run.state, run.job) == (state, "12")


def test_a_job_that_a_person_submitted_by_hand_is_known_once_it_runs(tmp_path):
    write_job(tmp_path, job="12", said="15 running")
    run = look(tmp_path, None)
    assert (run.job, run.state) == ("15", "unknown (SLURM does not answer)")


def test_what_an_earlier_job_left_says_nothing_of_the_next(tmp_path):
    write_job(tmp_path, job="15_2", said="9_2 1")
    known = read_submission(tmp_path)
    assert (known.job, known.begun, known.exit_code) == ("15_2", False, None)


def test_runs_are_found_below_a_folder_and_not_in_checkpoints_or_logs(tmp_path):
    for name in ("b/seed_0", "a", "a/inner", "b/checkpoints/x", "logs/y"):
        write_run(tmp_path / name)
    write_job(tmp_path / "c")
    assert [str(run.relative_to(tmp_path)) for run in find_runs(tmp_path)] == ["a", "a/inner", "b/seed_0", "c"]


def test_the_table_has_a_line_for_each_run(tmp_path, capsys):
    write_run(tmp_path / "one", started=60, log={"fit": TWO_EPOCHS}, **AIMS)
    write_run(tmp_path / "another", status="finished")
    assert status.main([str(tmp_path)]) == 0
    head, another, one = capsys.readouterr().out.splitlines()
    assert head.split() == ["run", "state", "epoch", "best", "time", "left", "job"]
    assert another.split() == [str(tmp_path / "another"), "finished"]
    assert one.split()[1:5] == ["running", "2/10", "val/map", "0.9000"]
    assert one.split()[5] == "training"


def test_where_slurm_is_missing_that_is_told_and_the_files_are_read(tmp_path):
    write_job(write_run(tmp_path / "run", status="finished"))
    environment = {**os.environ, "PATH": str(tmp_path)}
    done = subprocess.run(
        [str(SCRIPT), "status", str(tmp_path)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert done.stdout.splitlines()[1].split() == [str(tmp_path / "run"), "finished", "12"]
    assert "this machine has no squeue" in done.stderr


def test_no_runs_and_no_folder_are_told(tmp_path, capsys):
    assert status.main([str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"no runs below {tmp_path}\n"
    with pytest.raises(ConfigurationError, match="nowhere is no folder"):
        status.main(["nowhere"])


@pytest.mark.parametrize(("seconds", "text"), [(59, "0:00:59"), (3661, "1:01:01"), (93_784, "1-02:03:04")])
def test_durations_are_written_as_slurm_writes_them(seconds, text):
    assert duration(seconds) == text
