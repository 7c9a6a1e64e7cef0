"""Learning-rate schedules that torch lacks, and what Lightning has to know of a schedule."""

import math
from collections.abc import Callable, Iterable
from typing import Literal

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.types import LRSchedulerConfigType, OptimizerConfig, OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import CyclicLR, LRScheduler, ReduceLROnPlateau

from medlit.errors import ConfigurationError
from medlit.tasks.checks import blame

SchedulerFactory = Callable[[Optimizer], LRScheduler | ReduceLROnPlateau]


class PaperCyclicLR(CyclicLR):
    """Triangular cycles whose amplitude shrinks by a factor from cycle to cycle, as Early Intervention is trained.

    ``lr = base_lr + (max_lr - base_lr) * triangle(step) * amplitude_decay ** cycle``, cycle = 0, 1, ... Unlike
    CyclicLR with a lambda for a scale function its whole state is kept in a checkpoint, so that training resumes where
    it stopped.

    Reference: released code of arXiv 2603.17514 (1e-5 to 1e-3, up-phase of 4 epochs, x 0.8 a cycle).

    Args:
        optimizer: What is scheduled.
        step_size_up: Steps of the rising half of a cycle.
        base_lr: Lowest learning rate, at the ends of a cycle.
        max_lr: Highest learning rate, in the middle of the first cycle.
        step_size_down: Steps of the falling half; null: as many as up.
        amplitude_decay: Factor on the amplitude from cycle to cycle, in (0, 1].
        cycle_momentum: Move the momentum against the learning rate, as the released code does without saying so;
            off, the optimizer's own momentum acts.
        base_momentum: Lowest momentum, if it moves.
        max_momentum: Highest momentum, if it moves.
        last_epoch: Index of the last step; -1 starts anew.

    Raises:
        ConfigurationError: If a number is out of its range.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        step_size_up: int,
        base_lr: float = 1e-5,
        max_lr: float = 1e-3,
        step_size_down: int | None = None,
        amplitude_decay: float = 0.8,
        cycle_momentum: bool = False,
        base_momentum: float = 0.8,
        max_momentum: float = 0.9,
        last_epoch: int = -1,
    ) -> None:
        if step_size_up < 1 or (step_size_down is not None and step_size_down < 1):
            raise ConfigurationError(
                f"step_size_up and step_size_down count steps, got {step_size_up}, {step_size_down}"
            )
        if not 0 < amplitude_decay <= 1:
            raise ConfigurationError(f"amplitude_decay must be in (0, 1], got {amplitude_decay}")
        self.amplitude_decay = amplitude_decay
        super().__init__(
            optimizer,
            base_lr=base_lr,
            max_lr=max_lr,
            step_size_up=step_size_up,
            step_size_down=step_size_down,
            cycle_momentum=cycle_momentum,
            base_momentum=base_momentum,
            max_momentum=max_momentum,
            last_epoch=last_epoch,
        )

    def scale_fn(self, x: float) -> float:
        """Factor on the amplitude of cycle x = 1, 2, ..."""
        return float(self.amplitude_decay ** (x - 1))


class WarmupCosineLR(LRScheduler):
    """A straight rise to the optimizer's learning rate, then half a cosine down.

    ``lr = min_lr + w * (lr - min_lr)``, at step s of S with a warm-up of W: ``w = s / W`` before W, then
    ``w = (1 + cos(pi * (s - W) / (S - W))) / 2``. ``min_lr`` at step 0 and, exactly, at step S and after it; the
    optimizer's own learning rate, exactly, at step W. A function of the step alone, kept whole in a checkpoint.

    Reference: Loshchilov and Hutter, "SGDR", ICLR 2017, eq. 5, one cycle; Du et al., IPMI 2025, warm it up for 4,000
    of 40,000 steps and end at 1e-8.

    Args:
        optimizer: What is scheduled; its learning rates are the highest.
        warmup_steps: W, zero or more.
        total_steps: S, more than W; give the Trainer's ``max_steps``.
        min_lr: At the ends, zero or more.
        last_epoch: Index of the last step; -1 starts anew.

    Raises:
        ConfigurationError: If a number is out of its range.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        warmup_steps: int,
        total_steps: int,
        min_lr: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        if not 0 <= warmup_steps < total_steps:
            raise ConfigurationError(
                f"warmup_steps is {warmup_steps} of total_steps {total_steps}; it is from 0 to less than those"
            )
        lowest = min(group["lr"] for group in optimizer.param_groups)
        if not 0 <= min_lr <= lowest:
            raise ConfigurationError(f"min_lr is {min_lr}; it is from 0 to the optimizer's learning rate, {lowest}")
        self.warmup_steps, self.total_steps, self.min_lr = warmup_steps, total_steps, min_lr
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float | Tensor]:
        """The learning rate of each parameter group at this step."""
        step = min(self.last_epoch, self.total_steps)
        if step < self.warmup_steps:
            share = step / self.warmup_steps
        else:
            share = (1 + math.cos(math.pi * (step - self.warmup_steps) / (self.total_steps - self.warmup_steps))) / 2
        # Weighed so that both ends come out without rounding.
        return [share * lr + (1 - share) * self.min_lr for lr in self.base_lrs]


