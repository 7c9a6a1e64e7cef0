"""A pass without an optimizer in a fresh process: ``python -m tests.medlit.tasks.run_one_pass FOLDER DEVICES``."""

import sys
from pathlib import Path

import torch

from data_modules.batch import ClassificationBatch
from medlit.callbacks import BestCheckpoint, PredictionWriter
from medlit.tasks import CaseResults, EvaluationTask
from medlit.tasks.one_pass import OnePassTask
from medlit.tasks.results import rows_of
from tests.medlit.tasks.tiny import CLASSES, TinyDataModule, trainer


class MeanColour(OnePassTask, EvaluationTask):
    """Tells classes by the mean of each colour, less what it was in training."""

    def __init__(self) -> None:
        super().__init__(modalities=["derm"], num_classes=3, class_names=CLASSES)
        self.dropout = torch.nn.Dropout(1.0)  # leaves nothing where it is on
        self.mean = torch.nn.Parameter(torch.zeros(3))
        self.batches: list[torch.Tensor] = []

    def training_step(self, batch: ClassificationBatch, batch_idx: int) -> None:
        self.batches.append(self.dropout(batch["images"]["derm"]).mean((0, 1, 3, 4)))

    def rows(self, batch: ClassificationBatch) -> CaseResults:
        colour = self.dropout(batch["images"]["derm"]).mean((1, 3, 4)) - self.mean
        return rows_of(batch, {"derm": colour}, gate=None, present=None)

    def on_validation_epoch_start(self) -> None:
        super().on_validation_epoch_start()
        if self.batches:
            self.mean.data = torch.stack(self.batches).mean(0)


def run(folder: Path, *, devices: int = 1, epochs: int = 1) -> tuple[MeanColour, object]:
    """The task, and the Trainer that ran it."""
    task = MeanColour()
    runner = trainer(
        folder,
        devices=devices,
        strategy="auto" if devices == 1 else "ddp_fork",
        max_epochs=epochs,
        callbacks=[BestCheckpoint(), PredictionWriter("csv")],
    )
    data = TinyDataModule(batch_size=4 // devices)
    runner.fit(task, datamodule=data)
    runner.test(task, datamodule=data, ckpt_path=str(folder / "checkpoints/best.ckpt"), weights_only=True)
    return task, runner


if __name__ == "__main__":
    run(Path(sys.argv[1]), devices=int(sys.argv[2]))
