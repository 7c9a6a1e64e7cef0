"""YAML as it is first read: configurations of ``medlit fit``, recipes, templates of captions; ``fit`` parses it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import yaml
from yaml import CSafeDumper as CDumper
from yaml import CSafeLoader as CLoader

from benchmarks.fuzz.changes import WORDS, change_bytes, change_lines, change_tree
from benchmarks.fuzz.target import Part, Target, mutate_part, part_opens, read_part, seeds_of
from data_modules.mammography.captions.template import OWN_FILE, load_style
from medlit.config_source import read_settings
from medlit.lightning_cli import LINKS
from medlit.recipes.plan import plan
from medlit.recipes.published import read_published
from medlit.recipes.recipe import read_recipe

READERS = (
    "medlit/config_source.py",
    "medlit/recipes/reader.py",
    "medlit/recipes/recipe.py",
    "medlit/recipes/protocol.py",
    "medlit/recipes/plan.py",
    "data_modules/mammography/captions/template.py",
)
EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def make(folder: Path) -> Target:
    """The target.

    Args:
        folder: To write inputs to.
    """
    shipped = [
        EXPERIMENTS / "ei_derm7pt.yaml",
        EXPERIMENTS / "overlays" / "tiny.yaml",
        EXPERIMENTS / "overlays" / "clip.yaml",
    ]
    recipe = EXPERIMENTS / "recipes" / "ei_derm7pt.yaml"
    readers: list[tuple[bytes, Callable[[Path], object]]] = [
        *((file.read_bytes(), read_config) for file in shipped),
        (SMALL_CONFIG.encode(), read_config),
        (recipe.read_bytes(), read_plan),
        (SMALL.encode(), read_plan),
        (PROTOCOL.encode(), read_plan),
        (OWN_FILE.read_bytes(), lambda path: load_style("natural", file=path)),
    ]
    paths = [folder / f"{number}.yaml" for number in range(len(readers))]
    parts = [
        Part(path, _plain(content), partial(read, path), opens)
        for path, (content, read) in zip(paths, readers, strict=True)
    ]
    return Target(READERS, seeds_of(parts), partial(part_opens, parts), partial(read_part, parts), mutate_part(mutate))


def _values(text: str | bytes) -> Any:
    """Plain values, read ten times as fast as the product reads them."""
    loader = CLoader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _plain(content: bytes) -> bytes:
    """Without comments, which take most of a reader's time."""
    return yaml.dump(_values(content), Dumper=CDumper, sort_keys=False, default_flow_style=None).encode()


SMALL = """name: small
seeds: [0, 1]
num_folds: 3
set: {data.init_args.img_size: 32}
stages:
  first: {configs: [experiments/overlays/tiny.yaml], variants: {a: {set: {trainer.max_epochs: 2}}, b: {seeds: [0]}}}
  second:
    configs: [experiments/overlays/tiny.yaml]
    init_from: {clinic: first/a}
    weights_from: {model.init_args.checkpoint: first/b}
  last: {configs: [experiments/overlays/tiny.yaml], seed_also: [data.init_args.fraction_seed], test: true, alone: false}
compare: {mean: [first/a, second], last: last}
published: derm7pt_dinov2_b
"""
"""A recipe with all that there is, whose trainings are soon planned."""
SMALL_CONFIG = """seed_everything: 0
data: {class_path: data_modules.skin.Derm7ptDataModule, init_args: {root: data, modalities: [clinic, derm]}}
model: {class_path: medlit.tasks.UnimodalTask, init_args: {weight: 1.0e-3, prior: null}}
trainer: {max_epochs: 1, callbacks: [{class_path: x.Y, init_args: {a: 1}}, {class_path: x.Z}]}
"""
PROTOCOL = """name: asked
seeds: [0]
stages:
  probe: {configs: [experiments/overlays/tiny.yaml], variants: {a: {set: {data.init_args.label_fraction: 0.1}}, b: {}}}
protocol:
  - set: EMBED
    target: density
    case: image
    rows: {probe: {stage: probe, head: knn, labels: 10 %}, one: {stage: probe/b}}
"""


def read_config(path: Path) -> object:
    """As ``medlit fit`` does before anything is parsed."""
    from medlit.config_errors import refuse_unheard

    settings = read_settings(["--config", str(path)])
    refuse_unheard(settings, LINKS)
    return settings


def read_plan(path: Path) -> object:
    """As ``medlit recipe run --dry-run`` does."""
    recipe = read_recipe(path)
    jobs = plan(recipe, path.parent / "out")
    return jobs, None if recipe.published is None else read_published(recipe.published)


def opens(data: bytes) -> bool:
    """Whether it is YAML with settings."""
    try:
        return isinstance(yaml.compose(data.decode("utf-8"), Loader=CLoader), yaml.MappingNode)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        return False


def mutate(data: bytes, random: Random) -> bytes:
    """Another value or key, other lines, anchors, depth, or other bytes."""
    draw = random.random()
    text = data.decode("utf-8", errors="replace")
    if draw < 0.65:
        changed = _as_tree(text, random)
        if changed is not None:
            return changed
    if draw < 0.85:
        return change_lines(text, random).encode("utf-8", errors="replace")
    if draw < 0.93:
        return _odd(text, random).encode("utf-8", errors="replace")
    return change_bytes(data, random)


def _as_tree(text: str, random: Random) -> bytes | None:
    """Written anew with a value of it changed; None where it cannot be read."""
    try:
        tree: Any = _values(text)
    except Exception:  # whatever comes of dates that are none, or of tags
        return None
    for _ in range(random.choice((1, 1, 2, 3))):
        tree = change_tree(tree, random)
    flow = random.choice((None, False))
    return yaml.dump(tree, Dumper=CDumper, sort_keys=False, default_flow_style=flow, allow_unicode=True).encode(
        "utf-8", errors="replace"
    )


def _odd(text: str, random: Random) -> str:
    """What YAML also allows: anchors, aliases, merges, tags, several documents, depth, keys that are lists."""
    lines = text.split("\n")
    odd = random.choice(
        (
            "a: &a {b: 1}\nc: {<<: *a}",
            "a: &a [*a]",
            "a: &a\n  b: *a",
            "? [1, 2]\n: x",
            "? {a: b}\n: x",
            "--- \n...\n---",
            "!!set {a, b}",
            "a: !!binary aGFsbG8=",
            "a: 2001-01-01",
            "a: 2001-99-99",
            "a: !!timestamp x",
            "a: 1:60:60",
            "a: 0b12",
            "a: 0o9",
            "a: .nan",
            "a: !!float x",
            "a: !!int '1_'",
            "a: !!python/name:os.system",
            "a: " + "[" * random.choice((10, 200, 2000)),
            "a: " + "{a: " * random.choice((10, 200)),
            "null: 1",
            "1: 1",
            "true: false",
            "1.5: x",
            "a: |\n  text\n",
            "%YAML 9.9",
            "\t- x",
            "a: 'b",
            "<<: 1",
            "a: {<<: [1]}",
            f"a: {random.choice(WORDS)}",
        )
    )
    at = random.randint(0, len(lines))
    return "\n".join([*lines[:at], odd, *lines[at:]])
