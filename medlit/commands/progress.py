"""Progress of commands that go through a set's images, and the numbers that they are given."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

TOLD_EVERY = 30.0
"""Seconds between two lines of progress where nobody watches."""

DRAWN_EVERY = 0.1
"""Seconds between two updates of the bar."""

Progress = Callable[[str, int, int, int], None]


@contextmanager
def show_progress() -> Iterator[Progress]:
    """A bar with rate and time left on a terminal, else a line now and then."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines()
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[failed]}"),
    )
    with Progress(*columns, console=console) as bars:
        tasks = {}
        last = 0.0

        def show(what: str, done: int, total: int, failures: int) -> None:
            """Draw the bar of a step anew, at most a few times a second."""
            nonlocal last
            now = time.monotonic()
            if done < total and now - last < DRAWN_EVERY:  # hundreds of thousands of files are looked for
                return
            last = now
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total, rate="", failed="")
            task = bars.tasks[tasks[what]]
            rate = f"{task.speed:,.1f} images/s" if task.speed else ""
            bars.update(tasks[what], completed=done, rate=rate, failed=f"{failures:,} failed" if failures else "")

        yield show


def _lines() -> Progress:
    """Progress as lines on standard error: what, how many, rate, time left."""
    begun: dict[str, float] = {}
    last = time.monotonic()

    def show(what: str, done: int, total: int, failures: int) -> None:
        """Print a line, once in a while."""
        nonlocal last
        now = time.monotonic()
        start = begun.setdefault(what, now)
        if now - last < TOLD_EVERY or now == start:
            return
        last, rate = now, done / (now - start)
        left = time.strftime("%H:%M:%S", time.gmtime((total - done) / rate)) if total - done < 86400 * rate else "days"
        print(
            f"{what}: {done:,} of {total:,}, {rate:,.1f} images/s, {left} left, {failures:,} failed",
            file=sys.stderr,
            flush=True,
        )

    return show


def count(text: str) -> int:
    """Zero or more, from the command line."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no count; give 0 or more")
    return int(text)


def positive(text: str) -> int:
    """One or more, from the command line."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of 1 or more")
    return int(text)


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
