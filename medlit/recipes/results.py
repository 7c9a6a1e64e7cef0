"""The table of a recipe: mean and standard deviation over seeds, beside what was published."""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from medlit.errors import ConfigurationError
from medlit.predictions import figures_of, label_columns, logit_columns, read_predictions, same_columns
from medlit.recipes.cells import as_csv, decimal, exact
from medlit.recipes.plan import Job, Key
from medlit.recipes.published import Published
from medlit.recipes.recipe import Recipe
from medlit.report import COLUMNS
from medlit.run_folder import MANIFEST

if TYPE_CHECKING:
    from polars import DataFrame

MARKDOWN, TABLE, BY_SEED = "results.md", "results.csv", "results_by_seed.csv"

POOLED = (
    "Folds: each case is tested once, by the network of its fold; a seed's figures are those of all cases together. "
    "Scores of different networks are thus ranked in one list: mAP and AUROC may be below the mean of the folds' own."
)
LOOK_ALIKE = "The data are a look-alike's, drawn by medlit: the figures say nothing about medicine."
OTHER_SPLITS = "Published figures are of other test cases, those of the paper's own splits, and other training sets."


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of the table.

    Args:
        title: Its name.
        cases: Test cases; None where nothing was measured.
        figures: By seed, metrics by key.
        synthetic: Whether the cases are those of a look-alike.
    """

    title: str
    cases: int | None
    figures: Mapping[int, Mapping[str, float]]
    synthetic: bool = False

    def values(self, metric: str) -> list[float]:
        """One figure per seed."""
        return [figures.get(metric, math.nan) for figures in self.figures.values()]

    def mean(self, metric: str) -> float:
        """Over seeds; NaN without any."""
        values = self.values(metric)
        return fmean(values) if values else math.nan

    def deviation(self, metric: str) -> float:
        """Sample standard deviation over seeds (divisor n - 1); NaN where there are less than two."""
        values = self.values(metric)
        return stdev(values) if len(values) > 1 and not any(map(math.isnan, values)) else math.nan


def rows_of(recipe: Recipe, jobs: Mapping[Key, Job], finished: Collection[Key]) -> list[Row]:
    """The rows that a recipe compares.

    Of folds the test cases are pooled: each case is predicted once, by the training that did not see it, and the
    figures of a seed are those of the whole pool.

    Args:
        recipe: What was run.
        jobs: All its trainings.
        finished: Those that are; a seed enters a row where all that it needs are.

    Raises:
        ConfigurationError: If a training tests cases that one it starts from was trained on, or a case is tested twice.
    """
    _refuse_other_folds(jobs, finished)
    folds = [None] if recipe.num_folds is None else list(range(recipe.num_folds))
    rows = []
    for title, stages in recipe.compare.items():
        figures, cases, synthetic = {}, None, False
        for seed in _seeds_of_all(recipe, stages):
            needed = [[jobs[stage, seed, fold] for fold in folds] for stage in stages]
            if all(job.key in finished for pool in needed for job in pool):
                figures[seed], cases = _figures({pool[0].predictions: _pooled(pool) for pool in needed})
                synthetic = synthetic or any(_is_synthetic(job) for pool in needed for job in pool)
        rows.append(Row(title=title, cases=cases, figures=figures, synthetic=synthetic))
    return rows


def _seeds_of_all(recipe: Recipe, stages: Sequence[str]) -> list[int]:
    """Those that every one of some stages is trained with."""
    return [seed for seed in recipe.seeds_of(stages[0]) if all(seed in recipe.seeds_of(stage) for stage in stages)]


def _is_synthetic(job: Job) -> bool:
    """What the manifest says of the data."""
    try:
        manifest = json.loads((job.folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(manifest, dict) and bool(manifest.get("synthetic"))


def _refuse_other_folds(jobs: Mapping[Key, Job], finished: Collection[Key]) -> None:
    """Refuse a training that tests what one it starts from was fitted to: cases that this one tests in another fold."""
    linked = {key for job in jobs.values() if job.after and job.fold is not None for key in (job.key, *job.after)}
    tested = {
        key: set(read_predictions(jobs[key].predictions)["case_id"])
        for key in jobs
        if key in linked and key in finished and jobs[key].test
    }
    for key, cases in tested.items():
        for stage, seed, fold in jobs[key].after:
            for other, others in tested.items():
                if other[:2] == (stage, seed) and other[2] != fold and (shared := sorted(cases & others)):
                    raise ConfigurationError(
                        f"{jobs[key].title} tests case {shared[0]!r} ({len(shared)} in all), on which {stage}, fold "
                        f"{fold} was trained or chosen: the stages cut other folds; give all of them the same data, "
                        "target and split_seed"
                    )


def _pooled(jobs: Sequence[Job]) -> "DataFrame":
    """Every case of the folds, once."""
    import polars as pl

    tables = {job.predictions: read_predictions(job.predictions) for job in jobs}
    same_columns(tables)
    columns = next(iter(tables.values())).columns  # the order of the classes
    pool = pl.concat([table.select(columns) for table in tables.values()])
    twice = pool.filter(pool["case_id"].is_duplicated())["case_id"]
    if len(twice):
        raise ConfigurationError(
            f"{jobs[0].predictions.parent}: case {twice[0]} was tested more than once; folds have to be disjoint"
        )
    return pool


def _figures(tables: Mapping[Path, "DataFrame"]) -> tuple[dict[str, float], int]:
    """Metrics of one table, or of the mean logits of several (of those that have the case), and how many cases."""
    import polars as pl
    import torch

    same_columns(tables)
    (source, first), *_ = tables.items()
    labels, logits = label_columns(first.columns), logit_columns(first.columns)
    whole = pl.concat([table.select(["case_id", *labels, *logits]) for table in tables.values()]).drop_nulls(labels)
    if not len(whole):
        raise ConfigurationError(f"{source}: no case has a label; a table of figures needs them")
    means = whole.group_by("case_id").agg(pl.col(labels).first(), pl.col(logits).mean())
    means = means.sort("case_id")
    target = torch.from_numpy(means.select(labels).to_numpy().copy())
    target = target[:, 0] if labels == ["label"] else target
    figures = figures_of(torch.from_numpy(means.select(logits).to_numpy().copy()), target, source=source)
    return {key: figures[key] for key in COLUMNS}, len(means)


# As files


def write(out: Path, rows: Sequence[Row], published: Published | None, *, title: str, pooled: bool = False) -> str:
    """Write the table as Markdown and CSV, and the figures of each seed as CSV.

    Args:
        out: The recipe's folder.
        rows: Of the table.
        published: What to compare with.
        title: Above the Markdown table.
        pooled: Whether the test cases are those of all folds; the Markdown then says what that means.

    Returns:
        The Markdown.
    """
    rows = [*rows, *_rows_published_alone(rows, published)]
    text = markdown(rows, published, title=title, pooled=pooled)
    (out / MARKDOWN).write_text(text, encoding="utf-8")
    (out / TABLE).write_text(_table(rows, published), encoding="utf-8")
    (out / BY_SEED).write_text(_by_seed(rows), encoding="utf-8")
    return text


def _rows_published_alone(rows: Sequence[Row], published: Published | None) -> list[Row]:
    """What was published and not computed."""
    titles = {row.title for row in rows}
    known = published.rows if published else {}
    others = [title for title in known if title not in titles and any(known[title].values())]
    return [Row(title=title, cases=None, figures={}) for title in others]


def markdown(rows: Sequence[Row], published: Published | None, *, title: str, pooled: bool = False) -> str:
    """The table for people: mean ± standard deviation, three decimals; blank where unknown."""
    compared = [key for key in COLUMNS if published and (key == "map" or published.has(key))]
    head = ["", "cases", "n"]
    for key, heading in COLUMNS.items():
        head += [heading, f"{heading} published"] if key in compared else [heading]
    lines = [title, "", f"| {' | '.join(head)} |".replace("|  |", "| |"), "|---|" + "---:|" * (len(head) - 1)]
    for row in rows:
        cells = [row.title, _number(row.cases), _number(len(row.figures) or None)]
        for key in COLUMNS:
            cells.append(_mean_and_deviation(row, key))
            if key in compared and published:
                cells.append(decimal(published.figure(row.title, key)))
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        "n: seeds. Figures: mean ± sample standard deviation (divisor n - 1) over the seeds, on the test cases.",
    ]
    lines += [LOOK_ALIKE] if any(row.synthetic for row in rows) else []
    lines += [POOLED] if pooled else []
    if published:
        lines.append(f"Published: {published.source}. Blank: not known.")
        lines += [OTHER_SPLITS] if pooled else []
    return "\n".join(lines) + "\n"


def _mean_and_deviation(row: Row, metric: str) -> str:
    mean, deviation = decimal(row.mean(metric)), decimal(row.deviation(metric))
    return f"{mean} ± {deviation}" if deviation else mean


def _number(value: int | None) -> str:
    return "" if value is None else str(value)


def _table(rows: Sequence[Row], published: Published | None) -> str:
    """The table for programs, all decimals."""
    columns = [f"{key}_{kind}" for key in COLUMNS for kind in ("mean", "sd", "published")]
    lines = [["row", "cases", "n", *columns, "source"]]
    for row in rows:
        cells = []
        for key in COLUMNS:
            figure = published.figure(row.title, key) if published else None
            cells += [exact(value) for value in (row.mean(key), row.deviation(key), figure)]
        source = published.source if published and row.title in published.rows else ""
        lines.append([row.title, _number(row.cases), _number(len(row.figures) or None), *cells, source])
    return as_csv(lines)


def _by_seed(rows: Sequence[Row]) -> str:
    lines = [["row", "seed", "cases", *COLUMNS]]
    for row in rows:
        for seed, figures in row.figures.items():
            lines.append([row.title, str(seed), _number(row.cases), *(exact(figures[key]) for key in COLUMNS)])
    return as_csv(lines)
