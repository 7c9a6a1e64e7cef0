"""On a real SLURM: nodes train together, a pre-empted run goes on, seeds, failures and recipes are jobs."""

import json
import os
import re
import stat
import subprocess
from pathlib import Path

import pytest
import torch
import yaml

from data_modules.synthetic import derm7pt
from medlit import run_folder
from tests.medlit.cluster.virtual_slurm import virtual_slurm, wait_until
from tests.medlit.command_line import EXPERIMENTS, SCRIPT, TINY

pytestmark = pytest.mark.slow

GOLDEN = Path(__file__).parent / "golden"
EPOCHS = 18  # fewer than the patience of early stopping


@pytest.fixture(scope="module")
def slurm():
    with virtual_slurm() as environment:
        yield environment


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    path = tmp_path_factory.mktemp("it's a study")  # a blank and a quote, as folders may have
    derm7pt.write(path / "data", cases=30, seed=0, img_size=32)
    return path


def ask(slurm, *command, cwd=None) -> str:
    """What a program of SLURM's, or medlit, prints."""
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=slurm, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def submit(slurm, study, run_dir, *words, epochs, fit=()) -> str:
    """Submit a small training on CPUs; the job's number."""
    options = ("--config", EXPERIMENTS / "ei_derm7pt.yaml", "--config", TINY, "--run_dir", run_dir, "--time", "10")
    given = ("--data.init_args.root", "data", "--trainer.max_epochs", epochs, *fit)
    said = ask(slurm, SCRIPT, "submit", *options, "--gpus-per-node", 0, *words, "--", *given, cwd=study)
    return re.search(r"as job (\d+)", said)[1]


def status(slurm, study, run_dir) -> str:
    """The table of a run, blanks squeezed."""
    return re.sub(" +", " ", ask(slurm, SCRIPT, "status", run_dir, cwd=study))


def wait_for_the_end(slurm, *numbers, run_dir: Path) -> None:
    jobs = ("squeue", "--noheader", "--jobs", ",".join(numbers))
    wait_until(
        lambda: not subprocess.run(jobs, env=slurm, capture_output=True, text=True, check=False).stdout.strip(),
        f"{numbers} do not end:\n{output(run_dir)}",
        seconds=300,
    )


def output(run_dir: Path) -> str:
    """What the jobs of a run printed."""
    return "\n".join(path.read_text() for path in sorted(run_dir.rglob("slurm-*.out")))


def manifest(run_dir: Path) -> dict:
    return json.loads((run_dir / "manifest.json").read_text())


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    return torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


@pytest.fixture(scope="module")
def unbroken(slurm, study):
    """A run of one process on each of two nodes."""
    run_dir = study / "runs" / "unbroken"
    number = submit(slurm, study, "runs/unbroken", "--nodes", 2, "--no-doctor", epochs=EPOCHS)
    wait_for_the_end(slurm, number, run_dir=run_dir)
    return run_dir


def test_two_nodes_train_together(slurm, study, unbroken):
    assert run_folder.job_state(unbroken)[1] == 0, output(unbroken)
    assert manifest(unbroken)["devices"] == 2
    assert (unbroken / "predictions_test.parquet").is_file()
    assert re.search(rf"finished {EPOCHS}/{EPOCHS} val/map [01]\.\d+ \d+", status(slurm, study, "runs/unbroken"))


