"""``medlit demo``: look-alike data, both unimodal models and Early Intervention, tested and compared in one table."""

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from medlit.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from polars import DataFrame

    Logits = NDArray[np.float64]

MODALITIES = ("clinic", "derm")
FUSED, MEAN = "Early Intervention", "mean of the two"
"""Rows of the table: EI's fused logits, and the mean of the unimodal logits."""
OVERLAY = "overlays/tiny.yaml"
RESULTS = "results.md"


@dataclass(frozen=True, slots=True)
class Run:
    """One training of the demo."""

    title: str
    experiment: str
    """Below ``experiments/``."""
    folder: Path

    @property
    def predictions(self) -> Path:
        """The test split's rows."""
        return self.folder / "predictions_test.parquet"


def main(args: list[str]) -> int:
    """Make the data, train, test, and print the table.

    Args:
        args: Words after ``demo``.

    Returns:
        0, or the exit code of the training that failed.

    Raises:
        DataError: If the folder for the data holds something else.
        ConfigurationError: If the shipped experiments are not there, or an option makes no sense.
    """
    options = _parser().parse_args(args)
    if options.epochs is not None and options.epochs < 1:
        raise ConfigurationError(f"--epochs is {options.epochs}; it has to be at least 1")
    code = train(options.dir, cases=options.cases, seed=options.seed, epochs=options.epochs)
    if code:
        return code
    _report(options.dir, cases=options.cases, seed=options.seed)
    return 0


def train(folder: Path, *, cases: int, seed: int, epochs: int | None = None) -> int:
    """Write the look-alike set and train the three models on it, each in a process and a run folder of its own.

    Args:
        folder: Holds ``data/`` and a folder per run; what an earlier demo left there is replaced.
        cases: Size of the set.
        seed: Of the data and of the trainings.
        epochs: How long to train; None as the overlay says.

    Returns:
        0, or the exit code of the training that failed, after which no other is started.
    """
    from data_modules.synthetic import derm7pt

    experiments = experiments_folder()
    print(f"1/4 look-alike set of {cases} cases: {folder / 'data'}", flush=True)
    derm7pt.write(folder / "data", cases=cases, seed=seed)
    for step, run in enumerate(runs(folder), start=2):
        print(f"\n{step}/4 {run.title}: {run.folder}", flush=True)
        words = [
            *("--config", str(experiments / run.experiment), "--config", str(experiments / OVERLAY)),
            *("--data.init_args.root", str(folder / "data"), "--run_dir", str(run.folder)),
            *("--seed_everything", str(seed), "--overwrite", "true"),
            *([] if epochs is None else ["--trainer.max_epochs", str(epochs)]),
        ]
        # The networks are so small that more threads only wait for each other.
        environment = {"OMP_NUM_THREADS": "1", "NO_ALBUMENTATIONS_UPDATE": "1", **os.environ}
        command = [sys.executable, "-m", "medlit.cli", "fit", *words]
        code = subprocess.run(command, env=environment, check=False).returncode
        if code:
            return code
    return 0


def runs(folder: Path) -> list[Run]:
    """The three trainings of a demo in ``folder``, Early Intervention last."""
    unimodal = [
        Run(f"{modality} alone", f"unimodal_derm7pt_{modality}.yaml", folder / f"unimodal_{modality}")
        for modality in MODALITIES
    ]
    return [*unimodal, Run(FUSED, "ei_derm7pt.yaml", folder / "ei")]


def compare(folder: Path) -> dict[str, dict[str, float]]:
    """Figures on the test split: by row of the table, metrics by key.

    Args:
        folder: Of a demo that has been trained.
    """
    import polars as pl

    *unimodal, fused = [pl.read_parquet(run.predictions).sort("case_id") for run in runs(folder)]
    names = [column.removeprefix("logit_") for column in fused.columns if column.startswith("logit_")]
    logits = {FUSED: _logits(fused, names)}
    alone = {f"{modality} alone": _logits(table, names) for modality, table in zip(MODALITIES, unimodal, strict=True)}
    first, second = alone.values()
    logits |= {MEAN: (first + second) / 2, **alone}
    return _figures(logits, fused)


def experiments_folder() -> Path:
    """The shipped experiments, beside the package.

    Raises:
        ConfigurationError: If medlit was installed without them.
    """
    import medlit

    folder = Path(medlit.__file__).parents[1] / "experiments"
    if not (folder / OVERLAY).is_file():
        raise ConfigurationError(
            f"no experiments at {folder}: the demo runs from a clone of the project (make setup, then medlit demo)"
        )
    return folder


def _logits(table: "DataFrame", names: list[str]) -> "Logits":
    """(N, C) float64."""
    return table.select([f"logit_{name}" for name in names]).to_numpy().astype("float64")


def _figures(logits: Mapping[str, "Logits"], table: "DataFrame") -> dict[str, dict[str, float]]:
    import torch

    from medlit.metrics import classification_metrics

    labels = torch.tensor(table["label"].to_list())
    return {name: classification_metrics(torch.from_numpy(values), labels) for name, values in logits.items()}


def _report(folder: Path, *, cases: int, seed: int) -> None:
    """Print the table, and keep it as Markdown."""
    from rich.console import Console

    from medlit.report import markdown_table, result_table

    rows = compare(folder)
    title = f"test split of a look-alike Derm7pt ({cases} cases, seed {seed}; random frozen backbone)"
    print()
    Console().print(result_table(rows, title=title))
    (folder / RESULTS).write_text(f"{title}\n\n{markdown_table(rows)}\n", encoding="utf-8")
    print(f"The same as Markdown: {folder / RESULTS}")
    for run in runs(folder):
        print(f"{run.title}: {run.folder} (config.yaml, manifest.json, checkpoints/best.ckpt, {run.predictions.name})")
    print("The data are drawn, and so is the signal: the table shows that the method works, nothing about medicine.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="medlit demo",
        description="Write a look-alike Derm7pt whose classes need both photographs; train a model on each photograph "
        "and Early Intervention on both, small enough for a CPU; test them, and print one table.",
    )
    parser.add_argument("--dir", type=Path, default=Path("runs/demo"), help="folder to work in (default: runs/demo)")
    parser.add_argument("--cases", type=int, default=400, help="cases of the set, 10 or more (default: 400)")
    parser.add_argument("--seed", type=int, default=0, help="seed of data and trainings (default: 0)")
    parser.add_argument("--epochs", type=int, default=None, help="epochs of each training (default: the overlay's)")
    return parser
