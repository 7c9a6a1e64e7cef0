"""What a user wrote, setting by setting, and where: configuration files with their lines, and options."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from medlit.errors import ConfigurationError

NO_SETTINGS = {"config", "c", "help", "h", "print_config", "allow-code"}
MAX_BYTES = 1_000_000
"""With every default written out, a configuration has a thousand lines."""
MAX_DEPTH, MAX_SETTINGS = 50, 100_000
"""No configuration is so deep or so long; YAML's aliases make one of either out of a few lines."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One key that the user wrote.

    Args:
        path: Names from the top: ``("trainer", "max_epochs")``; an entry of a list has its number as name.
        value: The text of the value; None: a mapping or list.
        origin: ``file:line`` of the key; None: an option of the command line.
        source: Number of the file or option, in order: later ones win.
    """

    path: tuple[str, ...]
    value: str | None
    origin: str | None
    source: int

    @property
    def key(self) -> str:
        """The path with dots."""
        return ".".join(self.path)

    @property
    def is_option(self) -> bool:
        """Whether it was an option of the command line."""
        return self.origin is None

    def complaint(self, what: str) -> ConfigurationError:
        """An error at the place of this setting."""
        return ConfigurationError(f"{self.origin or '--' + self.key}: {what}")

    def complaint_of_value(self, what: str) -> ConfigurationError:
        """An error about the value of this setting, with its place and key."""
        return self.complaint(what if self.is_option else f"{self.key}: {what}")


def read_settings(args: Sequence[str]) -> list[Setting]:
    """All settings of a command line, those of its configuration files included, in order.

    Args:
        args: Words after the verb.

    Raises:
        ConfigurationError: If a file does not exist, is not valid YAML, or has a key twice.
    """
    settings: list[Setting] = []
    for source, (name, value) in enumerate(options(args)):
        if name in ("config", "c"):
            if not value:
                raise ConfigurationError("--config needs a file: --config experiments/ei_derm7pt.yaml")
            settings += _settings_of_file(value, source)
        elif name not in NO_SETTINGS:
            path = tuple(name.rstrip("+").split("."))
            settings.append(Setting(path=path, value=value, origin=None, source=source))
    return settings


def options(args: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Options of a command line as (name without dashes, value)."""
    words = list(args)
    while words:
        word = words.pop(0)
        if not word.startswith("-"):
            continue
        name, equals, value = word.lstrip("-").partition("=")
        if equals:
            yield name, value
        else:
            yield name, words.pop(0) if words and not words[0].startswith("--") else None


def config_files(args: Sequence[str]) -> list[str]:
    """The configuration files that a command line names, in order."""
    return [value for name, value in options(args) if name in ("config", "c") and value]


def _settings_of_file(file: str, source: int) -> list[Setting]:
    path = Path(file)
    if not path.is_file():
        folder = path.parent if path.parent.is_dir() else Path()
        near = get_close_matches(path.name, (p.name for p in folder.iterdir()), n=1)
        hint = f"; did you mean {folder / near[0]}?" if near else ""
        raise ConfigurationError(f"configuration file {file} does not exist below {os.getcwd()}{hint}")
    if path.stat().st_size > MAX_BYTES:
        raise ConfigurationError(f"{file}: more than {MAX_BYTES:,} bytes; is this a configuration?")
    with _yaml_of(file):
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        yaml.safe_load(text)  # finds tags and dates that do not fit: jsonargparse ends in whatever they raise
    if not isinstance(root, yaml.MappingNode):
        raise ConfigurationError(f"{file}: holds no settings; expected lines such as 'trainer:' with keys below")
    settings = list(islice(_walk(root, (), file, source), MAX_SETTINGS + 1))
    if len(settings) > MAX_SETTINGS:
        raise ConfigurationError(f"{file}: more than {MAX_SETTINGS:,} settings; are there aliases of aliases in it?")
    return settings


def read_values(file: str | Path) -> Any:
    """What a YAML file holds, as plain values.

    Args:
        file: It need not be a configuration.

    Raises:
        ConfigurationError: If it cannot be read, or is not valid YAML.
    """
    with _yaml_of(file):
        return yaml.safe_load(Path(file).read_text(encoding="utf-8"))


@contextmanager
def _yaml_of(file: str | Path) -> Iterator[None]:
    """Turns whatever comes of reading a YAML file into one line with its name."""
    try:
        yield
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigurationError(f"{file}{line}: not valid YAML: {error.problem}") from error
    except OSError as error:
        raise ConfigurationError(f"{file}: cannot be read ({error.strerror})") from error
    except RecursionError as error:
        raise ConfigurationError(f"{file}: nested too deep for a configuration") from error
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, OverflowError) as error:
        # YAML's reader raises the last four for tags on what they do not fit, and for dates that are none.
        raise ConfigurationError(f"{file}: not valid YAML: {error}") from error


def _walk(node: yaml.Node, path: tuple[str, ...], file: str, source: int) -> Iterator[Setting]:
    """Settings below a node, keys before what they hold."""
    if len(path) > MAX_DEPTH:
        line = node.start_mark.line + 1
        raise ConfigurationError(f"{file}:{line}: more than {MAX_DEPTH} levels deep; is there an alias of itself?")
    if isinstance(node, yaml.MappingNode):
        children = [(key.value, key.start_mark.line + 1, child) for key, child in node.value]
        seen: dict[str, int] = {}
        for name, line, _ in children:
            if name in seen:
                raise ConfigurationError(
                    f"{file}:{line}: key '{'.'.join((*path, name))}' is there twice, first in line {seen[name]}"
                )
            seen[name] = line
    elif isinstance(node, yaml.SequenceNode):
        children = [(str(number), child.start_mark.line + 1, child) for number, child in enumerate(node.value)]
    else:
        return
    for name, line, child in children:
        below = (*path, str(name))
        value = child.value if isinstance(child, yaml.ScalarNode) else None
        yield Setting(path=below, value=value, origin=f"{file}:{line}", source=source)
        yield from _walk(child, below, file, source)
