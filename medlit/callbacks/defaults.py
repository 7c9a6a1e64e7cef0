"""The callbacks of every run, beside those of its configuration."""

from collections.abc import Sequence

from lightning.pytorch import Callback

from medlit.callbacks.checkpoint import BestCheckpoint
from medlit.callbacks.figures import FiguresWriter
from medlit.callbacks.manifest import RunManifest
from medlit.callbacks.predictions import PredictionWriter


def with_defaults(callbacks: Callback | Sequence[Callback] | None, *, checkpoints: bool) -> list[Callback]:
    """The configured callbacks and what every run folder gets: checkpoints, manifest, predictions, figures.

    Args:
        callbacks: Those of the configuration; one of the same kind takes the place of a default. Other checkpoints than
            `BestCheckpoint` take no place: a run goes on from its own.
        checkpoints: Whether the run keeps checkpoints.
    """
    own = [callbacks] if isinstance(callbacks, Callback) else list(callbacks or ())
    defaults: list[type[Callback]] = [RunManifest, PredictionWriter, FiguresWriter]
    if checkpoints:
        defaults.append(BestCheckpoint)
    added = [kind() for kind in defaults if not any(isinstance(callback, kind) for callback in own)]
    # Last, so that it keeps what other checkpoints have noted of the same step.
    return sorted([*own, *added], key=lambda callback: isinstance(callback, BestCheckpoint))
