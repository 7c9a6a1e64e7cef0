"""What a training sample costs before its pixels: metadata, caption and partner, in a small and in a large set.

``python -m benchmarks.mammography_samples`` makes sample tables of 5,000 and of 480,000 images, builds the dataset that
pretraining uses of each, and asks both in turn for the same number of samples at random places: the case with its ids
and paths, its metadata, its caption with fields masked, and its partner, everything but reading and augmenting images.
Then the same with captions tokenised, a batch at a time. Printed are medians of the rounds, in microseconds a sample,
and how the large set compares with the small one (median of the ratios of two neighbouring rounds). It is processor
time: the work waits for nothing and uses one thread, so that an idle machine takes as long by the clock.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data_modules.mammography.captioned import CaptionedCases
from data_modules.mammography.captions import Captioner, MetadataTable
from data_modules.mammography.image_text import ImageTextDataset, PairSettings
from data_modules.mammography.samples import SCHEMA
from data_modules.mammography.selection import make_cases
from data_modules.mammography.tokens import CaptionTokenizer, load_tokenizer, tokenise
from data_modules.transforms import SeededTransform, evaluation_transform

SIZES = (5_000, 480_000)
"""Images of the small and of the large set; EMBED has 480,323."""
VIEWS = (("L", "CC"), ("L", "MLO"), ("R", "CC"), ("R", "MLO"))
WORDS = {
    "procedure": ("MG Screening Bilateral w/CAD", "MG Diagnostic Left w/CAD", "MG Diagnostic Bilateral w/ CAD"),
    "race": ("African American or Black", "Caucasian or White", "Asian", "Multiple", None),
    "ethnicity": ("Hispanic or Latino", "Non-Hispanic or Latino", None),
    "mass_shape": (None, None, None, "oval", "round", "irregular", "lobular", "architectural distortion"),
    "mass_density": (None, "high density", "isodense", "low density"),
    "calc_finding": (None, None, None, "amorphous", "coarse heterogeneous", "fine pleomorphic", "punctate"),
    "calc_distribution": (None, "grouped", "linear", "segmental", "regional"),
}
"""About as many different words as EMBED's tables hold, more of procedures and findings aside."""


