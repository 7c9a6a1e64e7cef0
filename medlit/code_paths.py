"""Which code a configuration may name: classes of known packages, unless the user allows more.

A class path in YAML runs code: its module is imported, an object of it is made. jsonargparse imports what a file, an
option or an environment variable names, at any depth, and asks a policy of its own before and after; here is what
medlit fills in. The permission for more, ``--allow-code``, is the command line's alone: no file can give it.
"""

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jsonargparse import Namespace, set_parsing_settings
from jsonargparse._common import ImportDenied, check_import_path, parsing_settings
from jsonargparse._util import import_object

from medlit.config_source import Setting, options
from medlit.errors import ConfigurationError

PACKAGES = (
    *("medlit", "data_modules", "lightning", "torch", "torchmetrics"),
    *("timm", "transformers", "peft", "albumentations"),
)
"""What a configuration may name. A class must be defined there, too: ``torch.os.system`` is not torch's."""

NEVER = (
    *("medlit.cli", "medlit.commands", "medlit.lightning_cli", "medlit.recipes"),
    # Not all of lightning.pytorch.cli: its ReduceLROnPlateau says which metric it watches, as torch's does not.
    *(f"lightning.pytorch.cli.{name}" for name in ("LightningCLI", "LightningArgumentParser", "SaveConfigCallback")),
    *("lightning.pytorch.cli.instantiate_class", "lightning.fabric.cli"),
    *("lightning.pytorch.demos", "lightning.pytorch.serve"),  # data sets that download themselves, and a server
    *("torch.hub", "torch.jit", "torch.multiprocessing", "torch.package", "torch.serialization", "torch.testing"),
    *("torch.utils.cpp_extension", "torch.utils.model_zoo", "torch._dynamo", "torch._inductor"),
    *("torch.distributed.elastic", "torch.distributed.launch", "torch.distributed.launcher"),
    *("torch.distributed.rpc", "torch.distributed.run"),
    *("transformers.dynamic_module_utils", "transformers.pipelines", "transformers.utils"),
)
"""Parts of them that start programs, compile, fetch code or data, or unpickle: nothing that a model is made of."""

OPTION, KEY = "allow-code", "allow_code"
"""On the command line, and as jsonargparse keeps it."""

HINT = f"allow it, if you trust it, by --{OPTION} true"

REMOTE_CODE = "trust_remote_code"
"""Key by which Hugging Face's libraries run code that lies beside weights."""

REMOTE_REFUSED = "code that lies beside weights is never run; remove it"

UNPICKLING = "weights_only"
"""The Trainer's option that has to stay true: a checkpoint read otherwise runs whatever its pickle says."""

OFF = (None, "false", "False", "null", "~", "")
"""Values of a key that ask for nothing."""


def code_is_allowed(args: Sequence[str]) -> bool:
    """Whether words after a verb allow code of any package.

    Args:
        args: The words.
    """
    given = [value for name, value in options(args) if name == OPTION]
    return bool(given) and (given[-1] is None or given[-1].lower() in ("true", "yes", "1"))


@contextmanager
def known_code_alone(*, unless: bool) -> Iterator[None]:
    """Within it, jsonargparse imports nothing that a configuration may not name, and takes no address for a file.

    Args:
        unless: Whether the user allows code of any package.
    """
    before = dict(parsing_settings)
    set_parsing_settings(
        config_read_mode_urls_enabled=False,
        config_read_mode_fsspec_enabled=False,
        instantiate_subclass_spec_in_any=False,  # a class path within a free mapping stays text
    )
    if not unless:
        set_parsing_settings(import_path_denylist=["*", *NEVER], import_path_allowlist=list(PACKAGES))
    try:
        yield
    finally:
        parsing_settings.update(before)


