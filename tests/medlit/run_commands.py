"""Commands one after the other in the processes that torchrun starts: ``python -m ... FOLDER [NAME ...]``.

Each command line is what the installed script gets; to start once saves the imports. FOLDER has Derm7pt's look-alike.
"""

import sys
from pathlib import Path

from medlit.cli import main
from tests.data_modules.mammography.prepared_trees import pristine
from tests.medlit.command_line import EXPERIMENTS

DDP = ["--trainer.devices", "2", "--trainer.strategy", "ddp", "--trainer.enable_progress_bar", "false"]
NAMES = ("unimodal", "fusion", "mama", "zero_shot", "probe", "sharded")
SHARDED = ["--trainer.devices", "2", "--trainer.strategy.init_args.data_parallel_size", "2"]


def commands(folder: Path) -> dict[str, list[str]]:
    """A training of every task but EI's by the shipped experiments, shrunk; the last with weights dealt out."""

    def skin(experiment: str, *options: str) -> list[str]:
        given = ["--data.root", str(folder / "data"), "--data.batch_size", "4", "--trainer.max_epochs", "1"]
        return [*files(experiment, "tiny"), *given, *DDP, *options]

    def breast(experiment: str, *overlays: str) -> list[str]:
        given = {"root": pristine("embed"), "preparation": "null", "batch_size": 6, "img_size": 32, "num_workers": 0}
        return [
            *files(experiment, *overlays),
            *(word for name, value in given.items() for word in (f"--data.init_args.{name}", str(value))),
        ]

    pretraining = [
        *("--trainer.max_steps", "-1", "--trainer.max_epochs", "1", "--trainer.limit_train_batches", "3"),
        *("--trainer.check_val_every_n_epoch", "1", "--model.init_args.late_start", "1"),
        *("--data.init_args.train_transform", "[]", "--trainer.enable_progress_bar", "false"),
        *("--model.init_args.scheduler", "null"),
    ]
    best = str(folder / "mama/checkpoints/best.ckpt")
    return {
        "unimodal": skin("unimodal_derm7pt_derm"),
        "fusion": skin("fusion_derm7pt"),
        "mama": [*breast("mama_embed", "mama_tiny"), *pretraining, *DDP],
        "zero_shot": [*breast("zero_shot_embed", "zero_shot_tiny"), "--model.init_args.checkpoint", best, *DDP],
        "probe": [*breast("probe_embed", "probe_tiny"), "--model.init_args.model.init_args.weights", best, *DDP],
        "sharded": [*breast("mama_embed", "mama_tiny", "mama_fsdp2"), *pretraining, *SHARDED],
    }


def files(experiment: str, *overlays: str) -> list[str]:
    paths = [EXPERIMENTS / f"{experiment}.yaml", *(EXPERIMENTS / "overlays" / f"{name}.yaml" for name in overlays)]
    return [word for path in paths for word in ("--config", str(path))]


if __name__ == "__main__":
    root = Path(sys.argv[1])
    known = commands(root)
    for name in sys.argv[2:] or NAMES:
        code = main(["fit", *known[name], "--run_dir", str(root / name)])
        if code:
            sys.exit(code)
