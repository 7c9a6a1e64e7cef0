"""The journal: a line for every image a run has dealt with, so that the next run need not.

A line is the CRC-32 of a JSON object, a blank, and the object. Lines that a killed run left torn do not match their sum
and count as not written: their images are prepared again.
"""

import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from data_modules.errors import UnreadableFileError
from data_modules.mammography.prepare.files import cannot_write

JOURNAL = "journal.jsonl"


class Journal:
    """Appends lines, each handed to the system at once: killing this process loses at most the line it is writing.

    Args:
        root: The prepared folder.
    """

    def __init__(self, root: Path) -> None:
        self._path = root / JOURNAL

    def __enter__(self) -> "Journal":
        try:
            self._file = self._path.open("a+b", buffering=0)
            if self._file.seek(0, 2) and self._last() != b"\n":
                self._append(b"\n")  # closes a torn line, so that the next one stands alone
        except OSError as error:
            raise cannot_write(self._path, error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def _last(self) -> bytes:
        self._file.seek(-1, 2)
        return self._file.read(1)

    def write(self, row: Mapping[str, Any]) -> None:
        """Append a row.

        Args:
            row: JSON values by name. What of a text is none (half a surrogate pair, out of some file) becomes ``?``.

        Raises:
            OutputError: If the disk is full or lets nothing be written.
        """
        text = json.dumps(row, separators=(",", ":"), ensure_ascii=False).encode(errors="replace")
        try:
            self._append(b"%08x %s\n" % (zlib.crc32(text), text))
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def _append(self, line: bytes) -> None:
        written = 0
        while written < len(line):  # a disk that fills up takes a part first
            written += self._file.write(line[written:]) or 0


def read_journal(root: Path) -> Iterator[dict[str, Any]]:
    """Rows of the journal, in the order they were written, without those that are not whole.

    Args:
        root: The prepared folder; none are read where it holds no journal.

    Raises:
        UnreadableFileError: If the system does not let it be read.
    """
    path = root / JOURNAL
    try:
        with path.open("rb") as file:
            for line in file:
                total, _, text = line.rstrip(b"\n").partition(b" ")
                if total == b"%08x" % zlib.crc32(text):
                    yield json.loads(text)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UnreadableFileError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error


def remove_journal(root: Path) -> None:
    """Remove it, once the manifest holds what it says."""
    (root / JOURNAL).unlink(missing_ok=True)
