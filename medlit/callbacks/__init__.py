"""What is written beside training: checkpoints, the manifest of a run, predictions and figures."""

from medlit.callbacks.checkpoint import BestCheckpoint
from medlit.callbacks.figures import FiguresWriter
from medlit.callbacks.folder import RunFolder
from medlit.callbacks.manifest import RunManifest
from medlit.callbacks.predictions import PredictionWriter

__all__ = ["BestCheckpoint", "FiguresWriter", "PredictionWriter", "RunFolder", "RunManifest"]
