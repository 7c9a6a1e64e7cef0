"""Folders of look-alike sets: each carries a marker, and nothing is written into a folder without one."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from data_modules.errors import DataSettingsError

MARKER = "synthetic.json"


def start_tree(root: Path, *, description: Mapping[str, str | int]) -> None:
    """Make the folder of a look-alike set anew; an earlier look-alike in it is removed first.

    Args:
        root: The folder; it may be missing, empty, or hold a look-alike.
        description: What the tree is made of, for the marker file.

    Raises:
        DataSettingsError: If the folder holds anything else, or is a file.
    """
    if root.exists() and not root.is_dir():
        raise DataSettingsError(f"{root} is a file; name a folder for the look-alike set")
    if (root / MARKER).is_file():
        shutil.rmtree(root)
    elif root.is_dir() and any(root.iterdir()):
        raise DataSettingsError(
            f"{root} is not empty and was not made by medlit (no {MARKER} in it): nothing was written; name another "
            "folder"
        )
    root.mkdir(parents=True, exist_ok=True)
    (root / MARKER).write_text(json.dumps(dict(description), indent=2) + "\n")
