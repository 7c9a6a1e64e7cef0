"""Worker processes that may die: each holds one job at a time, and that job is all that is lost with it.

The standard library's executor gives up all its work when one process dies; decoders of medical images do die. Nothing
heavy is imported here: a worker sets its number of threads before numpy is first imported.
"""

import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, Literal, TypeVar

from data_modules.errors import WorkerError

Job = TypeVar("Job")
Result = TypeVar("Result")

MEMORY = 2 * 2**30
"""Bytes a worker may allocate; a file that claims to be huge fails in its worker instead of filling the machine."""

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Read by the libraries when they are loaded; the processes are the parallelism."""

FAULTS = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL, signal.SIGSYS})
"""Signals that a process brings upon itself; all others (SIGTERM of a cluster's end of time) come from outside."""


@dataclass(frozen=True, slots=True)
class Lost:
    """What became of a job that has no result."""

    kind: Literal["crashed", "killed", "timeout"]
    reason: str


def run_jobs(
    function: Callable[[Job], Result], jobs: Sequence[Job], *, workers: int, seconds: float
) -> Iterator[tuple[Job, Result | Lost]]:
    """Carry out jobs in worker processes, in any order.

    Closing the iterator, or an error while it waits (Ctrl-C too), kills the workers.

    Args:
        function: Of a module's top level; what it raises ends the run, so it returns what concerns a single job.
        jobs: Each is pickled to a worker.
        workers: Processes, 1 or more.
        seconds: A job that takes longer is given up, and its worker killed.

    Yields:
        Each job once, with what the function returned, or how it was lost.

    Raises:
        WorkerError: If a worker cannot start.
        Exception: What the function raised.
    """
    left = iter(jobs)
    crew: list[_Worker[Job]] = []
    try:
        while len(crew) < min(workers, len(jobs)):
            crew.append(_Worker(function, seconds))  # one by one: where the next cannot start, these are ended
        while crew:
            timeout = max(0.0, min(worker.deadline for worker in crew) - time.monotonic())
            readable = wait([worker.connection for worker in crew], timeout)
            for place, worker in enumerate(crew):
                if worker.connection in readable:
                    answer = worker.receive()
                elif time.monotonic() > worker.deadline and not worker.connection.poll():
                    answer = worker.give_up()
                else:
                    continue
                job = worker.job
                if isinstance(answer, Lost):
                    worker.close()
                    crew[place] = _Worker(function, seconds)
                else:  # before the result is handed on, for the caller may take its time
                    worker.next(left)
                if job is not None:
                    yield job, answer
            for worker in [worker for worker in crew if worker.finished]:
                worker.close()
                crew.remove(worker)
    finally:
        for worker in crew:
            worker.close()


class _Worker(Generic[Job]):
    """A process and the parent's end of its pipe.

    Args:
        function: What it carries out.
        seconds: That a job may take.

    Raises:
        WorkerError: If the system lets no more processes or pipes be made.
    """

    START_SECONDS = 120.0
    """Imports over a slow network take long; a worker that takes longer never starts."""

    def __init__(self, function: Callable[[Job], Any], seconds: float) -> None:
        context = multiprocessing.get_context("spawn")  # a fork after polars was used hangs
        self.connection: Connection
        self.job: Job | None = None
        self.seconds = seconds
        self.ready = self.finished = False
        self.deadline = time.monotonic() + self.START_SECONDS
        try:
            self.connection, theirs = context.Pipe()
            with theirs:  # closed here, so that the pipe breaks when the worker dies
                self.process = context.Process(target=_serve, args=(theirs, seconds), daemon=True)
                with _interrupts_held_back():  # Ctrl-C reaches every process of the terminal; the parent alone acts
                    self.process.start()
        except OSError as error:
            raise WorkerError(f"a worker process could not start ({error.strerror}); use fewer --workers") from error
        with suppress(OSError):  # it died at once; reading says so
            self.connection.send(function)

    def next(self, jobs: Iterator[Job]) -> None:
        """Hand over the next job; where there is none, be finished."""
        self.job = next(jobs, None)
        self.finished = self.job is None
        self.deadline = time.monotonic() + self.seconds
        if self.job is not None:
            with suppress(OSError):  # it died meanwhile; reading says so
                self.connection.send(self.job)

    def receive(self) -> Any:
        """The result of the job, or how it was lost; None for the word that it is ready.

        Raises:
            WorkerError: If it could not start.
            Exception: What the function raised.
        """
        try:
            word, content = self.connection.recv()
        except (EOFError, OSError):
            return self._died()
        if word == "raised":
            raise content
        if word == "broken":
            raise WorkerError(f"a worker process could not start: {content}")
        self.ready = True
        return content

    def _died(self) -> Lost:
        self.process.join()
        code = self.process.exitcode or 0
        how = f"signal {-code}, {signal.strsignal(-code) or 'unknown'}" if code < 0 else f"exit code {code}"
        if not self.ready:
            raise WorkerError(f"a worker process died while it started ({how}); is there memory left?")
        if code < 0 and -code not in FAULTS:
            return Lost("killed", f"the worker was killed ({how}); where memory ran out, use fewer --workers")
        return Lost("crashed", f"decoder crashed ({how})")

    def give_up(self) -> Lost:
        """Kill it, for its job takes too long.

        Raises:
            WorkerError: If it had no job yet.
        """
        self.close()
        if not self.ready:
            raise WorkerError(
                f"a worker process did not start within {self.START_SECONDS:.0f} s; is the disk slow? Fewer --workers "
                "start sooner"
            )
        return Lost("timeout", f"not read within {self.seconds:g} s")

    def close(self) -> None:
        """End it, whatever it does: files are written whole or not at all."""
        self.process.kill()
        self.process.join()
        self.connection.close()


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """A process started inside inherits that SIGINT is blocked; the parent gets it afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection, seconds: float) -> None:
    """A worker's life: the function, then jobs until the parent closes the pipe or dies."""
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    _limit()
    try:
        function = connection.recv()  # imports its module
    except Exception as error:
        connection.send(("broken", f"{type(error).__name__}: {error}"))
        return
    _silence()
    answer: tuple[str, Any] = ("ready", None)
    while True:
        try:
            connection.send(answer)
            job = connection.recv()
        except (EOFError, OSError):  # the parent is gone
            return
        # A job that hangs is the parent's to end; where that was killed, the system does it, for nobody else would.
        signal.setitimer(signal.ITIMER_REAL, 2 * seconds)
        try:
            answer = ("done", function(job))
        except Exception as error:
            error.add_note(traceback.format_exc())  # a pickled error leaves its traceback behind
            answer = ("raised", error)
        signal.setitimer(signal.ITIMER_REAL, 0)


def _limit() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash is reported, and leaves no gigabytes behind
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    most = MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def _silence() -> None:
    """C libraries write to standard error what the recorded error says already."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)
