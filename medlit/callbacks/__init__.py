"""What is written beside training: checkpoints, the manifest of a run and predictions."""

from medlit.callbacks.checkpoint import BestCheckpoint
from medlit.callbacks.manifest import RunManifest
from medlit.callbacks.predictions import PredictionWriter

__all__ = ["BestCheckpoint", "PredictionWriter", "RunManifest"]
