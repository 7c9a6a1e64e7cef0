"""Trains, tests and predicts the tiny set in a fresh process: ``python -m ... FOLDER DEVICES BATCH_SIZE PRECISION``.

Some cases lack a modality. With ``poisoned`` as fifth word one case is no number.
"""

import json
import sys
from pathlib import Path

from medlit.callbacks import BestCheckpoint, PredictionWriter, RunManifest
from tests.medlit.tasks.tiny import TinyDataModule, early_intervention, trainer

LACKING = {"derm": [0, 2, 4, 5, 6, 8, 10, 12], "clinic": [3, 11]}
"""Cases without a modality; of two processes one evaluates hardly any dermoscopic image."""


def train_poisoned(folder: Path, devices: int, batch_size: int) -> None:
    settings = {"devices": devices, "strategy": "ddp_fork", "limit_val_batches": 0}
    data = TinyDataModule(batch_size=batch_size, poisoned=True)
    trainer(folder, **settings, enable_checkpointing=False).fit(early_intervention(), datamodule=data)


def main() -> None:
    folder, devices, batch_size, precision, *poisoned = sys.argv[1:]
    if poisoned:
        train_poisoned(Path(folder), int(devices), int(batch_size))
    else:
        train(Path(folder), int(devices), int(batch_size), precision)


def train(folder: Path, devices: int, batch_size: int, precision: str) -> None:
    settings = {
        "devices": devices,
        "strategy": "auto" if devices == 1 else "ddp_fork",
        "precision": precision,
        "max_epochs": 2,
        "callbacks": [BestCheckpoint(), PredictionWriter("csv"), RunManifest()],
    }
    runner, task = trainer(folder, **settings), early_intervention()
    data = TinyDataModule(batch_size=batch_size, lacking=LACKING)
    runner.fit(task, datamodule=data)
    fitted = {name: float(value) for name, value in runner.callback_metrics.items() if "/" in name}  # not the bar's
    runner.test(task, datamodule=data, ckpt_path=str(folder / "checkpoints/last.ckpt"), weights_only=True)
    tested = {name: float(value) for name, value in runner.callback_metrics.items() if "/" in name}
    data = TinyDataModule(batch_size=batch_size, labelled=False, lacking=LACKING, units=True)
    data.predict_split = "all"
    last = str(folder / "checkpoints/last.ckpt")
    runner.predict(task, datamodule=data, ckpt_path=last, weights_only=True, return_predictions=False)
    (folder / "figures.json").write_text(json.dumps(fitted | tested))


if __name__ == "__main__":
    main()
