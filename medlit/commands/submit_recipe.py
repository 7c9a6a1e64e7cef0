"""``medlit submit --recipe``: the trainings of a recipe as jobs that wait for each other."""

import argparse
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medlit.cluster import recipe_jobs, slurm
from medlit.cluster.resources import Resources
from medlit.cluster.script import Script, program
from medlit.commands.recipe import refuse_changed
from medlit.commands.submit_options import resources_of
from medlit.errors import ConfigurationError
from medlit.recipes.changes import changed
from medlit.recipes.plan import Job, plan
from medlit.recipes.recipe import read_recipe

OK = 0
MINUTES_OF_A_TABLE = "30"


def submit_recipe(asked: argparse.Namespace) -> int:
    """Submit what is not finished of a recipe, and its table.

    Args:
        asked: Options of ``medlit submit``.

    Returns:
        The exit code.

    Raises:
        ConfigurationError: If the recipe, or a configuration that it names, cannot be.
        SlurmError: If SLURM is not there, or refuses.
    """
    seeds = asked.seeds or ()
    recipe = changed(read_recipe(asked.recipe), seeds=seeds, configs=asked.config, settings=asked.set)
    out = asked.run_dir or Path("runs") / recipe.name
    jobs = plan(recipe, out, allow_code=asked.allow_code)
    if not asked.dry_run:
        refuse_changed(jobs, rerun=asked.rerun)

    def script_of(job: Job, config: Mapping[str, Any]) -> Script:
        """The batch script of one of its trainings."""
        return _recipe_script(asked, job, config["trainer"], name=f"{recipe.name}/{job.folder.relative_to(out)}")

    print("reading the configurations as medlit fit will", flush=True)
    steps, numbers = recipe_jobs.steps_of(jobs, {} if asked.dry_run else slurm.queue(), script_of)
    table = _table_script(asked, out, name=f"{recipe.name}/table")
    if asked.dry_run:
        for step in steps.values():
            after = ", ".join(jobs[key].title for key in step.job.after) or "nothing"
            print(f"\n### {step.job.title}, after {after}: {step.script.path}\n{step.script}", end="")
        print(f"\n### the table, after all: {table.path}\n{table}", end="")
    elif not steps and not numbers:
        print(f"everything is finished; the table: medlit {shlex.join(table.words)}")
    else:
        recipe_jobs.submit_steps(steps, numbers, table)
    return OK


def _recipe_script(asked: argparse.Namespace, job: Job, trainer: Mapping[str, Any], *, name: str) -> Script:
    """The batch script of a recipe's training, with the devices of its configuration where no others are asked for."""
    given, on_cpu = trainer.get("devices"), trainer.get("accelerator") == "cpu"
    devices = given if isinstance(given, int) and given > 0 else None
    if devices is None and asked.gpus_per_node is None:
        raise ConfigurationError(f"{job.title}: trainer.devices is {given!r}: say how many, or give --gpus-per-node")
    resources = resources_of(
        asked,
        nodes=trainer.get("num_nodes") or 1,
        gpus_per_node=0 if on_cpu else devices or 1,
        tasks_per_node=(devices or 1) if on_cpu and not asked.gpus_per_node else 1,
    )
    processes = resources.nodes * resources.processes_per_node
    return Script(
        name=name,
        folder=job.folder,
        workdir=Path.cwd(),
        resources=resources,
        program=program(),
        ddp=not resources.gpus_per_node and processes > 1 and trainer.get("strategy") == "auto",
        allow_code=asked.allow_code,
        doctor=not asked.no_doctor,
        container=asked.container,
    )


def _table_script(asked: argparse.Namespace, out: Path, *, name: str) -> Script:
    """The batch script of a recipe's table."""
    words = ["recipe", "table", asked.recipe, "--out", str(out)]
    words += ["--seeds", *map(str, asked.seeds)] if asked.seeds else []
    words += [word for config in asked.config for word in ("--config", config)]
    words += ["--set", *asked.set] if asked.set else []
    resources = Resources(
        time=MINUTES_OF_A_TABLE,
        partition=asked.partition,
        gpus_per_node=0,
        mem=asked.mem,
        account=asked.account,
        qos=asked.qos,
    )
    return Script(
        name=name,
        folder=out,
        workdir=Path.cwd(),
        resources=resources,
        program=program(),
        words=tuple(words),
        container=asked.container,
    )
