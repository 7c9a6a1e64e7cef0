"""What a check found."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from data_modules.errors import DataError
from medlit.errors import ConfigurationError

State = Literal["ok", "warning", "wrong"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The outcome of one check.

    Args:
        check: What was looked at.
        state: ``wrong`` would stop a training or spoil it, ``warning`` may.
        said: In one line: what was found, and of what is not ok what to do.
    """

    check: str
    state: State
    said: str


def ok(check: str, said: str) -> Finding:
    """Nothing to mend."""
    return Finding(check=check, state="ok", said=said)


def warning(check: str, said: str) -> Finding:
    """Something that may go wrong."""
    return Finding(check=check, state="warning", said=said)


def wrong(check: str, said: str) -> Finding:
    """Something that will."""
    return Finding(check=check, state="wrong", said=said)


def examined(check: str, look: Callable[[], Finding]) -> Finding:
    """The finding of a check; one that breaks off is a finding, too, for the checks behind it are to be made.

    Args:
        check: Its name.
        look: Makes it.
    """
    try:
        return look()
    except (ConfigurationError, DataError) as error:
        return wrong(check, " ".join(str(error).split()))
    except Exception as error:  # whatever the machine does to it
        return wrong(check, f"the check broke off with {type(error).__name__}: {' '.join(str(error).split())}")