def make_frame(images: int, *, seed: int = 0) -> pl.DataFrame:
    """A sample table, four images an exam, drawn at random.

    Args:
        images: Rows.
        seed: Of the values.
    """
    generator = np.random.default_rng(seed)
    rows = np.arange(images)
    exam = rows // len(VIEWS)
    uid = [f"1.2.826.0.1.3680043.8.498.{10**18 + row}" for row in rows.tolist()]
    laterality = [VIEWS[row % 4][0] for row in rows.tolist()]
    columns = {
        "image": [f"images/cohort_1/{number // 3}/{number}/{name}.dcm" for number, name in zip(exam, uid, strict=True)],
        "image_id": uid,
        "patient_id": (exam // 3).astype(str),
        "exam_id": exam.astype(str),
        "breast_id": [f"{number}_{side}" for number, side in zip(exam, laterality, strict=True)],
        "laterality": laterality,
        "view": [VIEWS[row % 4][1] for row in rows.tolist()],
        "image_type": ["2D"] * images,
        "birads": generator.integers(0, 7, images),
        "density": generator.integers(1, 5, images),
        "reason": np.array(["screening", "diagnostic"])[generator.integers(0, 2, images)],
        "age": generator.uniform(30, 90, images),
        **{name: [words[i] for i in generator.integers(0, len(words), images)] for name, words in WORDS.items()},
    }
    blank = {name: pl.Series([None] * images) for name in SCHEMA if name not in columns}
    return pl.DataFrame({**columns, **blank}).select(pl.col(name).cast(kind) for name, kind in SCHEMA.items())


def make_dataset(images: int) -> ImageTextDataset:
    """The dataset of pretraining, without files behind it.

    Args:
        images: How many.
    """
    frame = make_frame(images).with_columns(pl.col("image").str.replace(".dcm", ".png", literal=True).alias("output"))
    transform = SeededTransform(evaluation_transform(64), img_size=64)
    return ImageTextDataset(
        CaptionedCases(
            make_cases(frame, root="prepared", label="birads", level="image"), MetadataTable.from_frame(frame)
        ),
        captioner=Captioner(),
        transform=transform,
        augmentation=transform,
        settings=PairSettings(),
        training=True,
    )


def look_up(dataset: ImageTextDataset, requests: list[tuple[int, int]]) -> list[list[str]]:
    """Case, metadata, caption and partner of every request.

    Args:
        dataset: Of pretraining.
        requests: Row and seed of each sample.

    Returns:
        The captions.
    """
    captions = []
    for index, seed in requests:
        dataset.cases[index]
        dataset.partner(index, seed)
        captions.append(dataset.sentences(index, seed))
    return captions


def make_requests(images: int, *, samples: int, seed: int) -> list[tuple[int, int]]:
    """Rows at random, each with a seed, as a sampler asks for them."""
    generator = np.random.default_rng(seed)
    rows: NDArray[np.int64] = generator.integers(0, images, samples)
    return list(zip(rows.tolist(), generator.integers(0, 2**32, samples).tolist(), strict=True))


def measure(
    work: Callable[[int, int], object], *, sizes: Sequence[int], samples: int, rounds: int
) -> dict[int, list[float]]:
    """Microseconds a sample, by size of the set, the sizes taking turns.

    Args:
        work: Of the size of the set and the number of the round.
        sizes: Of the sets.
        samples: That one call of ``work`` makes.
        rounds: Calls for each size; one more is not counted.
    """
    times: dict[int, list[float]] = {size: [] for size in sizes}
    for number in range(rounds + 1):
        for size in sizes if number % 2 else reversed(sizes):
            start = time.process_time()
            work(size, number)
            times[size].append((time.process_time() - start) / samples * 1e6)
    return {size: figures[1:] for size, figures in times.items()}


def run(
    sets: dict[int, ImageTextDataset], tokenizer: CaptionTokenizer, *, batch: int, samples: int, rounds: int
) -> None:
    """Measure both, print."""
    asked = {
        (size, number): make_requests(size, samples=samples, seed=number)
        for size in sets
        for number in range(rounds + 1)
    }

    def plain(size: int, number: int) -> None:
        look_up(sets[size], asked[size, number])

    def tokenised(size: int, number: int) -> None:
        requests = asked[size, number]
        for start in range(0, samples, batch):
            tokenise(tokenizer, look_up(sets[size], requests[start : start + batch]))

    low, high = sets
    for name, work in (("metadata, caption, partner", plain), (f"the same, tokenised by {batch}", tokenised)):
        times = measure(work, sizes=list(sets), samples=samples, rounds=rounds)
        ratio = statistics.median(large / small for small, large in zip(times[low], times[high], strict=True))
        small, large = (statistics.median(times[size]) for size in sets)
        print(f"{name:30} {small:6.1f} us at {low:,} images, {large:6.1f} us at {high:,}: ratio {ratio:.2f}")


def main(args: Sequence[str] | None = None) -> None:
    """Make both sets, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs=2, default=SIZES, help="images of the small and of the large set")
    parser.add_argument("--samples", type=int, default=2048, help="samples of a round")
    parser.add_argument("--rounds", type=int, default=30, help="counted rounds of each size")
    parser.add_argument("--batch", type=int, default=64, help="captions tokenised at a time")
    parser.add_argument("--tokenizer", default="words", help="words, a local folder, or a name on the hub")
    options = parser.parse_args(args)
    sets = {size: make_dataset(size) for size in options.sizes}
    tokenizer = load_tokenizer(options.tokenizer)
    run(sets, tokenizer, batch=options.batch, samples=options.samples, rounds=options.rounds)


if __name__ == "__main__":
    main()
