"""What a run was: versions, data, seed and command, in ``manifest.json`` of its folder."""

import json
import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from medlit.callbacks.checkpoint import keeper_of, select_from_step
from medlit.checkpoint import foundation_fingerprint
from medlit.credentials import hidden_text, hidden_words
from medlit.files import write_text
from medlit.preemption import Preempted
from medlit.tasks import ClassificationTask, EvaluationTask, MaMATask
from medlit.tasks.checks import restrictions_of_run

PACKAGES = (
    "medlit",
    "torch",
    "lightning",
    "timm",
    "transformers",
    "peft",
    "torchmetrics",
    "albumentations",
    "opencv-python-headless",
    "polars",
    "numpy",
    "jsonargparse",
)
"""Packages that may change a result."""


class RunManifest(Callback):
    """Writes ``manifest.json`` into the run folder when a stage starts, and completes it when the stage ends.

    The top level tells of the run that made the folder: versions, platform, commit, seed, command, data and split
    hashes, whether the data are synthetic, how many labels train (``training_counts``), why weights made from them must
    not be shared (``restrictions``), class names, modalities, foundation (of a MaMATask, both towers'), numbers of
    parameters. ``stages`` has a record of the last fit, test and predict in the folder: its command, times, status,
    data hashes and checkpoint; of a fit also how many epochs it may take and how its best checkpoint is chosen. At the
    start of training the global batch is printed.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what is known before the first step; print the global batch."""
        if trainer.is_global_zero:
            print(global_batch_line(trainer))
        self._begin(trainer, pl_module, "fit")

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that training ended."""
        self._end(trainer, "fit", "interrupted" if trainer.interrupted else "finished")

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that a test starts."""
        self._begin(trainer, pl_module, "test")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that the test ended."""
        self._end(trainer, "test", "finished")

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that a prediction starts."""
        self._begin(trainer, pl_module, "predict")

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that the prediction ended."""
        self._end(trainer, "predict", "finished")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Note what stopped the run."""
        if trainer.state.fn is not None:
            stage = {"fit": "fit", "test": "test", "predict": "predict"}.get(trainer.state.fn.value)
            if stage is not None:
                stopped = isinstance(exception, Preempted)
                self._end(trainer, stage, "pre-empted" if stopped else f"failed: {type(exception).__name__}")

    def _begin(self, trainer: Trainer, task: LightningModule, stage: str) -> None:
        if not trainer.is_global_zero or getattr(trainer, "fast_dev_run", False):
            return
        manifest = read_manifest(Path(trainer.default_root_dir))
        resumed = trainer.ckpt_path is not None
        if not manifest or (stage == "fit" and not resumed):
            manifest = {**describe_run(trainer, task), "stages": {}}
        manifest["stages"][stage] = {
            "command": command(),
            "started": now(),
            "status": "started",
            "data_hashes": data_hashes(trainer),
            "checkpoint": hidden_text(str(trainer.ckpt_path)) if resumed else None,
        }
        if stage == "fit":
            manifest["stages"][stage] |= aims(trainer, task)
        write_manifest(trainer, manifest)

    def _end(self, trainer: Trainer, stage: str, status: str) -> None:
        manifest = read_manifest(Path(trainer.default_root_dir)) if trainer.is_global_zero else {}
        record = manifest.get("stages", {}).get(stage)
        if record is not None and record["status"] == "started":
            record |= {"status": status, "ended": now()}
            write_manifest(trainer, manifest)


