"""Going on with a run: its newest sound checkpoint, and whether that was made with the settings of now."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medlit import run_folder
from medlit.errors import CheckpointMismatchError, ConfigurationError, DamagedCheckpointError
from medlit.run_folder import BEST, LAST, PREVIOUS
from medlit.seal import verify

KEY = "medlit_run"
"""Of a checkpoint: what the run was started with, and whether it had decided to stop."""
STOPPED = "stopped"
"""Below `KEY`: yes in a checkpoint of a training's end that came before all its epochs or steps, and not for time."""

FREE = (
    "run_dir",
    "resume",
    "overwrite",
    "test_after_fit",
    "ckpt_path",
    "weights_only",
    "config",
    "allow_code",
    "data.init_args.num_workers",
    "data.init_args.batch_size",
    *(
        f"trainer.{name}"
        for name in (
            "accelerator",
            "strategy",
            "devices",
            "num_nodes",
            "accumulate_grad_batches",
            "max_epochs",
            "max_steps",
            "max_time",
            "logger",
            "log_every_n_steps",
            "default_root_dir",
            "enable_progress_bar",
            "enable_model_summary",
            "profiler",
            "plugins",
            "num_sanity_val_steps",
        )
    ),
)
"""Settings, with all below them, that may differ when a run goes on: where and for how long it trains, not what.

The cases per optimizer step, which batch size, devices and accumulation make, are compared as one number.
"""


@dataclass(frozen=True, slots=True)
class Found:
    """What there is to go on from."""

    checkpoint: Path | None
    """None: the run has none, training starts anew."""
    damaged: dict[Path, str] = field(default_factory=dict)
    """Newer checkpoints that are not what was written, and why."""


def find_newest(run_dir: str | Path) -> Found:
    """The newest sound checkpoint of a run; every process finds the same, nothing is changed.

    Raises:
        DamagedCheckpointError: If there are checkpoints, and none is sound.
        ConfigurationError: If the system does not let one be read: nobody knows whether that is sound.
    """
    folder = Path(run_dir) / "checkpoints"
    damaged: dict[Path, str] = {}
    for path in (folder / name for name in (LAST, PREVIOUS, BEST)):
        try:
            check_sound(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except CheckpointMismatchError as error:
            damaged[path] = str(error)
            continue
        except OSError as error:  # it may be sound all the same
            raise ConfigurationError(
                f"{path}: cannot be read ({error.strerror or error}), whatever it holds: see to the file system, and "
                "try again"
            ) from error
        return Found(path, damaged)
    if damaged:
        raise DamagedCheckpointError(
            f"no checkpoint of {run_dir} is sound ({'; '.join(damaged.values())}); start anew with --overwrite true"
        )
    return Found(None)


def check_sound(path: Path) -> None:
    """Refuse a checkpoint that is not what was written; one without a seal has to be readable.

    Raises:
        CheckpointMismatchError: Saying what is wrong.
        OSError: If it cannot be read.
    """
    if not verify(path):
        from medlit.models.weights import read_file  # here: it imports torch

        read_file(path, mmap=True)


def set_aside(damaged: Iterable[Path]) -> list[str]:
    """Rename damaged checkpoints, so that no later one takes them for the newest but one.

    Args:
        damaged: Of `Found`.

    Returns:
        A line for each, for the user.
    """
    lines = []
    for path in damaged:
        aside = path.with_name(f"{path.name}.damaged")
        path.replace(aside)
        lines.append(f"{path} is kept as {aside.name}")
    return lines


def settings_of(config: Mapping[str, Any]) -> dict[str, str]:
    """A short hash of each setting that decides what is trained, by its dotted name: no value, no secret.

    Args:
        config: As saved in a run folder.
    """
    hashes = {}
    for name, value in _leaves(config, ""):
        if not any(name == free or name.startswith(f"{free}.") for free in FREE):
            text = json.dumps(value, default=str, sort_keys=True)
            hashes[name] = hashlib.sha256(text.encode()).hexdigest()[:16]
    return hashes


def _leaves(value: Any, name: str) -> list[tuple[str, Any]]:
    """Dotted names and values; lists are one value."""
    if isinstance(value, Mapping) and value:
        return [leaf for key, below in value.items() for leaf in _leaves(below, f"{name}.{key}" if name else str(key))]
    return [(name, value)]


def check_settings(checkpoint: Mapping[str, Any], mine: Mapping[str, str], *, source: str) -> None:
    """Refuse to go on with a run of other settings.

    Args:
        checkpoint: Its content.
        mine: Of `settings_of`, now.
        source: Its path, for the message.

    Raises:
        ConfigurationError: Naming the settings that differ; or that the checkpoint does not say.
    """
    kept = checkpoint.get(KEY)
    if not isinstance(kept, dict) or not isinstance(kept.get("settings"), dict):
        raise ConfigurationError(
            f"{source} does not say with which settings it was trained: name it with --ckpt_path to go on all the same"
        )
    theirs = kept["settings"]
    differ = sorted(name for name in {*mine, *theirs} if mine.get(name) != theirs.get(name))
    if differ:
        more = f" and {len(differ) - 8} more" if len(differ) > 8 else ""
        raise ConfigurationError(
            f"{source} was trained with other settings: {', '.join(differ[:8])}{more}. Give the same to go on, "
            "another --run_dir, or --overwrite true to start anew"
        )


def check_global_batch(checkpoint: Mapping[str, Any], mine: int | None, *, source: str) -> None:
    """Refuse to go on with another number of cases per optimizer step.

    Raises:
        ConfigurationError: Saying both.
    """
    theirs = checkpoint.get(KEY, {}).get("global_batch")
    if None not in (mine, theirs) and mine != theirs:
        raise ConfigurationError(
            f"{source} was trained with {theirs} cases per optimizer step (devices x batch_size x accumulation), now "
            f"there are {mine}: give settings that make {theirs}"
        )


def is_trained(folder: Path) -> bool:
    """Whether training came to its end, and the test alone is missing.

    A training that was stopped early would go on for another epoch if it were resumed: Lightning does not keep that it
    had decided to stop.
    """
    if not run_folder.best_checkpoint(folder).is_file() or not (folder / run_folder.CONFIG).is_file():
        return False
    try:
        manifest = json.loads((folder / run_folder.MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    try:
        finished = manifest["stages"]["fit"]["status"] == "finished"
    except (KeyError, TypeError, IndexError):  # a training that was killed, or a manifest that is none
        finished = False
    return finished or stopped_early(folder)


def stopped_early(folder: Path) -> bool:
    """Whether the last checkpoint is of a training that had decided to stop."""
    last = run_folder.best_checkpoint(folder).with_name(LAST)
    from medlit.models.weights import read_file  # here: it imports torch

    try:
        said = read_file(last, mmap=True).get(KEY) if last.is_file() else None
    except CheckpointMismatchError:
        return False
    return isinstance(said, dict) and said.get(STOPPED) is True