def test_pre_empted_early_and_amid_training_it_goes_on_to_the_same_weights(slurm, study, unbroken):
    run_dir = study / "runs" / "pre-empted"
    number = submit(slurm, study, "runs/pre-empted", "--nodes", 2, "--no-doctor", epochs=EPOCHS)
    wait_until(lambda: f"{number}.0 " in ask(slurm, "squeue", "--steps", "--noheader"), output(run_dir))
    ask(slurm, "scancel", "--signal=USR1", number)  # while it imports
    wait_until(lambda: "requeued (BeginTime)" in status(slurm, study, run_dir), output(run_dir))
    assert not (run_dir / "checkpoints").exists()

    wait_until((run_dir / "checkpoints" / "last.ckpt").exists, output(run_dir))
    ask(slurm, "scancel", "--signal=USR1", number)
    wait_until(lambda: "requeued (BeginTime)" in status(slurm, study, run_dir), output(run_dir))
    epochs = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] + 1
    assert epochs < EPOCHS
    wait_for_the_end(slurm, number, run_dir=run_dir)

    said = output(run_dir)
    assert run_folder.job_state(run_dir) == (number, 0), said
    assert "restart 1 of 50" in said
    assert "restart 2 of 50" in said
    assert "going on from runs/pre-empted/checkpoints/last.ckpt" in said
    ours, theirs = weights(run_dir), weights(unbroken)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_stopped_while_data_are_staged_it_goes_back_into_the_queue_unless_it_is_cancelled(slurm, study):
    run_dir, disk = study / "runs" / "staged", study / "disk"
    disk.mkdir()
    os.mkfifo(study / "data.tar")  # unpacking waits for what nobody writes
    words = (
        "--config",
        EXPERIMENTS / "ei_derm7pt.yaml",
        "--run_dir",
        "runs/staged",
        "--gpus-per-node",
        0,
        "--time",
        "10",
    )
    there = {**slurm, "TMPDIR": str(disk)}
    said = ask(there, SCRIPT, "submit", *words, "--stage", "data.tar", cwd=study)
    number = re.search(r"as job (\d+)", said)[1]
    copy = disk / f"medlit-{number}"
    wait_until(copy.exists, output(run_dir))
    assert stat.S_IMODE(copy.stat().st_mode) == 0o700
    ask(slurm, "scancel", "--signal=TERM", number)
    wait_until(lambda: "requeued (BeginTime)" in status(slurm, study, run_dir), output(run_dir))
    assert not copy.exists()

    wait_until(copy.exists, output(run_dir))
    ask(slurm, "scancel", number)
    wait_for_the_end(slurm, number, run_dir=run_dir)
    assert f"cancelled {number}" in status(slurm, study, run_dir)


def test_each_seed_of_an_array_is_a_run_of_its_own(slurm, study):
    run_dir = study / "runs" / "seeds"
    number = submit(slurm, study, "runs/seeds", "--array", "0-2", "--no-doctor", epochs=2)
    assert re.search(rf"seed_2 queued \(\w+\) {number}_2", status(slurm, study, "runs/seeds"))
    wait_for_the_end(slurm, number, run_dir=run_dir)
    seeds = [run_dir / f"seed_{seed}" for seed in range(3)]
    assert [manifest(folder)["seed"] for folder in seeds] == [0, 1, 2]
    assert [run_folder.job_state(folder) for folder in seeds] == [(f"{number}_{seed}", 0) for seed in range(3)]
    a, b, _ = map(weights, seeds)
    assert not all(torch.equal(a[name], b[name]) for name in a)
    assert status(slurm, study, "runs/seeds").count("finished 2/2") == 3


