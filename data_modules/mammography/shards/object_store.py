"""Shards in an object store: their tables are fetched first, shards when an image of them is asked for."""

import hashlib
import importlib.util
import io
import os
import re
import stat
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from data_modules.errors import DatasetNotFoundError, DataSettingsError, OutputError, TableError
from data_modules.mammography.prepare.files import cannot_write, write_whole
from data_modules.mammography.shards.layout import DESCRIPTION, INDEX, MAX_DESCRIPTION_BYTES, Layout, parse_layout

URL = re.compile(r"(s3|gs)://[^/@?#\s]+(/[^/@?#\s]+)*/?")
"""What LitData reads parts of. Without a key: credentials belong into the environment, for the URL is written down."""

CACHE = "LITDATA_CACHE_DIR"
"""LitData's variable for the folder that what is fetched lies in."""


def split_root(root: str | Path) -> tuple[Path, str | None]:
    """The folder that a set's tables are read from, and the address that they come from.

    Args:
        root: A folder, ``file://`` and a folder, or the address of shards in an object store.

    Returns:
        The folder itself and None, or a folder of this machine for the address, which may not exist yet.

    Raises:
        DataSettingsError: If it is an address that cannot be read.
    """
    text = str(root)
    scheme = text.partition("://")[0] if "://" in text else ""
    if not scheme:
        return Path(root), None
    if scheme == "file":
        return Path(unquote(urlparse(text).path)), None
    if not URL.fullmatch(text):
        raise DataSettingsError(
            f"root {text.split('@')[-1]!r} cannot be read: name a folder, s3://BUCKET/PATH or gs://BUCKET/PATH; "
            "credentials come from the environment"
        )
    url = text.rstrip("/")
    name = re.sub(r"[^\w.-]+", "-", url.partition("://")[2])[-60:]
    return cache_root() / f"{name}-{hashlib.sha256(url.encode()).hexdigest()[:16]}", url


def cache_root() -> Path:
    """The folder on this machine for what is fetched: ``LITDATA_CACHE_DIR``, else below that of temporary files."""
    named = os.environ.get(CACHE)
    return Path(named) if named else Path(tempfile.gettempdir(), f"medlit-shards-{os.getuid()}")


def require_litdata() -> None:
    """Refuse to begin where LitData is not installed.

    Raises:
        DataSettingsError: Saying how to install it.
    """
    if importlib.util.find_spec("litdata") is None:
        raise DataSettingsError('shards are read and written by LitData; install it: pip install "medlit[shards]"')


def storage_options(url: str | None) -> dict[str, Any]:
    """What LitData hands to an object store's client: of S3, few attempts, for its own thousand take hours to fail.

    Args:
        url: Of the shards; None: they lie here.
    """
    if url is None or not url.startswith("s3://"):
        return {}
    from botocore.config import Config

    return {"config": Config(retries={"max_attempts": 8, "mode": "standard"}, connect_timeout=10, read_timeout=60)}


class ObjectStore:
    """Fetches whole objects, never more bytes than were expected.

    Args:
        url: The folder in the store.
    """

    def __init__(self, url: str) -> None:
        from litdata.streaming.downloader import get_downloader

        self.url = url
        try:
            self._downloader = get_downloader(url, "", [], storage_options(url))
        except ModuleNotFoundError as error:
            raise DataSettingsError(f"{url} needs a package: {one_line(error)}") from error

    def fetch(self, file: str, *, size: int) -> bytes:
        """An object of a known size.

        Raises:
            OSError: If it is shorter.
            Exception: Of the client, if it cannot be had.
        """
        if not size:
            return b""
        content = bytes(self._downloader.download_bytes(f"{self.url}/{file}", 0, size, ""))
        if len(content) != size:
            raise OSError(f"{len(content):,} of {size:,} bytes came")
        return content

    def fetch_small(self, file: str, *, max_bytes: int) -> bytes:
        """An object of unknown size.

        Raises:
            ValueError: If it has more than ``max_bytes``.
            Exception: Of the client, if it cannot be had.
        """
        buffer = _Limited(max_bytes)
        self._downloader.download_fileobj(f"{self.url}/{file}", buffer)
        return buffer.getvalue()


class _Limited(io.BytesIO):
    """Takes so many bytes and no more."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__()
        self._max_bytes = max_bytes

    def write(self, data: Any) -> int:
        """Take more; raises ValueError where that is too many."""
        if self.tell() + len(data) > self._max_bytes:
            raise ValueError(f"larger than {self._max_bytes:,} bytes")
        return super().write(data)


def fetch_tables(url: str, folder: Path, *, names: Collection[str]) -> Layout:
    """Bring the tables of shards to a folder of this machine; those that are there already stay.

    Several processes may do so at once: each file is moved into place whole, the description last.

    Args:
        url: The shards.
        folder: Of ``split_root``.
        names: The tables that the set reads; others that the description lists are not fetched.

    Raises:
        DataSettingsError: If LitData is not installed.
        DatasetNotFoundError: If the object store does not give what was asked for.
        TableError: If what it gives is not what ``medlit data shard`` writes.
        OutputError: If the folder cannot be written to, is somebody else's, or can be written to by others.
    """
    require_litdata()
    store = ObjectStore(url)
    try:
        content = store.fetch_small(DESCRIPTION, max_bytes=MAX_DESCRIPTION_BYTES)
    except Exception as error:  # each client has errors of its own
        raise _not_fetched(f"{url}/{DESCRIPTION}", error) from error
    layout = parse_layout(content, where=f"{url}/{DESCRIPTION}")
    _own(folder)
    for table in layout.tables:
        path = folder / table.file
        if table.file not in names or (path.is_file() and _sha256(path.read_bytes()) == table.sha256):
            continue
        try:
            found = store.fetch(table.file, size=table.bytes)
        except Exception as error:
            raise _not_fetched(f"{url}/{table.file}", error) from error
        if _sha256(found) != table.sha256:
            raise TableError(f"{url}/{table.file}: not as {DESCRIPTION} says (its SHA-256 differs); copy the set anew")
        write_whole(path, found)
    write_whole(folder / INDEX, layout.index_text().encode())  # never that of the store: see layout.check_index
    write_whole(folder / DESCRIPTION, content)
    return layout


def _own(folder: Path) -> None:
    """Make a folder that others cannot write to, nor exchange; what lies there is trusted later.

    The one above it is our own, too, unless the user named it: it lies where anybody may have made it first.

    Raises:
        OutputError: If it cannot be made, belongs to somebody else, or is open to others.
    """
    for level in (folder.parent, folder):
        try:
            level.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = level.lstat()
        except OSError as error:
            raise cannot_write(level, error) from error
        if level != folder and os.environ.get(CACHE):
            continue
        instead = f"name a folder of your own by {CACHE}"
        if found.st_uid != os.getuid():
            raise OutputError(f"{level}: belongs to another user; {instead}")
        if stat.S_ISLNK(found.st_mode):
            raise OutputError(f"{level}: is a link; {instead}")
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise OutputError(f"{level}: others can write to it; remove it, or {instead}")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _not_fetched(what: str, error: Exception) -> DatasetNotFoundError:
    return DatasetNotFoundError(
        f"{what} cannot be fetched ({one_line(error)}); check the address, the network, and the credentials in the "
        "environment"
    )


def one_line(error: BaseException) -> str:
    """An error of a client in one short line."""
    words = " ".join(str(error).split("\n\n")[0].split())[:300]
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
