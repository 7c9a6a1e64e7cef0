"""Tasks that ``medlit fit`` runs in one pass over the data: nothing is learned by steps, so there is no optimizer."""

from typing import Any

from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer


class OnePassTask(LightningModule):
    """One epoch without an optimizer: training batches if the task asks for any, a validation, the checkpoints.

    Comes first among the bases, so that its hooks stand before those of the task that evaluates. A subclass may take
    training batches in `training_step`, without a gradient; the validation follows them. A configuration sets
    ``trainer.max_epochs: 1``; with more, training ends after the first epoch all the same.
    """

    @property
    def automatic_optimization(self) -> bool:
        """No: there is nothing to optimize."""
        return False

    @automatic_optimization.setter
    def automatic_optimization(self, automatic_optimization: bool) -> None:
        """Lightning's setter, without effect."""

    def configure_optimizers(self) -> list[Optimizer]:
        """None, in the form that Lightning takes without a warning."""
        return []

    def training_step(self, batch: Any, batch_idx: int) -> None:
        """Nothing, for tasks that need no training batch; those set ``trainer.limit_train_batches: 1``."""

    def on_fit_start(self) -> None:
        """In training mode, whatever was done with the task before: Lightning warns of the other."""
        self.train()

    def on_train_start(self) -> None:
        """Let checkpoints be written although no step was made, and gradients be left alone."""
        for callback in self.trainer.checkpoint_callbacks:
            if isinstance(callback, ModelCheckpoint):
                callback._last_global_step_saved = -1  # Lightning's 0 stands for "no step yet, nothing to keep"
        if isinstance(self.trainer.strategy.model, DistributedDataParallel):
            self.trainer.strategy.model.require_backward_grad_sync = False  # it would wait for a backward pass

    def on_train_epoch_start(self) -> None:
        """Nothing is trained: dropout and the like are off from the first batch."""
        self.eval()

    def on_train_epoch_end(self) -> None:
        """One pass is all there is."""
        self.trainer.should_stop = True
