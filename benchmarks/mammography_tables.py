"""Building EMBED's sample table from tables of its full size: seconds and memory.

``python -m benchmarks.mammography_tables`` generates tables with as many images, exams, patients and findings as the
set has, columns as in the official files, and reads them in processes of their own, one after the other.
"""

import argparse
import csv
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from numpy.random import Generator
from numpy.typing import NDArray

from data_modules.mammography.embed.files import CLINICAL, METADATA, METADATA_REDUCED
from data_modules.mammography.embed.legend import CODE, HEADER, LEGEND, MEANING

IMAGES, EXAMS, PATIENTS, FINDINGS = 480_323, 72_770, 23_256, 81_776
"""Of EMBED's open data: docs/datasets/embed.md."""
SHARE_2D = 0.76
"""Of the images; the others are C-view."""
FIRST_DAY = np.datetime64("2013-01-01")
DAYS = 8 * 365
"""The exams span eight years."""
DESCRIPTIONS = (
    "MG Screen Bilat w/Tomo/CAD Stnd Protocol", "MG Screening Bilateral w/CAD", "MG Diagnostic Bilateral w/ CAD",
    "MG Diagnostic Left w/CAD", "MG Diagnostic Right w/CAD",
)  # fmt: skip
WIDE = 100
"""Columns of DICOM attributes that the full table of images has besides, about as many as in the official one."""
LETTERS = {
    "massshape": "GROXQATNBFSVY",
    "massdens": "+=-0",
    "calcfind": "A9HCDEFBGILMJKPRSOUVQ",
    "calcdistri": "GSRDLC",
}
"""The official legend's codes."""
CHILD = """
import json, sys, time
from pathlib import Path
start = time.perf_counter()
from data_modules.mammography.embed.rules import EmbedRules
from data_modules.mammography.embed.tables import read_samples
imported = time.perf_counter()
table = read_samples(Path(sys.argv[1]), rules=EmbedRules(metadata=sys.argv[2]))
done = time.perf_counter()
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
peak = int(status["VmHWM"].split()[0]) * 1024  # ru_maxrss would count what the parent held when it started this process
print(json.dumps({"import": imported - start, "build": done - imported, "cpu": time.process_time(), "peak": peak,
                  "rows": len(table.frame), "dropped": table.dropped, "touched": table.touched}))
"""


def write_tables(root: Path, *, scale: float, full: bool, seed: int = 0) -> None:
    """Write tables of EMBED's size.

    Args:
        root: Folder to make ``tables/`` in.
        scale: Of all counts, above 0 and up to 1.
        full: The table of images with all of its columns, in place of the reduced one.
        seed: Of everything in them.
    """
    generator = np.random.default_rng(seed)
    images, exams, patients, findings = (int(scale * count) for count in (IMAGES, EXAMS, PATIENTS, FINDINGS))
    (root / "tables").mkdir(parents=True)
    owner = generator.permutation(np.arange(exams) % patients)
    exam_ids = generator.permutation(10**15 + np.arange(exams) * 7919)
    day = FIRST_DAY + generator.integers(0, DAYS, exams).astype("timedelta64[D]")
    kind = generator.choice(len(DESCRIPTIONS), exams, p=[0.5, 0.22, 0.1, 0.09, 0.09])
    shared = {"owner": owner, "exam_ids": exam_ids, "day": day, "kind": kind}
    frame = _images(generator, images, **shared)
    if full:
        extra = {
            f"Attribute{i}": np.char.add("value ", generator.integers(0, 10**6, images).astype(str))
            for i in range(WIDE)
        }
        frame = frame.with_columns(**extra)
    else:
        frame.insert_column(0, pl.Series("Unnamed: 0", np.arange(images)))
    frame.write_csv(root / (METADATA if full else METADATA_REDUCED))
    _findings(generator, findings, **shared).write_csv(root / CLINICAL)
    with (root / LEGEND).open("w", newline="") as stream:
        rows = [
            (column, "", f"{code}     ", f"Meaning {code}   ") for column, codes in LETTERS.items() for code in codes
        ]
        csv.writer(stream).writerows([(HEADER, "Discription", CODE, MEANING), *rows])