def test_a_job_that_fails_passes_its_exit_code_on_and_may_go_on(slurm, study):
    run_dir = study / "runs" / "fails"
    number = submit(slurm, study, "runs/fails", epochs=1, fit=("--data.init_args.root", "data-later"))
    wait_for_the_end(slurm, number, run_dir=run_dir)
    assert "wrong    data: Derm7pt not found" in output(run_dir)  # the doctor's word
    assert re.search(r"JobState=FAILED .*ExitCode=2:0", ask(slurm, "scontrol", "-o", "show", "job", number))
    assert "failed (exit code 2)" in status(slurm, study, "runs/fails")
    without_slurm = {**slurm, "SLURM_CONF": "/nonexistent"}
    assert "failed (exit code 2)" in status(without_slurm, study, "runs/fails")

    refused = [SCRIPT, "submit", "--resume", "runs/fails", "--partition", "nowhere"]
    done = subprocess.run(refused, cwd=study, env=slurm, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert re.fullmatch(r"medlit: error: .*was not submitted: invalid partition.*\n", done.stderr)

    (study / "data-later").symlink_to(study / "data")
    script = run_dir / "submit.sh"
    script.write_text(re.sub(r"^srun .* doctor .*\n", "", script.read_text(), flags=re.MULTILINE))  # a person's edit
    resume = (SCRIPT, "submit", "--resume", "runs/fails", "--time", "7")
    cancelled = re.search(r"as job (\d+)", ask(slurm, *resume, cwd=study))[1]
    assert "TimeLimit=00:07:00" in ask(slurm, "scontrol", "-o", "show", "job", cancelled)
    wait_until(lambda: "running" in status(slurm, study, run_dir), output(run_dir))
    ask(slurm, "scancel", cancelled)
    wait_for_the_end(slurm, cancelled, run_dir=run_dir)  # it does not go back into the queue
    assert f"cancelled {cancelled}" in status(slurm, study, "runs/fails")

    again = re.search(r"as job (\d+)", ask(slurm, *resume, cwd=study))[1]
    wait_for_the_end(slurm, again, run_dir=run_dir)
    assert run_folder.job_state(run_dir) == (again, 0), output(run_dir)


def test_a_recipe_is_run_by_jobs_that_wait_for_each_other(slurm, study):
    def stage(name: str, **settings) -> dict:
        return {"configs": [str(EXPERIMENTS / f"{name}.yaml")], **settings}

    recipe = {
        "name": "small",
        "seeds": [0],
        "configs_after": [str(TINY)],
        "set": {"data.init_args.root": "data", "trainer.max_epochs": 1},
        "stages": {
            "derm": stage("unimodal_derm7pt_derm"),
            "fails": stage("unimodal_derm7pt_clinic", set={"data.init_args.root": "nowhere"}),
            "ei": stage("ei_derm7pt", init_from={"derm": "derm"}),
            "held": stage("ei_derm7pt", init_from={"clinic": "fails"}),
        },
        "compare": {"Early Intervention": "ei"},
    }
    (study / "small.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    options = ("submit", "--recipe", "small.yaml", "--time", "10", "--no-doctor")
    said = ask(slurm, SCRIPT, *options, cwd=study)
    numbers = re.findall(r"job (\d+)", said)
    assert re.search(r"ei/seed_0 queued \(Dependency\)", status(slurm, study, "runs/small"))
    out = study / "runs" / "small"
    wait_for_the_end(slurm, *numbers, run_dir=out)

    told = status(slurm, study, "runs/small")
    assert "derm/seed_0 finished 1/1" in told, output(out)
    assert "ei/seed_0 finished 1/1" in told
    assert "fails/seed_0 failed (exit code 2)" in told
    assert "held/seed_0 cancelled" in told
    assert "runs/small failed (exit code 1)" in told  # the table's job
    ends = [manifest(out / name / "seed_0")["stages"] for name in ("derm", "ei")]
    assert ends[0]["test"]["ended"] <= ends[1]["fit"]["started"]
    assert "| Early Intervention |" in (out / "results.md").read_text()
    assert "medlit: error: held, seed 0 is interrupted" in output(out)

    left = ask(slurm, SCRIPT, *options, "--dry-run", cwd=study)
    assert re.findall(r"^### (\w+)", left, re.MULTILINE) == ["fails", "held", "the"]


@pytest.mark.parametrize("nodes", [1, 4])
def test_scripts_for_gpus_are_what_slurm_reads(slurm, nodes):
    number = ask(slurm, "sbatch", "--parsable", GOLDEN / f"{nodes}x8.sh").strip()
    job = ask(slurm, "scontrol", "-o", "show", "job", number)
    ask(slurm, "scancel", number)
    asked = ["JobName=mama_embed", "Partition=gpu", f"NumNodes={nodes}-{nodes}", f"NumTasks={nodes * 8}", "CPUs/Task=8"]
    asked += [f"NumCPUs={nodes * 64}", "TresPerNode=gres:gpu:8", "MinMemoryNode=480G", "TimeLimit=1-00:00:00"]
    asked += ["Requeue=1", "WorkDir=/home/me/study", f"StdOut=/home/me/study/runs/mama_embed/slurm-{number}.out"]
    assert [field for field in asked if f" {field} " not in job] == []
