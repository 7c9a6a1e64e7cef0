"""Every baseline beside Early Intervention, on one look-alike set, in one table.

``python -m benchmarks.baselines`` writes a look-alike Derm7pt, trains Early Intervention with each adapter and every
late fusion on it (the shipped experiments with the tiny overlay: a frozen random transformer of two blocks), and prints
a Markdown table. It stops with an error if a row is hardly better than chance, or if two rows predict the same.

How it is measured. mAP: the test split, over five classes (chance 0.2). Trained: parameters at the experiments' own
ViT-B/14. Step: forward, loss, backward and SGD of a batch at a middle size (see ``--backbone``), all models in one
process that take turns, a step each; the median over the turns of the ratio to the first row's step of the same turn.
Memory: counted in that step, not sampled: frozen weights once; weight, gradient and momentum of what is trained; and
every tensor that autograd keeps for the backward pass, each storage once.
"""

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import torch
import yaml
from jsonargparse import ArgumentParser
from torch import Tensor

from data_modules.synthetic import derm7pt
from medlit.commands.demo import experiments_folder
from medlit.losses import EarlyInterventionLoss
from medlit.metrics import classification_metrics
from medlit.models import AdaptedClassifier, EarlyInterventionClassifier
from medlit.tasks.unimodal import AnswerLoss

CHANCE, MARGIN = 0.2, 0.1
"""Mean average precision of a guess among five balanced classes, and by how much a baseline has to beat it."""
DIFFERENT = 1e-3
"""Two rows' probabilities differ by more than this somewhere, or they are the same model under two names."""
FIRST = "Early Intervention, MoR"


@dataclass(frozen=True, slots=True)
class Baseline:
    """One training."""

    title: str
    experiment: str
    overlay: str | None = None
    settings: tuple[str, ...] = ()
    """What the tiny training needs beside the overlays, chosen by hand."""

    @property
    def slug(self) -> str:
        """Name of its run folder."""
        return "-".join(filter(None, (self.experiment, self.overlay)))


EI, FUSION = "ei_derm7pt", "fusion_derm7pt"
FEW_PROMPTS = ("--model.init_args.model.init_args.adapter.init_args.num_tokens", "2", "--trainer.min_epochs", "40")
"""Ten tokens would drown an image of four patches; and it starts more slowly than early stopping waits."""
SLOWER = ("--model.init_args.optimizer.init_args.lr", "1e-3", "--trainer.min_epochs", "40")
"""The overlay's rate is one for adapters."""
BASELINES = (
    Baseline(FIRST, EI),
    Baseline("Early Intervention, LoRA", EI, "adapter_lora"),
    Baseline("Early Intervention, LoRA-MoE", EI, "adapter_lora_moe"),
    Baseline("Early Intervention, visual prompts", EI, "adapter_visual_prompt", FEW_PROMPTS),
    Baseline("Early Intervention, linear probe", EI, "adapter_linear_probe"),
    Baseline("Early Intervention, full fine-tuning", EI, "adapter_full_finetuning", SLOWER),
    Baseline("attention MIL", FUSION),
    Baseline("concatenation", FUSION, "fusion_concatenation"),
    Baseline("cross-attention", FUSION, "fusion_cross_attention"),
    Baseline("gated fusion", FUSION, "fusion_gated"),
    Baseline("mean of logits", FUSION, "fusion_mean_of_logits"),
)


@dataclass(frozen=True, slots=True)
class Step:
    """Size of the step whose time and memory are compared."""

    backbone: str
    img_size: int
    batch: int
    repeats: int


