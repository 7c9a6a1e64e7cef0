"""A recipe as single trainings: their commands, their folders, what they were run with, how far they are."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from medlit import run_folder
from medlit.credentials import hidden_settings
from medlit.errors import ConfigurationError
from medlit.files import write_text
from medlit.recipes.recipe import Recipe, Stage
from medlit.resume import is_trained

RECORD, LOG = "recipe.json", "recipe.log"
"""What a recipe keeps in the run folder of a training, beside medlit's own files."""
PREDICTIONS = "predictions_test.parquet"
OUT = "{out}"
"""In the value of an option: the recipe's folder, for what its trainings share."""
FORMAT = 1
"""Of the record."""

State = Literal["new", "interrupted", "finished", "changed"]

Key = tuple[str, int, int | None]
"""Stage, seed, fold."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One ``medlit fit``.

    Args:
        stage: Name of its stage.
        seed: Of everything random.
        fold: Which part of the data is tested; None: the official splits.
        folder: Its run folder.
        words: Options of ``medlit fit``.
        after: What it starts from.
        test: Whether it is tested after training.
        alone: Whether none runs beside it.
        inputs: All that its result follows from, in plain types.
        fingerprint: SHA-256 of them.
        allow_code: Whether its configurations may name code of any package; said anew each time, and kept nowhere.
    """

    stage: str
    seed: int
    fold: int | None
    folder: Path
    words: tuple[str, ...]
    after: tuple[Key, ...]
    test: bool
    alone: bool
    inputs: Mapping[str, Any]
    fingerprint: str
    allow_code: bool = False

    @property
    def key(self) -> Key:
        """What it is found by."""
        return self.stage, self.seed, self.fold

    @property
    def fit_options(self) -> tuple[str, ...]:
        """All that ``medlit fit`` is told, what is kept nowhere included."""
        return (*self.words, *(("--allow-code", "true") if self.allow_code else ()))

    @property
    def title(self) -> str:
        """For the user."""
        return f"{self.stage}, seed {self.seed}" + ("" if self.fold is None else f", fold {self.fold}")

    @property
    def log(self) -> Path:
        """What the training printed."""
        return self.folder / LOG

    @property
    def predictions(self) -> Path:
        """The test's rows."""
        return self.folder / PREDICTIONS

    @property
    def result(self) -> Path:
        """The last file that a training writes: its test's rows, or, where it is not tested, its best checkpoint."""
        return self.predictions if self.test else run_folder.best_checkpoint(self.folder)


def plan(recipe: Recipe, out: Path, *, allow_code: bool = False) -> dict[Key, Job]:
    """Every training of a recipe, each after those that it starts from.

    Args:
        recipe: What is to be run.
        out: Holds ``<stage>/seed_<s>[/fold_<k>]``.
        allow_code: Whether configurations may name code of any package.

    Raises:
        ConfigurationError: If a configuration file is not there, or a stage starts from another of which it is not
            clear which seed is meant.
    """
    jobs: dict[Key, Job] = {}
    folds = [None] if recipe.num_folds is None else list(range(recipe.num_folds))
    for stage in recipe.stages.values():
        for seed in recipe.seeds_of(stage.name):
            for fold in folds:
                job = _job(recipe, stage, seed=seed, fold=fold, out=out, jobs=jobs)
                jobs[job.key] = replace(job, allow_code=allow_code)
    return jobs


def _job(recipe: Recipe, stage: Stage, *, seed: int, fold: int | None, out: Path, jobs: Mapping[Key, Job]) -> Job:
    def sources(names: Mapping[str, str]) -> dict[str, Job]:
        """The trainings that it starts from."""
        return {key: jobs[name, _seed_of(recipe, name, seed, of=stage), fold] for key, name in names.items()}

    adapters, weights = sources(stage.init_from), sources(stage.weights_from)
    folder = out / stage.name / f"seed_{seed}"
    folder = folder if fold is None else folder / f"fold_{fold}"
    configs = (*stage.configs, *recipe.configs_after)
    settings = {**recipe.settings, **stage.settings}
    if twice := [key for key in (*weights, *stage.seed_also) if key in settings]:
        raise ConfigurationError(
            f"{recipe.file}: {stage.name}: {twice[0]} comes from weights_from or seed_also; remove it from set"
        )
    settings |= dict.fromkeys(stage.seed_also, seed)
    words = [word for config in configs for word in ("--config", config)]
    words += ["--seed_everything", str(seed), "--run_dir", str(folder), "--trainer.enable_progress_bar", "false"]
    words += ["--test_after_fit", json.dumps(stage.test)]  # whatever a configuration says: tables need the test
    if fold is not None:
        words += ["--data.init_args.num_folds", str(recipe.num_folds), "--data.init_args.fold", str(fold)]
    if adapters:
        words += ["--model.init_args.init_from", json.dumps({key: _best(job) for key, job in adapters.items()})]
    for key, value in settings.items():
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        words += [f"--{key}", text.replace(OUT, str(out))]
    for key, job in weights.items():
        words += [f"--{key}", _best(job)]
    inputs = {
        "configs": [{"file": config, "sha256": _digest(config, where=recipe.file)} for config in configs],
        "set": hidden_settings(settings),
        "seed": seed,
        "num_folds": recipe.num_folds,
        "fold": fold,
        "init_from": {modality: job.fingerprint for modality, job in adapters.items()},
    }
    inputs |= {"weights_from": {key: job.fingerprint for key, job in weights.items()}} if weights else {}
    inputs |= {} if stage.test else {"test": False}
    return Job(
        stage=stage.name,
        seed=seed,
        fold=fold,
        folder=folder,
        words=tuple(words),
        after=tuple(dict.fromkeys(job.key for job in (*adapters.values(), *weights.values()))),
        test=stage.test,
        alone=stage.alone,
        inputs=inputs,
        fingerprint=_fingerprint(inputs),
    )


