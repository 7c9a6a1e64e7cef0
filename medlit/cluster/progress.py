"""How far a training is, from the manifest and the logs in its run folder."""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from medlit import run_folder

EPOCH_ENDED = "train/loss"
"""Every task logs it when an epoch ends."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a training is.

    Args:
        status: What the manifest says of it: ``started``, ``finished``, ``interrupted``, ``failed: <error>``; empty
            where there is no manifest.
        testing: Whether a test or a prediction has started and not ended.
        epochs: How many have ended.
        max_epochs: How many there may be; None: unknown, or nothing bounds them.
        monitor: Name of the metric that the best checkpoint is chosen by; empty: unknown.
        best: Its best value; None where there is none.
        seconds_left: How long the epochs that are left take at the pace of this start; None: unknown.
        last_sign: When a file of the run was last written, in seconds since 1970.
    """

    status: str
    testing: bool
    epochs: int
    max_epochs: int | None
    monitor: str
    best: float | None
    seconds_left: float | None
    last_sign: float


def progress_of(folder: Path) -> Progress:
    """How far the training of a run folder is."""
    stages = _stages(folder)
    fit = stages.get("fit", {})
    logs = sorted(folder.glob("logs/csv/fit*/metrics.csv"), key=_written)
    rows_by_start = [list(_rows(log)) for log in logs]
    monitor, max_epochs = fit.get("monitor") or "", fit.get("max_epochs")
    max_epochs = max_epochs if isinstance(max_epochs, int) and max_epochs > 0 else None
    ended = [{int(row["epoch"]) for row in rows if row.get(EPOCH_ENDED) and row.get("epoch")} for rows in rows_by_start]
    epochs = max((max(these) + 1 for these in ended if these), default=0)
    pace = None
    if ended and ended[-1] and fit.get("started"):
        pace = (_written(logs[-1]) - datetime.fromisoformat(fit["started"]).timestamp()) / len(ended[-1])
    return Progress(
        status=str(fit.get("status", "")),
        testing=any(stage.get("status") == "started" for name, stage in stages.items() if name != "fit"),
        epochs=epochs,
        max_epochs=max_epochs,
        monitor=monitor,
        best=_best([row for rows in rows_by_start for row in rows], fit),
        seconds_left=None if pace is None or max_epochs is None else max(0.0, pace * (max_epochs - epochs)),
        last_sign=max(map(_written, [*logs, *folder.glob("checkpoints/*.ckpt"), folder / run_folder.MANIFEST])),
    )


def _best(rows: list[dict[str, str]], fit: Mapping[str, Any]) -> float | None:
    """The best value of the metric that checkpoints are chosen by."""
    values = [
        float(row[fit["monitor"]])
        for row in rows
        if row.get(fit.get("monitor") or "") and int(row.get("step") or 0) >= int(fit.get("select_from_step") or 0)
    ]
    numbers = [value for value in values if value == value]  # NaN is never best
    return (min if fit.get("mode") == "min" else max)(numbers, default=None)


def _rows(log: Path) -> Iterator[dict[str, str]]:
    """Rows of a log, which may grow meanwhile."""
    with log.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def _stages(folder: Path) -> dict[str, dict[str, Any]]:
    """What the manifest says of fit, test and predict."""
    try:
        stages = json.loads((folder / run_folder.MANIFEST).read_text(encoding="utf-8"))["stages"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return (
        {name: stage for name, stage in stages.items() if isinstance(stage, dict)} if isinstance(stages, dict) else {}
    )


def _written(path: Path) -> float:
    """When a file was last written; 0 where there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
