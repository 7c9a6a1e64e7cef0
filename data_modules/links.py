"""Where the links within a data set may lead: tables and archives come from others, and a link can name any file."""

import os
from pathlib import Path

LINKS = "DATA_MODULES_LINKS"
"""Environment variable: folders that links may lead into, separated like those of PATH. No file can set it."""

HINT = f"copy the file there, or name the folder that it leads to in the environment variable {LINKS}"


def stays_within(path: str | Path, folder: str | Path) -> bool:
    """Whether a file lies below a folder when all links are followed, or below one that the user named in ``LINKS``.

    Args:
        path: The file.
        folder: The folder; it may itself be a link to another place.
    """
    target = os.path.realpath(path)
    named = filter(None, os.environ.get(LINKS, "").split(os.pathsep))
    return any(os.path.commonpath((target, above)) == above for above in map(os.path.realpath, (folder, *named)))
