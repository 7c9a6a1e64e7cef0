"""Preparing mammograms: worker processes against a literal loop of one process, and the memory of a worker.

``python -m benchmarks.prepare`` makes images of 4664 x 3064 pixels and 12 bits, the size of a film scanned at 50 um,
uncompressed and as lossless JPEG 2000; ``--real FOLDER`` takes the DICOM files of a folder instead.

How it is measured. First each file is prepared by both, and crops and pixels are compared. Then both prepare the same
files into empty folders, in turns and never at the same time: the literal loop in a process that has imported
everything, the product with its table, journal, manifest and the start of its workers. Time is the median over the
turns. Memory is the highest resident size (``VmHWM`` of Linux) of a worker that has prepared one file.
"""

import argparse
import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from data_modules.mammography.prepare.pool import run_jobs
from data_modules.mammography.prepare.settings import PreparationSettings
from data_modules.mammography.prepare.work import Job, prepare_image

ROWS, COLUMNS, BITS = 4664, 3064, 12
ENOUGH = {"uncompressed": 1.5, "JPEG 2000, full decode": 1.5, "JPEG 2000, reduced": 3.0}
"""Times as fast as the loop that the product has to be on two processors."""
MOST_MEMORY = 600e6
BOX_TOLERANCE = 32
"""Pixels of the full size between the edges of both crops: four of the small copy that they are found on."""
PIXEL_TOLERANCE = 1e-3
"""Mean absolute difference in the product's crop, as part of full scale, without reduced decode."""


@dataclass(frozen=True)
class Kind:
    """Files of one encoding."""

    name: str
    paths: list[Path]
    settings: PreparationSettings


