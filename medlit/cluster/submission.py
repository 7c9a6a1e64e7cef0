"""Run folders of batch jobs: what was submitted, what became of it, and submitting again."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import yaml

from medlit import run_folder
from medlit.cluster import slurm
from medlit.cluster.resources import refuse_short
from medlit.cluster.script import Script, signal_seconds_of
from medlit.credentials import has_secrets, hidden_words
from medlit.errors import ConfigurationError
from medlit.files import write_text

FORMAT = 1
"""Of the record."""


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What a run folder knows of the job that works, or worked, in it.

    Args:
        job: Its number; of an array ``<number>_<seed>``.
        seed: Of an array, whose script lies in the folder above; None: a single job.
        begun: Whether its script has run.
        exit_code: With what the script ended; None: it has not, or could not say so.
    """

    job: str
    seed: int | None
    begun: bool
    exit_code: int | None


def submit(script: Script, config: str | None, *, options: Sequence[str] = ()) -> str:
    """Write script and configuration into the run folder, and submit them.

    The job needs configuration and words as they were given, so those with secrets in them are for their owner alone.

    Args:
        script: Of the job.
        config: YAML that it trains by; None: it does not train.
        options: Of ``sbatch``, beside those in the script.

    Returns:
        The job's number.

    Raises:
        SlurmError: If SLURM refuses; script and configuration stay, to be looked at.
    """
    for folder in folders_of(script):
        folder.mkdir(parents=True, exist_ok=True)  # SLURM writes the output there, and makes no folder
    if config is not None:
        private = has_secrets(yaml.safe_load(config))
        write_text(script.folder / run_folder.SUBMITTED, config, private=private)
    write_text(script.path, str(script), private=hidden_words(script.words) != list(script.words))
    return _sbatch(script.path, script.seeds, options)


def folders_of(script: Script) -> list[Path]:
    """Run folders of a script: one for each seed of an array."""
    return [script.folder / f"seed_{seed}" for seed in script.seeds] or [script.folder]


def resubmit(folder: Path, changes: Mapping[str, str]) -> str:
    """Submit the script of a run folder again, see `to_resume`.

    Args:
        folder: A run folder, or of an array the one above.
        changes: Options of ``sbatch`` that go before those in the script, by their names: ``{"time": "12:00:00"}``.

    Returns:
        The job's number.

    Raises:
        ConfigurationError: If there is nothing to go on with.
        SlurmError: If SLURM refuses.
    """
    script, seeds, options = _to_resume(folder, changes)
    return _sbatch(script, seeds, options)


def to_resume(folder: Path, changes: Mapping[str, str]) -> list[str]:
    """What ``sbatch`` is told to submit a run folder again; of an array, the seeds that have not ended well.

    Args:
        folder: A run folder, or of an array the one above.
        changes: Options of ``sbatch`` that go before those in the script, by their names.

    Returns:
        Options and script.

    Raises:
        ConfigurationError: If nothing was submitted from there, or it still waits or runs, or has ended well; or if the
            limit leaves no time before the script's signal.
        SlurmError: If SLURM does not answer.
    """
    script, _, options = _to_resume(folder, changes)
    return [*options, str(script)]


def _to_resume(folder: Path, changes: Mapping[str, str]) -> tuple[Path, list[int], list[str]]:
    """Script, seeds of an array, and options of ``sbatch``."""
    script, runs = _found(folder)
    signal_seconds = signal_seconds_of(script.read_text(encoding="utf-8", errors="replace"))
    if "time" in changes and signal_seconds is not None:
        refuse_short(changes["time"], signal_seconds, otherwise=f"change --signal in {script}")
    queue = slurm.queue()
    for path, known in runs.items():
        if known.job in queue:
            state = queue[known.job].state
            raise ConfigurationError(
                f"{path}: its job {known.job} is {state}; wait for it, or end it: scancel {known.job}"
            )
    left = [known for known in runs.values() if known.exit_code != 0]
    if not left:
        raise ConfigurationError(f"{folder}: its training has ended well; there is nothing to go on with")
    seeds = [known.seed for known in left if known.seed is not None]
    array = [f"--array={','.join(map(str, seeds))}"] if seeds else []
    return script, seeds, [*(f"--{name}={value}" for name, value in changes.items()), *array]


