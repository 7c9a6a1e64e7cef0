"""Jobs that share a folder, and so script and configuration: those of one array, and seeds that are added later."""

import json
from pathlib import Path

import pytest

from medlit import run_folder
from medlit.cli import main
from medlit.recipes import ask
from tests.medlit.command_line import EXPERIMENTS


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Programs that stand for SLURM's: a file ``queue`` is what waits, and every job is number 12."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (tmp_path / "queue").touch()
    bodies = {"squeue": f"cat {tmp_path}/queue", "sbatch": "echo 12"}
    for name, body in bodies.items():
        (programs / name).write_text(f"#!/bin/bash\n{body}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ask, "configurations", lambda trainings: {"": f"words: {list(trainings[''])}\n"})
    return tmp_path


def submit(*words: str, fit: tuple[str, ...] = ()) -> int:
    config = ("--config", str(EXPERIMENTS / "ei_derm7pt.yaml"))
    return main(["submit", *config, "--time", "30", "--run_dir", "x", *words, "--", *fit])


def end(slurm: Path, *seeds: int, code: int, trained: bool) -> None:
    """The jobs of seeds have left the queue."""
    for seed in seeds:
        folder = slurm / "x" / f"seed_{seed}"
        (folder / run_folder.JOB_STATE).write_text(f"12_{seed} {code}\n")
        stages = {"fit": {"status": "finished" if trained else "failed: X"}}
        (folder / run_folder.MANIFEST).write_text(json.dumps({"stages": stages}))


def written(slurm: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (slurm / "x").glob("submit.*")}


@pytest.mark.parametrize("words", [("--array", "3-4"), ("--array", "0")])
def test_what_waiting_jobs_will_read_is_not_replaced(slurm, capsys, words):
    assert submit("--array", "0-2") == 0
    (slurm / "queue").write_text("12|1|PENDING|Priority|10:00|0|\n")
    before = written(slurm)
    assert submit(*words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "x/seed_1: its job 12_1 is PENDING, and reads x/submit.yaml; wait for it, end it (scancel 12_1), or" in line
    assert written(slurm) == before
    assert not (slurm / "x" / "seed_3").exists()


@pytest.mark.parametrize(("first", "second"), [(("--array", "0"), ()), ((), ("--array", "0"))])
def test_one_run_and_an_array_do_not_share_a_folder(slurm, capsys, first, second):
    assert submit(*first) == 0
    before = written(slurm)
    assert submit(*second) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "needs a folder of its own, see --run_dir" in line
    assert written(slurm) == before


@pytest.mark.parametrize(
    ("words", "fit", "replaced"),
    [((), ("--trainer.max_epochs", "3"), "submit.yaml"), (("--nodes", "2"), (), "submit.sh")],
)
def test_trained_seeds_keep_script_and_configuration(slurm, capsys, words, fit, replaced):
    assert submit("--array", "0-2") == 0
    end(slurm, 0, 2, code=2, trained=False)
    end(slurm, 1, code=0, trained=True)
    before = written(slurm)
    assert submit("--array", "3-4", *words, fit=fit) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"x/seed_1 was trained by another x/{replaced}; choose another --run_dir" in line
    assert written(slurm) == before


def test_seeds_of_the_same_script_and_configuration_are_added(slurm):
    assert submit("--array", "0-2") == 0
    end(slurm, 0, 1, 2, code=0, trained=True)
    assert submit("--array", "3-4") == 0
    assert "#SBATCH --array=3,4\n" in written(slurm)["submit.sh"]


def test_where_nothing_was_trained_a_corrected_configuration_takes_its_place(slurm):
    assert submit("--array", "0-2") == 0
    end(slurm, 0, 1, 2, code=2, trained=False)
    assert submit("--array", "0-1", fit=("--trainer.max_epochs", "3")) == 0
    assert "max_epochs" in written(slurm)["submit.yaml"]
