"""Runs of 60 steps, small enough to be killed often, through the command line in forked processes.

Importing what a training needs takes seven seconds, a training two: this process imports it once and forks, before any
table is read or any gradient made.
"""

import os
import re
import sys
import traceback
from pathlib import Path

import torch
import yaml

from medlit import cli
from tests.medlit.command_line import EXPERIMENTS

cli.import_all_that_trains()  # before the fork, for all

STEPS, INTERVAL = 60, 7
WITHIN = re.compile(r"^going on from (\S+): epoch (\d+), step (\d+)$", re.MULTILINE)


def overlay(kind):
    """Settings over the tiny ones: steps, a checkpoint within the epochs, and something that drops at random."""
    best = {"monitor": "val/loss", "mode": "min", "every_n_steps": INTERVAL}
    trainer = {
        "max_steps": STEPS,
        "max_epochs": -1,
        "check_val_every_n_epoch": 1,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "logger": False,
        "callbacks": [{"class_path": "medlit.callbacks.BestCheckpoint", "init_args": best}],
    }
    if kind == "ei":
        plateau = {"monitor": "val/loss", "patience": 0, "factor": 0.8}
        scheduler = {"class_path": "lightning.pytorch.cli.ReduceLROnPlateau", "init_args": plateau}
        drops = {"depth": 2, "embed_dim": 32, "num_heads": 2, "drop_path_rate": 0.2}
        model = {"model": {"init_args": {"model_args": drops}}, "scheduler": scheduler}
        return {"trainer": trainer, "data": {"init_args": {"batch_size": 4}}, "model": {"init_args": model}}
    trainer["limit_val_batches"] = 2
    bert = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    vit = {"patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2, "mlp_ratio": 2}
    text = {"model_args": {**bert, "hidden_dropout_prob": 0.1}}
    towers = {"text": text, "image": {"model_args": vit, "patch_dropout": 0.25}}
    model = {
        "late_start": 29,
        "micro_batch_size": 5,
        "model": {"init_args": towers},
        "scheduler": {"init_args": {"warmup_steps": 5, "total_steps": STEPS}},
    }
    data = {"preparation": {"long_side": 1024}, "img_size": 32, "batch_size": 8}
    return {"trainer": trainer, "data": {"init_args": data}, "model": {"init_args": model}}


def words_of(kind, root, run_dir):
    """The command line of a run, without its verb.

    Args:
        kind: ei or mama.
        root: Of the data.
        run_dir: Of the run; the overlay lies beside it.
    """
    path = Path(run_dir).parent / f"{kind}_overlay.yaml"
    path.write_text(yaml.safe_dump(overlay(kind)))
    experiment, small = {"ei": ("ei_derm7pt", "tiny"), "mama": ("mama_embed", "mama_tiny")}[kind]
    configs = [EXPERIMENTS / f"{experiment}.yaml", EXPERIMENTS / "overlays" / f"{small}.yaml", path]
    return [
        *(word for config in configs for word in ("--config", str(config))),
        *("--data.init_args.root", str(root), "--run_dir", str(run_dir), "--test_after_fit", "false"),
    ]


def fork(work, out):
    """Run a function in a forked process.

    Args:
        work: Returns the exit code.
        out: File for standard output and error.

    Returns:
        The exit code; minus the signal's number where a signal ended it.
    """
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 99
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
        code = work()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def fit(words, out, *, before=None):
    """``medlit fit WORDS`` in a forked process, after ``before()`` there."""

    def work():
        torch.set_num_threads(1)
        if before is not None:
            before()
        return cli.main(["fit", *words])

    return fork(work, out)


def same(one, other):
    """Whether two contents of checkpoints are equal, tensors bit for bit."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def ending(run_dir):
    """What a run came to: weights, optimizer, schedule, figures, and the best of its epochs."""
    last, best = (torch.load(run_dir / "checkpoints" / name, weights_only=True) for name in ("last.ckpt", "best.ckpt"))
    [keeper] = [state for key, state in last["callbacks"].items() if key.startswith("BestCheckpoint")]
    return {
        **{name: last[name] for name in ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch")},
        "figures": {name: value for name, value in last["callback_metrics"].items() if name.startswith("val/")},
        "best": best["state_dict"],
        "best_score": keeper["best_model_score"],
        "best_step": best["global_step"],
    }