def released_optimizer(parameters: Iterable[Tensor]) -> Optimizer:
    """AdamW as Du et al. (IPMI 2025) train MaMA: learning rate 4e-5, beta 0.9 and 0.999, weight decay 0.1."""
    return AdamW(parameters, lr=4e-5, betas=(0.9, 0.999), weight_decay=0.1)


def optimizers(
    task: nn.Module,
    optimizer: Callable[[list[nn.Parameter]], Optimizer],
    scheduler: SchedulerFactory | None,
    *,
    interval: Literal["step", "epoch"],
) -> OptimizerConfig | OptimizerLRSchedulerConfig:
    """What a task configures: the optimizer of its trainable parameters, and its schedule.

    Args:
        task: Whose parameters are trained.
        optimizer: Makes the optimizer.
        scheduler: Makes the schedule; None: constant.
        interval: Whether the schedule counts steps or epochs.

    Raises:
        ConfigurationError: If nothing is trainable, or one of the two refuses its arguments.
    """
    trainable = [parameter for parameter in task.parameters() if parameter.requires_grad]
    if not trainable:
        raise ConfigurationError("no parameter is trainable; give the model an adapter or a head")
    with blame("optimizer"):
        made = optimizer(trainable)
    if scheduler is None:
        return {"optimizer": made}
    with blame("scheduler"):
        return {"optimizer": made, "lr_scheduler": scheduler_config(scheduler(made), interval=interval)}


def scheduler_config(
    scheduler: LRScheduler | ReduceLROnPlateau, *, interval: Literal["step", "epoch"]
) -> LRSchedulerConfigType:
    """What Lightning has to know: when to step, and for a plateau what to watch.

    A plateau steps after every epoch whatever ``interval`` says: its metric is one of validation.

    Raises:
        ConfigurationError: If a plateau does not say what it watches, or it is a mean of training.
    """
    if not isinstance(scheduler, ReduceLROnPlateau):
        return {"scheduler": scheduler, "interval": interval}
    monitor = getattr(scheduler, "monitor", None)
    if monitor is None:
        raise ConfigurationError(
            "torch's ReduceLROnPlateau does not say which metric it watches; use class_path: "
            "lightning.pytorch.cli.ReduceLROnPlateau with init_args: {monitor: val/map, mode: max}"
        )
    if monitor.startswith("train/"):
        raise ConfigurationError(
            f"ReduceLROnPlateau cannot watch {monitor}, which is not known yet when it steps, right after the epoch's "
            "validation: let it watch a figure of validation, such as val/loss"
        )
    return {"scheduler": scheduler, "interval": "epoch", "monitor": monitor}


def step_plateaus_with_validation(trainer: Trainer) -> None:
    """Let a plateau step right after the epoch's validation, before the checkpoints of the epoch are written.

    Lightning steps it after them: a training that goes on from one would do without that step. Called when training
    starts, for the number of batches is not known before.
    """
    for config in trainer.lr_scheduler_configs:
        if config.reduce_on_plateau and isinstance(trainer.num_training_batches, int):
            config.interval, config.frequency = "step", trainer.num_training_batches
