"""Figures of finished trainings, brought together by row of a protocol's table."""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medlit.errors import ConfigurationError
from medlit.recipes.plan import Job, Key
from medlit.recipes.protocol import Block, Line
from medlit.recipes.recipe import Recipe
from medlit.run_folder import FIGURES, MANIFEST

WHOLE = ""
"""Name of the stratum of all cases."""
FRACTION = "data.init_args.label_fraction"

Place = tuple[str, str, str]
"""Of a figure: stratum, kind of unit, name."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way of answering one question with one share of the labels.

    Args:
        block: The question.
        method: The way.
        labels: The share, in words.
        patients: That the labels are of, by seed; none where there were no labels, or their number is not known.
        positives: How many of them have what is looked for, by seed; none where nothing is.
        figures: By seed, figures by their place.
        synthetic: Whether the cases are those of a look-alike.
    """

    block: Block
    method: str
    labels: str
    patients: Mapping[int, int]
    positives: Mapping[int, int]
    figures: Mapping[int, Mapping[Place, float]]
    synthetic: bool

    def values(self, place: Place) -> list[float]:
        """One figure for each seed that has it."""
        return [figures[place] for figures in self.figures.values() if place in figures]


def rows_of(recipe: Recipe, jobs: Mapping[Key, Job], finished: Collection[Key]) -> list[Row]:
    """The rows of a protocol, in the order of the recipe; a seed counts where its training is finished.

    Args:
        recipe: What was run.
        jobs: All its trainings.
        finished: Those that are.

    Raises:
        ConfigurationError: If a test left no figures, or has none of a head that is asked for.
    """
    rows = []
    for block in recipe.protocol:
        for line in block.lines:
            for stage in line.stages:
                by_seed = {seed: jobs[stage, seed, None] for seed in recipe.seeds_of(stage)}
                try:
                    rows.append(_row(block, line, by_seed, finished))
                except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
                    if isinstance(error, ConfigurationError):
                        raise
                    files = " or ".join((FIGURES, MANIFEST))
                    raise ConfigurationError(
                        f"{stage}: {files} of a training is not as medlit writes it; train it anew with --rerun"
                    ) from error
    return rows


def _row(block: Block, line: Line, by_seed: Mapping[int, Job], finished: Collection[Key]) -> Row:
    done = {seed: job for seed, job in by_seed.items() if job.key in finished}
    manifests = {seed: _read(job.folder / MANIFEST) for seed, job in done.items()}
    counts = {seed: manifest.get("training_counts") or {} for seed, manifest in manifests.items()}
    counts = {seed: found for seed, found in counts.items() if found and line.labels is None}
    looked_for = {seed: found for seed, found in counts.items() if found["positive_classes"]}
    planned = next(iter(by_seed.values())).inputs["set"].get(FRACTION, 1)
    fraction = float(next(iter(counts.values()), {}).get("label_fraction", planned))  # a configuration may set it too
    return Row(
        block=block,
        method=line.method,
        labels=f"{100 * fraction:g} %" if line.labels is None else line.labels,
        patients={seed: int(found["patients"]) for seed, found in counts.items()},
        positives={seed: int(found["positive_patients"]) for seed, found in looked_for.items()},
        figures={seed: dict(_figures(job, line.head, case=block.case)) for seed, job in done.items()},
        synthetic=any(manifest.get("synthetic") for manifest in manifests.values()),
    )


def _figures(job: Job, head: str | None, *, case: str) -> Iterator[tuple[Place, float]]:
    """Figures of a head by case and by what cases are parts of, of all cases and of their strata."""
    file = job.folder / FIGURES
    content = _read(file)
    if not content.get("heads"):
        raise ConfigurationError(f"{job.title}: no figures of a test in {file}; train it anew with --rerun")
    for stratum, figures in {WHOLE: content, **content.get("strata", {})}.items():
        heads: dict[str, dict[str, float]] = figures["heads"]
        answer = str(content.get("answer"))
        wanted = answer if head is None else head
        if wanted not in content["heads"]:
            raise ConfigurationError(
                f"{job.title}: {file} has no head {wanted!r}; its heads are {', '.join(content['heads'])}"
            )
        units = figures.get("units", {}) if wanted == answer else figures.get("other_units", {}).get(wanted, {})
        for kind, found in {case: heads.get(wanted, {}), **units}.items():
            for name, value in found.items():
                if isinstance(value, (int, float)):
                    yield (stratum, kind, name), float(value)


def _read(file: Path) -> dict[str, Any]:
    """A JSON file; empty where there is none that can be read."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
