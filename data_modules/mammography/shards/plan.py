"""Which image goes into which shard: a function of the manifest and the size of a shard alone."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_modules.errors import TableError
from data_modules.images import MAX_FILE_BYTES
from data_modules.mammography.cases import TextColumn
from data_modules.mammography.prepared import MANIFEST, Prepared
from data_modules.mammography.shards.layout import Shard

WORD = 4
"""Bytes of a number in a shard (LitData: uint32)."""


@dataclass(frozen=True, slots=True)
class Images:
    """The images of a prepared set, sorted by path: columns, for a DataLoader's worker is sent them."""

    names: TextColumn
    """(N,) paths below the prepared root, ascending."""
    sizes: NDArray[np.int64]
    """(N,) bytes."""
    digests: NDArray[np.uint8]
    """(N, 32) SHA-256."""

    @classmethod
    def of(cls, prepared: Prepared) -> "Images":
        """Those that the manifest has an output of.

        Raises:
            TableError: If it lacks the size or the hash of one, or they cannot be.
        """
        columns = prepared.readable().select("output", "output_bytes", "output_sha256").sort("output")
        names, sizes, hashes = (column.to_list() for column in columns.iter_columns())
        for name, size, text in zip(names, sizes, hashes, strict=True):
            if size is None or not 0 < size <= MAX_FILE_BYTES or text is None or len(text) != 64:
                raise TableError(
                    f"{prepared.root / MANIFEST}: image {name} of {size} bytes has the SHA-256 {str(text)[:80]!r}; "
                    "prepare the set again"
                )
        try:
            digests = np.frombuffer(bytes.fromhex("".join(hashes)), dtype=np.uint8).reshape(-1, 32)
        except ValueError as error:
            raise TableError(f"{prepared.root / MANIFEST}: a SHA-256 is no hash; prepare the set again") from error
        if len(set(names)) < len(names):
            raise TableError(f"{prepared.root / MANIFEST}: two images have one output; prepare the set again")
        return cls(TextColumn(names), np.array(sizes, dtype=np.int64), digests)

    def __len__(self) -> int:
        return len(self.sizes)


def plan_shards(images: Images, *, shard_bytes: int) -> tuple[Shard, ...]:
    """Fill shards with images in their order, each as far as it goes.

    Args:
        images: Sorted.
        shard_bytes: That a shard has at most; a larger image is a shard of its own.

    Returns:
        The shards. Their names are hashes over their images' paths and hashes, so that a shard of a set that was
        prepared anew has another name where anything in it changed.
    """
    shards: list[Shard] = []
    first, size = 0, packed_bytes([])
    for row, more in enumerate((images.sizes + 2 * WORD).tolist()):
        if row > first and size + more > shard_bytes:
            shards.append(_shard(images, len(shards), first, row, size))
            first, size = row, packed_bytes([])
        size += more
    if len(images):
        shards.append(_shard(images, len(shards), first, len(images), size))
    return tuple(shards)


def packed_bytes(sizes: list[int]) -> int:
    """Bytes of a shard of images of some sizes.

    LitData: the number of items, where each begins and the last one ends, then each item behind its size.
    """
    return WORD * (len(sizes) + 2) + sum(sizes) + WORD * len(sizes)


def _shard(images: Images, number: int, first: int, end: int, size: int) -> Shard:
    digest = hashlib.sha256(images.digests[first:end].tobytes())
    for name in images.names[first:end]:
        digest.update(name.encode() + b"\0")
    return Shard(f"shard-{number:06}-{digest.hexdigest()[:16]}.bin", end - first, size)
