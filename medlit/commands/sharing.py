"""What verbs that write weights for others ask before: do the terms of the data allow it."""

import argparse
from collections.abc import Mapping
from pathlib import Path

from medlit.errors import ConfigurationError

PERMISSION = "--i-have-permission"


def add_permission(parser: argparse.ArgumentParser) -> None:
    """Give a verb the option without which it writes no weights that must not be shared."""
    parser.add_argument(
        PERMISSION,
        action="store_true",
        dest="permitted",
        help="write weights although the terms of the data that they were learned from forbid to share them",
    )


def refuse_unless_permitted(restrictions: Mapping[str, str], *, source: str | Path, permitted: bool) -> None:
    """Refuse to write for others what the terms of its data forbid to share.

    Args:
        restrictions: By data set, its terms.
        source: The checkpoint.
        permitted: Whether the user says that she may; she is reminded of the terms.

    Raises:
        ConfigurationError: With the terms.
    """
    if not restrictions:
        return
    terms = "; ".join(f"{name}: {said}" for name, said in sorted(restrictions.items()))
    if not permitted:
        raise ConfigurationError(
            f"{source} must not be shared ({terms}); if you have the permission in writing, add {PERMISSION}"
        )
    print(f"{source}: written with your word that you may, its terms go with it ({terms})")
