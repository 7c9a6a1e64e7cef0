"""Runs the trainings of a recipe, several at a time, each in a process of its own; none outlives the recipe."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from medlit.errors import ConfigurationError
from medlit.recipes.going_on import make_room, next_command
from medlit.recipes.guard import SAFE_PATH
from medlit.recipes.plan import Job, Key, state_of, write_record

LOCK = ".recipe.lock"
SECONDS_BETWEEN_LOOKS = 0.1
SECONDS_FOR_THE_LAST_ONE = 10
"""How long to wait for the processes of a recipe that was killed a moment ago."""


@dataclass(slots=True)
class Running:
    """A training under way."""

    job: Job
    process: subprocess.Popen[bytes]
    slot: int
    started: float


@dataclass(slots=True)
class Outcome:
    """What came of the trainings, by key."""

    finished: set[Key] = field(default_factory=set)
    failed: dict[Key, int] = field(default_factory=dict)
    """Exit codes."""


def run(jobs: Mapping[Key, Job], *, out: Path, workers: int, devices: Sequence[str]) -> Outcome:
    """Run what is not finished, each training after those it starts from; one that fails holds up only what needs it.

    Args:
        jobs: In an order in which each follows what it starts from.
        out: The recipe's folder; one recipe at a time works in it.
        workers: Trainings at a time.
        devices: GPUs, as ``CUDA_VISIBLE_DEVICES`` names them, dealt to the workers in turn; empty: none is chosen.

    Returns:
        What finished, now or before, and what failed; the rest was not started for that.

    Raises:
        ConfigurationError: If another recipe works in the folder.
    """
    out.mkdir(parents=True, exist_ok=True)
    running: list[Running] = []
    with _only_one(out) as lock, _terminated_like_interrupted():
        outcome = Outcome({key for key, job in jobs.items() if state_of(job) == "finished"})
        try:
            while True:
                _collect(running, outcome, number=len(jobs))
                for job in _ready(jobs, outcome, running, workers=workers):
                    slot = min(set(range(workers)) - {entry.slot for entry in running})
                    beside = 1 if job.alone else workers
                    running.append(_start(job, slot=slot, workers=beside, devices=devices, lock=lock))
                if not running:
                    return outcome
                time.sleep(SECONDS_BETWEEN_LOOKS)
        finally:
            _end(running)


def _ready(jobs: Mapping[Key, Job], outcome: Outcome, running: Sequence[Running], *, workers: int) -> list[Job]:
    """Trainings to start now; one that wants the whole machine when no other runs or could."""
    if any(entry.job.alone for entry in running):
        return []
    known = outcome.finished | set(outcome.failed) | {entry.job.key for entry in running}
    ready = [job for key, job in jobs.items() if key not in known and outcome.finished.issuperset(job.after)]
    together = [job for job in ready if not job.alone][: workers - len(running)]
    return together if together or running else ready[:1]


def _start(job: Job, *, slot: int, workers: int, devices: Sequence[str], lock: int) -> Running:
    """Start a training in a session of its own, under a guard that ends it when this process is gone."""
    what, words = next_command(job)
    if what == "starting":
        make_room(job)
    write_record(job, "started")
    print(f"{job.title}: {what}, log in {job.log}", flush=True)
    with job.log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "medlit.recipes.guard", sys.executable, "-m", "medlit.cli", *words],
            env=_environment(slot=slot, workers=workers, devices=devices),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=[lock],  # the folder stays locked until the guard is gone as well
        )
    return Running(job, process, slot, time.monotonic())


def _environment(*, slot: int, workers: int, devices: Sequence[str]) -> dict[str, str]:
    environment = {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1", **SAFE_PATH}
    if workers > 1:  # alone, a training has the whole machine
        if devices:
            environment["CUDA_VISIBLE_DEVICES"] = devices[slot % len(devices)]
        environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))
    return environment


def _collect(running: list[Running], outcome: Outcome, *, number: int) -> None:
    """Note which trainings have ended, and how."""
    for entry in [entry for entry in running if entry.process.poll() is not None]:
        running.remove(entry)
        _close(entry.process.stdin)
        job, code = entry.job, entry.process.returncode
        if code == 0 and job.result.is_file():
            write_record(job, "finished")
            outcome.finished.add(job.key)
            seconds = int(time.monotonic() - entry.started)
            done = f"{len(outcome.finished)} of {number} are finished"
            print(f"{job.title}: finished in {seconds // 60}:{seconds % 60:02d}; {done}", flush=True)
        else:
            outcome.failed[job.key] = code
            print(f"{job.title}: failed, see {job.log}", flush=True)


def _end(running: Sequence[Running]) -> None:
    """End what is under way; what it has saved by now is whole."""
    for entry in running:
        _close(entry.process.stdin)  # the guard does the rest
    for entry in running:
        entry.process.wait()


def _close(stream: IO[bytes] | None) -> None:
    if stream is not None:
        stream.close()


@contextmanager
def _only_one(out: Path) -> Iterator[int]:
    """Hold the folder's lock; yields its file descriptor."""
    import fcntl

    with (out / LOCK).open("a") as file:
        give_up = time.monotonic() + SECONDS_FOR_THE_LAST_ONE
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if time.monotonic() > give_up:
                    raise ConfigurationError(
                        f"another recipe is at work in {out}: wait for it, or choose another --out"
                    ) from error
                time.sleep(SECONDS_BETWEEN_LOOKS)
        yield file.fileno()


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM and SIGHUP unwind as Ctrl-C does, so that trainings are ended on the way."""

    def interrupt(number: int, frame: object) -> None:
        """Unwind."""
        raise KeyboardInterrupt

    heard = [name for name in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(name) != signal.SIG_IGN]  # nohup
    before = {name: signal.signal(name, interrupt) for name in heard}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def visible_gpus() -> list[str]:
    """GPUs as ``CUDA_VISIBLE_DEVICES`` names them; empty where there is none."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    import torch

    number = torch.cuda.device_count()
    names = [name.strip() for name in chosen.split(",")] if chosen else [str(index) for index in range(number)]
    return names[:number]
