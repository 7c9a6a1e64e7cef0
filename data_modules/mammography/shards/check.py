"""Shards compared with the folder that they were made of."""

from dataclasses import replace
from itertools import accumulate
from pathlib import Path

from data_modules.errors import DatasetNotFoundError, UnreadableImageError
from data_modules.images import MAX_FILE_BYTES
from data_modules.mammography.image_files import FOLDER
from data_modules.mammography.sets import MammographySet
from data_modules.mammography.shards.layout import DESCRIPTION, Layout, are_shards, read_layout
from data_modules.mammography.shards.plan import Images
from data_modules.mammography.shards.reader import open_image_files
from data_modules.mammography.shards.writer import Progress, in_threads, open_source


def check_shards(
    dataset: MammographySet,
    root: Path,
    out: Path,
    *,
    workers: int,
    progress: Progress = lambda what, done, total, failures: None,
) -> tuple[Layout, list[str]]:
    """Compare every image of the shards with its file, byte by byte.

    Args:
        dataset: Which set.
        root: The prepared folder.
        out: Of the shards.
        workers: Threads.
        progress: Told after every shard.

    Returns:
        What the shards are, and a line per image that cannot be read or differs.

    Raises:
        DataError: If one of the folders cannot be used, or the shards are those of another manifest.
    """
    source = open_source(dataset, root)
    if not are_shards(out):
        raise DatasetNotFoundError(f"{out} holds no {DESCRIPTION}; write the shards first, without --check")
    files = open_image_files(replace(source, root=out))
    layout, names = read_layout(out), Images.of(source).names
    ends = list(accumulate((shard.images for shard in layout.shards), initial=0))

    def compare(number: int) -> tuple[int, list[str]]:
        """How many images a shard has, and what is wrong with them."""
        found = [_difference(root / name, out / name) for name in names[ends[number] : ends[number + 1]]]
        return len(found), [fault for fault in found if fault]

    def _difference(here: Path, there: Path) -> str | None:
        try:
            packed = files.read(str(there), named="", max_bytes=MAX_FILE_BYTES)
            single = FOLDER.read(str(here), named="", max_bytes=MAX_FILE_BYTES)
        except UnreadableImageError as error:
            return str(error)
        return None if packed == single else f"{here}: changed since it was prepared; prepare and shard the set again"

    done, faults = 0, []
    for images, wrong in in_threads(compare, range(len(layout.shards)), workers=workers):
        done += images
        faults += wrong
        progress("comparing", done, len(names), len(faults))
    return layout, sorted(faults)
