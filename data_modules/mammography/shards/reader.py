"""Images read out of shards by LitData, in any order: a sampler's, whatever the shards'."""

import hashlib
import os
import shutil
from bisect import bisect_left
from pathlib import Path
from typing import Any

import numpy as np

from data_modules.errors import DataError, OutputError, PreparationMismatchError, UnreadableImageError
from data_modules.mammography.image_files import FOLDER, ImageFiles
from data_modules.mammography.prepare.files import write_whole
from data_modules.mammography.prepared import MANIFEST, Prepared
from data_modules.mammography.shards.layout import DESCRIPTION, Layout, Shard, are_shards, check_index, read_layout
from data_modules.mammography.shards.object_store import ObjectStore, one_line, require_litdata, storage_options
from data_modules.mammography.shards.plan import Images, plan_shards

KEEP_BELOW = 0.9
"""Of the free space of the cache's disk: where all shards fit into less, those that are fetched are kept there."""


def open_image_files(prepared: Prepared, *, url: str | None = None) -> ImageFiles:
    """The images of a prepared folder, be they files or in shards.

    Args:
        prepared: The folder.
        url: Where its shards lie, if not in the folder itself.

    Raises:
        DataSettingsError: If there are shards, and LitData is not installed.
        PreparationMismatchError: If the shards are not those of the manifest.
        PreparationUnfinishedError: If they were not written to the end.
        UnreadableFileError: If the system lets their description not be read.
        TableError: If it is not what ``medlit data shard`` writes.
    """
    if not are_shards(prepared.root):
        return FOLDER
    require_litdata()
    layout = read_layout(prepared.root)
    check_index(prepared.root, layout)
    images = Images.of(prepared)
    if layout.name != prepared.name or plan_shards(images, shard_bytes=layout.shard_bytes) != layout.shards:
        raise PreparationMismatchError(
            f"{prepared.root / DESCRIPTION}: these shards were not made of the images of {MANIFEST} beside it; shard "
            f"the set again: medlit data shard {prepared.name} --root PREPARED --out SHARDS"
        )
    return ShardFiles(str(prepared.root), layout, images, url=url)


class ShardFiles(ImageFiles):
    """The bytes of images in shards, each checked against the hash that the manifest has of it.

    LitData reads an image's bytes out of its shard by its number alone. Of shards in an object store, each is fetched
    when the first of its images is asked for, and kept, where the disk holds them all; else images are fetched one by
    one. Every process opens the shards for itself; two that fetch one shard at once fetch the same.

    Args:
        root: The folder of the shards, or where those that were fetched lie.
        layout: What they are.
        images: What is in them.
        url: Where they are fetched from; None: they lie in the folder.
    """

    def __init__(self, root: str, layout: Layout, images: Images, *, url: str | None = None) -> None:
        self.root = root
        self.layout = layout
        self.images = images
        self.url = url
        self._ends = np.cumsum([shard.images for shard in layout.shards])
        self._open: _Opened | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": None}  # connections are a process's own

    def read(self, path: str, *, named: str, max_bytes: int) -> bytes:
        """See ``ImageFiles.read``."""
        name = os.path.relpath(path, self.root).replace(os.sep, "/")
        row = bisect_left(self.images.names, name)
        if row == len(self.images) or self.images.names[row] != name:
            raise UnreadableImageError(path, f"is in no shard{named}; shard the set again: medlit data shard")
        if self.images.sizes[row] > max_bytes:
            raise UnreadableImageError(path, f"larger than {max_bytes:,} bytes{named}; no prepared image is")
        number = int(np.searchsorted(self._ends, row, side="right"))
        shard = self.layout.shards[number]
        try:
            if self._open is None:
                self._open = _Opened(self.root, self.layout, self.url)
            data = self._open.read(row, number)
        except DataError:  # says itself what to do
            raise
        except Exception as error:  # of the system, of LitData, of an object store's client
            raise self._unreadable(shard, one_line(error), named) from error
        if hashlib.sha256(data).digest() != self.images.digests[row].tobytes():
            raise self._unreadable(shard, f"the bytes of {name} changed since they were written", named)
        return data

    def _unreadable(self, shard: Shard, reason: str, named: str) -> UnreadableImageError:
        """What is wrong with a shard, and what to do about it."""
        file = Path(self.root, shard.file)
        if self.url is None:
            again = "remove it if it is there, and write it again: medlit data shard, or copy the set anew"
            return UnreadableImageError(file, f"{reason}{named}; {again}")
        where = f"{self.url}/{shard.file}"
        if file.is_file():
            return UnreadableImageError(where, f"{reason}{named}; remove {file}, so that it is fetched anew")
        return UnreadableImageError(where, f"{reason}{named}; check the network and the object")


class _Opened:
    """Shards as one process reads them.

    Raises:
        TableError: If their index is not what it was when they were looked at first.
        UnreadableFileError: If it cannot be read.
    """

    def __init__(self, root: str, layout: Layout, url: str | None) -> None:
        from litdata import StreamingDataset
        from litdata.streaming.resolver import Dir

        check_index(Path(root), layout)  # once more: LitData reads it now, and it may have been exchanged
        self.root = root
        self.layout = layout
        self.keep = url is not None and _fits(Path(root), layout)
        self.store = None if url is None else ObjectStore(url)
        # With an address, be it that of the folder itself, LitData reads the bytes of one item and no more.
        self.dataset = StreamingDataset(
            Dir(path=root, url=f"local:{root}" if url is None else url), storage_options=storage_options(url)
        )

    def read(self, row: int, number: int) -> bytes:
        """The bytes of an image.

        Args:
            row: Its number in the set.
            number: That of its shard.

        Raises:
            OSError: If the shard is missing or has another size.
            Exception: Of LitData or the client, if it cannot be read.
        """
        from litdata.streaming.sampler import ChunkedIndex

        shard = self.layout.shards[number]
        file = Path(self.root, shard.file)
        if self.store is not None and self.keep and not file.is_file():
            self._fetch(self.store, shard, file)
        if self.store is None or file.is_file():
            size = os.stat(file).st_size  # before LitData believes what the shard says of itself
            if size != shard.bytes:
                raise OSError(f"{size:,} bytes, not {shard.bytes:,}")
        return bytes(self.dataset[ChunkedIndex(index=row, chunk_index=number)])

    def _fetch(self, store: ObjectStore, shard: Shard, file: Path) -> None:
        """Keep a shard; where it cannot be written, for the disk became full, keep no more of them."""
        content = store.fetch(shard.file, size=shard.bytes)
        try:
            write_whole(file, content)
        except OutputError:
            self.keep = False


def _fits(root: Path, layout: Layout) -> bool:
    """Whether the disk has room for all shards that are not there yet."""
    there = {entry.name for entry in os.scandir(root)}
    needed = sum(shard.bytes for shard in layout.shards if shard.file not in there)
    return needed < KEEP_BELOW * shutil.disk_usage(root).free