def breast(rows: int, columns: int, *, seed: int) -> np.ndarray:
    """(rows, columns) uint16, 12 bits: smooth tissue with grain inside a half ellipse, air with less grain outside."""
    import cv2

    generator = np.random.default_rng(seed)
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    depth = 1 - ((y - rows / 2) / (0.46 * rows)) ** 2 - (x / (0.75 * columns)) ** 2
    coarse = generator.normal(size=(rows // 64 + 1, columns // 64 + 1)).astype(np.float32)
    tissue = (
        1800 + 900 * np.clip(depth, 0, 1) + 250 * cv2.resize(coarse, (columns, rows), interpolation=cv2.INTER_CUBIC)
    )
    grain = generator.normal(size=(rows, columns)).astype(np.float32)
    return np.clip(np.where(depth > 0, tissue + 12 * grain, 60 + 3 * grain), 0, 2**BITS - 1).astype(np.uint16)


def write_dicom(path: Path, pixels: np.ndarray, *, jpeg2000: bool) -> None:
    """One mammogram of a left breast, with a window that cuts both ends."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian, JPEG2000Lossless

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = DigitalMammographyXRayImageStorageForPresentation, "1.2.3"
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.Modality, dataset.ImageLaterality, dataset.PresentationIntentType = "MG", "L", "FOR PRESENTATION"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, BITS, BITS - 1, 0
    dataset.WindowCenter, dataset.WindowWidth = 2000, 3600
    dataset.PixelData = pixels.tobytes()
    if jpeg2000:
        dataset.compress(JPEG2000Lossless, encoding_plugin="pylibjpeg")
    dataset.save_as(path, enforce_file_format=True)


def make_kinds(folder: Path, *, real: Path | None, images: int, scale: int, long_side: int) -> list[Kind]:
    """The files to measure on.

    Args:
        folder: For files that are made.
        real: A folder of DICOM files, all of one encoding; None: make some.
        images: How many of a kind: one file, named so often.
        scale: Sides are divided by this.
        long_side: Of the results.
    """
    full = PreparationSettings(long_side=long_side, reduced_decode=False)
    reduced = PreparationSettings(long_side=long_side)
    if real is not None:
        found = sorted(path for path in real.iterdir() if path.suffix.lower() in (".dcm", ".dicom"))
        paths = [found[number % len(found)] for number in range(images)]
        return [Kind("JPEG 2000, full decode", paths, full), Kind("JPEG 2000, reduced", paths, reduced)]
    pixels = breast(ROWS // scale, COLUMNS // scale, seed=0)
    plain, packed = folder / "plain.dcm", folder / "packed.dcm"
    write_dicom(plain, pixels, jpeg2000=False)
    write_dicom(packed, pixels, jpeg2000=True)
    return [
        Kind("uncompressed", [plain] * images, full),
        Kind("JPEG 2000, full decode", [packed] * images, full),
        Kind("JPEG 2000, reduced", [packed] * images, reduced),
    ]


@dataclass(frozen=True)
class Difference:
    """Of the product from the literal form, on one file."""

    box: int
    """Largest distance of two edges, pixels of the full size."""
    mean: float
    """Absolute difference in the product's crop, as part of full scale."""
    largest: float


def difference(path: Path, settings: PreparationSettings) -> Difference:
    """Prepare a file both ways."""
    from benchmarks.literal_prepare import FULL_SCALE, literal_image
    from data_modules.mammography.dicom import read_mammogram

    product = read_mammogram(path, long_side=settings.long_side, reduced_decode=settings.reduced_decode)
    _, box = literal_image(path, long_side=settings.long_side)
    pixels, _ = literal_image(path, long_side=settings.long_side, box=product.crop_box)
    apart = np.abs(pixels.astype(np.float64) - product.pixels) / FULL_SCALE
    edges = max(abs(a - b) for a, b in zip(box, product.crop_box, strict=True))
    return Difference(edges, float(apart.mean()), float(apart.max()))


def prepare(kind: Kind, out: Path, *, workers: int) -> None:
    """Prepare a kind's files by the product."""
    import polars as pl

    from data_modules.mammography.prepare.run import prepare_set
    from data_modules.mammography.samples import SampleTable
    from data_modules.mammography.sets import MammographySet

    root = kind.paths[0].parent
    names = [f"{number:04}/{path.name}" for number, path in enumerate(kind.paths)]
    frame = pl.DataFrame({"image": names, "laterality": ["L"] * len(names)})
    dataset = MammographySet("benchmark", "Benchmark", (), lambda _: SampleTable(frame), lambda r, i: r / Path(i).name)
    prepare_set(dataset, root, out, settings=kind.settings, workers=workers, max_errors=0)


def _loop(connection: Connection) -> None:
    """The literal loop's process: files and a folder in, seconds out."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    from benchmarks.literal_prepare import literal_loop

    while (order := connection.recv()) is not None:
        paths, out, long_side = order
        start = time.perf_counter()
        literal_loop(paths, out, long_side=long_side)
        connection.send(time.perf_counter() - start)


def take_turns(kind: Kind, folder: Path, *, repeats: int, workers: int) -> tuple[list[float], list[float]]:
    """Seconds of the literal loop and of the product, in turns."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    loop = context.Process(target=_loop, args=(theirs,), daemon=True)
    loop.start()
    literal, product = [], []
    for turn in range(repeats + 1):  # the first warms the disk's cache
        out = folder / f"literal{turn}"
        out.mkdir()
        ours.send((kind.paths if turn else kind.paths[:1], out, kind.settings.long_side))
        literal.append(ours.recv())
        start = time.perf_counter()
        prepare(kind, folder / f"product{turn}", workers=workers)
        product.append(time.perf_counter() - start)
        shutil.rmtree(out)
        shutil.rmtree(folder / f"product{turn}")
    ours.send(None)
    loop.join()
    return literal[1:], product[1:]


def measured(job: Job) -> int:
    """Bytes that a worker held at most, once it has prepared a file."""
    row = prepare_image(job)
    if "error" in row:
        raise RuntimeError(row["error"])
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024


def memory(kind: Kind, folder: Path) -> int:
    """Bytes that a new worker holds at most while it prepares a kind's first file."""
    path = kind.paths[0]
    (folder / "memory/.partial").mkdir(parents=True, exist_ok=True)
    job = Job(path.name, path.name, str(path.parent), str(folder / "memory"), kind.settings)
    [(_, peak)] = run_jobs(measured, [job], workers=1, seconds=600)
    if not isinstance(peak, int):
        raise RuntimeError(peak.reason)
    return peak


def report(kind: Kind, folder: Path, *, repeats: int, workers: int) -> bool:
    """Measure a kind and print; whether it is as fast and as small as it has to be, and gives the same images."""
    apart = difference(kind.paths[0], kind.settings)
    full = not kind.settings.reduced_decode
    same = apart.box <= BOX_TOLERANCE and (apart.mean <= PIXEL_TOLERANCE or not full)
    print(
        f"{kind.name}: crops {apart.box} px apart; pixels {apart.mean:.4%} of full scale, {apart.largest:.2%} at most"
    )
    peak = memory(kind, folder)
    literal, product = take_turns(kind, folder, repeats=repeats, workers=workers)
    ratio = statistics.median(a / b for a, b in zip(literal, product, strict=True))
    before, after = (len(kind.paths) / statistics.median(seconds) for seconds in (literal, product))
    print(f"  loop {before:.2f} images/s, product {after:.2f} images/s with {workers} workers")
    print(f"  {ratio:.2f} times as fast (needed: {ENOUGH[kind.name]}); a worker holds {peak / 1e6:.0f} MB", flush=True)
    return same and ratio >= ENOUGH[kind.name] and peak < MOST_MEMORY


def main(args: Sequence[str] | None = None) -> int:
    """Run it.

    Args:
        args: Words of the command line; None: those of this process.

    Returns:
        0 where every kind reaches what is needed, else 1.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prepare", description=__doc__)
    number = partial(parser.add_argument, type=int)
    number("--images", default=24, help="of a kind (default: 24)")
    number("--repeats", default=3, help="turns (default: 3)")
    number("--workers", default=2, help="of the product (default: 2)")
    number("--long_side", default=1024, help="of the results, pixels (default: 1024)")
    number("--scale", default=1, help="divide the sides of made images by this (default: 1)")
    parser.add_argument("--real", type=Path, help="folder of JPEG 2000 DICOM files to take instead of made ones")
    options = parser.parse_args(args)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "raw").mkdir()
        kinds = make_kinds(
            folder / "raw",
            real=options.real,
            images=options.images,
            scale=options.scale,
            long_side=options.long_side,
        )
        enough = [report(kind, folder, repeats=options.repeats, workers=options.workers) for kind in kinds]
    return 0 if all(enough) else 1


if __name__ == "__main__":
    raise SystemExit(main())
