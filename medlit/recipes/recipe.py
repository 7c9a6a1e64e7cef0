"""What a recipe file says: stages and their variants, seeds, folds, what is compared."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from medlit.config_source import read_settings
from medlit.errors import ConfigurationError
from medlit.recipes.protocol import Block, read_protocol
from medlit.recipes.reader import KEY, Reader, nearest, source_of_reserved


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One training, repeated for every seed and fold.

    Args:
        name: Its folder below the recipe's; of a variant ``<stage>/<variant>``.
        configs: Configuration files of ``medlit fit``, in order.
        init_from: By modality, the stage whose best checkpoint of the same seed and fold it starts from.
        weights_from: By dotted option, the stage whose best checkpoint is its value: that of the same seed and fold, or
            of the stage's only seed.
        settings: Options of ``medlit fit`` for this stage alone, by dotted key; ``set`` in the file.
        seeds: Of this stage; None: the recipe's.
        seed_also: Further options that take the seed as value, such as the one that draws a share of the labels.
        test: Whether it is tested after training and has rows; without, it only serves others.
        alone: Whether a training has the whole machine, with none beside it, as one on several GPUs needs.
    """

    name: str
    configs: tuple[str, ...]
    init_from: Mapping[str, str]
    settings: Mapping[str, Any]
    weights_from: Mapping[str, str]
    seeds: tuple[int, ...] | None
    seed_also: tuple[str, ...]
    test: bool
    alone: bool

    @property
    def family(self) -> str:
        """The stage that a variant is one of; its own name where it is none."""
        return self.name.partition("/")[0]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A graph of stages.

    Args:
        file: Where it was read.
        name: Of the recipe; its folder is ``runs/<name>`` unless told otherwise.
        seeds: Every stage without its own is trained once with each.
        num_folds: K: every stage is trained once for each of K folds, and their test cases are pooled; None: once, with
            the official splits.
        configs_after: Configuration files that follow those of every stage.
        settings: Options of ``medlit fit`` for all stages, by dotted key; ``set`` in the file.
        stages: By name, each after those that it starts from; variants are stages.
        compare: Rows of the table by title: stages, whose logits are averaged where there are several.
        protocol: Blocks of the table of figures, see `medlit.recipes.protocol`.
        published: Entry of ``docs/published.yaml`` to compare with; None: nothing was published.
    """

    file: str
    name: str
    seeds: tuple[int, ...]
    num_folds: int | None
    configs_after: tuple[str, ...]
    settings: Mapping[str, Any]
    stages: Mapping[str, Stage]
    compare: Mapping[str, tuple[str, ...]]
    protocol: tuple[Block, ...]
    published: str | None

    def seeds_of(self, stage: str) -> tuple[int, ...]:
        """What a stage is trained with."""
        own = self.stages[stage].seeds
        return self.seeds if own is None else own


KEYS = ("name", "seeds", "num_folds", "configs_after", "set", "stages", "compare", "protocol", "published")
VARIANT_KEYS = ("set", "seeds")
STAGE_KEYS = ("configs", "init_from", "weights_from", *VARIANT_KEYS, "seed_also", "test", "alone", "variants")


def read_recipe(file: str | Path) -> Recipe:
    """Read a recipe file.

    Args:
        file: YAML; the configuration files that it names start from the working folder.

    Raises:
        ConfigurationError: Naming file, line and key of what cannot be.
    """
    reader = _RecipeReader(file=str(file), settings=read_settings(["--config", str(file)]))
    content = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    reader.check_keys((), content, KEYS, needed=("name", "seeds", "stages"))
    stages = reader.stages(content["stages"])
    tested = {name: name for name, stage in stages.items() if stage.test}
    protocol = read_protocol(reader, content.get("protocol"), tested)
    num_folds = reader.num_folds(content.get("num_folds"))
    if protocol and num_folds is not None:
        reader.refuse(("protocol",), "its figures are those of single tests: set num_folds to null, or leave it out")
    return Recipe(
        file=str(file),
        name=reader.name(("name",), content["name"]),
        seeds=reader.seeds(("seeds",), content["seeds"]),
        num_folds=num_folds,
        configs_after=reader.words(("configs_after",), content.get("configs_after") or []),
        settings=reader.fit_settings(("set",), content.get("set") or {}),
        stages=stages,
        compare=reader.compare(content.get("compare") or ({} if protocol else tested), stages),
        protocol=protocol,
        published=reader.optional_word(("published",), content.get("published")),
    )


def parse_option(text: str) -> tuple[str, Any]:
    """``key=value`` of the command line; numbers, booleans and the like as a recipe file would hold them.

    Raises:
        ConfigurationError: If it is nothing of the kind, or the key is one that the recipe gives.
    """
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigurationError(f"--set {text}: expected key=value, such as data.init_args.root=data/derm7pt")
    try:
        plain = yaml.safe_load(value)
    except yaml.YAMLError:
        plain = value
    plain = plain if plain is None or isinstance(plain, (bool, int, float, list, dict)) else value
    if source := source_of_reserved(key, plain):
        raise ConfigurationError(f"--set {key}: comes from {source}")
    return key, plain


class _RecipeReader(Reader):
    """Reads the parts of a recipe that refer to each other."""

    def stages(self, value: object) -> Mapping[str, Stage]:
        """All stages, each after those it starts from."""
        if not isinstance(value, dict) or not value:
            self.refuse(("stages",), "expected stages by name, each with 'configs'")
        stages = {stage.name: stage for name, content in value.items() for stage in self._stage(name, content)}
        for stage in stages.values():
            for key, sources in (("init_from", stage.init_from), ("weights_from", stage.weights_from)):
                for place, source in sources.items():
                    if source not in stages:
                        hint = nearest(source, stages, what="stages")
                        self.refuse(("stages", stage.family, key, place), f"no stage {source!r}; {hint}")
        ordered: dict[str, Stage] = {}
        for name in stages:
            self._visit(name, stages, ordered, open_stages=())
        return ordered

    def _stage(self, name: object, content: object) -> Iterator[Stage]:
        """A stage, or one for each of its variants."""
        path = ("stages", str(name))
        family = self.name(path, name)
        content = self.check_keys(path, content, STAGE_KEYS, needed=("configs",))
        settings, seeds = self._own(path, content)
        whole = Stage(
            name=family,
            configs=self.words((*path, "configs"), content["configs"], needed=True),
            init_from=self.sources(
                (*path, "init_from"),
                content.get("init_from") or {},
                example="modality, such as {clinic: unimodal_clinic}",
            ),
            settings=settings,
            weights_from=self._weights_from((*path, "weights_from"), content.get("weights_from") or {}),
            seeds=seeds,
            seed_also=self.words(
                (*path, "seed_also"), content.get("seed_also") or [], example="data.init_args.fraction_seed"
            ),
            test=self.truth((*path, "test"), content.get("test", True)),
            alone=self.truth((*path, "alone"), content.get("alone", False)),
        )
        variants = content.get("variants")
        if variants is None:
            yield self._checked(path, whole)
            return
        if not isinstance(variants, dict) or not variants:
            self.refuse((*path, "variants"), "expected variants by name, each with its 'set' or 'seeds'")
        for variant, changes in variants.items():
            below = (*path, "variants", str(variant))
            self.name(below, variant)
            more, own = self._own(below, self.check_keys(below, changes, VARIANT_KEYS))
            one = replace(whole, name=f"{family}/{variant}", settings={**settings, **more}, seeds=own or seeds)
            yield self._checked(below, one)

    def _own(
        self, path: tuple[str, ...], content: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], tuple[int, ...] | None]:
        """Settings and seeds of a stage or a variant."""
        given = content.get("seeds")
        seeds = None if given is None else self.seeds((*path, "seeds"), given)
        return self.fit_settings((*path, "set"), content.get("set") or {}), seeds

    def _weights_from(self, path: tuple[str, ...], value: object) -> dict[str, str]:
        """Stages by the dotted option that takes their checkpoint."""
        found = self.sources(path, value, example="dotted option, such as {model.init_args.checkpoint: pretraining}")
        for key in found:
            if source := source_of_reserved(key, None):
                self.refuse((*path, key), f"comes from {source}; remove it here")
        return found

    def _checked(self, path: tuple[str, ...], stage: Stage) -> Stage:
        """Refuse an option that is given in two ways."""
        given = [*stage.weights_from, *stage.seed_also]
        for key in given:
            if not KEY.fullmatch(key) or source_of_reserved(key, None):
                self.refuse(path, f"{key!r} cannot be given here: expected a dotted option of medlit fit")
            if key in stage.settings or given.count(key) > 1:
                self.refuse(path, f"{key} is given in two of set, weights_from and seed_also; give it in one")
        return stage

    def _visit(
        self, name: str, stages: Mapping[str, Stage], ordered: dict[str, Stage], *, open_stages: tuple[str, ...]
    ) -> None:
        """Add a stage after those it starts from."""
        if name in open_stages:
            circle = " from ".join((*open_stages[open_stages.index(name) :], name))
            key = "init_from" if stages[name].init_from else "weights_from"
            self.refuse(("stages", stages[name].family, key), f"stages start from each other in a circle: {circle}")
        if name in ordered:
            return
        for source in (*stages[name].init_from.values(), *stages[name].weights_from.values()):
            self._visit(source, stages, ordered, open_stages=(*open_stages, name))
        ordered[name] = stages[name]

    def compare(self, value: object, stages: Mapping[str, Stage]) -> Mapping[str, tuple[str, ...]]:
        """Rows of the table."""
        if not isinstance(value, dict):
            self.refuse(("compare",), "expected rows by title, each a stage or a list of stages")
        rows = {}
        for title, row in value.items():
            names = [row] if isinstance(row, str) else row
            if not isinstance(names, list) or not names:
                self.refuse(("compare", str(title)), f"expected a stage or a list of stages, got {row!r}")
            for name in names:
                if name not in stages:
                    hint = nearest(name, stages, what="stages")
                    self.refuse(("compare", str(title)), f"no stage {name!r}; {hint}")
                if not stages[name].test:
                    self.refuse(("compare", str(title)), f"stage {name!r} is not tested (test: false): it has no row")
            rows[str(title)] = tuple(names)
        return rows
