"""Every task in as many processes as it was started in, under ddp: ``python -m ... FOLDER TREE CHECKPOINT``.

``torchrun --nproc-per-node N -m ...`` starts N, as `tests.medlit.command_line.warm_ranks` does. The global batch is
always the same. Of each task FOLDER gets the loss of every step, the predictions and figures of its test, and the cases
that each process has tested.
"""

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback
from torch.optim import SGD

from data_modules.mammography.class_text import ClassTextSettings
from medlit.callbacks import PredictionWriter
from medlit.models import AttentionMILFusion
from medlit.tasks import FusionTask
from tests.medlit.tasks.run_processes import LACKING
from tests.medlit.tasks.test_probe import data as derm7pt
from tests.medlit.tasks.test_probe import probe
from tests.medlit.tasks.tiny import (
    BACKBONE,
    MODALITIES,
    TinyDataModule,
    early_intervention,
    from_data,
    trainer,
    unimodal,
)
from tests.medlit.tasks.tiny_pairs import TinyPairs, mama
from tests.medlit.tasks.zero_shot_runs import embed, zero_shot

WORLD = int(os.environ.get("WORLD_SIZE", "1"))
GLOBAL_BATCH = 12
STEPS = 20
"""Of 13 cases an epoch has two."""
TRAINED = ("early_intervention", "unimodal", "fusion", "mama")
FEW = ("few_cases", "few_pairs")
"""Two cases, of which three processes cannot have one each."""
JUDGED = ("zero_shot", "probe")


class Told(Callback):
    """Writes down what is compared."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.losses: list[float] = []
        self.seen: list[list[str]] = []

    def on_train_batch_end(self, runner, task, outputs, batch, batch_idx) -> None:
        if isinstance(outputs, dict) and "loss" in outputs:
            self.losses.append(float(runner.strategy.reduce(outputs["loss"].detach(), reduce_op="mean")))

    def on_test_batch_end(self, runner, task, outputs, batch, batch_idx, dataloader_idx=0) -> None:
        self.seen.append(list(batch["case_id"]))

    def on_test_end(self, runner, task) -> None:
        figures = {name: float(value) for name, value in runner.callback_metrics.items() if "/" in name}
        said = {"losses": self.losses, "seen": self.seen, "figures": figures}
        (self.folder / f"said{runner.global_rank}.json").write_text(json.dumps(said))


def settings_of(folder: Path) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    strategy = "ddp" if WORLD > 1 else "auto"
    return {"devices": WORLD, "strategy": strategy, "callbacks": [Told(folder), PredictionWriter("csv")]}


def fusion() -> FusionTask:
    torch.manual_seed(0)
    return FusionTask(**from_data(MODALITIES), model=partial(AttentionMILFusion, **BACKBONE))


def train_and_test(folder: Path, task: Any, data: Any, tested: Any) -> None:
    """20 steps, validated on the way, and a test."""
    runner = trainer(folder, **settings_of(folder), max_epochs=STEPS // 2, check_val_every_n_epoch=5)
    runner.fit(task, datamodule=data)
    runner.test(task, datamodule=tested, verbose=False)


def main() -> None:
    torch.set_num_threads(1)
    folder, tree, checkpoint = map(Path, sys.argv[1:4])
    share = GLOBAL_BATCH // WORLD
    slow = {"optimizer": partial(SGD, lr=1e-4)}  # the largest of many products may be another one's after rounding
    tasks: dict[str, Callable[[], Any]] = {
        "early_intervention": partial(early_intervention, use_class_weights=True),
        "unimodal": unimodal,
        "fusion": fusion,
        "mama": partial(mama, late_start=6, **slow),
    }
    for name in TRAINED:
        if name == "mama":  # its figures are made of batches, of one size in every world
            data, tested = TinyPairs(batch_size=share), TinyPairs(batch_size=3)
        else:
            lacking = LACKING if name == "early_intervention" else None
            data = TinyDataModule(batch_size=share, balanced=True, lacking=lacking)
            tested = TinyDataModule(batch_size=2, lacking=lacking)
        train_and_test(folder / name, tasks[name](), data, tested)
    for name, task, few in (
        ("few_cases", early_intervention(), TinyDataModule(cases=2, batch_size=share)),
        ("few_pairs", mama(optimizer=partial(SGD, lr=1e-6)), TinyPairs(pairs=2, batch_size=share)),
    ):
        train_and_test(folder / name, task, few, few)
    module = embed(class_text=ClassTextSettings(max_tokens=52))  # some captions are longer
    runner = trainer(folder / "zero_shot", **settings_of(folder / "zero_shot"))
    runner.test(zero_shot(module, checkpoint), datamodule=module, verbose=False)
    module = derm7pt(tree)
    task = probe(module)
    runner = trainer(folder / "probe", **settings_of(folder / "probe"))
    runner.fit(task, module)
    runner.test(task, module, verbose=False)


if __name__ == "__main__":
    main()
