"""What weights were made from: whose terms they are under, and which patients they must not be judged by.

A part of a model that was started from a checkpoint keeps both as its attributes ``restrictions`` (terms by data set)
and ``cuts`` (how data sets were divided), and every checkpoint carries them on.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from medlit.errors import CheckpointMismatchError

Cut = dict[str, Any]
"""How a data set was divided: its ``name``, ``split_seed``, ``num_folds`` and ``fold``."""


def restrictions_of(module: nn.Module) -> dict[str, str]:
    """Why weights must not be shared: terms by data set, of all that a module or a part of it was started from.

    Args:
        module: A model or a task; every part with an attribute ``restrictions`` counts.
    """
    found: dict[str, str] = {}
    for part in module.modules():
        own = getattr(part, "restrictions", None)
        found |= own if isinstance(own, dict) else {}
    return dict(sorted(found.items()))


def cuts_of(module: nn.Module, *own: Mapping[str, Any] | None) -> list[Cut]:
    """How the sets were divided that a module or a part of it has learned from, each once.

    Args:
        module: A model or a task; every part with an attribute ``cuts`` counts.
        own: Further ones, the first of all; None counts for nothing.
    """
    found = [dict(cut) for cut in own if cut is not None]
    for part in module.modules():
        kept = getattr(part, "cuts", None)
        found += [cut for cut in (kept if isinstance(kept, list) else []) if cut not in found]
    return found


def restrictions_in(info: Mapping[str, Any], *, source: str) -> dict[str, str]:
    """Why the weights of a checkpoint must not be shared, by data set; empty where nothing forbids it.

    Args:
        info: What it says of itself.
        source: The file, for messages.

    Raises:
        CheckpointMismatchError: If the entry is not as medlit writes it.
    """
    found = info.get("restrictions") or {}
    if not isinstance(found, dict) or not all(isinstance(word, str) for pair in found.items() for word in pair):
        raise CheckpointMismatchError(f"{source}: its 'restrictions' are no terms by data set; the file is damaged")
    return dict(found)


def cuts_in(info: Mapping[str, Any], *, source: str) -> list[Cut]:
    """How the sets were divided that the weights of a checkpoint have learned from; arguments as `restrictions_in`.

    Raises:
        CheckpointMismatchError: If the entry is not as medlit writes it.
    """
    found = info.get("cuts") or []
    if not isinstance(found, list) or not all(isinstance(cut, dict) and "name" in cut for cut in found):
        raise CheckpointMismatchError(f"{source}: its 'cuts' do not say how data were divided; the file is damaged")
    return [dict(cut) for cut in found]


def inherit(model: nn.Module, info: Mapping[str, Any], *, source: str) -> None:
    """Let a model go on under what the checkpoint says that was loaded into it; arguments as `restrictions_in`.

    Args:
        model: With ``restrictions`` and ``cuts``.
        info: What the checkpoint says of itself.
        source: The file, for messages.

    Raises:
        CheckpointMismatchError: If an entry is not as medlit writes it.
    """
    model.restrictions |= restrictions_in(info, source=source)  # type: ignore[operator]  # a module's attribute
    model.cuts += cuts_in(info, source=source)  # type: ignore[operator]


def refuse_seen_cases(cuts: Iterable[Cut], cut: Mapping[str, Any] | None, *, source: str) -> None:
    """Refuse to judge weights by a set that they were made from, cut otherwise: they have seen what would be tested.

    Args:
        cuts: Of the sets that the weights have learned from.
        cut: Of the data; None where it is not known, or not decided by us.
        source: The weights, for messages.

    Raises:
        CheckpointMismatchError: Saying what differs.
    """
    for trained in cuts:
        if cut is None or trained["name"] != cut["name"]:
            continue
        for name, value in cut.items():
            if trained.get(name) != value:
                raise CheckpointMismatchError(
                    f"{source}: trained on {cut['name']} cut by {name} {trained.get(name)}, here it is {value}: "
                    "patients that it has seen would be tested; cut the data as it was trained"
                )
