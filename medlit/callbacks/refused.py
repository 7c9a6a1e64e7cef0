"""Callbacks of Lightning that do not go with checkpoints from which a training goes on as unbroken."""

from pathlib import Path

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import (
    GradientAccumulationScheduler,
    ModelCheckpoint,
    StochasticWeightAveraging,
    WeightAveraging,
)

from medlit.errors import ConfigurationError

AVERAGING = "checkpoints would hold other weights than those that were judged, and training would not go on from them"
REFUSED: dict[type[Callback], str] = {
    WeightAveraging: f"{AVERAGING}: remove it from trainer.callbacks",
    StochasticWeightAveraging: f"{AVERAGING}: remove it from trainer.callbacks",
    GradientAccumulationScheduler: (
        "the cases of a step would change on the way: set trainer.accumulate_grad_batches instead"
    ),
}
"""Kind of callback, with those made of it, and what is wrong with it."""


def refuse_callbacks(trainer: Trainer, keeper: ModelCheckpoint) -> None:
    """End a training before it starts that could not be gone on with.

    Args:
        trainer: Whose callbacks are looked at.
        keeper: Of the run's own checkpoints, which comes last: it knows its folder, and so do the others.

    Raises:
        ConfigurationError: If a callback averages weights or changes the accumulation, or writes where the keeper does.
    """
    callbacks: list[Callback] = getattr(trainer, "callbacks", [])
    for callback in callbacks:
        name = type(callback).__name__
        for kind, why in REFUSED.items():
            if isinstance(callback, kind):
                raise ConfigurationError(f"{name} cannot be used: {why}")
        if isinstance(callback, ModelCheckpoint) and callback is not keeper and _folder(callback) == _folder(keeper):
            raise ConfigurationError(
                f"{name} writes into {keeper.dirpath}, where the run keeps its own checkpoints: give it another dirpath"
            )


def _folder(keeper: ModelCheckpoint) -> Path | None:
    return None if keeper.dirpath is None else Path(keeper.dirpath).resolve()
