"""What runs leave for tables: predictions, figures, manifests, records, damaged by whomever."""

import dataclasses
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.fuzz import parquet
from benchmarks.fuzz.changes import change_bytes, change_tree
from benchmarks.fuzz.config import PROTOCOL
from benchmarks.fuzz.target import Part, Target, part_opens, read_part, seeds_of
from medlit.commands import demo
from medlit.recipes import protocol_rows, protocol_table, results
from medlit.recipes.plan import plan, state_of, what_changed, write_record
from medlit.recipes.recipe import Recipe, read_recipe
from medlit.run_folder import FIGURES, MANIFEST

READERS = (
    "medlit/predictions.py", "medlit/recipes/results.py", "medlit/recipes/protocol_rows.py", "medlit/recipes/plan.py",
    "medlit/commands/demo.py", "data_modules/mammography/prepared.py",
)  # fmt: skip
STAGES = """name: small
seeds: [0]
num_folds: 3
stages:
  first: {configs: [experiments/overlays/tiny.yaml]}
  second: {configs: [experiments/overlays/tiny.yaml], init_from: {clinic: first}}
compare: {mean: [first, second], second: second}
"""
CLASSES = ("a", "b", "c")


def make(folder: Path) -> Target:
    """The target.

    Args:
        folder: To write runs to.
    """
    recipes = [part for several in (False, True) for part in _recipe(folder, several=several)]
    parts = [*recipes, *_protocol(folder), *_demo(folder / "demo"), *_prepared(folder / "prepared")]
    return Target(READERS, seeds_of(parts), partial(part_opens, parts), partial(read_part, parts), mutate)


def mutate(data: bytes, random: Random) -> bytes:
    """As tables, or as JSON, are changed; the byte in front stays."""
    content = data[1:]
    if content[:1] == b"{" and random.random() < 0.8:
        try:
            return data[:1] + json.dumps(change_tree(json.loads(content), random)).encode()
        except (ValueError, TypeError, RecursionError):
            pass
    if content[:4] != b"PAR1":
        return data[:1] + change_bytes(content, random)
    return data[:1] + parquet.mutate(content, random)


def rows(cases: range, *, several: bool) -> Any:
    """Predictions of a test: three classes, or three labels."""
    import polars as pl

    columns: dict[str, Any] = {"case_id": [f"case {case}" for case in cases], "group_id": [str(case) for case in cases]}
    if several:
        columns |= {f"label_{name}": [(case >> bit) % 2 for case in cases] for bit, name in enumerate(CLASSES)}
    else:
        columns["label"] = [case % 3 for case in cases]
    columns |= {
        f"logit_{name}": [((case * 7 + bit * 5) % 11) / 3 - 1 for case in cases] for bit, name in enumerate(CLASSES)
    }
    return pl.DataFrame(columns, schema_overrides={f"logit_{name}": pl.Float32 for name in CLASSES})


def _opens_json(data: bytes) -> bool:
    try:
        return isinstance(json.loads(data), dict)
    except (ValueError, RecursionError):
        return False


def _part(path: Path, read: Callable[[], object]) -> Part:
    return Part(path, path.read_bytes(), read, parquet.opens if path.suffix == ".parquet" else _opens_json)


def _planned(folder: Path, text: str, name: str) -> tuple[Recipe, Any]:
    """A recipe of this text, and its trainings, whose folders are there."""
    file = folder / f"{name}.yaml"
    file.write_text(text)
    recipe = read_recipe(file)
    jobs = plan(recipe, folder / name)
    for job in jobs.values():
        job.folder.mkdir(parents=True)
    return recipe, jobs


def _recipe(folder: Path, *, several: bool) -> list[Part]:
    """Two stages of three folds: the table of a recipe."""
    recipe, jobs = _planned(folder, STAGES, f"recipe_{several}")
    for job in jobs.values():
        rows(range((job.fold or 0) * 8, (job.fold or 0) * 8 + 8), several=several).write_parquet(
            job.predictions, compression="uncompressed"
        )
        (job.folder / MANIFEST).write_text(json.dumps({"synthetic": True, "stages": {"fit": {"status": "finished"}}}))
        write_record(job, "finished")

    def read() -> object:
        """The table, and how far each training is."""
        table = results.markdown(results.rows_of(recipe, jobs, jobs.keys()), None, title="")
        return table, [(state_of(job), what_changed(job)) for job in jobs.values()]

    one = next(iter(jobs.values()))
    files = [job.predictions for job in jobs.values() if job.fold == 0]
    return [_part(file, read) for file in (*files, one.folder / MANIFEST, one.folder / "recipe.json")]


def _protocol(folder: Path) -> list[Part]:
    """Figures of two tests: the table of a protocol."""
    recipe, jobs = _planned(folder, PROTOCOL, "asked")
    figures = {
        "answer": "probe",
        "heads": {"probe": {"map": 0.5, "auroc": 0.6}, "knn": {"map": 0.4}},
        "units": {"breast": {"auroc": 0.7, "sensitivity": 0.5}},
        "other_units": {"knn": {"breast": {"auroc": 0.6}}},
        "strata": {"site 1": {"heads": {"probe": {"map": 0.5}}, "units": {}}},
    }
    counts = {"patients": 5, "positive_patients": 2, "positive_classes": ["x"], "label_fraction": 0.1}
    for job in jobs.values():
        (job.folder / FIGURES).write_text(json.dumps(figures))
        (job.folder / MANIFEST).write_text(json.dumps({"synthetic": True, "training_counts": counts}))

    def read() -> object:
        """The table."""
        return protocol_table.markdown(protocol_rows.rows_of(recipe, jobs, jobs.keys()), title="")

    one = next(iter(jobs.values()))
    return [_part(one.folder / name, read) for name in (FIGURES, MANIFEST)]


def _demo(folder: Path) -> list[Part]:
    """The demo's table."""
    runs = demo.runs(folder)
    for run in runs:
        run.folder.mkdir(parents=True)
        rows(range(8), several=False).write_parquet(run.predictions, compression="uncompressed")
    return [_part(run.predictions, partial(demo.compare, folder)) for run in runs[1:]]


def _prepared(root: Path) -> list[Part]:
    """What preparing a set leaves: its settings, and a row for each image."""
    import polars as pl

    from data_modules.mammography.prepare.manifest import COLUMNS
    from data_modules.mammography.prepare.settings import PreparationSettings
    from data_modules.mammography.prepared import DESCRIPTION, MANIFEST, open_prepared

    settings = PreparationSettings()
    (root / MANIFEST).parent.mkdir(parents=True, exist_ok=True)
    said = {"set": "rsna_mammo", "settings": dataclasses.asdict(settings), "hash": settings.hash, "state": "finished"}
    (root / DESCRIPTION).write_text(json.dumps(said))
    cells: dict[str, Any] = {
        name: [f"images/{row}.png" if kind == pl.String else None for row in range(3)] for name, kind in COLUMNS.items()
    }
    pl.DataFrame(cells, schema=COLUMNS).write_parquet(root / MANIFEST, compression="uncompressed")

    def read() -> object:
        """As the DataModules of mammograms do."""
        prepared = open_prepared(root, name="rsna_mammo", settings=settings)
        return prepared.readable(), prepared.failed

    return [_part(root / name, read) for name in (DESCRIPTION, MANIFEST)]
