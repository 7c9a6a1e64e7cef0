"""A prepared folder written into shards: the same bytes whatever the way there; what is written already stays."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import TypeVar

from data_modules.errors import (
    DatasetNotFoundError,
    DataSettingsError,
    OutputError,
    PreparationMismatchError,
    PreparationUnfinishedError,
    UnreadableImageError,
)
from data_modules.images import MAX_FILE_BYTES
from data_modules.mammography.image_files import FOLDER
from data_modules.mammography.prepare.files import (
    LOCK,
    PARTIAL,
    cannot_write,
    check_folders,
    copy_whole,
    locked,
    write_whole,
)
from data_modules.mammography.prepare.settings import PreparationSettings
from data_modules.mammography.prepared import DESCRIPTION as PREPARED
from data_modules.mammography.prepared import MANIFEST, Prepared, read_description, read_manifest
from data_modules.mammography.sets import MammographySet
from data_modules.mammography.shards.layout import (
    DESCRIPTION,
    INDEX,
    MAX_BYTES,
    SHARD,
    Layout,
    Shard,
    Table,
    are_shards,
)
from data_modules.mammography.shards.object_store import require_litdata
from data_modules.mammography.shards.plan import Images, plan_shards
from data_modules.synthetic.tree import MARKER

Result = TypeVar("Result")
Progress = Callable[[str, int, int, int], None]
"""Told what is done, of how many images, how many there are, and how many of them failed."""


@dataclass(frozen=True, slots=True)
class Written:
    """What came of it."""

    layout: Layout
    new: int
    """Shards written now; the others were there."""


def write_shards(
    dataset: MammographySet,
    root: Path,
    out: Path,
    *,
    shard_bytes: int,
    workers: int,
    progress: Progress = lambda what, done, total, failures: None,
) -> Written:
    """Write a prepared set into shards, or go on where an earlier run ended, however it ended.

    Args:
        dataset: Which.
        root: The prepared folder; nothing is written there.
        out: Of the shards: missing, empty, or written by this command.
        shard_bytes: That a shard has at most, unless a single image is larger.
        workers: Threads; each holds the images of a shard three times.
        progress: Told after every shard.

    Raises:
        DataSettingsError: If the folders do not go together, ``out`` holds something else, a number cannot work, or
            LitData is not installed.
        PreparationLockedError: If another process writes into it.
        UnreadableImageError: If an image is not as the manifest says.
        OutputError: If there is not enough space, or nothing can be written.
        DataError: If the prepared folder cannot be used, see ``open_source``.
    """
    require_litdata()
    if workers < 1 or not 0 < shard_bytes <= MAX_BYTES:
        raise DataSettingsError(
            f"{workers} workers and shards of {shard_bytes:,} bytes: give 1 or more, and up to {MAX_BYTES:,} bytes"
        )
    check_folders(root, out)
    images = Images.of(open_source(dataset, root))
    shards = plan_shards(images, shard_bytes=shard_bytes)
    if not shards:
        raise DatasetNotFoundError(f"{root}: no image of {dataset.name} is prepared; there is nothing to shard")
    _refuse_what_is_not_ours(out)
    layout = Layout(dataset.name, "unfinished", shard_bytes, shards, ())
    with locked(out):
        shutil.rmtree(out / PARTIAL, ignore_errors=True)
        missing = [number for number, shard in enumerate(shards) if not _is_there(out, shard)]
        if missing or not are_shards(out):
            _check_space(out, sum(shards[number].bytes for number in missing))
            write_whole(out / DESCRIPTION, layout.text().encode())
        try:
            _write_missing(root, out, images, shards, missing, workers=workers, progress=progress)
        finally:
            shutil.rmtree(out / PARTIAL, ignore_errors=True)
        layout = replace(layout, state="finished", tables=_copy_tables(dataset, root, out))
        write_whole(out / INDEX, layout.index_text().encode())
        write_whole(out / DESCRIPTION, layout.text().encode())
        for name in set(filter(SHARD.fullmatch, os.listdir(out))) - {shard.file for shard in shards}:
            (out / name).unlink()  # of a set that was prepared anew since
    return Written(layout, len(missing))


def open_source(dataset: MammographySet, root: Path) -> Prepared:
    """A finished prepared folder, whatever its settings; they go with the shards.

    Raises:
        DatasetNotFoundError: If no set was prepared there, or it is in shards already.
        PreparationMismatchError: If another set was.
        PreparationUnfinishedError: If the preparation did not come to its end.
        TableError: If one of its files does not hold what ``prepare`` writes.
    """
    said = read_description(root)
    prepare = f"medlit data prepare {dataset.name} --root RAW --out {root}"
    if said is None:
        raise DatasetNotFoundError(f"no prepared {dataset.name} below {root}: it holds no {PREPARED}. First: {prepare}")
    if are_shards(root):
        raise DatasetNotFoundError(f"{root} holds shards; name the folder of single images that they were made of")
    if said["set"] != dataset.name:
        raise PreparationMismatchError(
            f"{root}: holds a prepared {said['set']}, not {dataset.name}; name the folder of {dataset.name}"
        )
    if said["state"] != "finished":
        raise PreparationUnfinishedError(f"{root}: the preparation is not finished; go on with it: {prepare}")
    return Prepared(root=root, name=dataset.name, settings=PreparationSettings(), manifest=read_manifest(root))


def in_threads(work: Callable[[int], Result], numbers: Sequence[int], *, workers: int) -> Iterator[Result]:
    """Carry out work on shards, in any order; what is not begun when one fails, or on Ctrl-C, is left.

    Args:
        work: Of a shard's number. It waits for the disk and hashes, both without Python's lock.
        numbers: The shards.
        workers: Threads.
    """
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(work, number) for number in numbers]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _write_missing(
    root: Path,
    out: Path,
    images: Images,
    shards: Sequence[Shard],
    missing: Sequence[int],
    *,
    workers: int,
    progress: Progress,
) -> None:
    starts = list(accumulate((shard.images for shard in shards), initial=0))

    def write(number: int) -> int:
        """Write a shard; how many images are in it."""
        rows = range(starts[number], starts[number + 1])
        _write_shard([_source(root, images, row) for row in rows], out, shards[number])
        return len(rows)

    done, total = 0, sum(shards[number].images for number in missing)
    for written in in_threads(write, missing, workers=workers):
        done += written
        progress("sharding", done, total, 0)


def _source(root: Path, images: Images, row: int) -> bytes:
    """The bytes of an image's file.

    Raises:
        UnreadableImageError: If they are not those that were prepared.
    """
    path = str(root / images.names[row])
    data = FOLDER.read(path, named="", max_bytes=MAX_FILE_BYTES)
    if hashlib.sha256(data).digest() != images.digests[row].tobytes():
        raise UnreadableImageError(
            path, f"changed since it was prepared ({MANIFEST}); remove it and prepare the set again"
        )
    return data


def _write_shard(items: Sequence[bytes], out: Path, shard: Shard) -> None:
    """Let LitData write a shard beside its place, and move it there whole.

    Raises:
        OutputError: If it cannot be written.
    """
    from litdata.streaming.writer import BinaryWriter

    beside = out / PARTIAL / shard.file
    try:
        beside.mkdir(parents=True)
        writer = BinaryWriter(str(beside), chunk_size=len(items))
        for number, item in enumerate(items):
            writer.add_item(number, item)
        writer.done()
        (file,) = beside.glob("*.bin")
        size = file.stat().st_size
        if size != shard.bytes:
            raise OutputError(
                f"{file}: LitData wrote {size:,} bytes, not {shard.bytes:,}; install a version it was tried with"
            )
        file.replace(out / shard.file)
    except OutputError:
        raise
    except OSError as error:
        raise cannot_write(out / shard.file, error) from error


def _is_there(out: Path, shard: Shard) -> bool:
    """Whether a shard was written; its name says of which images, and it was moved there whole."""
    path = out / shard.file
    return path.is_file() and path.stat().st_size == shard.bytes


def _check_space(out: Path, needed: int) -> None:
    free = shutil.disk_usage(out).free
    if needed > free:
        raise OutputError(
            f"{out}: the shards need {needed / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB are free; free some space, or "
            "name another folder"
        )


def _copy_tables(dataset: MammographySet, root: Path, out: Path) -> tuple[Table, ...]:
    """Everything beside the images: official tables, manifest, settings, what marks a look-alike."""
    tables = []
    for name in sorted((*dataset.tables, MARKER, MANIFEST, PREPARED)):
        if (root / name).is_file():
            copy_whole(root / name, out / name)
            with (out / name).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                tables.append(Table(name, file.tell(), digest))
        else:  # an optional one, taken away since
            (out / name).unlink(missing_ok=True)
    return tuple(tables)


def _refuse_what_is_not_ours(out: Path) -> None:
    """Refuse a folder without ``shards.json`` that holds anything but what a run leaves that died at its start.

    Raises:
        DataSettingsError: Naming what it holds.
    """
    names = sorted(path.name for path in out.iterdir()) if out.is_dir() and not are_shards(out) else []
    strange = [name for name in names if name not in (PARTIAL, LOCK) and not name.startswith(f".{DESCRIPTION}.")]
    if strange:
        raise DataSettingsError(
            f"{out} is not empty and was not made by medlit data shard (it holds {strange[0]}): nothing was written; "
            "name another folder"
        )
