"""Folders of look-alike sets: whole or not there, and never in place of files that medlit did not draw."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from data_modules.errors import DataSettingsError

MARKER = "synthetic.json"
"""Says what a look-alike is made of, and lists its files; a folder that holds it is one."""


@contextmanager
def new_tree(root: Path, *, description: Mapping[str, str | int]) -> Iterator[Path]:
    """Make the folder of a look-alike set; an earlier look-alike in its place is removed when the new one is whole.

    Args:
        root: The folder; it may be missing, empty, or hold a look-alike and nothing else.
        description: What the tree is made of, for the marker file.

    Yields:
        A folder beside ``root`` to write into, which takes its place at the end.

    Raises:
        DataSettingsError: If the folder holds anything else, is a file, or cannot be made.
    """
    _refuse_what_is_not_ours(root)
    root = root.resolve()
    partial = root.with_name(f".{root.name}.{os.getpid()}.partial")
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise DataSettingsError(f"cannot make the folder {root} ({error.strerror}); name another") from error
    try:
        yield partial
        (partial / MARKER).write_text(json.dumps({**description, "files": _files(partial)}, indent=1) + "\n")
        if root.is_dir():
            shutil.rmtree(root)
        partial.replace(root)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _refuse_what_is_not_ours(root: Path) -> None:
    """Refuse a folder with files that no look-alike's marker lists.

    Raises:
        DataSettingsError: Naming one of them.
    """
    if root.exists() and not root.is_dir():
        raise DataSettingsError(f"{root} is a file; name a folder for the look-alike set")
    strange = sorted(set(_files(root)) - _listed(root))
    if strange:
        raise DataSettingsError(
            f"{root} is not empty and was not made by medlit ({strange[0]} is not of a look-alike): "
            "nothing was written; name another folder"
        )


def _listed(root: Path) -> set[str]:
    """The marker and the files that it lists; empty where there is no marker of ours."""
    try:
        files = json.loads((root / MARKER).read_text())["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    return {MARKER, *(file for file in files if isinstance(file, str))} if isinstance(files, list) else set()


def _files(root: Path) -> list[str]:
    """Paths of all files and links below a folder, from it, in order."""
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_symlink() or path.is_file())
