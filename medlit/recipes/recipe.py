"""What a recipe file says: stages, seeds, folds, what is compared; errors name file, line and the nearest valid key."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

import yaml

from medlit.config_source import Setting, read_settings
from medlit.errors import ConfigurationError

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
"""What recipes and stages may be called: they name folders."""

RESERVED = {
    "seed_everything": "'seeds'",
    "run_dir": "the option --out",
    "overwrite": "the option --rerun",
    "ckpt_path": "the recipe itself, which goes on where it stopped",
    "config": "'configs' and 'configs_after'",
    "test_after_fit": "the recipe itself, whose table is made of the test's rows",
    "data.num_folds": "'num_folds'",
    "data.fold": "'num_folds'",
    "model.init_from": "'init_from' of a stage",
}
"""Settings that a recipe gives each training itself, without ``init_args``, and where they come from."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One training, repeated for every seed and fold.

    Args:
        name: Its folder below the recipe's.
        configs: Configuration files of ``medlit fit``, in order.
        init_from: By modality, the stage whose best checkpoint of the same seed and fold it starts from.
        settings: Options of ``medlit fit`` for this stage alone, by dotted key; ``set`` in the file.
    """

    name: str
    configs: tuple[str, ...]
    init_from: Mapping[str, str]
    settings: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A graph of stages.

    Args:
        file: Where it was read.
        name: Of the recipe; its folder is ``runs/<name>`` unless told otherwise.
        seeds: Every stage is trained once with each.
        num_folds: K: every stage is trained once for each of K folds, and their test cases are pooled; None: once, with
            the official splits.
        configs_after: Configuration files that follow those of every stage.
        settings: Options of ``medlit fit`` for all stages, by dotted key; ``set`` in the file.
        stages: By name, each after those that it starts from.
        compare: Rows of the table by title: stages, whose logits are averaged where there are several.
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
    published: str | None


KEYS = ("name", "seeds", "num_folds", "configs_after", "set", "stages", "compare", "published")
STAGE_KEYS = tuple("set" if field.name == "settings" else field.name for field in fields(Stage) if field.name != "name")


def read_recipe(file: str | Path) -> Recipe:
    """Read a recipe file.

    Args:
        file: YAML; the configuration files that it names start from the working folder.

    Raises:
        ConfigurationError: Naming file, line and key of what cannot be.
    """
    reader = _Reader(file=str(file), settings=read_settings(["--config", str(file)]))
    content = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    reader.check_keys((), content, KEYS, needed=("name", "seeds", "stages"))
    stages = reader.stages(content["stages"])
    return Recipe(
        file=str(file),
        name=reader.name(("name",), content["name"]),
        seeds=reader.seeds(content["seeds"]),
        num_folds=reader.num_folds(content.get("num_folds")),
        configs_after=reader.words(("configs_after",), content.get("configs_after") or []),
        settings=reader.fit_settings(("set",), content.get("set") or {}),
        stages=stages,
        compare=reader.compare(content.get("compare") or {name: name for name in stages}, stages),
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
    if source := _source_of_reserved(key, plain):
        raise ConfigurationError(f"--set {key}: comes from {source}")
    return key, plain


def _source_of_reserved(key: str, value: object) -> str | None:
    """Where a setting, or one inside it, comes from if a recipe gives it itself."""
    if isinstance(value, dict):
        return next(filter(None, (_source_of_reserved(f"{key}.{name}", below) for name, below in value.items())), None)
    return RESERVED.get(".".join(part for part in key.split(".") if part != "init_args"))


@dataclass(frozen=True, kw_only=True)
class _Reader:
    """Turns what YAML holds into a recipe, or says where it cannot.

    Args:
        file: The recipe file.
        settings: Its keys with their lines.
    """

    file: str
    settings: Sequence[Setting]

    def refuse(self, path: tuple[str, ...], what: str) -> NoReturn:
        """Raise an error at the place of a key."""
        found = next((setting for setting in self.settings if setting.path == path), None)
        raise found.complaint_of_value(what) if found else ConfigurationError(f"{self.file}: {what}")

    def check_keys(
        self, path: tuple[str, ...], content: object, known: Sequence[str], *, needed: Sequence[str] = ()
    ) -> None:
        """Refuse unknown and missing keys of a mapping."""
        if not isinstance(content, dict):
            self.refuse(path, f"expected a mapping with the keys {', '.join(known)}")
        for key in content:
            if key not in known:
                near = get_close_matches(str(key), known, n=1)
                hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
                self.refuse((*path, str(key)), f"unknown key; {hint}")
        for key in needed:
            if not content.get(key):
                self.refuse(path, f"no '{key}' is given" if path else f"no '{key}' is given; a recipe needs it")

    def name(self, path: tuple[str, ...], value: object) -> str:
        """A name for a folder."""
        if not isinstance(value, str) or not NAME.fullmatch(value):
            self.refuse(path, f"expected a name of letters, digits, '_', '-' and '.', got {value!r}")
        return value

    def seeds(self, value: object) -> tuple[int, ...]:
        """Different whole numbers from zero on."""
        sound = isinstance(value, list) and all(type(seed) is int and seed >= 0 for seed in value)
        if not isinstance(value, list) or not sound or len(set(value)) < len(value):
            self.refuse(("seeds",), f"expected different whole numbers from 0 on, such as [0, 1, 2], got {value!r}")
        return tuple(value)

    def num_folds(self, value: object) -> int | None:
        """None, or three and more."""
        if value is not None and (type(value) is not int or value < 3):
            self.refuse(("num_folds",), f"expected null or a whole number from 3 on, got {value!r}")
        return value

    def words(self, path: tuple[str, ...], value: object, *, needed: bool = False) -> tuple[str, ...]:
        """A list of texts."""
        sound = isinstance(value, list) and all(isinstance(word, str) and word for word in value)
        if not isinstance(value, list) or not sound or (needed and not value):
            self.refuse(path, f"expected a list, such as [experiments/ei_derm7pt.yaml], got {value!r}")
        return tuple(value)

    def optional_word(self, path: tuple[str, ...], value: object) -> str | None:
        """A text or null."""
        if value is not None and not isinstance(value, str):
            self.refuse(path, f"expected a text or null, got {value!r}")
        return value

    def fit_settings(self, path: tuple[str, ...], value: object) -> Mapping[str, Any]:
        """Options of ``medlit fit``."""
        if not isinstance(value, dict):
            self.refuse(
                path, f"expected dotted keys with their values, such as data.init_args.root: ..., got {value!r}"
            )
        for key in value:
            if source := _source_of_reserved(str(key), value[key]):
                self.refuse((*path, str(key)), f"comes from {source}; remove it here")
            if not isinstance(key, str) or (isinstance(value[key], dict) and "." not in key):
                self.refuse((*path, str(key)), "expected a dotted key, such as data.init_args.root")
        return value

    def stages(self, value: object) -> Mapping[str, Stage]:
        """All stages, each after those it starts from."""
        if not isinstance(value, dict) or not value:
            self.refuse(("stages",), "expected stages by name, each with 'configs'")
        stages = {name: self._stage(name, content) for name, content in value.items()}
        for stage in stages.values():
            for modality, source in stage.init_from.items():
                if source not in stages:
                    near = get_close_matches(str(source), stages, n=1)
                    hint = f"did you mean '{near[0]}'?" if near else f"stages: {', '.join(stages)}"
                    self.refuse(("stages", stage.name, "init_from", modality), f"no stage {source!r}; {hint}")
        ordered: dict[str, Stage] = {}
        for name in stages:
            self._visit(name, stages, ordered, open_stages=())
        return ordered

    def _stage(self, name: object, content: object) -> Stage:
        path = ("stages", str(name))
        stage = self.name(path, name)
        self.check_keys(path, content, STAGE_KEYS, needed=("configs",))
        content = dict(content) if isinstance(content, dict) else {}
        init_from = content.get("init_from") or {}
        if not isinstance(init_from, dict):
            self.refuse((*path, "init_from"), "expected a stage by modality, such as {clinic: unimodal_clinic}")
        return Stage(
            name=stage,
            configs=self.words((*path, "configs"), content["configs"], needed=True),
            init_from=init_from,
            settings=self.fit_settings((*path, "set"), content.get("set") or {}),
        )

    def _visit(
        self, name: str, stages: Mapping[str, Stage], ordered: dict[str, Stage], *, open_stages: tuple[str, ...]
    ) -> None:
        """Add a stage after those it starts from."""
        if name in open_stages:
            circle = " from ".join((*open_stages[open_stages.index(name) :], name))
            self.refuse(("stages", name, "init_from"), f"stages start from each other in a circle: {circle}")
        if name in ordered:
            return
        for source in stages[name].init_from.values():
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
                    near = get_close_matches(str(name), stages, n=1)
                    hint = f"did you mean '{near[0]}'?" if near else f"stages: {', '.join(stages)}"
                    self.refuse(("compare", str(title)), f"no stage {name!r}; {hint}")
            rows[str(title)] = tuple(names)
        return rows
