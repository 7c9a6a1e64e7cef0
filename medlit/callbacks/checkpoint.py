"""The best and the last checkpoint of a run, under fixed names."""

import warnings
from pathlib import Path
from typing import Literal

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint


class BestCheckpoint(ModelCheckpoint):
    """Keeps ``best.ckpt`` (best metric so far) and ``last.ckpt`` (every epoch) in ``checkpoints/`` of the run folder.

    Both are written when an epoch has ended, so that training resumed from ``last.ckpt`` goes on as if unbroken.

    Args:
        monitor: Metric that says which epoch is best.
        mode: Whether more or less of it is better.
    """

    def __init__(self, monitor: str = "val/map", mode: Literal["max", "min"] = "max") -> None:
        super().__init__(
            filename="best",
            monitor=monitor,
            mode=mode,
            auto_insert_metric_name=False,
            enable_version_counter=False,
            save_on_train_epoch_end=True,
        )

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write into the run folder."""
        self.dirpath = str(Path(trainer.default_root_dir).resolve() / "checkpoints")
        with warnings.catch_warnings():
            # A run that is resumed, or overwritten as asked, writes where there are checkpoints already.
            warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
            super().setup(trainer, pl_module, stage)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the best first, then the last: Lightning's own ``save_last`` leaves out epochs that are not best."""
        super().on_train_epoch_end(trainer, pl_module)
        if not getattr(trainer, "fast_dev_run", False) and self.dirpath is not None:
            self.last_model_path = str(Path(self.dirpath) / f"{self.CHECKPOINT_NAME_LAST}{self.FILE_EXTENSION}")
            trainer.save_checkpoint(self.last_model_path, weights_only=False)  # with optimizer and schedule
