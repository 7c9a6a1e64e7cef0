"""Where a run keeps its things: ``runs/<name>/{config.yaml, manifest.json, checkpoints/, logs/, predictions_*}``."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from medlit.errors import ConfigurationError, WeightsNotFoundError

CONFIG = "config.yaml"
TRACES = (CONFIG, "manifest.json", "checkpoints")
"""Each of these says that a run was started in a folder."""
OUTPUTS = (*TRACES, "logs", "figures", "predictions_*.parquet", "predictions_*.csv")
"""All that runs write; only these are removed when a run is overwritten."""


def default_run_dir(configs: Sequence[str]) -> str:
    """``runs/`` and the stems of the configuration files; a saved configuration's own folder needs no name."""
    return "runs/" + ("-".join(Path(config).stem for config in configs) or "unnamed")


def best_checkpoint(run_dir: str | Path) -> Path:
    """Path of the checkpoint with the best monitored metric."""
    return Path(run_dir) / "checkpoints" / "best.ckpt"


def find_best(run_dir: str | Path) -> Path:
    """Path of a run's best checkpoint.

    Raises:
        WeightsNotFoundError: If the run has none.
    """
    best = best_checkpoint(run_dir)
    if not best.is_file():
        raise WeightsNotFoundError(
            f"checkpoint {best} does not exist; make it with medlit fit and the same options, "
            "or name another with --ckpt_path"
        )
    return best


def claim(run_dir: str | Path, *, overwrite: bool, resume: str | None) -> None:
    """See that a new training does not write over an earlier one.

    Args:
        run_dir: The folder of the run.
        overwrite: Remove what an earlier run wrote there.
        resume: Checkpoint that training goes on from; its run goes on in its folder.

    Raises:
        ConfigurationError: If the folder holds a run, and neither is asked for; or both.
    """
    run_dir = Path(run_dir)
    started = any((run_dir / trace).exists() for trace in TRACES)
    if resume is not None and overwrite:
        raise ConfigurationError("--overwrite true starts anew and --ckpt_path goes on: give one of them")
    if resume is not None or not started:
        return
    if not overwrite:
        last = best_checkpoint(run_dir).with_name("last.ckpt")
        goes_on = f"go on with --ckpt_path {last}, " if last.is_file() else ""
        raise ConfigurationError(
            f"{run_dir} already holds a run; {goes_on}start it anew with --overwrite true, or choose another --run_dir"
        )
    for pattern in OUTPUTS:
        for path in run_dir.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def log_version(run_dir: str | Path, verb: str) -> str:
    """Name below ``logs/<kind>/`` that no earlier log of the run has: ``fit``, ``fit_2``, ..."""
    taken = {path.name for path in Path(run_dir).glob("logs/*/*")}
    names = (verb if number == 1 else f"{verb}_{number}" for number in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)
