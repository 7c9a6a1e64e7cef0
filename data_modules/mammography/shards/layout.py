"""What a folder of shards says of itself, in ``shards.json``, and what LitData's ``index.json`` has to say then."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from data_modules.errors import PreparationUnfinishedError, TableError, UnreadableFileError

DESCRIPTION = "shards.json"
INDEX = "index.json"
"""Of LitData; ``litdata.StreamingDataset`` opens the folder by it."""
VERSION = 1
"""Of ``shards.json``."""

SHARD = re.compile(r"shard-\d{6}-[0-9a-f]{16}\.bin")
"""A shard's name: its number, and a hash over the names and hashes of its images. One name, one content."""
MAX_BYTES = 2**30
"""Of a shard or a table; larger ones are refused unread."""
MAX_DESCRIPTION_BYTES = 2**26
"""Of ``shards.json``; a terabyte in shards of 64 MB needs 2 MB."""

State = Literal["unfinished", "finished"]

AGAIN = "shard the set anew into another folder: medlit data shard"

LITDATA: Mapping[str, Any] = {
    "chunk_size": None,
    "compression": None,
    "compression_batch_size": None,
    "compression_level": None,
    "data_format": ["bytes"],
    "data_spec": '[1, {"type": null, "context": null, "children_spec": []}]',
    "encryption": None,
    "ipc_compression": None,
    "item_loader": "PyTreeLoader",
    "types": "bytes",
}
"""What LitData's writer says of items that are bytes. Some of its other formats unpickle what they read."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A file of images."""

    file: str
    images: int
    bytes: int

    def __post_init__(self) -> None:
        if not SHARD.fullmatch(self.file):
            raise ValueError(f"{self.file!r} is no name of a shard")
        if self.images < 1 or not 0 < self.bytes <= MAX_BYTES:
            raise ValueError(f"{self.file} of {self.images:,} images and {self.bytes:,} bytes")


@dataclass(frozen=True, slots=True)
class Table:
    """A file beside the shards, so that it can be fetched from an object store."""

    file: str
    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        path = PurePosixPath(self.file)
        if path.is_absolute() or ".." in path.parts or "\\" in self.file or str(path) != self.file or self.file == ".":
            raise ValueError(f"{self.file!r} leaves the folder")
        if not 0 <= self.bytes <= MAX_BYTES or not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise ValueError(f"{self.file} of {self.bytes:,} bytes and hash {self.sha256[:80]!r}")


@dataclass(frozen=True, slots=True)
class Layout:
    """A set in shards: image i of the outputs' sorted paths is the i-th of all shards, one after the other."""

    name: str
    """Of the set, as on the command line."""
    state: State
    shard_bytes: int
    """That a shard has at most, unless a single image is larger."""
    shards: tuple[Shard, ...]
    tables: tuple[Table, ...]

    @property
    def images(self) -> int:
        """In all shards."""
        return sum(shard.images for shard in self.shards)

    @property
    def bytes(self) -> int:
        """Of all shards."""
        return sum(shard.bytes for shard in self.shards)

    def text(self) -> str:
        """The content of ``shards.json``."""
        said = {
            "version": VERSION,
            "set": self.name,
            "state": self.state,
            "shard_bytes": self.shard_bytes,
            "shards": [asdict(shard) for shard in self.shards],
            "tables": [asdict(table) for table in self.tables],
        }
        return json.dumps(said, indent=1) + "\n"

    def index(self) -> dict[str, Any]:
        """The content of ``index.json``."""
        chunks = [
            {"chunk_bytes": shard.bytes, "chunk_size": shard.images, "dim": None, "filename": shard.file}
            for shard in self.shards
        ]
        return {"chunks": chunks, "config": {**LITDATA, "chunk_bytes": self.shard_bytes}}

    def index_text(self) -> str:
        """The content of ``index.json`` as ``medlit data shard`` writes it."""
        return json.dumps(self.index(), sort_keys=True) + "\n"


