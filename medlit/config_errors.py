"""Errors of a configuration in one line: where, which key, and the nearest valid one.

jsonargparse judges whether a configuration is valid. Where it says no, it names neither file nor line, and the culprit
is buried in nested messages; :func:`explain` looks for the culprit among the settings that the user wrote. Two things
jsonargparse drops without a word: :func:`refuse_unheard` finds those.
"""

import importlib
import inspect
import re
import traceback
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from difflib import get_close_matches
from types import UnionType
from typing import get_args

from jsonargparse._common import ImportDenied, check_import_path
from jsonargparse._util import import_object

from data_modules.errors import DataError
from medlit import code_paths
from medlit.config_source import Setting
from medlit.errors import ConfigurationError

CLASS_KEYS = ("class_path", "init_args")
"""What a class in YAML consists of."""


def refuse_unheard(settings: Iterable[Setting], links: Mapping[str, str]) -> None:
    """Refuse settings that would be dropped, or passed on unchecked.

    Args:
        settings: What the user wrote.
        links: Key that is never typed, to where its value comes from.

    Raises:
        ConfigurationError: At the first of them.
    """
    for setting in settings:
        if "dict_kwargs" in setting.path:
            raise setting.complaint(f"'{setting.key}' would not be checked; write its keys below init_args")
        spellings = [setting.key]
        if setting.is_option and len(setting.path) == 2:  # options may leave init_args out
            spellings.append(f"{setting.path[0]}.init_args.{setting.path[1]}")
        for key in spellings:
            if key in links:
                raise setting.complaint(f"'{key}' is taken from {links[key]}; remove it here")


def explain(error: Exception, settings: Sequence[Setting], parser_keys: Collection[str]) -> ConfigurationError:
    """The error of a parser in one line.

    Args:
        error: Of jsonargparse.
        settings: What the user wrote.
        parser_keys: Keys that the parser itself knows, with dots: ``trainer.max_epochs``, ``model``.

    Returns:
        The error to raise.
    """
    grammar = _Grammar(settings=settings, parser_keys=parser_keys)
    chain = [" ".join(str(link).split()) for link in _chain(error)]
    return (
        code_paths.denied(chain, settings)
        or next(filter(None, map(grammar.class_problem, settings)), None)
        or _wrong_class(chain, settings)
        or next(filter(None, map(grammar.key_problem, settings)), None)
        or _missing(chain, settings)
        or _stray_word(chain)
        or _wrong_value(chain, settings)
        or ConfigurationError(_shortened(chain[-1]))
    )


def refused(error: Exception) -> Exception:
    """What a class said of its arguments, out of jsonargparse's messages around it.

    Args:
        error: What came of making the configured objects.

    Returns:
        The innermost error if it is meant for the user as it is, else its message with the class that was made.
    """
    chain = list(_chain(error))
    for link in chain:
        if isinstance(link, (ConfigurationError, DataError)):
            return link
    frames = [frame for frame, _ in traceback.walk_tb(chain[-1].__traceback__) if "self" in frame.f_locals]
    made = [frame.f_locals["self"] for frame in frames if frame.f_code.co_name in ("__init__", "__post_init__")]
    text = _shortened(" ".join(str(chain[-1]).split()))
    return ConfigurationError(f"{type(made[0]).__name__}: {text}" if made else text)


@dataclass(frozen=True, kw_only=True)
class _Grammar:
    """Which keys the settings themselves make valid: each class path brings its class's parameters."""

    settings: Sequence[Setting]
    parser_keys: Collection[str]

    def class_problem(self, setting: Setting) -> ConfigurationError | None:
        """What is wrong with a class path; None: nothing, or it is a short name."""
        module_name, _, name = (setting.value or "").rpartition(".")
        if setting.path[-1] != "class_path" or not module_name:
            return None
        try:
            check_import_path(setting.value or "")
            module = importlib.import_module(module_name)
        except ImportDenied:
            return None
        except (ImportError, TypeError, ValueError) as error:  # the last two: '..x' and '.x' are no modules' names
            return setting.complaint_of_value(f"cannot import '{setting.value}': {error}")
        if hasattr(module, name):
            return None
        near = _suggestion(name, dir(module), prefix=f"{module_name}.")
        return setting.complaint_of_value(f"no class '{setting.value}'{near}")

    def key_problem(self, setting: Setting) -> ConfigurationError | None:
        """What is wrong with a key; None: nothing."""
        path: tuple[str, ...] = ()
        for name in setting.path:
            owner = self.class_at(path, setting.source)
            if owner and setting.is_option and name not in CLASS_KEYS:
                path = (*path, "init_args")  # options may leave it out
            accepted = self.accepted(path, setting.source)
            if accepted is not None and name not in accepted:
                what = "option" if setting.is_option else f"key '{setting.key}'"
                if owner and name in _parameters(owner):
                    return setting.complaint(f"unknown {what}; did you mean 'init_args.{name}'?")
                return setting.complaint(f"unknown {what}{_suggestion(name, accepted)}")
            path = (*path, name)
        return None

    def accepted(self, path: tuple[str, ...], source: int) -> Collection[str] | None:
        """Names that may stand below a path; None: any."""
        if self.class_at(path, source):
            return CLASS_KEYS
        if path and path[-1] == "init_args":
            owner = self.class_at(path[:-1], source)
            names = _parameters(owner) if owner else []
            return names or None
        if path[-2:-1] == ("init_args",):
            owner = self.class_at(path[:-2], source)
            return _group(owner, path[-1]) if owner else None
        below = {tuple(key.split("."))[: len(path) + 1] for key in self.parser_keys}
        return [names[-1] for names in sorted(below) if names[:-1] == path] or None

    def class_at(self, path: tuple[str, ...], source: int) -> type | None:
        """The class that the settings put at a path; an overlay without class path takes that of the file before."""
        found = [s for s in self.settings if s.path in (path, (*path, "class_path")) and s.value]
        before = [s for s in found if s.source <= source]
        return _load((before or found)[-1].value or "") if found else None


