"""``medlit demo``: look-alike data, both unimodal models and Early Intervention, tested and compared in one table.

Of mammograms with captions the demo is another: `medlit.commands.demo_embed`.
"""

import argparse
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from medlit.commands.data import SETS, write_look_alike
from medlit.errors import ConfigurationError
from medlit.recipes.guard import SAFE_PATH

MODALITIES = {"derm7pt": ("clinic", "derm"), "mmc_amd": ("cfp", "oct"), "mrnet": ("axial", "coronal", "sagittal")}
"""By set, in order."""
DEFAULT_SET = "derm7pt"
PRETRAINING = "embed"
"""The set whose demo is MaMA's."""
FUSED = "Early Intervention"
"""Row of the table: EI's fused logits."""
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
    name, cases = options.set, options.cases
    folder = options.dir or Path("runs") / ("demo" if name == DEFAULT_SET else f"demo_{name}")
    if name == PRETRAINING:
        from medlit.commands import demo_embed

        return demo_embed.run(folder, cases=cases, seed=options.seed, epochs=options.epochs)
    code = train(folder, cases=cases, seed=options.seed, epochs=options.epochs, name=name)
    if code:
        return code
    _report(folder, cases=cases, seed=options.seed, name=name)
    return 0


def train(folder: Path, *, cases: int, seed: int, epochs: int | None = None, name: str = DEFAULT_SET) -> int:
    """Write the look-alike set and train all models on it, each in a process and a run folder of its own.

    Args:
        folder: Holds ``data/`` and a folder per run; what an earlier demo left there is replaced.
        cases: Size of the set.
        seed: Of the data and of the trainings.
        epochs: How long to train; None as the overlay says.
        name: Of the set.

    Returns:
        0, or the exit code of the training that failed, after which no other is started.
    """
    experiments = experiments_folder()
    planned = runs(folder, name=name)
    steps = len(planned) + 1
    print(f"1/{steps} look-alike {SETS[name].title} of {cases} cases: {folder / 'data'}", flush=True)
    write_look_alike(name, folder / "data", cases=cases, seed=seed)
    for step, run in enumerate(planned, start=2):
        print(f"\n{step}/{steps} {run.title}: {run.folder}", flush=True)
        words = [
            *("--config", str(experiments / run.experiment), "--config", str(experiments / OVERLAY)),
            *("--data.init_args.root", str(folder / "data"), "--run_dir", str(run.folder)),
            *("--seed_everything", str(seed), "--overwrite", "true"),
            *([] if epochs is None else ["--trainer.max_epochs", str(epochs)]),
        ]
        if code := run_medlit(["fit", *words]):
            return code
    return 0


def run_medlit(words: list[str]) -> int:
    """The exit code of ``medlit`` with some words, in a process of its own."""
    # The networks are so small that more threads only wait for each other.
    environment = {"OMP_NUM_THREADS": "1", "NO_ALBUMENTATIONS_UPDATE": "1", **os.environ, **SAFE_PATH}
    return subprocess.run([sys.executable, "-m", "medlit.cli", *words], env=environment, check=False).returncode


def runs(folder: Path, *, name: str = DEFAULT_SET) -> list[Run]:
    """The trainings of a demo in ``folder``, Early Intervention last."""
    unimodal = [
        Run(f"{modality} alone", f"unimodal_{name}_{modality}.yaml", folder / f"unimodal_{modality}")
        for modality in MODALITIES[name]
    ]
    return [*unimodal, Run(FUSED, f"ei_{name}.yaml", folder / "ei")]


def mean_row(name: str = DEFAULT_SET) -> str:
    """Title of the row for the mean of the unimodal logits."""
    return f"mean of the {['one', 'two', 'three'][len(MODALITIES[name]) - 1]}"


def compare(folder: Path, *, name: str = DEFAULT_SET) -> dict[str, dict[str, float]]:
    """Figures on the test split: by row of the table, metrics by key.

    Args:
        folder: Of a demo that has been trained.
        name: Of its set.
    """
    import numpy as np
    import torch

    from medlit.predictions import figures_of, label_columns, logit_columns, read_predictions, same_columns

    tables = {run.predictions: read_predictions(run.predictions).sort("case_id") for run in runs(folder, name=name)}
    same_columns(tables)
    *unimodal, fused = tables.values()
    for path, table in tables.items():
        if not table["case_id"].equals(fused["case_id"]):
            raise ConfigurationError(f"{path}: other cases than Early Intervention's; run the demo anew")
    columns = logit_columns(fused.columns)  # in the order of the classes
    alone = {
        f"{modality} alone": table.select(columns).to_numpy()
        for modality, table in zip(MODALITIES[name], unimodal, strict=True)
    }
    rows = {FUSED: fused.select(columns).to_numpy(), mean_row(name): np.mean(list(alone.values()), axis=0), **alone}
    source = next(reversed(tables))
    truth = fused.select(label_columns(fused.columns))
    if truth.null_count().sum_horizontal().item():
        raise ConfigurationError(f"{source}: a case without a label; run the demo anew")
    labels = torch.from_numpy(truth.to_numpy().copy())
    labels = labels[:, 0] if truth.columns == ["label"] else labels
    return {title: figures_of(torch.tensor(values), labels, source=source) for title, values in rows.items()}


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


def _report(folder: Path, *, cases: int, seed: int, name: str) -> None:
    """Print the table, and keep it as Markdown."""
    from rich.console import Console

    from medlit.report import markdown_table, result_table

    rows = compare(folder, name=name)
    title = f"test split of a look-alike {SETS[name].title} ({cases} cases, seed {seed}; random frozen backbone)"
    print()
    Console().print(result_table(rows, title=title))
    (folder / RESULTS).write_text(f"{title}\n\n{markdown_table(rows)}\n", encoding="utf-8")
    print(f"The same as Markdown: {folder / RESULTS}")
    for run in runs(folder, name=name):
        print(f"{run.title}: {run.folder} (config.yaml, manifest.json, checkpoints/best.ckpt, {run.predictions.name})")
    print("The data are drawn, and so is the signal: the table shows that the method works, nothing about medicine.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="medlit demo",
        description="Write a look-alike set whose classes need every modality; train a model on each modality and "
        "Early Intervention on all, small enough for a CPU; test them, and print one table. Of embed: pretrain MaMA on "
        "images and captions, and judge it by captions of classes and by a probe.",
    )
    parser.add_argument(
        "--set", choices=[*MODALITIES, PRETRAINING], default=DEFAULT_SET, help=f"default: {DEFAULT_SET}"
    )
    parser.add_argument(
        "--dir", type=Path, help="folder to work in (default: runs/demo, of other sets runs/demo_<set>)"
    )
    parser.add_argument("--cases", type=int, default=400, help="cases of the set, 10 or more (default: 400)")
    parser.add_argument("--seed", type=int, default=0, help="seed of data and trainings (default: 0)")
    parser.add_argument(
        "--epochs",
        type=int,
        default=None,
        help="epochs of each training, of embed of the pretraining (default: the overlay's)",
    )
    return parser