def train(folder: Path, baselines: list[Baseline], *, cases: int, seed: int, epochs: int | None) -> None:
    """Write the set and train every baseline on it, each in a process and a run folder of its own.

    Raises:
        SystemExit: If a training fails.
    """
    experiments = experiments_folder()
    derm7pt.write(folder / "data", cases=cases, seed=seed)
    for place, baseline in enumerate(baselines, start=1):
        print(f"{place}/{len(baselines)} {baseline.title}", flush=True)
        overlays = [name for name in (baseline.overlay, "tiny") if name]
        configs = [experiments / f"{baseline.experiment}.yaml"]
        configs += [experiments / "overlays" / f"{name}.yaml" for name in overlays]
        words = [word for config in configs for word in ("--config", str(config))]
        words += ["--data.init_args.root", str(folder / "data"), "--run_dir", str(folder / baseline.slug)]
        words += ["--seed_everything", str(seed), "--overwrite", "true", "--trainer.enable_progress_bar", "false"]
        words += baseline.settings
        words += [] if epochs is None else ["--trainer.max_epochs", str(epochs), "--trainer.min_epochs", "1"]
        # The networks are so small that more threads only wait for each other.
        environment = {"OMP_NUM_THREADS": "1", "NO_ALBUMENTATIONS_UPDATE": "1", **os.environ}
        command = [sys.executable, "-m", "medlit.cli", "fit", *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{baseline.title}: training failed\n{done.stderr[-2000:]}")


def predictions(folder: Path, baseline: Baseline) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (N, C), probabilities (N, C) and labels (N,) of the test split, in the order of the case ids."""
    table = pl.read_parquet(folder / baseline.slug / "predictions_test.parquet").sort("case_id")
    names = [column.removeprefix("logit_") for column in table.columns if column.startswith("logit_")]
    logits, probabilities = (
        torch.from_numpy(table.select([f"{kind}_{name}" for name in names]).to_numpy().astype("float64"))
        for kind in ("logit", "prob")
    )
    return logits, probabilities, torch.tensor(table["label"].to_list())


def check(maps: dict[str, float], probabilities: dict[str, Tensor]) -> None:
    """Refuse rows that learned nothing, and two that are the same.

    Raises:
        SystemExit: Naming them.
    """
    if poor := {title: round(value, 3) for title, value in maps.items() if value < CHANCE + MARGIN}:
        raise SystemExit(f"hardly better than chance ({CHANCE}): {poor}")
    for one, other in itertools.combinations(probabilities, 2):
        if float((probabilities[one] - probabilities[other]).abs().max()) <= DIFFERENT:
            raise SystemExit(f"{one} and {other} predict the same")


def make_model(baseline: Baseline, **changes: object) -> AdaptedClassifier:
    """The model of the shipped experiment with its overlay, with random weights."""
    settings = _shipped(baseline.experiment)["model"]["init_args"]["model"]
    linked = {"modalities": ["clinic", "derm"], "num_classes": 5, "pretrained": False, "gradient_checkpointing": False}
    if baseline.overlay:
        over = _shipped(f"overlays/{baseline.overlay}")["model"]["init_args"]["model"]
        settings = {**settings, **over, "init_args": {**settings["init_args"], **over.get("init_args", {})}}
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--model", type=AdaptedClassifier)
    settings = {**settings, "init_args": {**settings["init_args"], **linked, **changes}}
    return parser.instantiate(parser.parse_object({"model": settings})).model


def trained_parameters(baseline: Baseline) -> int:
    """At backbone and size of the shipped experiment; counted without memory."""
    size = _shipped(baseline.experiment)["data"]["init_args"]["img_size"]
    with torch.device("meta"):
        model = make_model(baseline, img_size=size)
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def _shipped(name: str) -> dict[str, Any]:
    return yaml.safe_load((experiments_folder() / f"{name}.yaml").read_text())


class Stepper:
    """A model that takes training steps on one batch."""

    def __init__(self, model: AdaptedClassifier, step: Step) -> None:
        generator = torch.Generator().manual_seed(0)
        shape = (step.batch, 1, 3, step.img_size, step.img_size)
        self.images = {name: torch.rand(shape, generator=generator) for name in model.modalities}
        self.label = torch.arange(step.batch) % model.num_classes
        self.model = model.train()
        steers = isinstance(model, EarlyInterventionClassifier)
        self.loss = EarlyInterventionLoss(prior=[1.0, 0.001]) if steers else AnswerLoss()
        self.trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.SGD(self.trained, lr=1e-4, momentum=0.95)

    def step(self) -> float:
        """One step; its seconds."""
        start = time.perf_counter()
        self.optimizer.zero_grad()
        self.loss(self.model(self.images), self.label)["total"].backward()
        self.optimizer.step()
        return time.perf_counter() - start

    def memory(self) -> int:
        """Bytes of a step: weights, gradients, momentum, and what autograd keeps."""
        own = {tensor.untyped_storage().data_ptr() for tensor in (*self.model.parameters(), *self.images.values())}
        kept: dict[int, int] = {}

        def pack(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor.detach()  # the tensor itself would hold the graph that holds it

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            total = self.loss(self.model(self.images), self.label)["total"]
        bytes_kept = sum(kept.values())
        del total
        weights = sum(parameter.numel() * parameter.element_size() for parameter in self.model.parameters())
        return weights + 2 * sum(tensor.numel() * tensor.element_size() for tensor in self.trained) + bytes_kept


def steps(baselines: list[Baseline], step: Step) -> dict[str, tuple[float, int]]:
    """By title, the median ratio of a step's time to the first row's, and bytes."""
    models = {
        baseline.title: Stepper(make_model(baseline, backbone=step.backbone, img_size=step.img_size), step)
        for baseline in baselines
    }
    memory = {title: stepper.memory() for title, stepper in models.items()}
    seconds: dict[str, list[float]] = {title: [] for title in models}
    for _ in range(step.repeats + 1):
        for title, stepper in models.items():
            seconds[title].append(stepper.step())
    first = seconds[baselines[0].title]
    return {
        title: (statistics.median(a / b for a, b in zip(taken[1:], first[1:], strict=True)), memory[title])
        for title, taken in seconds.items()
    }


def table(folder: Path, baselines: list[Baseline], step: Step) -> str:
    """The Markdown table of trained baselines.

    Raises:
        SystemExit: If a row learned nothing, or two are the same.
    """
    maps, probabilities = {}, {}
    for baseline in baselines:
        logits, probabilities[baseline.title], label = predictions(folder, baseline)
        maps[baseline.title] = classification_metrics(logits, label)["map"]
    measured = steps(baselines, step)
    lines = ["| | test mAP | trained at ViT-B/14 | step time | step memory |", "|---|---:|---:|---:|---:|"]
    for baseline in baselines:
        ratio, size = measured[baseline.title]
        count = trained_parameters(baseline)
        row = f"{maps[baseline.title]:.3f} | {count / 1e6:.3f} M | {ratio:.2f} | {size / 1e6:.0f} MB"
        lines.append(f"| {baseline.title} | {row} |")
    text = "\n".join(lines)
    print(f"\n{text}\n", flush=True)
    check(maps, probabilities)
    return text


def main() -> None:
    """Train all, print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.baselines", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dir", type=Path, default=Path("runs/baselines"), help="holds the set and a folder per run")
    parser.add_argument("--cases", type=int, default=400, help="of the look-alike set")
    parser.add_argument("--seed", type=int, default=0, help="of data and training")
    parser.add_argument("--epochs", type=int, default=None, help="of each training (default: the overlay's)")
    slugs = [baseline.slug for baseline in BASELINES]
    parser.add_argument(
        "--only", nargs="+", choices=slugs, default=slugs, help="rows; the first is what steps relate to"
    )
    parser.add_argument("--trained", action="store_true", help="the runs are there: measure and print alone")
    parser.add_argument("--backbone", default="vit_small_patch16_224", help="of the step that is measured")
    parser.add_argument("--size", type=int, default=224, help="side of its images, pixels")
    parser.add_argument("--batch", type=int, default=2, help="its cases")
    parser.add_argument("--repeats", type=int, default=5, help="counted turns")
    options = parser.parse_args()
    chosen = [baseline for baseline in BASELINES if baseline.slug in options.only]
    if not options.trained:
        train(options.dir, chosen, cases=options.cases, seed=options.seed, epochs=options.epochs)
    table(options.dir, chosen, Step(options.backbone, options.size, options.batch, options.repeats))


if __name__ == "__main__":
    main()
