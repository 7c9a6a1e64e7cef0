"""A recipe as jobs of SLURM: one for each training, after those that it starts from, and one that makes the table."""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from medlit.cluster import slurm
from medlit.cluster.script import Script
from medlit.cluster.submission import read_submission, submit
from medlit.credentials import hidden_words
from medlit.recipes.ask import configurations
from medlit.recipes.going_on import make_room, next_command
from medlit.recipes.plan import Job, Key, state_of, write_record


@dataclass(frozen=True, kw_only=True)
class Step:
    """A training that is to be submitted.

    Args:
        job: Of the recipe.
        script: That trains it.
        config: YAML that it trains by.
    """

    job: Job
    script: Script
    config: str


def steps_of(
    jobs: Mapping[Key, Job], queue: Mapping[str, slurm.QueuedJob], script_of: Callable[[Job, Mapping[str, Any]], Script]
) -> tuple[dict[Key, Step], dict[Key, str]]:
    """What of a recipe is to be submitted, and what waits or runs already.

    Args:
        jobs: All trainings of the recipe.
        queue: The jobs that wait or run.
        script_of: Makes the script of a training from its configuration.

    Returns:
        Steps, in the order in which they are to be submitted; numbers of the jobs that wait or run.

    Raises:
        ConfigurationError: If a configuration is not valid, or says nothing of its devices.
    """
    left = {key: job for key, job in jobs.items() if state_of(job) != "finished"}
    known = {key: read_submission(job.folder) for key, job in left.items()}
    numbers = {key: submission.job for key, submission in known.items() if submission and submission.job in queue}
    new = {key: job for key, job in left.items() if key not in numbers}
    texts = configurations({job.title: job.fit_options for job in new.values()}) if new else {}
    steps = {}
    for key, job in new.items():
        text = texts[job.title]
        steps[key] = Step(job=job, script=script_of(job, yaml.safe_load(text)), config=text)
    return steps, numbers


def submit_steps(steps: Mapping[Key, Step], numbers: dict[Key, str], table: Script) -> None:
    """Submit the trainings of a recipe and, when all have ended, however they did, its table.

    A training that fails takes those that start from it out of the queue.

    Args:
        steps: What is submitted, each after those that it starts from.
        numbers: Of the jobs that wait or run; those of the steps are added.
        table: Script that makes the table.

    Raises:
        SlurmError: If SLURM refuses; what was submitted before stays, and is known to the next attempt.
    """
    for key, step in steps.items():
        before = [numbers[source] for source in step.job.after if source in numbers]
        if next_command(step.job)[0] == "starting":
            make_room(step.job)
        write_record(step.job, "started")
        numbers[key] = submit(step.script, step.config, options=_after("afterok", before))
        print(f"{step.job.title}: job {numbers[key]}{f', after {_listed(before)}' if before else ''}", flush=True)
    try:
        number = submit(table, None, options=_after("afterany", list(numbers.values())))
    except slurm.SlurmError as error:  # such as of a partition that takes no job without a GPU
        again = shlex.join(["medlit", *hidden_words(table.words)])
        raise slurm.SlurmError(
            f"the table has no job: {error}; the trainings are queued ({_listed(list(numbers.values()))}): "
            f"when they have ended, {again}"
        ) from error
    print(f"the table: job {number}, when all have ended; how it goes: medlit status {table.folder}")


def _after(when: str, jobs: list[str]) -> list[str]:
    """Options of ``sbatch`` for what waits for others."""
    return [f"--dependency={when}:{':'.join(jobs)}", "--kill-on-invalid-dep=yes"] if jobs else []


def _listed(jobs: list[str]) -> str:
    return ", ".join(jobs)
