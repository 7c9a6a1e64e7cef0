"""Files that are whole or not there."""

import uuid
from collections.abc import Callable
from pathlib import Path


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place and move it there, so that no reader and no crash meets half of it.

    Args:
        path: Where the file goes; its folder is made.
        write: Writes to the path it is given.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")  # nobody else's, on this machine or another
    try:
        write(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str, *, private: bool = False) -> None:
    """Write a text file, whole or not at all.

    Args:
        path: Where it goes; its folder is made.
        text: In UTF-8.
        private: For its owner alone, whatever the umask.
    """

    def write(temporary: Path) -> None:
        """Nobody else reads it at any moment."""
        if private:
            temporary.touch(mode=0o600)
        temporary.write_text(text, encoding="utf-8")

    write_whole(path, write)
