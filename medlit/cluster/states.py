"""States of runs: what SLURM, the batch script and the manifest say, in one word."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from medlit import preemption, run_folder
from medlit.cluster import slurm
from medlit.cluster.progress import Progress, progress_of
from medlit.cluster.slurm import QueuedJob
from medlit.cluster.submission import Submission, read_submission

SILENT = 600
"""Seconds without a file written, after which a run that no job of SLURM's works on may be dead."""
CANCELLED = "CANCELLED"
ENDS = {"TIMEOUT": "time limit", "OUT_OF_MEMORY": "out of memory", "NODE_FAIL": "node failed", CANCELLED: "cancelled"}


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run folder and how far it is.

    Args:
        folder: Of the run.
        state: ``queued``, ``requeued``, ``running``, ``finished``, ``failed``, ``pre-empted``, ``interrupted``, or what
            SLURM ended it for; in parentheses what is known besides.
        progress: Of its training.
        job: Number of its job; None: none was submitted.
        job_left: What is left of the job's limit; None: it does not run.
    """

    folder: Path
    state: str
    progress: Progress
    job: str | None
    job_left: str | None


def find_runs(root: Path) -> Iterator[Path]:
    """Run folders in a folder and below, in the order of their names."""
    names = (run_folder.MANIFEST, run_folder.SUBMISSION)
    if any((root / name).is_file() for name in names):
        yield root
    inner = {"checkpoints", "logs"}
    for path in sorted(path for path in root.iterdir() if path.is_dir() and not path.is_symlink()):
        if path.name not in inner:
            yield from find_runs(path)


def look(folder: Path, queue: Mapping[str, QueuedJob] | None) -> Run:
    """The state of a run.

    Args:
        folder: Of the run.
        queue: The jobs that wait or run; None: there is no SLURM to ask.
    """
    known, progress = read_submission(folder), progress_of(folder)
    queued = queue.get(known.job) if known and queue else None
    exit_code = known.exit_code if known else None
    if queued is not None and (exit_code is None or queued.state != "COMPLETING"):
        state = _state_in_queue(queued)
    elif known is not None and exit_code is not None:
        state = _state_at_exit(known, exit_code, asks=queue is not None)
    elif known is not None and queue is not None and progress.status != "finished":
        state = _state_at_end(known)
    elif known is not None and not progress.status:
        state = "unknown (SLURM does not answer)"
    else:
        state = _state_by_files(progress)
    return Run(
        folder=folder,
        state=state,
        progress=progress,
        job=known.job if known else None,
        job_left=queued.time_left if queued and queued.state == "RUNNING" else None,
    )


def _state_at_exit(known: Submission, code: int, *, asks: bool) -> str:
    """Of a job whose script came to its end; one that was cancelled may have seen its programs fail before."""
    if code == 0:
        return "finished"
    if asks and slurm.end_of(known.job) == CANCELLED:
        return ENDS[CANCELLED]
    return "pre-empted" if code in preemption.STOPPED else f"failed (exit code {code})"  # it gave up requeueing


def _state_in_queue(job: QueuedJob) -> str:
    if job.state != "PENDING":
        return job.state.lower()
    return f"{'requeued' if job.restarts else 'queued'} ({job.reason})"


def _state_at_end(known: Submission) -> str:
    """Of a job that SLURM no longer has in its queue, and whose script could not say how it ended."""
    end = slurm.end_of(known.job) or ""
    return ENDS.get(end, "interrupted" if known.begun else f"not started ({end.lower() or 'SLURM has no such job'})")


def _state_by_files(progress: Progress) -> str:
    """Of a run that no job of SLURM's is known of."""
    if progress.status == "started" or progress.testing:
        silent = time.time() - progress.last_sign
        return "running" if silent < SILENT else f"interrupted? (silent for {duration(silent)})"
    name, _, why = progress.status.partition(": ")
    return f"{name} ({why})" if why else name or "not started"


def duration(seconds: float) -> str:
    """Hours and minutes as SLURM writes them: ``1-02:03:04``."""
    minutes, left = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return (f"{days}-{hours:02d}" if days else f"{hours}") + f":{minutes:02d}:{left:02d}"
