"""Batch scripts: two that a person has read, and what the options change about them."""

import re
import shlex
import subprocess
import time
from pathlib import Path

import pytest

from medlit.cluster.resources import Resources
from medlit.cluster.script import Script, program
from medlit.errors import ConfigurationError
from tests.medlit.command_line import medlit

GOLDEN = Path(__file__).parent / "golden"
ROOT = Path(__file__).parents[3]


def script(**changes) -> Script:
    settings = {
        "name": "study",
        "folder": Path("runs/study"),
        "workdir": Path("/home/me/study"),
        "resources": Resources(time="12:00:00", gpus_per_node=0, nodes=2, tasks_per_node=3),
        "program": ("/home/me/.venv/bin/medlit",),
    }
    return Script(**{**settings, **changes})


def lines(text: object, start: str) -> list[str]:
    return [line.strip() for line in str(text).splitlines() if line.strip().startswith(start)]


@pytest.mark.parametrize("nodes", [1, 4])
def test_scripts_of_eight_gpus_a_node_are_those_that_a_person_has_read(nodes):
    options = f"--config experiments/mama_embed.yaml --partition gpu --nodes {nodes} --gpus-per-node 8 --mem 480G"
    done = medlit("submit", *options.split(), "--time", "1-00:00:00", "--dry-run", cwd=ROOT)
    here = {shlex.join(program()): "/home/me/.venv/bin/medlit", str(ROOT): "/home/me/study"}
    for ours, theirs in here.items():
        done.stdout = done.stdout.replace(ours, theirs)
    assert done.stdout == (GOLDEN / f"{nodes}x8.sh").read_text(), done.stderr


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"seeds": (0, 1, 2)},
        {"stage": Path("data/it's here")},
        {"stage": Path("data/all of it.tar"), "container": Path("images/med lit.sif")},
        {"words": ("recipe", "table", "it's.yaml")},
        {"folder": Path("runs/a b'c\"d$e"), "name": "a b'c\"d$e", "program": ("/home/my own/bin/medlit",)},
    ],
)
def test_bash_reads_every_script(changes):
    checked = subprocess.run(["bash", "-n"], input=str(script(**changes)), capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_processes_of_a_job_on_cpus_are_its_tasks():
    text = script(ddp=True)
    assert lines(text, "#SBATCH --ntasks-per-node") == ["#SBATCH --ntasks-per-node=3"]
    assert lines(text, "#SBATCH --gpus") == []
    assert lines(text, "--trainer.accelerator") == ["--trainer.accelerator cpu"]
    assert lines(text, "--trainer.strategy") == ["--trainer.strategy ddp"]


def test_each_seed_of_an_array_has_its_folder_its_seed_and_its_output():
    text = script(seeds=(3, 5))
    assert lines(text, "#SBATCH --array") == ["#SBATCH --array=3,5"]
    assert lines(text, "#SBATCH --output") == ['#SBATCH --output="runs/study/seed_%a/slurm-%A_%a.out"']
    assert lines(text, "run_dir=") == ["run_dir=runs/study/seed_$seed"]
    assert lines(text, "--seed_everything") == ['--seed_everything "$seed"']


def test_a_percent_sign_in_a_folder_is_no_pattern_of_slurms():
    text = script(folder=Path("runs/50% of it"))
    assert lines(text, "#SBATCH --output") == ['#SBATCH --output="runs/50%% of it/slurm-%j.out"']


def test_a_container_holds_medlit_and_sees_gpus_and_local_disk():
    text = script(container=Path("med lit.sif"), stage=Path("data"), resources=Resources(time="30", gpus_per_node=2))
    assert lines(text, "medlit=") == ["medlit=(apptainer exec --nv --bind \"$local_disk\" 'med lit.sif' medlit)"]
    assert lines(script(container=Path("m.sif")), "medlit=") == ["medlit=(apptainer exec m.sif medlit)"]


def test_foreign_code_is_allowed_where_it_was_asked_for():
    assert lines(script(), "--allow-code") == []
    assert lines(script(allow_code=True), "--allow-code") == ["--allow-code true"]


def test_without_the_doctor_it_is_not_called():
    assert '"${medlit[@]}" doctor "${options[@]}" || finish $?' in str(script())
    assert "doctor" not in str(script(doctor=False))


def test_no_process_that_is_done_ends_the_others_before_their_time():
    text = str(script(stage=Path("data")))
    bounded = re.findall(r"\bsrun --export=ALL --kill-on-bad-exit=0 --wait=(?:0|300)[ )]", text)
    assert len(bounded) == text.count("srun --") == 3


@pytest.mark.parametrize("folder", ["runs/a\\b", "runs/a\nb"])
def test_folders_that_slurm_cannot_name_are_refused(folder):
    with pytest.raises(ConfigurationError, match="SLURM takes no backslash and no line break"):
        script(folder=Path(folder))


# What the script does: its own text, run by bash beside programs that stand for SLURM's and medlit's


def run(
    tmp_path: Path, text: str, *, fit: str, restarts: int = 0, state: str = "RUNNING", **environment: str
) -> tuple[int, str]:
    """Exit code of the script, and what its programs were told."""
    programs = tmp_path / "bin"
    programs.mkdir(exist_ok=True)
    said = tmp_path / "said"
    said.write_text("")
    bodies = {
        "srun": 'while [[ $1 == -* ]]; do shift; done; "$@"',
        "scontrol": f'echo "scontrol $*" >> {said}; echo "JobId=12 JobState={state} Reason=None"',
        "medlit": f'echo "medlit $*" >> {said}; [[ $1 != fit ]] || {fit}',
    }
    for name, body in bodies.items():
        (programs / name).write_text(f"#!/bin/bash\n{body}\n")
        (programs / name).chmod(0o755)
    (tmp_path / "runs" / "study").mkdir(parents=True, exist_ok=True)
    job = {"SLURM_JOB_ID": "12", "SLURM_JOB_NODELIST": "n1", "SLURM_JOB_NUM_NODES": "1", "SLURM_NTASKS_PER_NODE": "1"}
    job |= {"SLURM_CPUS_PER_TASK": "1", "SLURM_RESTART_COUNT": str(restarts), "PATH": f"{programs}:/usr/bin:/bin"}
    done = subprocess.run(
        ["bash", "-c", text], cwd=tmp_path, env={**job, **environment}, capture_output=True, text=True, check=False
    )
    assert "line" not in done.stderr, done.stderr
    return done.returncode, said.read_text()


@pytest.mark.parametrize(
    ("code", "restarts", "requeued"),
    [(0, 0, False), (1, 0, False), (75, 0, True), (138, 49, True), (143, 0, True), (75, 50, False)],
)
def test_only_what_a_signal_stopped_goes_back_into_the_queue(tmp_path, code, restarts, requeued):
    text = str(script(program=("medlit",)))
    ended, said = run(tmp_path, text, fit=f"exit {code}", restarts=restarts)
    assert ended == code
    assert ("scontrol requeue 12" in said) == requeued
    state = (tmp_path / "runs" / "study" / "job_state").read_text()
    assert state == ("12 running\n" if requeued else f"12 {code}\n")


@pytest.mark.parametrize("code", [75, 138, 143])
def test_a_job_that_was_cancelled_does_not_go_back_into_the_queue(tmp_path, code):
    text = str(script(program=("medlit",)))
    ended, said = run(tmp_path, text, fit=f"exit {code}", state="CANCELLED")
    assert ended == code
    assert "scontrol requeue" not in said
    assert (tmp_path / "runs" / "study" / "job_state").read_text() == f"12 {code}\n"


def test_a_seed_is_requeued_without_the_others_of_its_array(tmp_path):
    (tmp_path / "runs" / "study" / "seed_2").mkdir(parents=True)
    text = str(script(program=("medlit",), seeds=(1, 2)))
    array = {"SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "2"}
    assert "scontrol requeue 12_2\n" in run(tmp_path, text, fit="exit 75", **array)[1]


@pytest.mark.parametrize("archive", [False, True])
def test_staged_data_are_there_while_it_trains_and_gone_when_it_ends(tmp_path, archive):
    source, disk = tmp_path / "the data", tmp_path / "local disk"
    (source / "meta").mkdir(parents=True)
    (source / "meta" / "meta.csv").write_text("a row")
    (source / "meta").chmod(0o555)  # a copy of it is as hard to remove
    disk.mkdir()
    if archive:
        subprocess.run(["tar", "-C", source, "-cf", tmp_path / "the data.tar", "."], check=True)
        source = tmp_path / "the data.tar"
    text = str(script(program=("medlit",), stage=source))
    code, said = run(tmp_path, text, fit="cat runs/study/staged/meta/meta.csv > found", SLURM_TMPDIR=str(disk))
    assert code == 0
    assert (tmp_path / "found").read_text() == "a row"
    assert "--data.init_args.root runs/study/staged" in said
    assert list(disk.iterdir()) == []
    assert not (tmp_path / "runs" / "study" / "staged").is_symlink()


def staged(tmp_path: Path) -> tuple[Path, Path, str]:
    """Data, a local disk, and a script that brings the ones to the other."""
    source, disk = tmp_path / "data", tmp_path / "disk"
    source.mkdir()
    (source / "scan").write_text("of a patient")
    disk.mkdir()
    return source, disk, str(script(program=("medlit",), stage=source))


@pytest.mark.parametrize("left", [False, True])
def test_staged_data_are_for_their_owner_alone(tmp_path, left):
    source, disk, text = staged(tmp_path)
    (source / "scan").chmod(0o644)
    if left:  # by a start that was killed
        (disk / "medlit-12").mkdir(mode=0o755)
        (disk / "medlit-12" / "scan").write_text("half")
    code, _ = run(tmp_path, text, fit="stat -c %a disk/medlit-12 disk/medlit-12/scan > modes", SLURM_TMPDIR=str(disk))
    assert code == 0
    assert (tmp_path / "modes").read_text().split() == ["700", "600"]


def test_data_are_not_staged_into_what_somebody_else_made_first(tmp_path):
    _, disk, text = staged(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (disk / "medlit-12").symlink_to(elsewhere)
    code, _ = run(tmp_path, text, fit="exit 0", SLURM_TMPDIR=str(disk))
    assert code == 2
    assert list(elsewhere.iterdir()) == []


def test_what_links_lead_to_is_staged(tmp_path):
    source, disk, text = staged(tmp_path)
    (tmp_path / "other disk").mkdir()
    (tmp_path / "other disk" / "image").write_text("an image")
    (source / "images").symlink_to("../other disk")
    code, _ = run(tmp_path, text, fit="cat runs/study/staged/images/image > found", SLURM_TMPDIR=str(disk))
    assert code == 0
    assert (tmp_path / "found").read_text() == "an image"


def test_a_job_goes_back_into_the_queue_although_its_copy_takes_long_to_remove(tmp_path):
    _, disk, text = staged(tmp_path)
    slow = "{ printf '#!/bin/bash\\n[[ $1 != -rf ]] || sleep 60' > bin/rm; chmod +x bin/rm; exit 75; }"
    started = time.monotonic()
    code, said = run(tmp_path, text.replace("unstage 30", "unstage 1"), fit=slow, SLURM_TMPDIR=str(disk))
    assert code == 75
    assert "scontrol requeue 12\n" in said
    assert time.monotonic() - started < 30


def test_where_the_doctor_finds_a_fault_nothing_is_trained(tmp_path):
    code, said = run(tmp_path, str(script(program=("medlit",))).replace("doctor", "fit"), fit="exit 2")
    assert code == 2
    assert said.count("medlit fit") == 1
