"""``medlit status``: how far runs are, on a cluster or on this machine."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from medlit.errors import ConfigurationError

if TYPE_CHECKING:
    from medlit.cluster.slurm import QueuedJob
    from medlit.cluster.states import Run

OK = 0
HEAD = ("run", "state", "epoch", "best", "time left", "job")


def main(args: list[str]) -> int:
    """Print a table of runs.

    Args:
        args: Words after ``status``.

    Returns:
        The exit code.

    Raises:
        ConfigurationError: If a folder does not exist.
    """
    folders = _parser().parse_args(args).folders
    for folder in folders:
        if not folder.is_dir():
            raise ConfigurationError(f"{folder} is no folder; name run folders, or one that holds them")
    from medlit.cluster import states, submission

    runs = [run for folder in folders for run in states.find_runs(folder)]
    queue = _queue() if any(submission.read_submission(run) for run in runs) else None
    lines = [HEAD, *(_cells(states.look(run, queue)) for run in runs)]
    print(_table(lines) if runs else f"no runs below {', '.join(map(str, folders))}")
    return OK


def _queue() -> "dict[str, QueuedJob] | None":
    """The jobs that wait or run; None, told, where SLURM does not say."""
    from medlit.cluster import slurm

    try:
        return slurm.queue()
    except slurm.SlurmError as error:
        print(f"states are those that the files tell, for {error}", file=sys.stderr)
        return None


def _cells(run: "Run") -> tuple[str, ...]:
    from medlit.cluster.states import duration

    progress = run.progress
    most = "" if progress.max_epochs is None else f"/{progress.max_epochs}"
    left = [f"job {run.job_left}"] if run.job_left else []
    if run.state == "running" and progress.seconds_left is not None:
        left.append(f"training {duration(progress.seconds_left)}")
    return (
        str(run.folder),
        run.state,
        f"{progress.epochs}{most}" if progress.epochs or most else "",
        "" if progress.best is None else f"{progress.monitor} {progress.best:.4f}",
        ", ".join(left),
        run.job or "",
    )


def _table(lines: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they have to be."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(row.rstrip() for row in rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="medlit status",
        description="How far runs are: their state in SLURM's queue or, without it, by their files; how many epochs "
        "have ended, the best value of the metric that chooses the checkpoint, what is left of the job's limit, and "
        "how long training takes at most if it goes on at its pace.",
    )
    parser.add_argument(
        "folders", type=Path, nargs="*", default=[Path("runs")], help="run folders, or folders of them (default: runs)"
    )
    return parser