def _seed_of(recipe: Recipe, source: str, seed: int, *, of: Stage) -> int:
    """The seed of a source that a training starts from: its own, or the source's only one."""
    seeds = recipe.seeds_of(source)
    if seed in seeds:
        return seed
    if len(seeds) > 1:
        raise ConfigurationError(
            f"{recipe.file}: {of.name} with seed {seed} starts from {source}, which is trained with the seeds "
            f"{', '.join(map(str, seeds))}: give {source} one seed, or all of {of.name}"
        )
    return seeds[0]


def _best(job: Job) -> str:
    return str(run_folder.best_checkpoint(job.folder))


def _digest(config: str, *, where: str) -> str:
    try:
        return hashlib.sha256(Path(config).read_bytes()).hexdigest()
    except (OSError, ValueError) as error:  # the latter for a zero byte in its name
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(
            f"{where}: configuration file {config} cannot be read below {Path.cwd()} ({reason})"
        ) from error


def _fingerprint(inputs: Mapping[str, Any]) -> str:
    """The contents of the configurations count, their names do not."""
    contents = {**inputs, "configs": [config["sha256"] for config in inputs["configs"]]}
    return hashlib.sha256(json.dumps(contents, sort_keys=True, default=str).encode()).hexdigest()


# How far it is


def state_of(job: Job) -> State:
    """How far a training is.

    Raises:
        ConfigurationError: If its folder holds a run that no recipe made.
    """
    record = read_record(job.folder)
    if not record:
        if any((job.folder / trace).exists() for trace in run_folder.TRACES):
            raise ConfigurationError(
                f"{job.folder} holds a run, but none of a recipe: move it away, or choose another --out"
            )
        return "new"
    if record.get("fingerprint") != job.fingerprint:
        return "changed"
    said = run_folder.job_state(job.folder)  # of a recipe whose trainings are jobs of SLURM
    ended = (record.get("status") == "finished" or (said is not None and said[1] == 0)) and job.result.is_file()
    return "finished" if ended or (not job.test and is_trained(job.folder)) else "interrupted"


def what_changed(job: Job) -> str:
    """In what a training differs from the one in its folder."""
    try:
        return "; ".join(_changes(job)) or "its record is of another version"
    except (AttributeError, TypeError):
        return "its record is not as medlit writes it"


def _changes(job: Job) -> list[str]:
    before, now = read_record(job.folder).get("inputs") or {}, job.inputs
    changes = []
    old = [config.get("sha256") for config in before.get("configs", ())]
    for index, config in enumerate(now["configs"]):
        if index >= len(old) or config["sha256"] != old[index]:
            changes.append(f"{config['file']} is another")
    if len(old) > len(now["configs"]):
        changes.append(f"{len(old) - len(now['configs'])} configuration files less")
    settings = before.get("set") or {}
    for key in sorted({*settings, *now["set"]}):
        was, is_now = (shown.get(key, "not set") for shown in (settings, now["set"]))
        if was != is_now:
            changes.append(f"{key}: {was} -> {is_now}")
    if before.get("num_folds") != now["num_folds"]:
        changes.append(f"num_folds: {before.get('num_folds')} -> {now['num_folds']}")
    if before.get("test", True) != now.get("test", True):
        changes.append(f"test: {before.get('test', True)} -> {now.get('test', True)}")
    if any(before.get(key) != now.get(key) for key in ("init_from", "weights_from")):
        changes.append("what it starts from changed")
    return changes


def read_record(folder: Path) -> dict[str, Any]:
    """What a recipe noted in a run folder; empty if nothing."""
    try:
        content = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def write_record(job: Job, status: Literal["started", "finished"]) -> None:
    """Note what a training is run with, and how far it is."""
    record = {
        "format": FORMAT,
        "status": status,
        "folder": str(job.folder.resolve()),
        "fingerprint": job.fingerprint,
        "inputs": dict(job.inputs),
    }
    write_text(job.folder / RECORD, json.dumps(record, indent=2, default=str) + "\n")
