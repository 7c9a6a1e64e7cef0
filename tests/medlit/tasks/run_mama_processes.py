"""Pretrains on pairs in a fresh process, in float32 and in bf16: ``python -m ... FOLDER DEVICES [poisoned]``.

The global batch is the same on one device and on two, so that the gradients, the weights and the figures should be;
weights hardly move, so that every step is compared for itself. ``poisoned`` makes one image no number.
"""

import json
import sys
from pathlib import Path

import torch
from lightning.pytorch import Callback
from torch.optim import SGD

from medlit.callbacks import BestCheckpoint
from tests.medlit.tasks.tiny import trainer
from tests.medlit.tasks.tiny_pairs import TinyPairs, mama

GLOBAL_BATCH = 6
PAIRS = 20
"""Four global batches an epoch, the last filled up; in evaluation 7 batches of 3 or 2, one of them twice."""
LATE_START = 6
PRECISIONS = ("32-true", "bf16-mixed")


class Gradients(Callback):
    """Gradients that the optimizer sees, by step; written by process 0, for all have the same."""

    def __init__(self) -> None:
        self.steps: list[dict[str, torch.Tensor]] = []

    def on_train_end(self, runner, task) -> None:
        if runner.is_global_zero:
            torch.save(self.steps, Path(runner.default_root_dir, "gradients.pt"))
            torch.save(task.model.trained_state(), Path(runner.default_root_dir, "weights.pt"))

    def on_before_optimizer_step(self, runner, task, optimizer) -> None:
        given = {name: parameter.grad for name, parameter in task.model.named_parameters()}
        self.steps.append({name: gradient.clone() for name, gradient in given.items() if gradient is not None})


def pretrain(folder: Path, devices: int, precision: str, *, poisoned: bool) -> None:
    folder.mkdir(parents=True)
    settings = {
        "devices": devices,
        "strategy": "auto" if devices == 1 else "ddp_fork",  # which finds no unused parameters
        "precision": precision,
        "max_epochs": 3,
        "callbacks": [Gradients(), BestCheckpoint("val/loss", mode="min")],
    }
    data = TinyPairs(pairs=PAIRS, batch_size=GLOBAL_BATCH // devices)
    if poisoned:
        data.samples[7]["image"][:] = float("nan")
    task = mama(late_start=LATE_START, optimizer=lambda parameters: SGD(parameters, lr=1e-6))
    runner = trainer(folder, **settings)
    runner.fit(task, datamodule=data)
    # Evaluated by batches of one size, whatever the number of processes, the figures are one process's.
    fitted = {name: float(value) for name, value in runner.callback_metrics.items() if name.startswith("train/")}
    [found] = runner.validate(task, datamodule=TinyPairs(pairs=PAIRS, batch_size=3), verbose=False)
    (folder / "figures.json").write_text(json.dumps(fitted | found))


if __name__ == "__main__":
    for name in PRECISIONS:
        pretrain(Path(sys.argv[1], name), int(sys.argv[2]), name, poisoned="poisoned" in sys.argv)
