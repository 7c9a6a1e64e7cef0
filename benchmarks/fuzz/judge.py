"""What becomes of one input: read, refused in one line, or a failure."""

import os
import resource
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Literal

from data_modules.errors import DataError
from medlit.cli import one_line
from medlit.errors import ConfigurationError

MAX_SECONDS = 5.0
MAX_BYTES = 2 * 2**30
"""Of memory, beyond what the process has before the first input."""
MAX_MESSAGE = 2_000
"""Characters; what is longer is no line that anybody reads."""
TRACES = (b"Traceback (most recent call last)", b"panicked at", b"Fatal Python error")
"""In what was written to standard error: Python, Rust, and the interpreter's last words."""
NO_MEMORY = ("MemoryError", "Unable to allocate", "can't allocate", "not enough memory", "out of memory")
"""In a refusal that really was the limit of memory."""


@dataclass(frozen=True)
class Outcome:
    """Of one input."""

    result: Literal["accepted", "refused", "failed"]
    why: str
    """Of a refusal its class and the function that raised it; of a failure what happened."""
    seconds: float
    """By the clock of the processor."""
    said: str = ""
    """What the user is told."""


@dataclass
class Tally:
    """Of many inputs."""

    inputs: int = 0
    opened: int = 0
    """How many passed their header."""
    results: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    failures: dict[str, bytes] = field(default_factory=dict)
    """By what happened, the shortest input."""
    slowest: float = 0.0
    memory: int = 0
    """Most resident memory of the process, bytes."""

    def add(self, outcome: Outcome, data: bytes, *, opened: bool) -> None:
        """Count an input."""
        self.inputs += 1
        self.opened += opened
        self.results[outcome.result] += 1
        self.slowest = max(self.slowest, outcome.seconds)
        if outcome.result == "refused":
            self.refusals[outcome.why] += 1
        if outcome.result == "failed":
            before = self.failures.get(outcome.why)
            if before is None or len(data) < len(before):
                self.failures[outcome.why] = data


def judge(read: Callable[[bytes], object], data: bytes) -> Outcome:
    """Read an input, and look at what the user would have seen.

    Args:
        read: As the product does it.
        data: The file.
    """
    with Listener() as listener, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the command line logs them
        start = time.process_time()
        error = _error_of(read, data)
        seconds = time.process_time() - start
    written = listener.heard
    if any(trace in written for trace in TRACES):
        return Outcome("failed", f"standard error: {_first_line(written)}", seconds)
    if seconds > MAX_SECONDS:
        return Outcome("failed", f"more than {MAX_SECONDS:g} s", seconds)
    if error is None:
        return Outcome("accepted", "", seconds)
    said, place = one_line(error), place_of(error)
    if isinstance(error, MemoryError) or any(word in f"{type(error).__name__} {said}" for word in NO_MEMORY):
        return Outcome("failed", f"memory: {place}", seconds, said)
    if not isinstance(error, (DataError, ConfigurationError)):
        return Outcome("failed", f"{type(error).__name__} in {place}", seconds, said)
    if len(said) > MAX_MESSAGE or not said.isprintable():
        return Outcome("failed", f"a message that no terminal should show, of {place}", seconds, said)
    return Outcome("refused", f"{type(error).__name__} in {place}", seconds, said)


def _error_of(read: Callable[[bytes], object], data: bytes) -> BaseException | None:
    try:
        read(data)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a panic of Rust is no Exception, and SystemExit is no answer either
        return error
    return None


class Listener:
    """Catches what is written to standard error, by whatever library."""

    file = TemporaryFile()  # noqa: SIM115 (kept for the life of the process)
    """Of all of them: an input is read in less time than a file is made."""
    heard = b""

    def __enter__(self) -> "Listener":
        sys.stderr.flush()
        self.saved = os.dup(2)
        os.dup2(self.file.fileno(), 2)
        return self

    def __exit__(self, *_: object) -> None:
        sys.stderr.flush()
        os.dup2(self.saved, 2)
        os.close(self.saved)
        if os.fstat(self.file.fileno()).st_size:
            self.file.seek(0)
            self.heard = self.file.read()
            self.file.seek(0)
            self.file.truncate()


def place_of(error: BaseException) -> str:
    """The last function of ours that an error, or what caused it, went through: ``table.py:_parse``."""
    place: str = ""
    link: BaseException | None = error
    while link is not None:
        trace = link.__traceback__
        while trace is not None:
            code = trace.tb_frame.f_code
            if "/data_modules/" in code.co_filename or "/medlit/" in code.co_filename:
                place = f"{Path(code.co_filename).name}:{code.co_name}"
            trace = trace.tb_next
        link = link.__cause__
    return place


def limit_memory() -> None:
    """Let this process have two more gigabytes of addresses, and no byte beyond."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MAX_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def reset_peak() -> None:
    """Forget what the process needed to start."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> int:
    """Most resident memory since then, of this process or of one that it started, bytes."""
    started = Path("/proc/self/task", str(os.getpid()), "children").read_text().split()
    return max(map(_peak, ("self", *started)))


def _peak(process: str) -> int:
    try:
        status = Path("/proc", process, "status").read_text()
    except OSError:  # it has ended
        return 0
    return int((status.partition("VmHWM:")[2].split() or ["0"])[0]) * 1024


def _first_line(text: bytes) -> str:
    lines = [line for line in text.decode(errors="replace").splitlines() if line.strip()]
    return lines[0][:200] if lines else ""
