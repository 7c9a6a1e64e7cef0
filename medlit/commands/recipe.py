"""``medlit recipe``: run several trainings that depend on each other, over seeds and folds, into one table."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from medlit.errors import ConfigurationError

if TYPE_CHECKING:
    from medlit.recipes.plan import Job, Key
    from medlit.recipes.published import Published
    from medlit.recipes.recipe import Recipe
    from medlit.recipes.runner import Outcome

OK, FAILED = 0, 1


def main(args: list[str]) -> int:
    """Carry out ``run`` or ``table``.

    Args:
        args: Words after ``recipe``.

    Returns:
        0; 1 where a training failed.

    Raises:
        ConfigurationError: If the recipe, or a configuration that it names, cannot be.
    """
    options = _parser().parse_args(args)
    from medlit.recipes.changes import changed
    from medlit.recipes.recipe import read_recipe

    recipe = changed(read_recipe(options.file), seeds=options.seeds or (), configs=options.config, settings=options.set)
    out = options.out or Path("runs") / recipe.name
    if options.verb == "table":
        return table(recipe, out=out)
    if options.jobs is not None and options.jobs < 1:
        raise ConfigurationError(f"--jobs is {options.jobs}; it has to be at least 1")
    return run(
        recipe,
        out=out,
        jobs=options.jobs,
        rerun=options.rerun,
        dry_run=options.dry_run,
        allow_code=options.allow_code,
    )


def run(
    recipe: "Recipe",
    *,
    out: Path,
    jobs: int | None = None,
    rerun: bool = False,
    dry_run: bool = False,
    allow_code: bool = False,
) -> int:
    """Run what is not finished of a recipe, and write its table.

    Args:
        recipe: What is to be run.
        out: Its folder.
        jobs: Trainings at a time; None: one per GPU, or one.
        rerun: Train anew what was trained with other settings.
        dry_run: Print what would be run instead.
        allow_code: Whether configurations may name code of any package.

    Returns:
        0; 1 where a training failed.

    Raises:
        ConfigurationError: If something in the folder was trained with other settings, and ``rerun`` is not asked for.
    """
    from medlit.recipes import plan, published, runner

    known = None if recipe.published is None else published.read_published(recipe.published)
    planned = plan.plan(recipe, out, allow_code=allow_code)
    if dry_run:
        return _print_plan(planned, rerun=rerun)
    refuse_changed(planned, rerun=rerun)
    devices = runner.visible_gpus() if jobs != 1 else []
    workers = jobs or max(1, len(devices))
    outcome = runner.run(planned, out=out, workers=workers, devices=devices)
    _print_table(recipe, planned, outcome, known, out=out)
    return _told(planned, outcome)


def table(recipe: "Recipe", *, out: Path) -> int:
    """Write the table of what is finished of a recipe.

    Args:
        recipe: Of which trainings were run.
        out: Its folder.

    Returns:
        0; 1 where a training is not finished, which is told.
    """
    from medlit.recipes import plan, published
    from medlit.recipes.runner import Outcome

    known = None if recipe.published is None else published.read_published(recipe.published)
    planned = plan.plan(recipe, out)
    states = {key: plan.state_of(job) for key, job in planned.items()}
    left = [key for key, state in states.items() if state != "finished"]
    _print_table(recipe, planned, Outcome({key for key in planned if key not in left}), known, out=out)
    for key in left:
        print(f"medlit: error: {planned[key].title} is {states[key]}, see {planned[key].folder}", file=sys.stderr)
    return FAILED if left else OK


def refuse_changed(jobs: Mapping["Key", "Job"], *, rerun: bool) -> None:
    """Refuse what was trained with other settings, or say that it is trained anew.

    Args:
        jobs: All trainings of a recipe.
        rerun: Whether they may be trained anew.

    Raises:
        ConfigurationError: If they may not.
    """
    from medlit.recipes.plan import state_of, what_changed

    changed = [job for job in jobs.values() if state_of(job) == "changed"]
    if not changed:
        return
    first, more = changed[0], f" (and {len(changed) - 1} more)" if len(changed) > 1 else ""
    said = f"{first.title}{more}: {first.folder} was run with other settings: {what_changed(first)}"
    if not rerun:
        raise ConfigurationError(f"{said}; train anew with --rerun, or choose another --out")
    print(f"{said}; trained anew", flush=True)


def _print_plan(jobs: Mapping["Key", "Job"], *, rerun: bool) -> int:
    """Order, commands, how far each training is, and how many steps they take at most."""
    import shlex

    import yaml

    from medlit.recipes.ask import configurations
    from medlit.recipes.estimate import estimate
    from medlit.recipes.going_on import next_command
    from medlit.recipes.plan import state_of, what_changed

    stages: dict[str, list[Job]] = {}
    for job in jobs.values():
        stages.setdefault(job.stage, []).append(job)
    texts = configurations({mine[0].title: mine[0].fit_options for mine in stages.values()})
    configs = [yaml.safe_load(text) for text in texts.values()]
    steps = {stage: estimate(stages[stage], config) for stage, config in zip(stages, configs, strict=True)}
    total, unknown = 0, False
    for number, job in enumerate(jobs.values(), start=1):
        state, most = state_of(job), steps[job.stage].most
        left = state != "finished"
        told = {"changed": f"changed ({what_changed(job)}; {'trained anew' if rerun else 'refused without --rerun'})"}
        print(f"{number}. {job.title}: {told.get(state, state)}")
        if left:
            print(f"   medlit {shlex.join(next_command(job)[1])}")
            total, unknown = total + (most or 0), unknown or most is None
    print()
    for stage, count in steps.items():
        print(f"{stage}: {count.told}")
    if unknown:
        unbounded = all(count.epochs is None for count in steps.values() if count.most is None)
        why = "Nothing bounds the epochs" if unbounded else "The data are not there, or not as they have to be"
        print(f"{why}: the steps cannot be counted.")
    else:
        print(f"At most {total} steps are left; early stopping ends most trainings sooner.")
    return OK


def _print_table(
    recipe: "Recipe", jobs: Mapping["Key", "Job"], outcome: "Outcome", known: "Published | None", *, out: Path
) -> None:
    """Print and keep the table of what is finished."""
    from medlit.recipes import protocol_rows, protocol_table, results

    if recipe.protocol:
        lines = protocol_rows.rows_of(recipe, jobs, outcome.finished)
        print()
        print(protocol_table.write(out, lines, title=recipe.name))
        names = (protocol_table.MARKDOWN, protocol_table.TABLE, protocol_table.BY_SEED)
        print(f"The same: {', '.join(str(out / name) for name in names)}")
    rows = results.rows_of(recipe, jobs, outcome.finished)
    if any(row.figures for row in rows):
        folds = "" if recipe.num_folds is None else f", {recipe.num_folds} folds pooled"
        seeds = ", ".join(map(str, recipe.seeds))
        print()
        title = f"{recipe.name}: test cases, seeds {seeds}{folds}"
        print(results.write(out, rows, known, title=title, pooled=recipe.num_folds is not None))
        print(f"The same: {out / results.MARKDOWN}, {out / results.TABLE}; by seed: {out / results.BY_SEED}")


def _told(jobs: Mapping["Key", "Job"], outcome: "Outcome") -> int:
    """The exit code; a line on standard error for every training that failed."""
    for key, code in outcome.failed.items():
        print(f"medlit: error: {jobs[key].title} failed (exit code {code}), see {jobs[key].log}", file=sys.stderr)
    held = [job.title for key, job in jobs.items() if key not in outcome.finished and key not in outcome.failed]
    if held:
        print(f"Not started, for they need what failed: {'; '.join(held)}")
    return FAILED if outcome.failed else OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="medlit recipe",
        description="Run several trainings that depend on each other, over seeds and folds, into one table.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    run_verb = verbs.add_parser(
        "run",
        help="run what is not finished of a recipe, and print its table",
        description="Run every stage of a recipe for every seed and fold, each in a process and a run folder of its "
        "own. What is finished is not run again; what was interrupted goes on from its last checkpoint. Ends in a "
        "table of means and standard deviations over the seeds, beside what was published.",
    )
    run_verb.add_argument("--dry-run", action="store_true", help="print the plan, and the steps it takes at most")
    run_verb.add_argument("--jobs", type=int, help="trainings at a time (default: one per GPU, or one)")
    run_verb.add_argument("--rerun", action="store_true", help="train anew what was trained with other settings")
    run_verb.add_argument(
        "--allow-code",
        action="store_true",
        help="let class paths of the configurations name code of any package, such as your own",
    )
    table_verb = verbs.add_parser(
        "table",
        help="print the table of what is finished of a recipe",
        description="Print and write the table of what is finished of a recipe, and run nothing.",
    )
    for verb in (run_verb, table_verb):
        _add_recipe(verb)
    return parser


def _add_recipe(parser: argparse.ArgumentParser) -> None:
    """The recipe, and what is changed of it."""
    parser.add_argument("file", help="the recipe, such as experiments/recipes/ei_derm7pt.yaml")
    parser.add_argument("--out", type=Path, help="folder of the recipe (default: runs/<its name>)")
    parser.add_argument(
        "--seeds", type=int, nargs="+", help="in place of the recipe's; of a stage's own those given, or its first"
    )
    parser.add_argument(
        "--config",
        action="append",
        default=[],
        metavar="[STAGE:]FILE",
        help="a configuration file that follows those of every stage, or of the stages of a pattern: 'probe_*:x.yaml'",
    )
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="[STAGE:]KEY=VALUE", help="options of medlit fit"
    )
