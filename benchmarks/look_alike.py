"""Early Intervention on look-alike sets: five seeds of the demo, and the same models with their tokens swapped.

``python -m benchmarks.look_alike`` writes a set per seed (``--set``: of which kind), trains the demo's models on it
with that seed, and prints the test split's mAP as a Markdown table. Swapped: each case gets the intervention tokens of
another case; what Early Intervention then loses is what the tokens told it.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import ArgumentParser
from torch import Tensor, nn

from data_modules.base import ClassificationDataModule
from medlit import checkpoint
from medlit.commands import demo
from medlit.metrics import classification_metrics
from medlit.models import EarlyInterventionClassifier
from medlit.run_folder import CONFIG, best_checkpoint

SWAPPED = "swapped tokens"


def columns(name: str) -> list[str]:
    """Columns of a set's table."""
    alone = [f"{modality} alone" for modality in demo.MODALITIES[name]]
    return [demo.FUSED, demo.mean_row(name), *alone, SWAPPED]


def figures(folder: Path, *, name: str = demo.DEFAULT_SET) -> dict[str, float]:
    """The test split's mAP by column of the table.

    Args:
        folder: Of a demo that has been trained.
        name: Of its set.
    """
    rows = {title: row["map"] for title, row in demo.compare(folder, name=name).items()}
    return {**rows, SWAPPED: swapped_map(folder)}


def swapped_map(folder: Path) -> float:
    """The fused logits' mAP where each case is given the intervention tokens of another.

    Args:
        folder: Of a demo that has been trained.
    """
    run = folder / "ei"
    config = yaml.safe_load((run / CONFIG).read_text())
    data = _data(config["data"])
    model = _model(config["model"]["init_args"]["model"], data)
    state, info = checkpoint.read_checkpoint(best_checkpoint(run))
    checkpoint.restore(model, state, info, source=str(run), class_names=data.class_names)
    _swap_tokens(model)
    data.setup("test")
    (batch,) = data.test_dataloader()
    with torch.inference_mode():
        output = model.eval()(batch["images"], batch["image_mask"])
    return classification_metrics(output.fused, batch["label"])["map"]


def _data(settings: dict[str, Any]) -> ClassificationDataModule:
    """The DataModule of a saved configuration, all cases in one batch."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--data", type=ClassificationDataModule)
    settings = {**settings, "init_args": {**settings["init_args"], "batch_size": 10_000, "num_workers": 0}}
    return parser.instantiate_classes(parser.parse_object({"data": settings})).data


def _model(settings: dict[str, Any], data: ClassificationDataModule) -> EarlyInterventionClassifier:
    """The model of a saved configuration."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--model", type=EarlyInterventionClassifier)
    linked = {"modalities": data.modalities, "num_classes": data.num_classes, "img_size": data.img_size}
    settings = {**settings, "init_args": {**settings["init_args"], **linked}}
    return parser.instantiate_classes(parser.parse_object({"model": settings})).model


def _swap_tokens(model: EarlyInterventionClassifier) -> None:
    """Let every projector hand its tokens to other cases, all modalities in the same order."""

    def swap(module: nn.Module, arguments: tuple[Tensor, ...], tokens: Tensor) -> Tensor:
        order = torch.randperm(len(tokens), generator=torch.Generator().manual_seed(0))
        return tokens[order.roll(1)[order.argsort()]]  # one cycle through all cases: none keeps its own

    for projectors in model.projectors.values():
        for projector in projectors.values():
            projector.register_forward_hook(swap)


def main() -> None:
    """Train all seeds, print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.look_alike", description=__doc__)
    parser.add_argument("--set", choices=list(demo.MODALITIES), default=demo.DEFAULT_SET, help="which look-alike")
    parser.add_argument("--dir", type=Path, help="a folder per seed is made in it (default: runs/look_alike_<set>)")
    parser.add_argument("--cases", type=int, default=400, help="cases of each set")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="of data and training")
    options = parser.parse_args()
    names = columns(options.set)
    lines = [f"| seed | {' | '.join(names)} |", "|---|" + "---:|" * len(names)]
    for seed in options.seeds:
        folder = (options.dir or Path(f"runs/look_alike_{options.set}")) / f"seed_{seed}"
        if demo.train(folder, cases=options.cases, seed=seed, name=options.set):
            raise SystemExit(f"seed {seed}: a training failed, see above")
        row = figures(folder, name=options.set)
        lines.append(f"| {seed} | {' | '.join(f'{row[name]:.3f}' for name in names)} |")
    print("\n".join(["", *lines]))


if __name__ == "__main__":
    main()
