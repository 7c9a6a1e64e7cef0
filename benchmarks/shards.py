"""What reading a prepared image out of a shard costs, against reading its file.

``python -m benchmarks.shards`` makes a prepared folder of noisy images, writes it into shards, and reads all images of
both in one random order, as training does: the bytes alone, and decoded to the picture that the transforms take. The
two take turns; printed are medians of the rounds, and the median of the ratios of two neighbouring rounds.

It counts processor time, for everything lies in the memory of the operating system by then. What shards are for, a
shared file system that is slow to open a file, and an object store, is not measured here: this says what they cost
where files are quick. Half of it is the hash, with which every image out of a shard is compared.
"""

import argparse
import hashlib
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import polars as pl

from data_modules.images import MAX_FILE_BYTES
from data_modules.mammography.embed.tables import SET
from data_modules.mammography.image_files import FOLDER, ImageFiles
from data_modules.mammography.pixels import as_picture, read_prepared
from data_modules.mammography.prepare.manifest import JOURNAL_COLUMNS, write_manifest
from data_modules.mammography.prepare.settings import PIPELINE_VERSION, PreparationSettings
from data_modules.mammography.prepare.work import encode
from data_modules.mammography.prepared import DESCRIPTION, Prepared, open_prepared, output_path
from data_modules.mammography.shards.reader import open_image_files
from data_modules.mammography.shards.writer import write_shards

SIZE = (1024, 485)
"""Pixels of an image, about the mean of EMBED's where the longer side has 1024."""
BATCH = 16
"""Images that are held at a time, as a loader does: how memory is used and given back takes time, too."""


def make_prepared(root: Path, *, images: int, size: tuple[int, int]) -> None:
    """A prepared folder: half of each image black, the other a gradient with noise of 12 bits.

    Args:
        root: Of the folder; it is made.
        images: How many.
        size: Height and width, pixels.
    """
    generator = np.random.default_rng(0)
    rows = []
    for number in range(images):
        image = f"images/cohort_1/{number // 4}/{number}.dcm"
        pixels = np.zeros(size, dtype=np.uint16)
        half = pixels[:, : size[1] // 2]
        half[:] = np.linspace(60_000, 20_000, half.shape[1]) + generator.normal(0, 500, half.shape)
        content, output = encode(pixels), output_path(image)
        (root / output).parent.mkdir(parents=True, exist_ok=True)
        (root / output).write_bytes(content)
        facts = {"output_bytes": len(content), "output_sha256": hashlib.sha256(content).hexdigest()}
        rows.append({"image": image, "output": output, **facts})
    frame = pl.DataFrame(rows, schema={name: JOURNAL_COLUMNS.get(name) for name in JOURNAL_COLUMNS})
    write_manifest(frame, dict.fromkeys(frame["image"], "L"), root)
    settings = PreparationSettings()
    said = {"set": SET.name, "settings": asdict(settings), "pipeline_version": PIPELINE_VERSION, "hash": settings.hash}
    (root / DESCRIPTION).write_text(json.dumps({**said, "state": "finished"}))


def read_all(prepared: Prepared, files: ImageFiles, names: Sequence[str], *, decode: bool) -> float:
    """Images per second of processor time.

    Args:
        prepared: The folder that the images are of.
        files: What they are read out of.
        names: The images, in the order they are read.
        decode: Whether to decode them.
    """
    start = time.process_time()
    for first in range(0, len(names), BATCH):
        paths = [str(prepared.root / name) for name in names[first : first + BATCH]]
        if decode:
            _batch = [as_picture(read_prepared(path, files=files), aspect="keep") for path in paths]
        else:
            _batch = [files.read(path, named="", max_bytes=MAX_FILE_BYTES) for path in paths]
    return len(names) / (time.process_time() - start)


def main(args: Sequence[str] | None = None) -> None:
    """Make both, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=256, help="of the set")
    parser.add_argument("--size", type=int, nargs=2, default=SIZE, metavar=("H", "W"), help="pixels of an image")
    parser.add_argument("--shard_bytes", type=int, default=64_000_000)
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds of each")
    options = parser.parse_args(args)
    with tempfile.TemporaryDirectory() as folder:
        single, sharded = Path(folder, "single"), Path(folder, "sharded")
        make_prepared(single, images=options.images, size=tuple(options.size))
        written = write_shards(SET, single, sharded, shard_bytes=options.shard_bytes, workers=1)
        size = written.layout.bytes / options.images / 1e6
        files = {root: sum(path.is_file() for path in root.rglob("*")) for root in (single, sharded)}
        print(f"{options.images} images of {size:.2f} MB: {files[single]} files, in shards {files[sharded]}")
        sets = {root: open_prepared(root, name=SET.name, settings=PreparationSettings()) for root in files}
        sources = {single: FOLDER, sharded: open_image_files(sets[sharded])}
        names = sets[single].readable()["output"].to_list()
        for what, decode in (("bytes", False), ("decoded", True)):
            rates: dict[Path, list[float]] = {single: [], sharded: []}
            for number in range(options.rounds + 1):
                order = np.random.default_rng(number).permutation(len(names))
                for root in (single, sharded) if number % 2 else (sharded, single):
                    shuffled = [names[row] for row in order]
                    rates[root].append(read_all(sets[root], sources[root], shuffled, decode=decode))
            first, second = (statistics.median(rates[root][1:]) for root in (single, sharded))
            ratio = statistics.median(b / a for a, b in zip(rates[single][1:], rates[sharded][1:], strict=True))
            print(f"{what:8} {first:8.1f} images/s of files, {second:8.1f} of shards: ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
