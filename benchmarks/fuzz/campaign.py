"""A campaign: workers, one after the other, until every kind has had its inputs; then a table of what came of them.

``python -m benchmarks.fuzz.campaign --kind dicom --runs 20000 --seed 0 --out runs/fuzz``; without ``--kind`` all of
them. It needs the extra ``fuzz``: ``pip install -e ".[fuzz]"``.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.fuzz.kinds import KINDS, SHARES
from benchmarks.fuzz.report import coverage_of, markdown

TALLY = "tally.json"
NATIVE = ("crash-", "timeout-", "oom-")
"""Names that libFuzzer gives to inputs that ended a worker."""
MOST_CRASHES = 50
"""Of one kind; more are no news."""


@dataclass
class Summary:
    """Of one kind, over all its workers."""

    kind: str
    inputs: int = 0
    opened: int = 0
    results: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)
    """By what happened, the file of an input."""
    slowest: float = 0.0
    memory: int = 0
    wall: float = 0.0
    coverage: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By reader: branches taken, branches there are."""

    def add(self, tally: dict[str, Any], folder: Path) -> None:
        """Take what a worker has counted."""
        self.inputs += tally["inputs"]
        self.opened += tally["opened"]
        self.results.update(tally["results"])
        self.refusals.update(tally["refusals"])
        self.failures |= {one["why"]: str(folder / one["file"]) for one in tally["failures"]}
        self.slowest = max(self.slowest, tally["slowest"])
        self.memory = max(self.memory, tally["memory"])


def main() -> int:
    """Run a campaign; the exit code is 1 where anything failed."""
    options = _parser().parse_args()
    summaries = []
    for kind in options.kind or KINDS:
        runs = SHARES[kind] if options.runs is None else options.runs
        folder = options.out / kind
        summary = fuzz(kind, runs=runs, seed=options.seed, folder=folder)
        if not options.no_coverage:
            summary.coverage = coverage_of(kind, folder / "corpus")
        (folder / "summary.json").write_text(json.dumps(vars(summary), indent=2))
        summaries.append(summary)
        print(markdown([vars(summary)]), flush=True)
    if len(summaries) > 1:
        print(markdown([vars(summary) for summary in summaries]))
    return int(any(summary.failures for summary in summaries))


def fuzz(kind: str, *, runs: int, seed: int, folder: Path) -> Summary:
    """Start workers until a kind has had its inputs; one that an input ended is followed by another.

    Args:
        kind: Of ``KINDS``.
        runs: How many inputs.
        seed: Of the first worker; each has the next.
        folder: Emptied; gets corpus, counts and failures.
    """
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    summary, crashes, start = Summary(kind), 0, time.monotonic()
    environment = {
        **os.environ, "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "HF_HUB_OFFLINE": "1",
        "NO_ALBUMENTATIONS_UPDATE": "1", "PYTHONWARNINGS": "ignore",
    }  # fmt: skip
    while summary.inputs < runs and crashes < MOST_CRASHES:
        words = [
            "--kind",
            kind,
            "--runs",
            str(runs - summary.inputs),
            "--seed",
            str(seed + crashes + 1),
            "--out",
            str(folder),
        ]
        before = set(folder.iterdir())
        with (folder / "log.txt").open("ab") as log:
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.fuzz.worker", *words],
                env=environment,
                stdout=log,
                stderr=log,
                check=False,
            )
        tally = folder / TALLY
        if tally.is_file():
            summary.add(json.loads(tally.read_text()), folder)
            tally.unlink()
        elif done.returncode:
            raise SystemExit(f"{kind}: a worker ended before its first inputs; see {folder / 'log.txt'}")
        if done.returncode:
            crashes += 1
            for path in sorted(set(folder.iterdir()) - before):
                if path.name.startswith(NATIVE):
                    summary.failures[f"{path.name.partition('-')[0]} of the process: {path.name[-8:]}"] = str(path)
                    summary.results["failed"] += 1
    summary.wall = time.monotonic() - start
    return summary


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz.campaign", description=__doc__)
    parser.add_argument(
        "--kind", choices=list(KINDS), action="append", help="one of them, may be repeated; default: all"
    )
    parser.add_argument("--runs", type=int, help="inputs of each kind; default: those of a whole campaign")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz"), help="folders of the kinds, which are emptied")
    parser.add_argument("--no-coverage", action="store_true", help="do not replay the corpus to count branches")
    return parser


if __name__ == "__main__":
    sys.exit(main())
