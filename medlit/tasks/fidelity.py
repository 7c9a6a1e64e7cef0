"""What the released code of Early Intervention does beside its loss and the paper does not say: ``fidelity: code``."""

from dataclasses import replace
from typing import Literal

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch import Tensor

from medlit.tasks.results import CaseResults

Fidelity = Literal["paper", "code"]
"""Whether to follow the paper or its released code where they part; docs/fidelity.md has the list."""

DECIMALS = 4
"""Digits after the point with which the released code writes the scores that its test metrics are made of."""


def as_written(results: CaseResults) -> CaseResults:
    """The rows as the released code writes and reads them: logits of 4 decimals, so that near cases tie.

    Args:
        results: Of a test.
    """

    def rounded(scores: dict[str, Tensor]) -> dict[str, Tensor]:
        """Logits of 4 decimals, by head."""
        return {name: logits.double().round(decimals=DECIMALS).float() for name, logits in scores.items()}

    return replace(results, logits=rounded(results.logits), subsets=rounded(results.subsets))


def validate_before_training(trainer: Trainer, fidelity: Fidelity) -> None:
    """Validate once before the first step if the released code is to be followed; a training that goes on has done so.

    Its figures are logged at step 0 and count as those of an epoch: the untrained model can be the best checkpoint, and
    early stopping starts to count from it.

    Args:
        trainer: At the start of a training, all callbacks started.
        fidelity: Of the task.
    """
    resumed = trainer.ckpt_path is not None or trainer.global_step > 0
    if fidelity != "code" or resumed or not trainer.enable_validation:
        return
    keepers = [callback for callback in trainer.checkpoint_callbacks if isinstance(callback, ModelCheckpoint)]
    for keeper in keepers:
        keeper._last_global_step_saved = -1  # Lightning's 0 stands for "no step yet, nothing to keep"
    trainer.validating = True
    trainer.fit_loop.epoch_loop.val_loop.run()
    trainer.training = True
    for callback in [*trainer.early_stopping_callbacks, *keepers]:
        if isinstance(callback, EarlyStopping | ModelCheckpoint):
            callback.on_train_epoch_end(trainer, trainer.lightning_module)