def describe_run(trainer: Trainer, task: LightningModule) -> dict[str, Any]:
    """The top level of the manifest, in plain types."""
    seed = os.environ.get("PL_GLOBAL_SEED")
    record: dict[str, Any] = {
        "command": command(),
        "created": now(),
        "seed": None if seed is None else int(seed),
        "versions": {"python": platform.python_version(), **versions()},
        "platform": platform.platform(),
        "medlit_commit": commit(),
        "data_hashes": data_hashes(trainer),
        "devices": trainer.world_size,
        "precision": str(trainer.precision),
        "parameters": {
            "total": sum(parameter.numel() for parameter in task.parameters()),
            "trainable": sum(parameter.numel() for parameter in task.parameters() if parameter.requires_grad),
        },
    }
    synthetic = getattr(getattr(trainer, "datamodule", None), "synthetic", None)
    if synthetic is not None:
        record["synthetic"] = bool(synthetic)
    if counts := getattr(getattr(trainer, "datamodule", None), "training_counts", None):
        record["training_counts"] = counts
    if restrictions := restrictions_of_run(task):
        record["restrictions"] = restrictions
    if isinstance(task, EvaluationTask):
        record |= {"modalities": task.modalities, "class_names": task.class_names}
    if isinstance(task, ClassificationTask):
        record["foundation"] = {
            "name": task.model.backbone_name,
            "fingerprint": foundation_fingerprint(task.model),
        }
    if isinstance(task, MaMATask):
        image, text = task.model.image_info(), task.model.text_info()
        record["foundation"] = {
            "image": {"name": image["name"]},  # trained as a whole: no weights of it stay that a fingerprint could name
            "text": {"name": text["name"], "fingerprint": text["fingerprint"]},
        }
    return record


def global_batch(trainer: Trainer) -> int | None:
    """Cases per optimizer step; None where the data do not say how many a batch holds."""
    per_device = getattr(getattr(trainer, "datamodule", None), "batch_size", None)
    return None if per_device is None else int(trainer.world_size * per_device * trainer.accumulate_grad_batches)


def aims(trainer: Trainer, task: LightningModule) -> dict[str, Any]:
    """How far a training may go, and by which metric, from which step on, its best checkpoint is chosen."""
    keeper = keeper_of(trainer)
    return {
        "max_epochs": trainer.max_epochs,
        "monitor": getattr(keeper, "monitor", None),
        "mode": getattr(keeper, "mode", None),
        "select_from_step": select_from_step(task),
    }


def global_batch_line(trainer: Trainer) -> str:
    """Cases per optimizer step, and how they come about."""
    total, accumulation = global_batch(trainer), trainer.accumulate_grad_batches
    if total is None:
        return f"Global batch: {trainer.world_size} devices x {accumulation} accumulated batches"
    per_device = total // (trainer.world_size * accumulation)
    return (
        f"Global batch: {total} = {trainer.world_size} devices x {per_device} per device x {accumulation} accumulated"
    )


def versions() -> dict[str, str | None]:
    """Installed versions of `PACKAGES`; None for one that is not installed."""

    def installed(name: str) -> str | None:
        try:
            return version(name)
        except PackageNotFoundError:
            return None

    return {name: installed(name) for name in PACKAGES}


def data_hashes(trainer: Trainer) -> dict[str, str]:
    """What the DataModule says of its tables and splits; nothing for one that does not say."""
    hashes = getattr(getattr(trainer, "datamodule", None), "data_hashes", None)
    return dict(hashes()) if hashes is not None else {}


def commit() -> str | None:
    """The commit of medlit's clone, with ``-dirty`` where files differ from it; None for an installed package."""
    package = Path(__file__).resolve().parents[1]
    if not (package.parent / ".git").exists():  # a package installed inside of some other repository
        return None
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=package,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def command() -> str:
    """The command line of this process, without secrets."""
    return shlex.join(hidden_words(sys.argv))


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def read_manifest(run_folder: Path) -> dict[str, Any]:
    """The manifest of a run folder; empty if there is none."""
    path = run_folder / "manifest.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def write_manifest(trainer: Trainer, manifest: dict[str, Any]) -> None:
    """Write the manifest into the run folder, whole or not at all."""
    write_text(Path(trainer.default_root_dir) / "manifest.json", json.dumps(manifest, indent=2) + "\n")
