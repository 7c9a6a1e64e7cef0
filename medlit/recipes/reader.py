"""Reads a recipe file value by value; errors name file, line and the nearest valid key."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, NoReturn

from medlit.config_source import Setting
from medlit.errors import ConfigurationError

KEY = re.compile(r"[A-Za-z_]\w*(\.\w+)*\+?")
"""What an option of ``medlit fit`` may be called: a recipe makes words of a command line of it."""

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
"""What recipes, stages and variants may be called: they name folders."""

RESERVED = {
    "seed_everything": "'seeds'",
    "run_dir": "the option --out",
    "overwrite": "the option --rerun",
    "ckpt_path": "the recipe itself, which goes on where it stopped",
    "config": "'configs' and 'configs_after'",
    "allow_code": "the option --allow-code",
    "allow-code": "the option --allow-code",
    "test_after_fit": "the recipe itself, whose table is made of the test's rows",
    "data.num_folds": "'num_folds'",
    "data.fold": "'num_folds'",
    "model.init_from": "'init_from' of a stage",
}
"""Settings that a recipe gives each training itself, without ``init_args``, and where they come from."""


def source_of_reserved(key: str, value: object) -> str | None:
    """Where a setting, or one inside it, comes from if a recipe gives it itself."""
    if isinstance(value, dict):
        return next(filter(None, (source_of_reserved(f"{key}.{name}", below) for name, below in value.items())), None)
    return RESERVED.get(".".join(part for part in key.split(".") if part != "init_args"))


def nearest(name: object, known: Iterable[str], *, what: str) -> str:
    """What to say after the refusal of a name: the nearest one, or all."""
    known = list(known)
    near = get_close_matches(str(name), known, n=1)
    return f"did you mean '{near[0]}'?" if near else f"{what}: {', '.join(known)}"


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Turns what YAML holds into plain values, or says where it cannot.

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
    ) -> dict[str, Any]:
        """Refuse unknown and missing keys of a mapping."""
        if not isinstance(content, dict):
            self.refuse(path, f"expected a mapping with the keys {', '.join(known)}")
        for key in content:
            if key not in known:
                self.refuse((*path, str(key)), f"unknown key; {nearest(key, known, what='known')}")
        for key in needed:
            if not content.get(key):
                self.refuse(path, f"no '{key}' is given" if path else f"no '{key}' is given; a recipe needs it")
        return content

    def name(self, path: tuple[str, ...], value: object) -> str:
        """A name for a folder."""
        if not isinstance(value, str) or not NAME.fullmatch(value):
            self.refuse(path, f"expected a name of letters, digits, '_', '-' and '.', got {value!r}")
        return value

    def seeds(self, path: tuple[str, ...], value: object) -> tuple[int, ...]:
        """Different whole numbers from zero on."""
        sound = isinstance(value, list) and all(type(seed) is int and seed >= 0 for seed in value)
        if not isinstance(value, list) or not sound or not value or len(set(value)) < len(value):
            self.refuse(path, f"expected different whole numbers from 0 on, such as [0, 1, 2], got {value!r}")
        return tuple(value)

    def num_folds(self, value: object) -> int | None:
        """None, or three and more."""
        if value is not None and (type(value) is not int or value < 3):
            self.refuse(("num_folds",), f"expected null or a whole number from 3 on, got {value!r}")
        return value

    def words(
        self,
        path: tuple[str, ...],
        value: object,
        *,
        needed: bool = False,
        example: str = "experiments/ei_derm7pt.yaml",
    ) -> tuple[str, ...]:
        """A list of texts."""
        sound = isinstance(value, list) and all(isinstance(word, str) and word for word in value)
        if not isinstance(value, list) or not sound or (needed and not value):
            self.refuse(path, f"expected a list, such as [{example}], got {value!r}")
        return tuple(value)

    def word(self, path: tuple[str, ...], value: object) -> str:
        """A text."""
        if not isinstance(value, str) or not value:
            self.refuse(path, f"expected a text, got {value!r}")
        return value

    def optional_word(self, path: tuple[str, ...], value: object) -> str | None:
        """A text or null."""
        if value is not None and not isinstance(value, str):
            self.refuse(path, f"expected a text or null, got {value!r}")
        return value

    def truth(self, path: tuple[str, ...], value: object) -> bool:
        """True or false."""
        if not isinstance(value, bool):
            self.refuse(path, f"expected true or false, got {value!r}")
        return value

    def fit_settings(self, path: tuple[str, ...], value: object) -> Mapping[str, Any]:
        """Options of ``medlit fit``."""
        if not isinstance(value, dict):
            self.refuse(
                path, f"expected dotted keys with their values, such as data.init_args.root: ..., got {value!r}"
            )
        for key in value:
            if source := source_of_reserved(str(key), value[key]):
                self.refuse((*path, str(key)), f"comes from {source}; remove it here")
            if not isinstance(key, str) or not KEY.fullmatch(key) or (isinstance(value[key], dict) and "." not in key):
                self.refuse((*path, str(key)), "expected a dotted key, such as data.init_args.root")
            if isinstance(value[key], str) and value[key].startswith("--"):
                self.refuse((*path, str(key)), f"{value[key]!r} would be read as an option; no value begins with --")
        return value

    def sources(self, path: tuple[str, ...], value: object, *, example: str) -> dict[str, str]:
        """Names of stages by what starts from them."""
        if not isinstance(value, dict):
            self.refuse(path, f"expected a stage by {example}")
        return {str(key): source for key, source in value.items()}
