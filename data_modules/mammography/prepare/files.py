"""Files that are whole or not there, the folder they lie in, and its lock."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data_modules.errors import DataSettingsError, OutputError, PreparationLockedError

PARTIAL = ".partial"
"""Folder of files that are being written; what a killed run left there is removed by the next."""

LOCK = ".lock"

FULL = (errno.ENOSPC, errno.EDQUOT)


def write_whole(path: Path, content: bytes, *, partial: Path | None = None) -> None:
    """Write a file so that a reader, now or after a crash, finds the old one or the new one.

    Args:
        path: The file; its folder is made.
        content: What it holds.
        partial: Folder on the same file system to write in first; None: the file's own.

    Raises:
        OutputError: If the disk is full or lets nothing be written.
    """
    # Short, for a name may take 255 bytes. Unique: a worker that outlived its killed parent must not share a
    # half-written file with the next run's.
    beside = (partial or path.parent) / f".{path.name[-32:]}.{os.getpid()}.{secrets.token_hex(8)}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            beside.write_bytes(content)
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> OutputError:
    """What to say where a file could not be written."""
    if error.errno in FULL:
        return OutputError(
            f"{path}: the disk is full ({error.strerror}); what is written stays: free some space, give the same "
            "command again, and it goes on from here"
        )
    return OutputError(f"{path}: cannot be written ({error.strerror}); mend that and give the same command again")


def copy_whole(source: Path, target: Path) -> None:
    """Copy a file so that the target is whole or not there; one that is the same already is left alone.

    Raises:
        OutputError: If it cannot be read or written.
    """
    beside = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(8)}")
    try:
        if target.is_file() and _same(source, target):
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(source, beside)
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(target, error) from error


def _same(a: Path, b: Path) -> bool:
    """Whether two files hold the same bytes."""
    if a.stat().st_size != b.stat().st_size:
        return False
    with a.open("rb") as first, b.open("rb") as second:
        while block := first.read(2**20):
            if block != second.read(2**20):
                return False
    return True


def check_folders(root: Path, out: Path) -> None:
    """Refuse to write into the set that is read, or over it.

    Raises:
        DataSettingsError: If one of the folders lies in the other, or ``out`` is a file.
    """
    raw, prepared = root.resolve(), out.resolve()
    if raw == prepared or raw in prepared.parents or prepared in raw.parents:
        raise DataSettingsError(
            f"--out {out} and --root {root}: one lies in the other; write into a folder of its own, what lies below "
            "--root stays as it is"
        )
    if out.exists() and not out.is_dir():
        raise DataSettingsError(f"--out {out} is a file; name a folder")


def refuse_what_is_not_ours(out: Path) -> None:
    """Refuse a folder without ``prepared.json`` that holds anything but what a run leaves that died at its start.

    Raises:
        DataSettingsError: Naming what it holds.
    """
    strange = sorted({path.name for path in out.iterdir()} - {PARTIAL, LOCK}) if out.is_dir() else []
    strange = [name for name in strange if not name.startswith(".prepared.json.")]
    if strange:
        raise DataSettingsError(
            f"{out} is not empty and was not made by medlit data prepare (it holds {strange[0]}): nothing was written; "
            "name another folder"
        )


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Hold a folder for this process; the lock dies with the process, however that ends.

    Args:
        out: The folder; it is made.

    Raises:
        PreparationLockedError: If another process holds it.
        OutputError: If the folder cannot be made, or its file system knows no locks.
    """
    import fcntl  # not on Windows, where what is prepared is read nevertheless

    path = out / LOCK
    while True:
        try:
            out.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise cannot_write(path, error) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(handle)
            raise PreparationLockedError(
                f"{out}: another process writes into this folder; wait for it, or name another folder"
            ) from error
        except OSError as error:
            os.close(handle)
            raise cannot_write(path, error) from error
        if _is_open_file(path, handle):
            break
        os.close(handle)  # its last holder removed it between opening and locking
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _is_open_file(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except FileNotFoundError:
        return False