def _load(class_path: str) -> type | None:
    """The class at a dotted path; None where there is none."""
    try:
        found = import_object(class_path)
    except (ImportError, AttributeError, ValueError):  # not there, not allowed, or no path
        return None
    return found if isinstance(found, type) else None


def _parameters(owner: type) -> list[str]:
    """Names of a class's parameters; none where it takes any."""
    parameters = inspect.signature(owner).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return []
    return [p.name for p in parameters]


def _group(owner: type, name: str) -> list[str] | None:
    """Names of the fields of a parameter that is a dataclass, or one or null; None where it is anything else."""
    parameter = inspect.signature(owner).parameters.get(name)
    kind = parameter.annotation if parameter else None
    kinds = [part for part in get_args(kind) if part is not type(None)] if isinstance(kind, UnionType) else [kind]
    if len(kinds) != 1 or not is_dataclass(kinds[0]):
        return None
    return [field.name for field in fields(kinds[0]) if field.init]


def _suggestion(name: str, valid: Collection[str], prefix: str = "") -> str:
    """The nearest valid name, else the valid ones where they are few."""
    near = get_close_matches(name, valid, n=1)
    if near:
        return f"; did you mean '{prefix}{near[0]}'?"
    public = [word for word in valid if not word.startswith("_")]
    return f"; valid: {', '.join(public)}" if len(public) <= 20 else ""


# What jsonargparse said, from the outermost message to the innermost


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _wrong_class(chain: Sequence[str], settings: Sequence[Setting]) -> ConfigurationError | None:
    found = re.search(r"Import path (\S+) does not correspond to a subclass of (\w+)", " ".join(chain))
    if not found:
        return None
    what = f"{found[1]} is no subclass of {found[2]}"
    keys = re.findall(r'Parser key "([^"]+)"', " ".join(chain))
    places = [s for s in settings if s.value == found[1]]
    places = [s for s in places if f".{s.key}".removesuffix(".class_path").endswith(f".{keys[-1]}")] or places
    return places[-1].complaint_of_value(what) if places else ConfigurationError(what)


def _missing(chain: Sequence[str], settings: Sequence[Setting]) -> ConfigurationError | None:
    found = re.search(r"the following arguments are required: ([\w., ]+)", chain[-1])
    if not found:
        return None
    owners = re.findall(r"Problem with given class_path '([^']+)'", " ".join(chain))
    for setting in settings:
        if owners and setting.value == owners[-1]:
            return setting.complaint(f"{owners[-1]} needs '{found[1]}'; add it below init_args")
    key = found[1].rpartition(".")[2]
    return ConfigurationError(f"no '{key}' is configured; name a configuration: --config experiments/ei_derm7pt.yaml")


def _stray_word(chain: Sequence[str]) -> ConfigurationError | None:
    found = re.search(r"unrecognized arguments: (\S+)", chain[-1])
    if not found:
        return None
    hint = f"did you mean --config {found[1]}?" if found[1].endswith((".yaml", ".yml")) else "options begin with --"
    return ConfigurationError(f"unexpected '{found[1]}'; {hint}")


def _wrong_value(chain: Sequence[str], settings: Sequence[Setting]) -> ConfigurationError | None:
    told = [found for text in chain if (found := re.match(r'Parser key "([^"]+)": (.*)', text))]
    if not told:
        return None
    key, said = told[-1].groups()
    union = re.search(r"Subtypes: \[(.*?)\] Errors: .* Given value: (.*)", said)
    single = re.search(r"Expected an? (.*)\. Got value: (.*)", said)
    expected = union or single
    what = f"expected {_plain_types(expected[1])}, got '{expected[2]}'" if expected else _shortened(said)
    places = [s for s in settings if s.key == key or s.key.endswith(f".{key}")]
    places = [s for s in places if expected and s.value == expected[2]] or places
    return places[-1].complaint_of_value(what) if places else ConfigurationError(f"{key}: {what}")


def _plain_types(types: str) -> str:
    """Python's names of types as a person would write them: ``int or null``, ``'a' or 'b'``."""
    types = re.sub(r"typing\.Literal\[(.*?)\]", lambda found: found[1].replace(", ", " or "), types)
    types = re.sub(r"<class '([^']+)'>", lambda found: found[1].rpartition(".")[2], types)
    types = re.sub(r"\b(typing|collections\.abc)\.", "", types)
    return re.sub(r"\bNoneType\b", "null", types).replace(", ", " or ")


def _shortened(text: str, limit: int = 300) -> str:
    return text if len(text) <= limit else text[: limit - 4] + " ..."
