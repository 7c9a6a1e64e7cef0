"""``medlit submit``: train as a batch job of SLURM that a person can read, edit, and submit again."""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from medlit import run_folder
from medlit.cluster.resources import seconds, seeds_of
from medlit.cluster.script import Script, program
from medlit.commands.submit_options import make_parser, resources_of
from medlit.config_source import Setting, options, read_settings
from medlit.errors import ConfigurationError

OK = 0

GIVEN = {
    "config": "--config before the --",
    "c": "--config before the --",
    "run_dir": "--run_dir before the --",
    "trainer.accelerator": "--gpus-per-node",
    "trainer.devices": "--gpus-per-node, or --tasks-per-node of a job on CPUs",
    "trainer.num_nodes": "--nodes",
    "allow-code": "--allow-code before the --",
    "resume": "the script, which goes on from a checkpoint where there is one",
    "ckpt_path": "the script, which goes on from a checkpoint where there is one",
}
"""Options of ``medlit fit`` that are not the user's here, and what gives them."""
OF_ONE_TRAINING = ("array", "stage", "fit_options")
OF_RECIPES = ("seeds", "set", "rerun")
OF_SBATCH = ("partition", "time", "mem", "account", "qos")
"""What may change when a run folder is submitted again: how many processes train is part of the result."""


def main(args: list[str]) -> int:
    """Submit a training, several seeds of one, a run folder again, or a recipe.

    Args:
        args: Words after ``submit``.

    Returns:
        The exit code.

    Raises:
        ConfigurationError: If something asked for cannot be.
        SlurmError: If SLURM is not there, or refuses.
    """
    parser = make_parser()
    asked = parser.parse_args(args)
    given = [name for name, value in vars(asked).items() if value != parser.get_default(name)]
    if asked.fit_options and not asked.fit_options[0].startswith("-"):
        raise ConfigurationError(f"{asked.fit_options[0]}: a configuration is named by --config")
    if asked.resume is not None:
        _refuse([name for name in given if name not in ("resume", "dry_run", *OF_SBATCH)], "not with --resume")
        return _resume(asked)
    if asked.recipe is not None:
        _refuse([name for name in given if name in OF_ONE_TRAINING], "not with --recipe")
        _refuse_missing(asked.container)
        from medlit.commands.submit_recipe import submit_recipe

        return submit_recipe(asked)
    _refuse([name for name in given if name in OF_RECIPES], "with --recipe alone")
    if not asked.config:
        raise ConfigurationError("nothing to submit: give --config, --recipe or --resume")
    return _train(asked)


def _refuse(names: Sequence[str], why: str) -> None:
    for name in names:
        raise ConfigurationError(f"{'options behind --' if name == 'fit_options' else _spelled(name)}: {why}")


def _refuse_missing(*paths: Path | None) -> None:
    for path in paths:
        if path is not None and not path.exists():
            raise ConfigurationError(f"{path} does not exist")


def _spelled(name: str) -> str:
    """An option as the user types it."""
    return "--" + (name if name == "run_dir" else name.replace("_", "-"))


def _train(asked: argparse.Namespace) -> int:
    words = [*(word for config in asked.config for word in ("--config", config)), *asked.fit_options]
    words += ["--allow-code", "true"] if asked.allow_code else []
    settings = read_settings(words)
    script = _script(asked, settings)
    if asked.dry_run:
        print(script, end="")
        return OK
    from medlit.cluster import submission
    from medlit.recipes.ask import configurations

    submission.refuse_runs(script)
    print("reading the configuration as medlit fit will", flush=True)
    quiet = ("--trainer.enable_progress_bar", "false")  # in a file; what the configuration says goes before it
    config = configurations({"": [*quiet, *words, "--run_dir", str(script.folder)]})[""]
    submission.refuse_to_replace(script, config)
    job = submission.submit(script, config)
    print(f"{script.path}: submitted as job {job}; how it goes: medlit status {script.folder}")
    return OK


def _script(asked: argparse.Namespace, settings: Sequence[Setting]) -> Script:
    """The batch script of a training."""
    seeds = seeds_of(asked.array) if asked.array else ()
    _refuse_given(asked, seeds)
    _refuse_missing(asked.stage, asked.container)
    folder = asked.run_dir or Path(_last(settings, "run_dir") or run_folder.default_run_dir(asked.config))
    resources = resources_of(asked)
    processes = resources.nodes * resources.processes_per_node
    return Script(
        name=folder.name,
        folder=folder,
        workdir=Path.cwd(),
        resources=resources,
        program=program(),
        seeds=seeds,
        ddp=not resources.gpus_per_node and processes > 1 and not _chooses_strategy(settings),
        allow_code=asked.allow_code,
        doctor=not asked.no_doctor,
        stage=asked.stage,
        container=asked.container,
    )


def _refuse_given(asked: argparse.Namespace, seeds: Sequence[int]) -> None:
    """Refuse options of ``medlit fit`` that the script gives."""
    given = {
        **GIVEN,
        **({"seed_everything": "--array"} if seeds else {}),
        **({"data.init_args.root": "--stage", "data.root": "--stage"} if asked.stage else {}),
    }
    for name, _ in options(asked.fit_options):
        if name in given:
            raise ConfigurationError(f"--{name} comes from {given[name]}; remove it")


def _last(settings: Sequence[Setting], key: str) -> str | None:
    """The value that counts of those given for a key."""
    return next((setting.value for setting in reversed(settings) if setting.key == key), None)


def _chooses_strategy(settings: Sequence[Setting]) -> bool:
    """Whether the configuration says how processes train together."""
    chosen = [setting for setting in settings if setting.path[:2] == ("trainer", "strategy")]
    return bool(chosen) and chosen[-1].value != "auto"


def _resume(asked: argparse.Namespace) -> int:
    """Submit a run folder again."""
    from medlit.cluster import submission

    if asked.time is not None:
        seconds(asked.time)
    changes = {name: value for name in OF_SBATCH if (value := getattr(asked, name)) is not None}
    if asked.dry_run:
        print(shlex.join(["sbatch", *submission.to_resume(asked.resume, changes)]))
        return OK
    job = submission.resubmit(asked.resume, changes)
    print(f"{asked.resume}: submitted again as job {job}; how it goes: medlit status {asked.resume}")
    return OK