def refuse_runs(script: Script) -> None:
    """Refuse to submit a new training where there is one, or where a job reads script and configuration of its own.

    One that failed before its first checkpoint is not in the way.

    Raises:
        ConfigurationError: If there is a run, or a job that waits or works, or an array beside a single run.
    """
    sharing = _sharing(script.folder)
    for path, run in sharing.items():
        if (run.seed is None) == bool(script.seeds):
            kinds = ("an array", "a single run") if script.seeds else ("a single run", "an array")
            raise ConfigurationError(f"{path} is of {kinds[1]}: {kinds[0]} needs a folder of its own, see --run_dir")
    own = {path: read_submission(path) for path in folders_of(script)}
    known = sharing | {path: run for path, run in own.items() if run is not None}
    queue = slurm.queue() if known else {}
    config = script.folder / run_folder.SUBMITTED
    for path, run in known.items():
        if run.job in queue:
            raise ConfigurationError(
                f"{path}: its job {run.job} is {queue[run.job].state}, and reads {config}; "
                f"wait for it, end it (scancel {run.job}), or choose another --run_dir"
            )
    for path in own:
        if _holds_run(path):
            goes_on = f"medlit submit --resume {path}" if path in known else "medlit fit --resume true"
            raise ConfigurationError(f"{path} already holds a run; go on with {goes_on}, or choose another --run_dir")


def refuse_to_replace(script: Script, config: str) -> None:
    """Refuse to replace the script or the configuration by which other seeds of the folder were trained.

    Args:
        script: That is to be submitted; its seeds are its own matter.
        config: YAML that it trains by.

    Raises:
        ConfigurationError: If either is another.
    """
    texts = {script.path: str(script), script.folder / run_folder.SUBMITTED: config}
    replaced = [
        path
        for path, text in texts.items()
        if path.is_file() and _but_for_seeds(path.read_text(encoding="utf-8", errors="replace")) != _but_for_seeds(text)
    ]
    others = [path for path in _sharing(script.folder) if path not in folders_of(script) and _holds_run(path)]
    if replaced and others:
        raise ConfigurationError(f"{others[0]} was trained by another {replaced[0]}; choose another --run_dir")


def _sharing(folder: Path) -> dict[Path, Submission]:
    """Runs whose script and configuration lie in a folder: its own, or those of an array's seeds."""
    known = {path: read_submission(path) for path in (folder, *sorted(folder.glob("seed_*")))}
    return {path: run for path, run in known.items() if run is not None and (run.seed is None) == (path == folder)}


def _holds_run(folder: Path) -> bool:
    """Whether there is a run that is worth keeping."""
    return any((folder / trace).exists() for trace in run_folder.TRACES) and run_folder.is_kept(folder)


def _but_for_seeds(text: str) -> str:
    return re.sub(r"^#SBATCH --array=.*\n", "", text, flags=re.MULTILINE)


def _found(folder: Path) -> tuple[Path, dict[Path, Submission]]:
    """Script and run folders below a folder."""
    own = read_submission(folder)
    runs = {folder: own} if own else {}
    if not runs:
        below = {path: read_submission(path) for path in sorted(folder.glob("seed_*"))}
        runs = {path: known for path, known in below.items() if known is not None and known.seed is not None}
    script = (folder.parent if own and own.seed is not None else folder) / run_folder.SUBMIT_SCRIPT
    if not runs or not script.is_file():
        config = folder / run_folder.CONFIG
        hint = f"; give its configuration: --config {config}" if config.is_file() else ""
        raise ConfigurationError(f"{folder}: no run that medlit submit has submitted{hint}")
    return script, runs


def _sbatch(script: Path, seeds: Sequence[int], options: Sequence[str]) -> str:
    """Submit, and note the job in its run folders."""
    job = slurm.sbatch(script, options)
    runs: Sequence[int | None] = seeds or (None,)
    for seed in runs:
        folder = script.parent if seed is None else script.parent / f"seed_{seed}"
        record = {
            "format": FORMAT,
            "job": job if seed is None else f"{job}_{seed}",
            "submitted": datetime.now(UTC).isoformat(timespec="seconds"),
            "seed": seed,
        }
        write_text(folder / run_folder.SUBMISSION, json.dumps(record, indent=2) + "\n")
    return job


def read_submission(folder: Path) -> Submission | None:
    """The job of a run folder; None where none was submitted."""
    try:
        record = json.loads((folder / run_folder.SUBMISSION).read_text(encoding="utf-8"))
        job, seed = str(record["job"]), record["seed"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    said = run_folder.job_state(folder)
    if said is None or _number(said[0]) < _number(job):  # of an earlier job
        return Submission(job=job, seed=seed, begun=False, exit_code=None)
    return Submission(job=said[0], seed=seed, begun=True, exit_code=said[1])  # a higher number: sbatch by hand


def _number(job: str) -> int:
    """SLURM counts its jobs; of an array, the array's."""
    digits = job.partition("_")[0]
    return int(digits) if digits.isdecimal() else 0
