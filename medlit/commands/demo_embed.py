"""``medlit demo --set embed``: MaMA from look-alike tables and images to zero-shot answers and probes, in one table."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medlit.commands.demo import RESULTS, experiments_folder, run_medlit

LONG_SIDE = 256
"""Pixels of the prepared images, as experiments/overlays/mama_tiny.yaml expects."""

UNTRAINED, TRAINED = "untrained", "MaMA"

CHANCE = {"balanced": 0.25, "auroc": 0.5, "suspicious_balanced": 0.5, "suspicious_auroc": 0.5}
"""Of four densities, and of two groups of categories; of the table's columns."""

COLUMNS = {
    "balanced": "density: balanced accuracy",
    "auroc": "density: AUROC",
    "suspicious_balanced": "suspicious: balanced accuracy",
    "suspicious_auroc": "suspicious: AUROC",
}
"""Headings; suspicious is BI-RADS 4 or 5 against 1 or 2."""

FIGURES = {
    "density": {"balanced": "balanced_accuracy", "auroc": "auroc"},
    "birads": {"suspicious_balanced": "suspicious/balanced_accuracy", "suspicious_auroc": "suspicious/auroc"},
}
"""By target, of each column the figure of ``figures_test.json``."""


@dataclass(frozen=True, slots=True)
class Step:
    """One training or test of the demo."""

    title: str
    configs: tuple[str, ...]
    """Below ``experiments/``."""
    folder: Path
    words: tuple[str, ...] = ()
    """Of its own on the command line."""
    row: str | None = None
    """Of the table, where it is tested."""
    target: str = "density"


def run(folder: Path, *, cases: int, seed: int, epochs: int | None = None) -> int:
    """Make the data, pretrain, test, print the table.

    Args:
        folder: Holds ``raw/``, ``data/`` and a folder per run; what an earlier demo left there is replaced.
        cases: Exams of the look-alike.
        seed: Of the data and of the trainings.
        epochs: Of the pretraining, all losses from the first step on; None as the overlay says.

    Returns:
        0, or the exit code of the first command that failed, after which no other is started.
    """
    planned = plan(folder, epochs=epochs)
    count = len(planned) + 2
    raw, data = folder / "raw", folder / "data"
    print(f"1/{count} look-alike EMBED of {cases} exams: {raw}", flush=True)
    words = ["data", "synth", "embed", "--root", str(raw), "--cases", str(cases), "--seed", str(seed)]
    if code := run_medlit(words):
        return code
    print(f"\n2/{count} prepared images: {data}", flush=True)
    words = ["data", "prepare", "embed", "--root", str(raw), "--out", str(data), "--long-side", str(LONG_SIDE)]
    if code := run_medlit(words):
        return code
    for number, step in enumerate(planned, start=3):
        print(f"\n{number}/{count} {step.title}: {step.folder}", flush=True)
        configs = [word for config in step.configs for word in ("--config", str(experiments_folder() / config))]
        fixed = ["--data.init_args.root", str(data), "--run_dir", str(step.folder), "--seed_everything", str(seed)]
        if code := run_medlit(["fit", *configs, *fixed, "--overwrite", "true", *step.words]):
            return code
    _report(folder, planned, cases=cases, seed=seed)
    return 0


def plan(folder: Path, *, epochs: int | None = None) -> list[Step]:
    """The trainings and tests of a demo in ``folder``, in order; pretraining first."""
    tiny = ("mama_embed.yaml", "overlays/mama_tiny.yaml")
    # A step at a learning rate of nothing: a checkpoint of the weights that the training starts from.
    still = (
        *("--model.init_args.optimizer.init_args.lr", "0.0", "--model.init_args.scheduler.init_args.min_lr", "0.0"),
        *("--model.init_args.late_start", "0"),
        *("--trainer.max_steps", "1", "--trainer.limit_train_batches", "1", "--trainer.check_val_every_n_epoch", "1"),
    )
    length = () if epochs is None else _length(epochs)
    pretrained = {UNTRAINED: folder / "untrained", TRAINED: folder / "mama"}
    planned = [
        Step("weights before training", tiny, pretrained[UNTRAINED], still),
        Step("pretraining on images and captions", tiny, pretrained[TRAINED], length),
    ]
    zero_shot = ("zero-shot", ("zero_shot_embed.yaml", "overlays/zero_shot_tiny.yaml"), "--model.init_args.checkpoint")
    probe = ("probe", ("probe_embed.yaml", "overlays/probe_tiny.yaml"), "--model.init_args.model.init_args.weights")
    for name, source in pretrained.items():
        checkpoint = str(source / "checkpoints" / "best.ckpt")
        for (method, configs, weights), target in ((zero_shot, "density"), (zero_shot, "birads"), (probe, "density")):
            row, its_folder = f"{name}, {method}", f"{source.name}_{method.replace('-', '_')}_{target}"
            # A balanced tenth of so few test images would be two dozen.
            data = ("--data.init_args.target", target, "--data.init_args.balanced_test", "false")
            words = (weights, checkpoint, *data)
            planned.append(Step(f"{row}, {target}", configs, folder / its_folder, words, row, target))
    return planned


def compare(planned: list[Step]) -> dict[str, dict[str, float]]:
    """Figures on the test patients: by row of the table, chance first, figures by column."""
    rows = {"chance": dict(CHANCE)}
    for step in planned:
        if step.row is not None:
            record: dict[str, Any] = json.loads((step.folder / "figures_test.json").read_text(encoding="utf-8"))
            heads = record["heads"][record["answer"]]
            own = {column: heads.get(figure) for column, figure in FIGURES[step.target].items()}
            known = {column: value for column, value in own.items() if value is not None}
            rows.setdefault(step.row, {}).update(known)
    return rows


def _length(epochs: int) -> tuple[str, ...]:
    """Words for another length of pretraining; the late losses join at once, so that a best checkpoint is chosen."""
    return (
        *("--trainer.max_steps", "-1", "--trainer.max_epochs", str(epochs), "--trainer.check_val_every_n_epoch", "1"),
        *("--model.init_args.late_start", "0"),
    )


def _report(folder: Path, planned: list[Step], *, cases: int, seed: int) -> None:
    """Print the table, and keep it as Markdown."""
    from rich.console import Console

    from medlit.report import figure_table, markdown_table

    rows = compare(planned)
    title = f"test patients of a look-alike EMBED ({cases} exams, seed {seed}; suspicious: BI-RADS 4, 5 against 1, 2)"
    print()
    Console().print(figure_table(rows, COLUMNS, title=title))
    (folder / RESULTS).write_text(f"{title}\n\n{markdown_table(rows, columns=COLUMNS)}\n", encoding="utf-8")
    print(f"The same as Markdown: {folder / RESULTS}")
    print(
        "Zero-shot: the caption of a class that is nearest to the image. Probe: a linear classifier of kept features."
    )
    print(f"Each run has its folder in {folder}: config.yaml, manifest.json, checkpoints/best.ckpt, figures_test.json")
    print("The data are drawn, and so is the signal: the table shows that the method works, nothing about medicine.")