def are_shards(root: Path) -> bool:
    """Whether a prepared folder holds shards in place of single images."""
    return (root / DESCRIPTION).is_file()


def read_layout(root: Path) -> Layout:
    """What ``shards.json`` below a folder says.

    Raises:
        UnreadableFileError: If it cannot be read.
        TableError: If it is not what ``medlit data shard`` writes.
        PreparationUnfinishedError: If it says that the command did not come to its end.
    """
    path = root / DESCRIPTION
    return parse_layout(_bytes_of(path, advice="check that it is the right file, and its permissions"), where=str(path))


def _bytes_of(path: Path, *, advice: str) -> bytes:
    """A file's content, unless it is larger than a description can be.

    Raises:
        UnreadableFileError: If it cannot be read.
        TableError: If it is larger.
    """
    try:
        if path.stat().st_size > MAX_DESCRIPTION_BYTES:
            raise TableError(f"{path}: larger than {MAX_DESCRIPTION_BYTES:,} bytes; {advice}")
        return path.read_bytes()
    except OSError as error:
        raise UnreadableFileError(f"{path}: cannot be read ({error.strerror}); {advice}") from error


def parse_layout(content: bytes, *, where: str) -> Layout:
    """Read and check a ``shards.json``.

    Args:
        content: Its bytes.
        where: What to call it.

    Raises:
        TableError: If it is not what ``medlit data shard`` writes.
        PreparationUnfinishedError: If it says that the command did not come to its end.
    """
    layout = _layout(content, where)
    if layout.state != "finished":
        raise PreparationUnfinishedError(
            f"{where}: the sharding of {layout.name} is not finished; go on with it: medlit data shard {layout.name} "
            "--root PREPARED --out SHARDS"
        )
    return layout


def _layout(content: bytes, where: str) -> Layout:
    try:
        said = json.loads(content)
        if said["version"] != VERSION:
            raise TableError(f"{where}: version {said['version']!r}, this medlit reads {VERSION}; {AGAIN}")
        layout = Layout(
            name=_of_type(said["set"], str),
            state="finished" if said["state"] == "finished" else "unfinished",
            shard_bytes=_of_type(said["shard_bytes"], int),
            shards=tuple(
                Shard(_of_type(row["file"], str), _of_type(row["images"], int), _of_type(row["bytes"], int))
                for row in said["shards"]
            ),
            tables=tuple(
                Table(_of_type(row["file"], str), _of_type(row["bytes"], int), _of_type(row["sha256"], str))
                for row in said["tables"]
            ),
        )
        if not layout.shards and layout.state == "finished":
            raise ValueError("no shard")
    except TableError:
        raise
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise TableError(f"{where}: not as medlit data shard writes it ({reason}); {AGAIN}") from error
    return layout


def _of_type(value: Any, kind: type) -> Any:
    if type(value) is not kind:  # a bool is no number here
        raise TypeError(f"{str(value)[:80]!r} is no {kind.__name__}")
    return value


def check_index(root: Path, layout: Layout) -> None:
    """Refuse an ``index.json`` that differs from what the shards' description makes of it, before LitData reads it.

    LitData reads shards as their index tells it to, and some of its formats unpickle; only the one here is let through.

    Raises:
        UnreadableFileError: If it cannot be read.
        TableError: If it says anything else.
    """
    path = root / INDEX
    content = _bytes_of(path, advice=AGAIN)
    if content != layout.index_text().encode():
        raise TableError(f"{path}: not as medlit data shard writes it{_difference(content)}; {AGAIN}")


def _difference(content: bytes) -> str:
    """Words about an index of another format, empty where that is not what is wrong."""
    try:
        found = json.loads(content)["config"]["data_format"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return "" if found == LITDATA["data_format"] else f" (its data_format is {str(found)[:80]}, not ['bytes'])"
