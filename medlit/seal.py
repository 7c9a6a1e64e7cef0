"""Checkpoints that know their own SHA-256: what was damaged on the way is found before it is used.

The seal is the comment at the end of the ZIP archive that ``torch.save`` writes: one file, moved and copied as one, and
still read by every reader of such archives. It holds the SHA-256 of the archive as it was without the comment.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from medlit.errors import DamagedCheckpointError

PREFIX = b"medlit sha256 "
SEAL_BYTES = len(PREFIX) + 64
END_RECORD = b"PK\x05\x06"
"""Starts the last record of an archive, which is 22 bytes long and ends in the length of the comment, 2 bytes."""
CHUNK_BYTES = 1 << 20


class HashingFile:
    """A file to write to, front to back, that hashes what passes.

    An error of the system is kept for the end, and nothing is written after it: torch's writer, in C++, would end the
    process with it.

    Args:
        file: Open for writing in binary.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.sha256, self.end = file, hashlib.sha256(), b""
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write bytes; returns how many."""
        self.sha256.update(data)
        self.end = (self.end + bytes(data[-22:]))[-22:]
        if self.error is None:
            try:
                self._file.write(data)
            except OSError as error:
                self.error = error
        return len(data)

    def flush(self) -> None:
        """Nothing: the file is flushed once it is complete."""


def write_sealed(path: Path, write: Callable[[HashingFile], object]) -> None:
    """Write an archive with its seal, and wait until it is on the disk.

    Args:
        path: Where it goes; what is there is replaced.
        write: Writes a ZIP archive without a comment, front to back.

    Raises:
        OSError: If the system does not take it.
        ValueError: If what is written is no such archive.
    """
    with path.open("wb") as file:
        hashing = HashingFile(file)
        write(hashing)
        if hashing.error is not None:
            raise hashing.error
        if not (hashing.end.startswith(END_RECORD) and hashing.end.endswith(b"\x00\x00")):
            raise ValueError(f"{path}: not a ZIP archive without a comment, it cannot be sealed")
        file.seek(-2, os.SEEK_END)
        file.write(SEAL_BYTES.to_bytes(2, "little"))
        file.write(PREFIX + hashing.sha256.hexdigest().encode())
        file.flush()
        os.fsync(file.fileno())


def verify(path: Path) -> bool:
    """Compare a file with its seal.

    Args:
        path: Of a checkpoint.

    Returns:
        Whether it has a seal; what other programs wrote has none.

    Raises:
        DamagedCheckpointError: If it is empty, or not what was sealed.
        OSError: If it cannot be read.
    """
    size = path.stat().st_size
    if size == 0:
        raise DamagedCheckpointError(f"{path}: the file is empty")
    with path.open("rb") as file:
        if size < SEAL_BYTES + 22:
            return False
        file.seek(-SEAL_BYTES, os.SEEK_END)
        seal = file.read()
        if not seal.startswith(PREFIX):
            return False
        file.seek(0)
        found = _hash_without_comment(file, size - SEAL_BYTES)
    if found.encode() != seal.removeprefix(PREFIX):
        raise DamagedCheckpointError(f"{path}: the file is damaged, its SHA-256 is not that of what was written")
    return True


def _hash_without_comment(file: BinaryIO, size: int) -> str:
    """SHA-256 of the first bytes of a file, whose last two, the comment's length, count as zero."""
    sha256 = hashlib.sha256()
    left = size - 2
    while left and (chunk := file.read(min(CHUNK_BYTES, left))):
        sha256.update(chunk)
        left -= len(chunk)
    sha256.update(b"\x00\x00")
    return sha256.hexdigest()
