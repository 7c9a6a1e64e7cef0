"""The best and the last checkpoint of a run, under fixed names; what a signal stops is kept."""

import warnings
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint

from medlit import preemption
from medlit.callbacks.positions import Positions, forget_stopped_validation, go_on_with_next_epoch, stay_within_epoch
from medlit.callbacks.refused import refuse_callbacks
from medlit.collectives import sum_over_processes
from medlit.errors import ConfigurationError
from medlit.preemption import Preempted
from medlit.run_folder import BEST, LAST

FIGURES = "callback_metrics"
"""Key of a checkpoint for the newest figures of training and validation, by name."""


class BestCheckpoint(ModelCheckpoint):
    """Keeps ``best.ckpt`` (best metric so far) and ``last.ckpt`` in ``checkpoints/`` of the run folder.

    Both are written when an epoch has ended, ``last.ckpt`` also every ``every_n_steps`` and when a signal stops the
    training (`medlit.preemption`); what was ``last.ckpt`` stays as ``previous.ckpt``. Training resumed from any of them
    goes on as if unbroken, so they are written where the state is whole: after a batch with an optimizer's step that no
    validation follows, after a validation, at the end of an epoch. A signal that comes during a validation does not
    wait for its end: the checkpoint leads back to the validation's start. A validation while gradients are accumulated
    is the exception: the signal is heard after the step they make. Before the first step, and in a task that makes
    none, there is nothing to keep: training starts anew.

    A task whose ``select_from_step`` is above zero is chosen from validations at that step or later alone, for it
    learns something else before: ``best.ckpt`` is not written until then, and a training that ends earlier says so.

    Args:
        monitor: Metric that says which epoch is best.
        mode: Whether more or less of it is better.
        every_n_steps: Optimizer steps after which ``last.ckpt`` is written anew within an epoch; null: at its end
            alone.

    Raises:
        ConfigurationError: If ``every_n_steps`` is below 1.
    """

    def __init__(
        self, monitor: str = "val/map", mode: Literal["max", "min"] = "max", every_n_steps: int | None = None
    ) -> None:
        if every_n_steps is not None and every_n_steps < 1:
            raise ConfigurationError(f"every_n_steps is {every_n_steps}; it is at least 1, or null")
        super().__init__(
            filename="best",
            monitor=monitor,
            mode=mode,
            auto_insert_metric_name=False,
            enable_version_counter=False,
            save_on_train_epoch_end=True,
        )
        self.every_n_steps = every_n_steps
        self._validated_at: int | None = None  # no validation yet
        self._kept_at, self._step_before = 0, 0
        self._figures: dict[str, float] = {}
        self._positions = Positions()

    # Where it writes, and what it remembers

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write into the run folder; refuse callbacks that do not go with that."""
        self.dirpath = str(Path(trainer.default_root_dir).resolve() / "checkpoints")
        if stage == "fit":
            refuse_callbacks(trainer, self)
        with warnings.catch_warnings():
            # A run that is resumed, or overwritten as asked, writes where there are checkpoints already.
            warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
            super().setup(trainer, pl_module, stage)

    def state_dict(self) -> dict[str, Any]:
        """What ModelCheckpoint remembers, and at which step the figures were made."""
        return {**super().state_dict(), "validated_at": self._validated_at}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what was remembered, in the folder where the run is now."""
        self._validated_at = state_dict.get("validated_at")
        is_here = (Path(str(self.dirpath)) / BEST).is_file()
        super().load_state_dict(moved_to(str(self.dirpath), state_dict) if is_here else state_dict)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep the figures that callbacks go by until the next validation; during one, lead back to its start."""
        checkpoint[FIGURES] = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self._positions.put_into(checkpoint)
        stay_within_epoch(trainer, checkpoint)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Take those figures, for when training starts."""
        self._figures = dict(checkpoint.get(FIGURES, {}))

    # During a training

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals back from Lightning, whose handlers talk to other processes wherever a signal comes."""
        preemption.arm()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From now on there is something to keep when a signal comes."""
        super().on_train_start(trainer, pl_module)
        self._kept_at = self._step_before = trainer.global_step
        trainer.callback_metrics.update({name: torch.tensor(value) for name, value in self._figures.items()})
        go_on_with_next_epoch(trainer)
        forget_stopped_validation(trainer)
        preemption.arm()
        preemption.note_only(True)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Note the step, to see whether this batch makes one."""
        self._step_before = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the last one where it is due, or where a signal came."""
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        if trainer.global_step == 0:  # a pass without an optimizer, or gradients of the first step
            self._stop_if_signalled(trainer)
        elif trainer.global_step > self._step_before and not validation_follows(trainer):
            self._keep_if_asked(trainer)  # else gradients are being accumulated, or a better moment comes soon

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """See for how many batches all processes can ask each other whether a signal came."""
        super().on_validation_start(trainer, pl_module)
        if is_fitting(trainer):
            self._positions.enter_validation(trainer)

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """End a training that a signal stops in its validation."""
        if can_be_kept(trainer) and self._positions.in_step(trainer, batch_idx):
            self._stop_if_signalled(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note at which step the figures were made; within an epoch, keep the last one where it is due."""
        if not trainer.sanity_checking:
            self._validated_at = trainer.global_step
        super().on_validation_end(trainer, pl_module)
        if is_fitting(trainer):
            self._positions.leave_validation()
            if can_be_kept(trainer) and not trainer.is_last_batch:
                self._keep_if_asked(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the best first, then the last: Lightning's own ``save_last`` leaves out epochs that are not best."""
        # An epoch may end without a validation of its own: the figures are then those of an earlier step.
        step = self._validated_at if str(self.monitor).startswith("val/") else trainer.global_step
        if step is not None and step >= select_from_step(pl_module):
            super().on_train_epoch_end(trainer, pl_module)
        if not getattr(trainer, "fast_dev_run", False):
            self._keep_last(trainer)
            self._stop_if_signalled(trainer, kept=True)

    def _keep_if_asked(self, trainer: Trainer) -> None:
        """Write ``last.ckpt`` where enough steps were made since, and for a signal, which then ends the training."""
        if getattr(trainer, "fast_dev_run", False):
            return
        due = self.every_n_steps is not None and trainer.global_step - self._kept_at >= self.every_n_steps
        if due:
            self._keep_last(trainer)
        self._stop_if_signalled(trainer, kept=due)

    def _keep_last(self, trainer: Trainer) -> None:
        self.last_model_path = str(Path(str(self.dirpath)) / LAST)
        trainer.save_checkpoint(self.last_model_path, weights_only=False)  # with optimizer and schedule
        self._kept_at = trainer.global_step

    def _stop_if_signalled(self, trainer: Trainer, *, kept: bool = False) -> None:
        """End the training of all processes if a signal came to any, keeping it first unless it is kept."""
        signal_name = preemption.noted()
        came = torch.tensor(float(signal_name is not None), device=trainer.strategy.root_device)
        if not bool(sum_over_processes(came)):
            return
        if not kept and trainer.global_step == 0:
            raise Preempted(signal_name)  # starts anew: what a pass without an optimizer has found is in no checkpoint
        if not kept:
            self._keep_last(trainer)
        raise Preempted(signal_name, kept=f"{self.last_model_path} of step {trainer.global_step}")

    # At its end

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Nothing can be kept any more: a further signal ends the process."""
        preemption.note_only(False)
        super().on_exception(trainer, pl_module, exception)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say where nothing could be chosen; hear a signal once more, for a later one ends the process."""
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
        if not getattr(trainer, "fast_dev_run", False):
            self._stop_if_signalled(trainer, kept=True)
        preemption.note_only(False)


def select_from_step(task: LightningModule) -> int:
    """The step from which a task may be chosen by its validation; 0 for tasks that say nothing of it."""
    return int(getattr(task, "select_from_step", 0))


def keeper_of(trainer: Trainer) -> Checkpoint | None:
    """The callback whose best checkpoint is the run's; Lightning's first where it is not medlit's, None without any."""
    own = [callback for callback in trainer.checkpoint_callbacks if isinstance(callback, BestCheckpoint)]
    return own[0] if own else trainer.checkpoint_callback


def is_fitting(trainer: Trainer) -> bool:
    """Whether a validation belongs to a training, and is not the trial of it before."""
    return trainer.state.fn == "fit" and not trainer.sanity_checking


def can_be_kept(trainer: Trainer) -> bool:
    """Whether the state is whole in a validation of a training: no checkpoint holds gradients that add up to a step."""
    return is_fitting(trainer) and not trainer.fit_loop._should_accumulate()


def validation_follows(trainer: Trainer) -> bool:
    """Whether a validation, or the end of the epoch, comes right after a batch.

    A checkpoint of this moment would lead past them: Lightning takes a batch that is done for one that was validated.
    """
    loop, fetcher = trainer.fit_loop.epoch_loop, trainer.fit_loop._data_fetcher
    return trainer.is_last_batch or (fetcher is not None and loop._should_check_val_fx(fetcher))


def moved_to(folder: str, state: dict[str, Any]) -> dict[str, Any]:
    """What a ModelCheckpoint remembers, its files in another folder: a run may have been moved, or copied to a node."""

    def here(path: str) -> str:
        return str(Path(folder) / Path(path).name) if path else path

    paths = {name: here(value) for name, value in state.items() if name.endswith("_path")}
    return {
        **state,
        **paths,
        "dirpath": folder,
        "best_k_models": {here(path): score for path, score in state["best_k_models"].items()},
    }
