"""What an interrupted training has come to: whether it ended, and whether it may go on from its last checkpoint."""

import json
from pathlib import Path
from typing import Any

import yaml

from medlit import run_folder

SEEDED_BY_STEP = ("MaMATask",)
"""Tasks whose random state is a function of the step: they may drop at random, and resume exactly all the same."""


def is_trained(folder: Path) -> bool:
    """Whether training came to its end, and the test alone is missing.

    A training that was stopped early would go on for another epoch if it were resumed: Lightning does not keep that it
    had decided to stop.
    """
    if not run_folder.best_checkpoint(folder).is_file() or not (folder / run_folder.CONFIG).is_file():
        return False
    try:
        manifest = json.loads((folder / run_folder.MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return manifest.get("stages", {}).get("fit", {}).get("status") == "finished" or _stopped_early(folder)


def _stopped_early(folder: Path) -> bool:
    last = run_folder.best_checkpoint(folder).with_name("last.ckpt")
    if not last.is_file():
        return False
    import torch

    callbacks = torch.load(last, map_location="cpu", weights_only=True).get("callbacks", {})
    states = [state for key, state in callbacks.items() if str(key).startswith("EarlyStopping")]
    return any(state["wait_count"] >= state["patience"] or state["stopped_epoch"] > 0 for state in states)


def resumes_exactly(folder: Path) -> bool:
    """Whether nothing in a run's configuration keeps a resumed training from equalling an unbroken one.

    A plateau's schedule is stepped after the checkpoint is written, and what networks drop at random is drawn from a
    state that no checkpoint keeps; but for tasks that seed it anew in every step.
    """
    try:
        config = yaml.safe_load((folder / run_folder.CONFIG).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return False
    task = (config or {}).get("model", {})
    seeded = str(task.get("class_path", "")).rpartition(".")[2] in SEEDED_BY_STEP
    return "ReduceLROnPlateau" not in json.dumps(task, default=str) and (seeded or not _drops(task))


def _drops(settings: Any) -> bool:
    """Whether any setting of a model whose name tells of dropping is above zero."""
    if isinstance(settings, dict):
        return any(
            _drops(value) or ("drop" in str(key) and isinstance(value, (int, float)) and value > 0)
            for key, value in settings.items()
        )
    return isinstance(settings, list) and any(map(_drops, settings))
