"""Pretrains with weights dealt out to two processes: ``python -m ... FOLDER CHECKPOINT``.

One fit for each of `SCENARIOS`, a test of the best checkpoint, and one that goes on from CHECKPOINT, which one process
wrote, and one from the first fit's own. `pretrain` does the same on one process, for the tests that compare.
"""

import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from lightning.pytorch import Callback
from lightning.pytorch.strategies import ModelParallelStrategy
from torch.distributed.tensor import DTensor
from torch.optim import SGD, AdamW

from medlit.callbacks import BestCheckpoint
from medlit.models import TextTower
from tests.medlit.tasks.tiny import trainer
from tests.medlit.tasks.tiny_pairs import IMAGE, TinyPairs, mama

GLOBAL_BATCH = 6
PAIRS = 20
"""Four global batches an epoch, the last filled up; batches of the validation differ in size by process."""
EPOCHS = 5
"""20 steps."""
LATE_START = 6
BERT = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
NO_DROPOUT = dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), 0.0)

SCENARIOS = {
    "frozen": {"trainer": {"gradient_clip_val": 5.0}},
    "trained": {
        "trainer": {"accumulate_grad_batches": 2},
        "task": {"micro_batch_size": 2, "optimizer": partial(AdamW, lr=1e-4)},
        "model": {
            "image": replace(IMAGE, gradient_checkpointing=True),
            "text": TextTower(
                backbone="bert",
                pretrained=False,
                model_args=BERT | NO_DROPOUT,
                train_backbone=True,
                gradient_checkpointing=True,
            ),
        },
    },
}
"""A frozen GPT-2 under LoRA, clipped; a BERT that is trained, recomputed, in chunks, its batches accumulated."""


class Told(Callback):
    """Writes down each step's loss, and how many of the text tower's numbers a process holds."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.losses = folder, []

    def on_train_batch_end(self, runner, task, outputs, batch, batch_idx) -> None:
        self.losses.append(float(task.trainer.callback_metrics["loss"]))

    def on_train_end(self, runner, task) -> None:
        held = {"whole": 0, "here": 0}
        for parameter in task.model.text_encoder.parameters():
            held["whole"] += parameter.numel()
            held["here"] += (parameter.to_local() if isinstance(parameter, DTensor) else parameter).numel()
        said = {"losses": self.losses, "held": held}
        (self.folder / f"said{runner.global_rank}.json").write_text(json.dumps(said))


def pretrain(folder: Path, scenario: str, *, devices: int, epochs: int = EPOCHS, checkpoint: str | None = None) -> None:
    """Fit, and test the best checkpoint, under ``ModelParallelStrategy`` where there are several devices."""
    folder.mkdir(parents=True, exist_ok=True)
    chosen = SCENARIOS[scenario]
    sharded = {"data_parallel_size": devices, "tensor_parallel_size": 1, "save_distributed_checkpoint": False}
    settings = {
        "devices": devices,
        "strategy": ModelParallelStrategy(**sharded) if devices > 1 else "auto",
        "max_epochs": epochs,
        "callbacks": [Told(folder), BestCheckpoint("val/loss", mode="min")],
        **chosen["trainer"],
    }
    task = mama(
        **{"late_start": LATE_START, "optimizer": partial(SGD, lr=1e-3, momentum=0.9), **chosen.get("task", {})},
        model=chosen.get("model"),
    )
    runner = trainer(folder, **settings)
    runner.fit(task, datamodule=TinyPairs(pairs=PAIRS, batch_size=GLOBAL_BATCH // devices), ckpt_path=checkpoint)
    data = TinyPairs(pairs=PAIRS, batch_size=3)  # figures are made of batches
    best = str(folder / "checkpoints/best.ckpt")
    [tested] = runner.test(task, datamodule=data, ckpt_path=best, weights_only=True, verbose=False)
    if runner.is_global_zero:
        (folder / "figures.json").write_text(json.dumps(tested))


def main() -> None:
    torch.set_num_threads(1)
    folder, checkpoint = Path(sys.argv[1]), sys.argv[2]
    for scenario in SCENARIOS:
        pretrain(folder / scenario, scenario, devices=2)
    own = str(folder / "frozen/checkpoints/last.ckpt")
    for name, start in (("from_one", checkpoint), ("from_two", own)):
        pretrain(folder / name, "frozen", devices=2, epochs=EPOCHS + 1, checkpoint=start)


if __name__ == "__main__":
    main()
