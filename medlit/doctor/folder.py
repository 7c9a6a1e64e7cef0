"""Whether the run folder takes what a training writes."""

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from medlit.doctor.finding import Finding, ok, warning, wrong
from medlit.sizes import in_words

CHECKPOINTS = 4
"""At a time: best, last, the last before it, and one that is being written."""
STATE = 3
"""Numbers per trained number in a checkpoint: itself, and Adam's two means; other optimizers keep fewer."""
SKEW = 60
"""Seconds by which clocks may differ."""
PROBE = ".medlit-doctor."
"""How the files begin that are written to see whether it works."""


def check_writing(run_dir: Path) -> Finding:
    """Writing, fsync and rename, as checkpoints are written; nothing is left behind.

    Args:
        run_dir: The run folder; where it does not exist, the folder that it would be made in.
    """
    place = _existing(run_dir)
    mine = f"{PROBE}{uuid.uuid4().hex}"  # nobody else's, on this machine or another
    part, whole = (place / f"{mine}.{name}" for name in ("part", "whole"))
    start = time.monotonic()
    try:
        with part.open("xb") as file:
            file.write(os.urandom(4096))
            file.flush()
            os.fsync(file.fileno())
        part.replace(whole)
        folder = os.open(place, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        ahead = whole.stat().st_mtime - time.time()
    except OSError as error:
        return wrong("run folder", f"{place}: cannot be written ({error.strerror}): choose another --run_dir")
    finally:
        for left in (part, whole):
            with contextlib.suppress(OSError):  # it is not there
                left.unlink()
    if abs(ahead) > SKEW:
        told = f"the clock of its disk is {timedelta(seconds=round(abs(ahead)))} {'ahead' if ahead > 0 else 'behind'}"
        return warning("run folder", f"{place}: {told}: have the clocks set")
    return ok("run folder", f"{place}: write, fsync and rename in {1000 * (time.monotonic() - start):.0f} ms")


def check_space(run_dir: Path, trained: int | None) -> Finding:
    """Free space against what checkpoints take.

    Args:
        run_dir: The run folder.
        trained: Numbers that are trained; None: unknown.
    """
    place = _existing(run_dir)
    free = shutil.disk_usage(place).free
    if trained is None:
        return warning("free space", f"{in_words(free)} in {place}; what checkpoints take is unknown")
    needed = CHECKPOINTS * STATE * 4 * trained
    told = f"{in_words(free)} in {place}, {CHECKPOINTS} checkpoints take up to {in_words(needed)}"
    return ok("free space", told) if free > needed else wrong("free space", f"{told}: make room, or another --run_dir")


def check_clock(run_dir: Path) -> Finding:
    """This machine's clock against the newest file of the run folder: logs and resumes go by time.

    Args:
        run_dir: The run folder.
    """
    written, newest = max(_files(run_dir), default=(0.0, None))
    if newest is None:
        return ok("clock", "nothing to compare it with, the run folder is empty")
    ahead = written - time.time()
    if ahead > SKEW:
        return warning("clock", f"it is {timedelta(seconds=round(ahead))} before {newest} was written: have it set")
    return ok("clock", f"{timedelta(seconds=max(0, round(-ahead)))} after the run folder's newest file")


def _files(folder: Path) -> Iterator[tuple[float, Path]]:
    """When the files of a run were written, and which they are; what other nodes try out is none of them."""
    for parent, _, names in os.walk(folder):
        for path in (Path(parent, name) for name in names if not name.startswith(PROBE)):
            with contextlib.suppress(OSError):  # gone meanwhile, or a link that leads nowhere
                yield path.stat().st_mtime, path


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
