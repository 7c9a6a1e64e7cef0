"""The run folder at the start of a training: room, configuration, and what later trainings compare themselves with."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Timer

from medlit import resume, run_folder
from medlit.callbacks.manifest import global_batch
from medlit.callbacks.positions import epoch_has_ended


class RunFolder(Callback):
    """Makes room in the run folder and saves the configuration there, ready for ``medlit test --config``.

    Both wait for the start of training, when data, model and optimizer are known to be sound: a start that fails
    leaves an earlier run as it was. Every checkpoint says with which settings it was trained; a training that goes on
    by itself refuses one of others.

    Args:
        folder: Of the run.
        save: Writes the configuration to a path.
        settings: Of `medlit.resume.settings_of`.
        resumed: Whether training goes on from a checkpoint that was found, not named.
        damaged: Checkpoints that were found damaged on the way, and why.
        overwrite: Whether checkpoints of an earlier run may go that are not medlit's.
    """

    def __init__(
        self,
        folder: Path,
        save: Callable[[Path], None],
        *,
        settings: Mapping[str, str],
        resumed: bool = False,
        damaged: Mapping[Path, str] | None = None,
        overwrite: bool = False,
    ) -> None:
        self.folder, self.save, self.settings = folder, save, dict(settings)
        self.resumed, self.damaged, self.overwrite = resumed, dict(damaged or {}), overwrite

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remove the run that is overwritten, if any, and write the configuration."""
        if not trainer.is_global_zero or getattr(trainer, "fast_dev_run", False):
            return
        checkpoint = None if trainer.ckpt_path is None else str(trainer.ckpt_path)
        if not run_folder.is_within(self.folder, checkpoint):
            logs = [getattr(logger, "log_dir", None) for logger in trainer.loggers]
            keep = [log for log in logs if log]
            run_folder.clear(self.folder, keep=keep, spare_checkpoints=not self.overwrite)
        for line in resume.set_aside(self.damaged):
            print(line, flush=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.save(self.folder / run_folder.CONFIG)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Say with which settings it was trained, and whether it has come to its end."""
        checkpoint[resume.KEY] = {
            "settings": self.settings,
            "global_batch": global_batch(trainer),
            resume.STOPPED: has_stopped(trainer),
        }

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Refuse another number of cases per step."""
        if self.resumed:
            resume.check_global_batch(checkpoint, global_batch(trainer), source=str(trainer.ckpt_path))


def has_stopped(trainer: Trainer) -> bool:
    """Whether an epoch has ended and early stopping, or a task, ends the training with it.

    Lightning keeps no such decision. Running out of time is none: more may be given.
    """
    callbacks: list[Callback] = getattr(trainer, "callbacks", [])
    left = [callback.time_remaining() for callback in callbacks if isinstance(callback, Timer)]
    out_of_time = any(seconds is not None and seconds <= 0 for seconds in left)
    is_decided = trainer.should_stop and trainer.fit_loop._can_stop_early
    return is_decided and not out_of_time and epoch_has_ended(trainer)
