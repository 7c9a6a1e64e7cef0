"""The best and the last checkpoint of a run, under fixed names."""

import warnings
from pathlib import Path
from typing import Literal

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint


class BestCheckpoint(ModelCheckpoint):
    """Keeps ``best.ckpt`` (best metric so far) and ``last.ckpt`` (every epoch) in ``checkpoints/`` of the run folder.

    Both are written when an epoch has ended, so that training resumed from ``last.ckpt`` goes on as if unbroken.

    A task whose ``select_from_step`` is above zero is chosen from validations at that step or later alone, for it
    learns something else before: ``best.ckpt`` is not written until then, and a training that ends earlier says so.

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
        self._validated_at: int | None = None  # no validation yet

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write into the run folder."""
        self.dirpath = str(Path(trainer.default_root_dir).resolve() / "checkpoints")
        with warnings.catch_warnings():
            # A run that is resumed, or overwritten as asked, writes where there are checkpoints already.
            warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
            super().setup(trainer, pl_module, stage)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note at which step the figures were made."""
        if not trainer.sanity_checking:
            self._validated_at = trainer.global_step
        super().on_validation_end(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the best first, then the last: Lightning's own ``save_last`` leaves out epochs that are not best."""
        # An epoch may end without a validation of its own: the figures are then those of an earlier step.
        step = self._validated_at if str(self.monitor).startswith("val/") else trainer.global_step
        if step is not None and step >= select_from_step(pl_module):
            super().on_train_epoch_end(trainer, pl_module)
        if not getattr(trainer, "fast_dev_run", False) and self.dirpath is not None:
            self.last_model_path = str(Path(self.dirpath) / f"{self.CHECKPOINT_NAME_LAST}{self.FILE_EXTENSION}")
            trainer.save_checkpoint(self.last_model_path, weights_only=False)  # with optimizer and schedule

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say where nothing could be chosen."""
        super().on_train_end(trainer, pl_module)
        first = select_from_step(pl_module)
        if (
            first
            and not self.best_model_path
            and trainer.is_global_zero
            and not getattr(trainer, "fast_dev_run", False)
        ):
            print(
                f"No best.ckpt: it is chosen by {self.monitor} from step {first} on, training ended at step "
                f"{trainer.global_step}, last validated at step {self._validated_at or 0}; last.ckpt is there."
            )


def select_from_step(task: LightningModule) -> int:
    """The step from which a task may be chosen by its validation; 0 for tasks that say nothing of it."""
    return int(getattr(task, "select_from_step", 0))