def refuse_code(settings: Iterable[Setting], *, unless: bool) -> None:
    """Refuse class paths that may not be named, before anything is imported, and what a file must not decide.

    Args:
        settings: What the user wrote.
        unless: Whether the user allows code of any package.

    Raises:
        ConfigurationError: At the first of them.
    """
    for setting in settings:
        last, in_file = setting.path[-1], not setting.is_option
        if in_file and setting.path in ((KEY,), (OPTION,)) and setting.value not in OFF:
            raise setting.complaint(f"'{setting.key}' cannot stand in a file: remove it, and type --{OPTION} true")
        if in_file and setting.path == ("config",) and setting.value not in OFF:
            raise setting.complaint("a configuration names no other; give each by --config")
        if setting.path == (UNPICKLING,) and (setting.value or "").lower() != "true":
            raise setting.complaint(
                f"'{setting.key}': checkpoints are read as tensors and plain types alone; remove it"
            )
        if last == REMOTE_CODE and setting.value not in OFF:
            raise setting.complaint(f"'{setting.key}': {REMOTE_REFUSED}")
        if last == "class_path" and not unless and "." in (setting.value or ""):
            try:
                check_import_path(str(setting.value))
            except ImportDenied as error:
                raise setting.complaint_of_value(_denial(str(setting.value))) from error


def denied(chain: Sequence[str], settings: Sequence[Setting]) -> ConfigurationError | None:
    """The error for what jsonargparse refused to import.

    Args:
        chain: Its messages.
        settings: What the user wrote.

    Returns:
        The error to raise; None where it refused nothing.
    """
    found = re.search(r"Importing '([^']+)' is not allowed", " ".join(chain))
    if not found:
        return None
    path, name = found[1], found[1].rpartition(".")[2]
    given = [setting for setting in reversed(settings) if setting.value]
    places = [setting for setting in given if path in str(setting.value)] or [
        *(setting for setting in given if str(setting.value).rpartition(".")[2] == name),  # under another name
        *(setting for setting in given if _mentions(str(setting.value), name)),  # in a file that a setting names
    ]
    return places[0].complaint_of_value(_denial(path)) if places else ConfigurationError(_denial(path))


def refuse_parsed(config: Any, settings: Sequence[Setting], *, unless: bool) -> None:
    """Refuse what only shows in a parsed configuration: options may hold whole mappings, and names may be functions.

    A function's arguments would come from the file, and some fetch, compile or unpickle what they are given.

    Args:
        config: As parsed; nothing of it is made yet.
        settings: What the user wrote.
        unless: Whether the user allows code of any package.

    Raises:
        ConfigurationError: At the first of them.
    """
    written = {setting.value: setting for setting in settings if setting.value}
    for value in _walk(config):
        held = vars(value) if isinstance(value, Namespace) else value if isinstance(value, Mapping) else {}
        if held.get(REMOTE_CODE):
            raise ConfigurationError(f"{REMOTE_CODE}: {REMOTE_REFUSED}")
        path = held.get("class_path")
        if not unless and isinstance(path, str) and "." in path and not inspect.isclass(import_object(path)):
            raise _no_class(path, written.get(path))
        if not unless and inspect.isroutine(value):  # a default of a class may be one, a file may not name one
            for text, setting in written.items():
                if "." in text and text.rpartition(".")[2] == value.__name__:
                    raise _no_class(text, setting)


def _walk(value: Any) -> Iterator[Any]:
    """The values of a parsed configuration, the mappings and lists among them included."""
    yield value
    if isinstance(value, Namespace):
        value = vars(value)
    below = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    for part in below:
        yield from _walk(part)


def _mentions(file: str, name: str) -> bool:
    """Whether there is such a file, and the name stands in it."""
    try:
        return Path(file).is_file() and name in Path(file).read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):
        return False


def _denial(path: str) -> str:
    package = path.partition(".")[0]
    if package in PACKAGES:
        return f"'{path}' is a part of {package} that no configuration needs; {HINT}"
    return f"'{path}' belongs to none of {', '.join(PACKAGES)}; {HINT}"


def _no_class(path: str, setting: Setting | None) -> ConfigurationError:
    what = f"'{path}' is no class, and a configuration names classes alone; {HINT}"
    return setting.complaint_of_value(what) if setting else ConfigurationError(what)
