"""A first reading of Parquet files by a process of its own, for a damaged one may end the process that reads it.

Polars takes lengths in a file for true, and Rust ends the whole process where memory for one cannot be had; nothing in
Python can catch that. What this process has read whole, another can read. It stays for the next file.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_readers: dict[int, "subprocess.Popen[bytes]"] = {}
"""By the process that started it: one that was forked later starts its own."""


def refusal(path: Path, *, columns: Sequence[str] | None, max_rows: int) -> str | None:
    """Why a file cannot be read as a Parquet table.

    Args:
        path: The file.
        columns: Those that will be read, where they exist; None: all.
        max_rows: Of a longer table no cell is read.

    Returns:
        None: it can be read.
    """
    reader = _readers.get(os.getpid())
    if reader is None or reader.poll() is not None:
        reader = _readers[os.getpid()] = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        atexit.register(_end, reader)
    asked = {"path": str(path), "columns": None if columns is None else list(columns), "max_rows": max_rows}
    answer = _ask(reader, json.dumps(asked).encode() + b"\n")
    if not answer:
        reader.wait()
        return "it ends the process that reads it"
    said: str | None = json.loads(answer)
    return said


def _ask(reader: "subprocess.Popen[bytes]", line: bytes) -> bytes:
    """The answer, empty where the process ended over it."""
    if reader.stdin is None or reader.stdout is None:
        return b""
    try:
        reader.stdin.write(line)
        reader.stdin.flush()
    except BrokenPipeError:
        return b""
    return reader.stdout.readline()


def _end(reader: "subprocess.Popen[bytes]") -> None:
    """Its input ends, and so does the process."""
    for pipe in (reader.stdin, reader.stdout):
        if pipe is not None:
            pipe.close()
    reader.wait()


def _answer(asked: dict[str, Any]) -> str | None:
    """Read a file; what is wrong with it."""
    import polars as pl

    try:
        lazy = pl.scan_parquet(asked["path"], glob=False)
        names = lazy.collect_schema().names()
        if lazy.select(pl.len()).collect().item() <= asked["max_rows"]:
            columns = asked["columns"]
            lazy.select(names if columns is None else [name for name in columns if name in names]).collect()
    except OSError:
        return None  # the reader says it better
    except (Exception, pl.exceptions.PanicException) as error:
        return " ".join(str(error).split())[:200] or type(error).__name__
    return None


def _main() -> None:
    """Answer until the input ends; signals are for the process that asks."""
    for name in ("SIGINT", "SIGTERM", "SIGUSR1"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    for line in sys.stdin.buffer:
        print(json.dumps(_answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    _main()
