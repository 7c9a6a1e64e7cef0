"""What a campaign came to, as Markdown; branches are counted by replaying the inputs that reached something new."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any


def coverage_of(kind: str, corpus: Path) -> dict[str, tuple[int, int]]:
    """Branches of the readers that a corpus takes, and how many there are, by file.

    Args:
        kind: Of ``KINDS``.
        corpus: What the workers kept: every input that reached a branch which none before it had.
    """
    with TemporaryDirectory() as folder:
        report, data = Path(folder) / "coverage.json", Path(folder) / "data"
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "COVERAGE_FILE": str(data), "HF_HUB_OFFLINE": "1"}
        words = ["run", "--branch", "--source=data_modules,medlit", "-m", "benchmarks.fuzz.replay", kind, str(corpus)]
        coverage = [sys.executable, "-W", "ignore", "-m", "coverage"]
        subprocess.run([*coverage, *words], env=environment, check=True, capture_output=True)
        subprocess.run([*coverage, "json", "-q", "-o", str(report)], env=environment, check=True, capture_output=True)
        files = json.loads(report.read_text())["files"]
        readers = json.loads((corpus.parent / "readers.json").read_text())
    taken = {}
    for reader in readers:
        found = files[reader]["summary"]
        taken[reader] = (found["covered_branches"], found["num_branches"])
    return taken


def markdown(summaries: Sequence[Mapping[str, Any]]) -> str:
    """Tables of inputs, branches, refusals and failures.

    Args:
        summaries: By field, as `benchmarks.fuzz.campaign.Summary` has them.
    """
    lines = [
        "| kind | inputs | pass the header | accepted | refused | failed | slowest, s | most memory, MB |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for one in summaries:
        results = one["results"]
        lines.append(
            f"| {one['kind']} | {one['inputs']:,} | {100 * one['opened'] / max(one['inputs'], 1):.1f} % | "
            f"{results.get('accepted', 0):,} | {results.get('refused', 0):,} | {len(one['failures'])} | "
            f"{one['slowest']:.2f} | {one['memory'] / 1e6:.0f} |"
        )
    lines += ["", "| reader | branches taken | of |", "|---|---:|---:|"]
    lines += [f"| `{reader}` | {taken} | {there} |" for reader, (taken, there) in sorted(_branches(summaries).items())]
    lines += ["", "| kind | refused by | inputs |", "|---|---|---:|"]
    for one in summaries:
        ordered = sorted(one["refusals"].items(), key=lambda pair: -pair[1])
        lines += [f"| {one['kind']} | `{why}` | {times:,} |" for why, times in ordered]
    for one in summaries:
        lines += [f"FAILED {one['kind']}: {why} ({file})" for why, file in one["failures"].items()]
    return "\n".join(lines)


def _branches(summaries: Sequence[Mapping[str, Any]]) -> dict[str, tuple[int, int]]:
    """Of each reader, by the kind that takes most of its branches."""
    most: dict[str, tuple[int, int]] = {}
    for one in summaries:
        for reader, (taken, there) in one["coverage"].items():
            most[reader] = max(most.get(reader, (0, there)), (taken, there))
    return most
