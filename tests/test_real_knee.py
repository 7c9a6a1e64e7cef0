"""Real magnetic resonance pictures in MRNet's layout, through the command line: check, fit, test, predict."""

import csv
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from data_modules.knee.audit import audit_mrnet
from medlit import lightning_cli
from tests.data_modules.knee.trees import COMBINATIONS, LABELS, save, write_labels
from tests.medlit.command_line import tiny

REAL = os.environ.get("MEDLIT_REAL_FILES")
SOURCES = {"axial": "MR1_J2KR.dcm", "coronal": "MR3_J2KR.dcm", "sagittal": "MR2_J2KR.dcm"}
"""A coronal knee; a head and a shoulder stand in for the other planes."""
TRAIN, VAL, TEST = 8, 2, 5

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(REAL is None, reason="MEDLIT_REAL_FILES names no folder of real scans"),
]

OVERFIT = """
data: {init_args: {batch_size: 4, train_transform: [], balanced_sampling: false, val_size: 2}}
trainer: {max_epochs: 10, callbacks: []}
"""


def picture(name: str) -> np.ndarray:
    """A DICOM file as 8-bit gray: from its first to its 99.5th percentile."""
    from pydicom import dcmread  # of the extra dicom, which the real files need

    pixels = dcmread(Path(REAL, "mr", name)).pixel_array.astype(float)
    low, high = np.percentile(pixels, [1, 99.5])
    return (np.clip((pixels - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def volume(source: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Slices of one exam: a piece of the picture from its middle, its own contrast, a little further on in each."""
    slices, side = int(generator.integers(5, 9)), 160
    y, x = (size // 2 - side // 2 + int(generator.integers(-60, 60)) for size in source.shape)
    gain, gamma = generator.uniform(0.6, 1.0), generator.uniform(0.7, 1.4)
    pieces = np.stack([source[y + 3 * i : y + 3 * i + side, x : x + side] for i in range(slices)])
    return (255 * gain * (pieces / 255) ** gamma).astype(np.uint8)


def make_tree(root: Path) -> Path:
    generator = np.random.default_rng(0)
    pictures = {plane: picture(name) for plane, name in SOURCES.items()}
    splits = {"train": range(TRAIN + VAL), "valid": range(TRAIN + VAL, TRAIN + VAL + TEST)}
    for split, numbers in splits.items():
        for number in numbers:
            for plane, source in pictures.items():
                save(root, split, plane, f"{number:04}", volume(source, generator))
        for column, label in enumerate(LABELS):
            write_labels(root, split, label, {f"{n:04}": COMBINATIONS[n % 5][column] for n in numbers})
    return root


def run(verb, words):
    """What the command calls, in this process: a start of Python and torch takes longer than the training."""
    assert lightning_cli.main([verb, *map(str, words)]) == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("knee")
    make_tree(folder / "tree")
    (folder / "overfit.yaml").write_text(OVERFIT)
    words = tiny(folder / "tree", folder / "run", experiment="ei_mrnet")
    words[4:4] = ["--config", folder / "overfit.yaml"]
    run("fit", words)
    (folder / "run/predictions_test.parquet").unlink()  # fit tests too
    run("test", words)
    run("predict", [*words, "--data.predict_split", "all"])
    return folder


def test_the_training_loss_halves_on_eight_exams(folder):
    with next(folder.glob("run/logs/csv/fit/**/metrics.csv")).open() as file:
        losses = [float(row["train/loss"]) for row in csv.DictReader(file) if row.get("train/loss")]
    assert losses[-1] < losses[0] / 2


def test_the_test_has_a_row_for_every_exam_and_different_probabilities(folder):
    rows = pl.read_parquet(folder / "run/predictions_test.parquet")
    assert rows["case_id"].n_unique() == rows.height == TEST
    for label in LABELS:
        assert rows[f"prob_{label}"].round(6).n_unique() == TEST


def test_the_prediction_has_a_row_for_every_exam(folder):
    rows = pl.read_parquet(folder / "run/predict_all.parquet")
    assert rows["case_id"].n_unique() == rows.height == TRAIN + VAL + TEST
    assert rows["prob_acl"].round(6).n_unique() == rows.height


def test_the_audit_finds_the_tree_sound(folder):
    audit = audit_mrnet(folder / "tree")
    assert audit.sound, audit.by_kind("fault")