def _images(
    generator: Generator,
    images: int,
    *,
    owner: NDArray[np.int64],
    exam_ids: NDArray[np.int64],
    day: NDArray[np.datetime64],
    kind: NDArray[np.int64],
) -> pl.DataFrame:
    """A row per image: both sides, CC and MLO, 2D and C-view."""
    exam = np.sort(
        np.concatenate([np.arange(len(exam_ids)), generator.integers(0, len(exam_ids), images - len(exam_ids))])
    )
    patient = (10_000_000 + owner[exam] * 3).astype(str)
    uid = np.char.add("1.2.826.0.1.3680043.8.498.", (10**18 + np.arange(images)).astype(str))
    folder = np.char.add("1.2.826.0.1.3680043.8.498.1", exam_ids[exam].astype(str))
    parts = [np.where(owner[exam] % 2, "cohort_1", "cohort_2"), patient, folder, np.char.add(folder, ".7"), uid]
    path = "/mnt/NAS2/mammo/anon_dicom"
    for part in parts:
        path = np.char.add(np.char.add(path, "/"), part)
    spot = generator.random(images) < 0.05
    return pl.DataFrame(
        {
            "empi_anon": patient,
            "acc_anon": exam_ids[exam],
            "cohort_num": 1 + owner[exam] % 2,
            "study_date_anon": day[exam].astype(str),
            "StudyDescription": np.array(DESCRIPTIONS)[kind[exam]],
            "SeriesDescription": generator.choice(["R CC", "L CC", "R MLO", "L MLO", "R CC C-View"], images),
            "FinalImageType": np.where(generator.random(images) < SHARE_2D, "2D", "cview"),
            "ImageLateralityFinal": generator.choice(["L", "R"], images),
            "ViewPosition": generator.choice(["CC", "MLO", "XCCL", "ML"], images, p=[0.46, 0.46, 0.04, 0.04]),
            "spot_mag": pl.Series(np.where(spot, 1.0, np.nan), nan_to_null=True),
            "anon_dicom_path": np.char.add(path, ".dcm"),
            "png_path": np.char.add(path, ".png"),
            "png_filename": np.char.add(uid, ".png"),
            "num_roi": np.zeros(images, dtype=np.int64),
            "ROI_coords": np.full(images, "()"),
            "SRC_DST": np.full(images, "[]"),
            "match_level": np.full(images, "[]"),
        }
    )


def _findings(
    generator: Generator,
    findings: int,
    *,
    owner: NDArray[np.int64],
    exam_ids: NDArray[np.int64],
    day: NDArray[np.datetime64],
    kind: NDArray[np.int64],
) -> pl.DataFrame:
    """A row per finding; every exam has one."""
    exams = len(exam_ids)
    exam = np.sort(np.concatenate([np.arange(exams), generator.integers(0, exams, findings - exams)]))
    asses = generator.choice(list("NBAPSMKX"), findings, p=[0.55, 0.2, 0.12, 0.05, 0.05, 0.01, 0.01, 0.01])
    described = ~np.isin(asses, ["N", "X"]) & (generator.random(findings) < 0.6)
    biopsied = np.isin(asses, ["S", "M"]) & (generator.random(findings) < 0.8)
    taken = day[exam] + generator.integers(1, 60, findings).astype("timedelta64[D]")
    letters = {
        column: np.where(described, generator.choice(list(codes), findings), "") for column, codes in LETTERS.items()
    }
    return pl.DataFrame(
        {
            "empi_anon": 10_000_000 + owner[exam] * 3,
            "acc_anon": exam_ids[exam],
            "study_date_anon": day[exam].astype(str),
            "desc": np.array(DESCRIPTIONS)[kind[exam]],
            "tissueden": generator.choice([1.0, 2.0, 3.0, 4.0, 5.0], findings, p=[0.1, 0.42, 0.42, 0.055, 0.005]),
            "asses": asses,
            "numfind": np.ones(findings, dtype=np.int64),
            "side": np.where(asses == "N", "", generator.choice(["L", "R", "B"], findings, p=[0.48, 0.48, 0.04])),
            **letters,
            "calcnumber": np.zeros(findings, dtype=np.int64),
            "bside": np.where(biopsied, generator.choice(["L", "R"], findings), ""),
            "procdate_anon": np.where(biopsied, taken.astype(str), ""),
            "path_severity": np.where(biopsied, generator.integers(0, 7, findings).astype(float).astype(str), ""),
            "age_at_study": generator.uniform(30, 90, findings).round(2),
            "RACE_DESC": generator.choice(["Caucasian or White", "African American  or Black", "Asian"], findings),
            "ETHNICITY_DESC": generator.choice(["Non-Hispanic or Latino", "Hispanic or Latino", ""], findings),
            **{f"Other{i}": np.full(findings, "text that nothing reads") for i in range(80)},
        }
    )


def main(args: list[str] | None = None) -> None:
    """Generate, read, print.

    Args:
        args: Command line; ``sys.argv`` by default.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="of the set's size")
    parser.add_argument("--full", action="store_true", help="the table of images with all its columns")
    options = parser.parse_args(args)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_tables(root, scale=options.scale, full=options.full)
        size = sum(path.stat().st_size for path in (root / "tables").iterdir())
        command = [sys.executable, "-c", CHILD, folder, "full" if options.full else "reduced"]
        runs = [
            json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            for _ in range(options.repeats)
        ]
    said = runs[0]
    print(f"tables of {size / 1e6:.0f} MB -> {said['rows']:,} samples")
    print(f"build {statistics.median(run['build'] for run in runs):6.2f} s (median of {len(runs)}), "
          f"imports {statistics.median(run['import'] for run in runs):.2f} s; "
          f"processor time of both {statistics.median(run['cpu'] for run in runs):.2f} s")  # fmt: skip
    print(f"peak  {max(run['peak'] for run in runs) / 1e9:6.2f} GB of the process")
    for title in ("dropped", "touched"):
        for reason, count in said[title].items():
            print(f"{title}: {count:>9,} {reason}")


if __name__ == "__main__":
    main()
