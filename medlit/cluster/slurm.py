"""What is said to SLURM and what it answers: ``sbatch``, ``squeue``, ``scontrol``."""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medlit.errors import ConfigurationError

FIELDS = ("ArrayJobID", "ArrayTaskID", "State", "Reason", "TimeLeft", "RestartCnt")
SECONDS_FOR_AN_ANSWER = 30


class SlurmError(ConfigurationError):
    """SLURM is not there, or said no; what it said is in the message."""


@dataclass(frozen=True, kw_only=True)
class QueuedJob:
    """A job that waits or runs.

    Args:
        state: ``PENDING``, ``RUNNING``, ``COMPLETING``, ...
        reason: Why it waits: ``Priority``, ``Resources``, ``Dependency``, ...
        time_left: Of its limit: ``1-02:03:04``.
        restarts: How often it went back into the queue.
    """

    state: str
    reason: str
    time_left: str
    restarts: int


def sbatch(script: Path, options: Sequence[str] = ()) -> str:
    """Submit a script.

    Args:
        script: A batch script.
        options: Of ``sbatch``; they go before those in the script.

    Returns:
        The job's number.

    Raises:
        SlurmError: If there is no ``sbatch``, or it refuses.
    """
    said = _ask(["sbatch", "--parsable", *options, str(script)], what=f"{script} was not submitted")
    return said.strip().splitlines()[-1].partition(";")[0]  # number;cluster


def queue() -> dict[str, QueuedJob]:
    """The user's jobs that wait or run, by number; of an array ``<number>_<index>``.

    Raises:
        SlurmError: If there is no SLURM, or it does not answer.
    """
    fields = ",".join(f"{field}:255|" for field in FIELDS)
    said = _ask(["squeue", "--me", "--array", "--noheader", f"--Format={fields}"], what="the queue cannot be read")
    jobs = {}
    for line in said.splitlines():
        number, index, state, reason, time_left, restarts = (cell.strip() for cell in line.split("|")[: len(FIELDS)])
        name = f"{number}_{index}" if index.isdecimal() else number
        jobs[name] = QueuedJob(state=state, reason=reason, time_left=time_left, restarts=int(restarts))
    return jobs


def end_of(job: str) -> str | None:
    """The state in which a job ended, as long as SLURM remembers: ``TIMEOUT``, ``CANCELLED``, ``COMPLETED``, ...

    Args:
        job: Its number.
    """
    try:
        said = _ask(["scontrol", "show", "job", "--oneliner", job], what=f"job {job} is not known")
    except SlurmError:
        return None
    state = re.search(r"\bJobState=(\w+)", said)
    return state and state[1]


def _ask(command: list[str], *, what: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS_FOR_AN_ANSWER)
    except FileNotFoundError as error:
        raise SlurmError(f"{what}: this machine has no {command[0]}; use a login node of the cluster") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SlurmError(f"{what}: {command[0]}: {error}") from error
    if done.returncode:
        raise SlurmError(f"{what}: {_reason(done.stderr) or f'{command[0]} ended with exit code {done.returncode}'}")
    return done.stdout


def _reason(said: str) -> str:
    """What SLURM's programs write to standard error, on one line, without their names."""
    lines = [re.sub(r"^\w+: (error|fatal): ", "", line.strip()) for line in said.splitlines()]
    return "; ".join(dict.fromkeys(line for line in lines if line))
