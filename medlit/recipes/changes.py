"""What the command line changes about a recipe: seeds, and options and configurations of all stages or of some."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from medlit.errors import ConfigurationError
from medlit.recipes.reader import nearest
from medlit.recipes.recipe import Recipe, Stage, parse_option


def changed(recipe: Recipe, *, seeds: Sequence[int], configs: Sequence[str], settings: Sequence[str]) -> Recipe:
    """A recipe with what the options add.

    Args:
        recipe: As its file says.
        seeds: In place of the recipe's; a stage with seeds of its own keeps those of them that are given, or its first.
            Empty: as in the file.
        configs: Configuration files behind those of every stage, or, as ``STAGE:FILE``, of the stages of a pattern.
        settings: ``KEY=VALUE``, which goes before what the file says, or ``STAGE:KEY=VALUE``.

    Raises:
        ConfigurationError: If seeds are no seeds, or a pattern is the name of no stage.
    """
    if seeds and (min(seeds) < 0 or len(set(seeds)) < len(seeds)):
        raise ConfigurationError(f"--seeds are {list(seeds)}; give different whole numbers from 0 on")
    everywhere: dict[str, Any] = {}
    stages: Mapping[str, Stage] = recipe.stages
    for option in settings:
        pattern, text = _scope(option, end="=")
        key, value = parse_option(text)
        if pattern is None:
            everywhere[key] = value
            stages = {name: _without(stage, key) for name, stage in stages.items()}
        else:
            chosen = _matching(stages, pattern, option=f"--set {option}")
            changes = {name: {**stages[name].settings, key: value} for name in chosen}
            stages = {**stages, **{name: replace(stages[name], settings=new) for name, new in changes.items()}}
    after = list(recipe.configs_after)
    for option in configs:
        pattern, file = (None, option) if Path(option).is_file() else _scope(option)
        if pattern is None:
            after.append(file)
        else:
            chosen = _matching(stages, pattern, option=f"--config {option}")
            more = {name: replace(stages[name], configs=(*stages[name].configs, file)) for name in chosen}
            stages = {**stages, **more}
    return replace(
        recipe,
        seeds=tuple(seeds or recipe.seeds),
        configs_after=tuple(after),
        settings={**recipe.settings, **everywhere},
        stages={name: _seeded(stage, seeds) for name, stage in stages.items()},
    )


def _scope(option: str, *, end: str = "") -> tuple[str | None, str]:
    """The pattern of stages before the first colon, if any, and what is for them; no colon counts after ``end``."""
    head = option.partition(end)[0] if end else option
    pattern, colon, _ = head.partition(":")
    return (pattern, option[len(pattern) + 1 :]) if colon else (None, option)


def _matching(stages: Mapping[str, Stage], pattern: str, *, option: str) -> list[str]:
    """Names of the stages of a pattern; a name without its variant stands for all variants."""
    found = [name for name, stage in stages.items() if any(fnmatchcase(n, pattern) for n in (name, stage.family))]
    if not found:
        families = dict.fromkeys(stage.family for stage in stages.values())
        raise ConfigurationError(f"{option}: no stage {pattern!r}; {nearest(pattern, families, what='stages')}")
    return found


def _without(stage: Stage, key: str) -> Stage:
    return replace(stage, settings={name: value for name, value in stage.settings.items() if name != key})


def _seeded(stage: Stage, seeds: Sequence[int]) -> Stage:
    """A stage with those of its own seeds that are asked for."""
    if stage.seeds is None or not seeds:
        return stage
    return replace(stage, seeds=tuple(seed for seed in stage.seeds if seed in seeds) or stage.seeds[:1])
