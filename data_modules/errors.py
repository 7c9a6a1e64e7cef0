"""Errors of the data that a user can mend: each says what was looked for, where, and what to do next."""

import difflib
from collections.abc import Iterable
from pathlib import Path


class DataError(Exception):
    """Root of all errors below; the command line answers them with one line and exit code 2."""


class DataSettingsError(DataError, ValueError):
    """A setting of a DataModule that cannot work."""


class DatasetNotFoundError(DataError, FileNotFoundError):
    """The root of a data set, or one of its tables, is not where it was looked for."""


class ImageNotFoundError(DataError, FileNotFoundError):
    """A table names an image that does not exist."""


class TableError(DataError, ValueError):
    """A table lacks a column, or holds a value that its documentation does not know."""


class UnsafePathError(DataError, ValueError):
    """A table names a path that leaves the root of its data set."""


class UnreadableFileError(DataError, OSError):
    """The system does not let a table or a folder be read."""


class SplitLeakageError(DataError, ValueError):
    """A case or a group appears in more than one split."""


class UnreadableImageError(DataError, ValueError):
    """An image file exists but holds no image that can be read.

    Args:
        path: The file, or a whole message (a DataLoader's worker rebuilds errors from their text).
        reason: Why it cannot be read, and what to do.
    """

    def __init__(self, path: str | Path, reason: str | None = None) -> None:
        super().__init__(str(path) if reason is None else f"{path}: {reason}")


class PreparationMismatchError(DataError, ValueError):
    """A prepared folder was made with other settings, by another pipeline, or of another set."""


class PreparationUnfinishedError(DataError, RuntimeError):
    """A folder's preparation was begun and not ended; the same command goes on with it."""


class PreparationLockedError(DataError, BlockingIOError):
    """Another process prepares into the same folder."""


class TooManyErrorsError(DataError, RuntimeError):
    """More files failed than the user allowed; the run stopped and can be taken up again."""


class OutputError(DataError, OSError):
    """What was to be written cannot be: the disk is full, or the folder lets nothing be written."""


class WorkerError(DataError, RuntimeError):
    """A worker process could not start."""


def nearest(value: str, allowed: Iterable[str]) -> str:
    """Words for an error about an unknown value: the nearest known one, or all of them.

    Args:
        value: What was given.
        allowed: What is known.
    """
    names = list(allowed)
    close = difflib.get_close_matches(value.casefold(), names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"allowed are {', '.join(map(repr, names))}"
