"""Real photographs in Derm7pt's layout, through the installed command: fit, test, predict."""

import csv
import json
import os
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest

from tests.data_modules.trees import write_indexes, write_meta
from tests.medlit.command_line import warm

REAL = os.environ.get("MEDLIT_REAL_FILES")
DIAGNOSIS = {"nevus": "clark nevus", "melanoma": "melanoma (in situ)"}
SIZES = {"train": 8, "valid": 4, "test": 9}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(REAL is None, reason="MEDLIT_REAL_FILES names no folder of real photographs"),
]

CONFIG = """
model:
  class_path: medlit.tasks.EarlyInterventionTask
  init_args:
    model:
      class_path: medlit.models.EarlyInterventionClassifier
      init_args:
        backbone: vit_base_patch16_clip_224
        pretrained: false
        model_args: {depth: 2, embed_dim: 64, num_heads: 4}
    optimizer: {class_path: torch.optim.AdamW, init_args: {lr: 0.003}}
data:
  class_path: data_modules.skin.Derm7ptDataModule
  init_args: {img_size: 64, batch_size: 4, balanced_sampling: false}
trainer:
  accelerator: cpu
  max_epochs: 40
  log_every_n_steps: 1
  enable_progress_bar: false
  callbacks:
    - class_path: medlit.callbacks.BestCheckpoint
    - class_path: medlit.callbacks.PredictionWriter
"""


def crops(picture, count, side, generator):
    """Square pieces of a photograph from anywhere in it."""
    corners = generator.integers(0, [picture.shape[0] - side, picture.shape[1] - side], (count, 2))
    return [picture[y : y + side, x : x + side] for y, x in corners]


def make_tree(root: Path) -> Path:
    """Dermoscopy photographs as one modality, pieces of a fundus photograph as a stand-in for the other."""
    generator = np.random.default_rng(0)
    sources = sorted(Path(REAL, "dermoscopy").glob("*.jpg"))
    total = sum(SIZES.values())
    fundus = crops(cv2.imread(str(Path(REAL, "fundus", "retina.jpg"))), total, 400, generator)
    rows = []
    for case in range(total):
        source = sources[case % len(sources)]
        [derm] = crops(cv2.imread(str(source)), 1, 200, generator)
        clinical = json.loads(source.with_suffix(".json").read_text())["meta"]["clinical"]
        row = {"case_num": case + 1, "diagnosis": DIAGNOSIS[clinical["diagnosis"]]}
        for modality, picture in (("clinic", fundus[case]), ("derm", derm)):
            row[modality] = f"Real/{modality}{case:03}.jpg"
            path = root / "images" / row[modality]
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), picture)
        rows.append(row)
    (root / "meta").mkdir()
    write_meta(root, rows)
    bounds = np.cumsum([0, *SIZES.values()]).tolist()
    write_indexes(root, **{name: list(range(*bounds[i : i + 2])) for i, name in enumerate(SIZES)})
    return root


def medlit(verb, folder, *options):
    done = warm(verb, "--config", "real.yaml", "--data.init_args.root", "tree", *options, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    make_tree(folder / "tree")
    (folder / "real.yaml").write_text(CONFIG)
    for run in ("first", "second"):
        medlit("fit", folder, "--run_dir", run)
    medlit("test", folder, "--run_dir", "first")
    medlit("predict", folder, "--run_dir", "first", "--data.init_args.predict_split", "all")
    return folder


def test_the_training_loss_halves_on_eight_cases(folder):
    with next(folder.glob("first/logs/**/metrics.csv")).open() as file:
        losses = [float(row["train/loss"]) for row in csv.DictReader(file) if row.get("train/loss")]
    assert losses[-1] < losses[0] / 2


def test_the_test_has_a_row_for_every_case_and_different_probabilities(folder):
    rows = pl.read_parquet(folder / "first/predictions_test.parquet")
    assert rows["case_id"].n_unique() == rows.height == SIZES["test"]
    assert rows["prob_MEL"].round(6).n_unique() == SIZES["test"]


def test_the_prediction_has_a_row_for_every_case(folder):
    rows = pl.read_parquet(folder / "first/predict_all.parquet")
    assert rows["case_id"].n_unique() == rows.height == sum(SIZES.values())


def test_a_second_run_gives_the_same_probabilities(folder):
    first, second = (pl.read_parquet(folder / run / "predictions_test.parquet") for run in ("first", "second"))
    assert first.equals(second)
