"""Real B-scans and fundus photographs in MMC-AMD's layout, through the command line: check, fit, test, predict."""

import csv
import os
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest

from data_modules.retina.audit import audit_mmc_amd
from medlit import lightning_cli
from tests.medlit.command_line import tiny

REAL = os.environ.get("MEDLIT_REAL_FILES")
SIDE = 448
LETTERS = {"NORMAL": "h", "DRUSEN": "d", "DME": "p", "CNV": "w"}  # DME stands in for PCV
SPLITS = ("train", "val", "test")
EYES = 8

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(REAL is None, reason="MEDLIT_REAL_FILES names no folder of real scans"),
]

OVERFIT = """
data:
  init_args:
    batch_size: 4
    balanced_sampling: false
    train_transform: []
trainer:
  max_epochs: 14
  callbacks: []
"""


def photographs(count):
    """Square pieces of two fundus photographs, one a JPEG, one a DICOM file, each from another place."""
    from pydicom import dcmread  # of the extra dicom, which the real files need

    generator = np.random.default_rng(0)
    dicom = dcmread(Path(REAL, "fundus", "VL4_J2KI.dcm")).pixel_array
    sources = [cv2.imread(str(Path(REAL, "fundus", "retina.jpg"))), np.ascontiguousarray(dicom[..., ::-1])]
    for i in range(count):
        picture = sources[i % 2]
        side = min(picture.shape[:2]) * 2 // 3
        y, x = generator.integers(0, np.array(picture.shape[:2]) - side)
        yield cv2.resize(picture[y : y + side, x : x + side], (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def scans(split):
    """The eight B-scans with their names: as they are, mirrored, or the middle of them."""
    for path in sorted(Path(REAL, "oct").glob("*.png")):
        scan = cv2.imread(str(path))
        if split == "val":
            scan = scan[:, ::-1]
        elif split == "test":
            height, width = scan.shape[:2]
            scan = scan[height // 8 : -height // 8, width // 4 : -width // 8]
        yield path.stem.split("_")[1], cv2.resize(scan, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, np.ndarray):
        assert cv2.imwrite(str(path), content)
    else:
        path.write_text("".join(f"{line}\n" for line in content))


def make_tree(root):
    fundus = photographs(EYES * len(SPLITS))
    for place, split in enumerate(SPLITS):
        eyes = []
        for number, (name, scan) in enumerate(scans(split)):
            letter = LETTERS[name.split("-")[0]]
            eyes.append(f"{letter}-{100 * place + number}")
            write(root / f"ImageData/cfp-448x448/f-{eyes[-1]}.jpg", next(fundus))
            write(root / f"ImageData/oct/o-{eyes[-1]}.jpg", scan)
        assert len(eyes) == EYES
        for modality, letter in (("cfp", "f"), ("oct", "o")):
            folder = root / f"mmc-amd-splitAP-{split}"
            write(folder / f"ImageSets/{modality}.txt", [f"{letter}-{eye}" for eye in eyes])
            write(folder / f"annotations/{modality}.txt", [f"{letter}-{eye} {'hdpw'.index(eye[0])}" for eye in eyes])


def run(verb, words):
    """What the command calls, in this process: a start of Python and torch takes longer than the training."""
    assert lightning_cli.main([verb, *map(str, words)]) == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    make_tree(folder / "tree")
    (folder / "overfit.yaml").write_text(OVERFIT)
    words = tiny(folder / "tree", folder / "run", experiment="ei_mmc_amd")
    words[4:4] = ["--config", folder / "overfit.yaml"]
    run("fit", words)
    (folder / "run/predictions_test.parquet").unlink()  # fit tests too
    run("test", words)
    run("predict", [*words, "--data.predict_split", "all"])
    return folder


def test_real_pictures_are_sound(folder):
    audit = audit_mmc_amd(folder / "tree")
    assert audit.sound
    assert {row["train"] for name, row in audit.counts.items() if name != "no label"} == {2}


def test_the_training_loss_halves_on_eight_eyes(folder):
    with next(folder.glob("run/logs/csv/fit/**/metrics.csv")).open() as file:
        losses = [float(row["train/loss"]) for row in csv.DictReader(file) if row.get("train/loss")]
    assert losses[-1] < losses[0] / 2


@pytest.mark.parametrize(("file", "cases"), [("predictions_test", EYES), ("predict_all", EYES * len(SPLITS))])
def test_a_row_for_every_eye_and_different_probabilities(folder, file, cases):
    rows = pl.read_parquet(folder / f"run/{file}.parquet")
    assert rows["case_id"].n_unique() == rows.height == cases
    assert rows["prob_wet_amd"].round(6).n_unique() == cases
    assert (rows["label"].null_count() == cases) == (file == "predict_all")
