"""Where a run keeps its things: ``runs/<name>/{config.yaml, manifest.json, checkpoints/, logs/}`` and its tables."""

import contextlib
import json
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

from medlit.errors import ConfigurationError, WeightsNotFoundError

CONFIG, MANIFEST = "config.yaml", "manifest.json"
BEST, LAST, PREVIOUS = "best.ckpt", "last.ckpt", "previous.ckpt"
"""In ``checkpoints/``: of the best figure, the newest, and the newest but one."""
CHECKPOINTS = tuple(f"checkpoints/{name}" for name in (BEST, LAST, PREVIOUS))
TRACES = (CONFIG, MANIFEST, *CHECKPOINTS)
"""What a training writes, whatever it is told; each is in the way of the next."""
SUBSETS = "subsets_test.md"
"""Name of the table of a test with fewer modalities."""
FIGURES = "figures_test.json"
"""Name of the file with every figure of a test."""
PREDICTIONS = tuple(f"{stem}_*.{format}" for stem in ("predictions", "predict") for format in ("parquet", "csv"))
OUTPUTS = (*TRACES, *PREDICTIONS, SUBSETS, FIGURES, "checkpoints/*.ckpt.damaged", "checkpoints/.*.part")
"""The files that runs write; these and the logs are removed when a run is overwritten."""
LOGS = ("logs/csv", "logs/tensorboard")
SUBMIT_SCRIPT, SUBMITTED, SUBMISSION, JOB_STATE = "submit.sh", "submit.yaml", "submit.json", "job_state"
"""What a run submitted to SLURM keeps besides: script, configuration, the job's number, what the script said last."""


def default_run_dir(configs: Sequence[str]) -> str:
    """``runs/`` and the stems of the configuration files; a saved configuration's own folder needs no name."""
    return "runs/" + ("-".join(Path(config).stem for config in configs) or "unnamed")


def best_checkpoint(run_dir: str | Path) -> Path:
    """Path of the checkpoint with the best monitored metric."""
    return Path(run_dir) / "checkpoints" / "best.ckpt"


def has_checkpoint(run_dir: str | Path) -> bool:
    """Whether a run left anything to go on from."""
    return any((Path(run_dir) / name).is_file() for name in CHECKPOINTS)


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


def claim(run_dir: str | Path, *, overwrite: bool, resume: str | None, may_go_on: bool = False) -> None:
    """See that a new training does not write over an earlier one; nothing is changed.

    A training that failed before its first checkpoint is not in the way.

    Args:
        run_dir: The folder of the run.
        overwrite: What an earlier run wrote there may go.
        resume: Checkpoint that training goes on from; its run goes on in its folder.
        may_go_on: Whether a run in the folder is gone on with if it can be; one without a checkpoint starts anew.

    Raises:
        ConfigurationError: If the folder holds a run, and neither is asked for; or both; or it holds another run than
            the one that goes on; or files of medlit's names that are not medlit's.
    """
    run_dir = Path(run_dir)
    if stale := sorted(run_dir.glob("hpc_ckpt_*.ckpt")):
        raise ConfigurationError(
            f"{stale[0]} is of Lightning's own requeueing, which would take it for this run's newest: remove it"
        )
    if resume is not None and overwrite:
        raise ConfigurationError("--overwrite true starts anew and --ckpt_path goes on: give one of them")
    traces = [trace for trace in TRACES if (run_dir / trace).exists()]
    if not traces or is_within(run_dir, resume):
        return
    if not is_run(run_dir):
        raise ConfigurationError(f"{run_dir} holds {traces[0]}, but no run of medlit: choose another --run_dir")
    if overwrite or not is_kept(run_dir) or (may_go_on and not has_checkpoint(run_dir)):
        return
    if resume is not None:
        raise ConfigurationError(f"{run_dir} already holds another run than that of {resume}: choose another --run_dir")
    goes_on = "go on with --resume true, " if has_checkpoint(run_dir) else ""
    raise ConfigurationError(
        f"{run_dir} already holds a run; {goes_on}start it anew with --overwrite true, or choose another --run_dir"
    )


def is_within(run_dir: str | Path, checkpoint: str | None) -> bool:
    """Whether a checkpoint is one of the run's own."""
    return checkpoint is not None and Path(checkpoint).resolve().parent == (Path(run_dir) / "checkpoints").resolve()


def is_run(run_dir: str | Path) -> bool:
    """Whether medlit wrote what is there: its manifest says so, or a checkpoint beside a configuration of medlit's."""
    run_dir = Path(run_dir)
    if "medlit" in (_manifest(run_dir).get("versions") or {}):
        return True
    config = run_dir / CONFIG
    has_checkpoint = any((run_dir / name).is_file() for name in CHECKPOINTS)
    return has_checkpoint and config.is_file() and "medlit." in config.read_text(encoding="utf-8", errors="replace")


def is_kept(run_dir: str | Path) -> bool:
    """Whether a run is worth keeping: it has a checkpoint, or did not fail."""
    if has_checkpoint(run_dir):
        return True
    status = str(_manifest(Path(run_dir)).get("stages", {}).get("fit", {}).get("status", "failed"))
    return not status.startswith("failed")


def clear(run_dir: str | Path, *, keep: Collection[str | Path] = (), spare_checkpoints: bool = False) -> None:
    """Remove what an earlier run of medlit wrote; anything else stays.

    Args:
        run_dir: The folder of the run.
        keep: Folders below ``logs/<kind>/`` that are in use.
        spare_checkpoints: Keep those with checkpoints too: other callbacks than medlit's write theirs there.
    """
    run_dir = Path(run_dir)
    if not is_run(run_dir):
        return
    kept = {Path(folder).resolve() for folder in keep}
    logs = [path for kind in LOGS for path in run_dir.glob(f"{kind}/*") if path.resolve() not in kept]
    if spare_checkpoints:
        logs = [path for path in logs if path.is_symlink() or not any(path.rglob("*.ckpt"))]
    for path in [*(path for pattern in OUTPUTS for path in run_dir.glob(pattern)), *logs]:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for folder in ("checkpoints", *LOGS, "logs"):
        with contextlib.suppress(OSError):  # it is not there, or holds other things
            (run_dir / folder).rmdir()


def _manifest(run_dir: Path) -> dict[str, dict[str, dict[str, object]]]:
    """The manifest; empty if there is none that can be read."""
    try:
        content = json.loads((run_dir / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def job_state(run_dir: str | Path) -> tuple[str, int | None] | None:
    """What the script of a batch job last said in a run folder.

    Returns:
        The job's number, and the exit code with which it ended, None where it has not; None: no script has run there.
    """
    try:
        job, state = (Path(run_dir) / JOB_STATE).read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return None
    return job, int(state) if state.isdecimal() else None


def log_version(run_dir: str | Path, verb: str) -> str:
    """Name below ``logs/<kind>/`` that no earlier log of the run has: ``fit``, ``fit_2``, ..."""
    taken = {path.name for path in Path(run_dir).glob("logs/*/*")}
    names = (verb if number == 1 else f"{verb}_{number}" for number in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)
