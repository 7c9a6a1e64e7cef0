"""``medlit data shard``: a prepared mammography set in few large files, for shared file systems and object stores."""

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from medlit.commands.prepare import TABLES, mammography_set
from medlit.commands.progress import positive, processors, show_progress

if TYPE_CHECKING:
    from data_modules.mammography.sets import MammographySet

SOUND, UNSOUND = 0, 2
SHARD_BYTES = 64_000_000
"""LitData's own default is as much; a shard is what an object store hands out at a time."""
MOST_WORKERS = 8
"""Threads unless told otherwise: more hold more shards in memory, and wait for the same disk."""
UNITS = {"": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}
SHOWN = 20
"""Faults that are listed."""


def main(args: list[str]) -> int:
    """Carry out ``shard``.

    Args:
        args: Words after ``shard``.

    Returns:
        0; 2 where ``--check`` found a fault.

    Raises:
        DataError: If the prepared folder cannot be used, or nothing can be written.
    """
    options = _parser().parse_args(args)
    dataset = mammography_set(options.set)
    return _check(dataset, options) if options.check else _write(dataset, options)


def _write(dataset: "MammographySet", options: argparse.Namespace) -> int:
    from data_modules.mammography.shards.writer import write_shards

    try:
        with show_progress() as progress:
            written = write_shards(
                dataset,
                options.root,
                options.out,
                shard_bytes=options.shard_size,
                workers=options.workers,
                progress=progress,
            )
    except KeyboardInterrupt:
        print(f"{options.out}: what is done stays; the same command goes on from here", file=sys.stderr)
        raise
    layout = written.layout
    print(
        f"{options.out}: {layout.images:,} images of {dataset.title} in {len(layout.shards):,} shards, "
        f"{layout.bytes / 1e6:,.1f} MB; {written.new:,} of them written now. Train on them: "
        f"--data.init_args.root {options.out}"
    )
    return SOUND


def _check(dataset: "MammographySet", options: argparse.Namespace) -> int:
    from data_modules.mammography.shards.check import check_shards

    with show_progress() as progress:
        layout, faults = check_shards(dataset, options.root, options.out, workers=options.workers, progress=progress)
    for fault in faults[:SHOWN]:
        print(fault)
    if len(faults) > SHOWN:
        print(f"and {len(faults) - SHOWN:,} more")
    same = f"{layout.images - len(faults):,} of {layout.images:,} images in {len(layout.shards):,} shards"
    print(f"{options.out}: {same} are those of {options.root}, byte by byte")
    return UNSOUND if faults else SOUND


def _size(text: str) -> int:
    found = re.fullmatch(r"(\d+) ?(kB|MB|GB|)", text)
    if found is None or int(found[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; give one such as 64MB")
    return int(found[1]) * UNITS[found[2]]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="medlit data shard",
        description="Write a prepared mammography set into shards that LitData reads: the very PNGs, in few large "
        "files, beside the manifest and the tables. A DataModule takes the folder, or its address in an object store, "
        "in place of the prepared one. A run that ended early, in whatever way, is taken up again by the same command.",
    )
    parser.add_argument("set", choices=list(TABLES), help="which data set")
    parser.add_argument("--root", type=Path, required=True, help="folder of the prepared set")
    parser.add_argument("--out", type=Path, required=True, help="folder of the shards")
    parser.add_argument(
        "--shard-size",
        "--shard_size",
        type=_size,
        default=SHARD_BYTES,
        metavar="SIZE",
        help="that a shard has at most, up to 1GB (default: 64MB)",
    )
    parser.add_argument(
        "--workers",
        type=positive,
        default=min(processors(), MOST_WORKERS),
        metavar="N",
        help=f"threads; each holds three times a shard (default: the processors there are, up to {MOST_WORKERS})",
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing: compare every image of the shards with its file"
    )
    return parser
