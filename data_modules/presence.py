"""Cases that lack modalities: refused, kept with what they have, or left out and counted."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from lightning.pytorch.utilities import rank_zero_info

from data_modules.cases import Case
from data_modules.errors import TableError

Name = TypeVar("Name", bound=str)


def keep_present(
    splits: Mapping[Name, Sequence[Case]], *, name: str, modalities: Sequence[str], allow_missing: bool
) -> dict[Name, Sequence[Case]]:
    """The cases of each split that have at least one of the modalities; a log line counts the others.

    Args:
        splits: All cases by split.
        name: The set's name, for the log.
        modalities: Those to read.
        allow_missing: Whether a case may lack some of them.

    Raises:
        TableError: If a case lacks one and may not.
    """
    if not allow_missing:
        for cases in splits.values():
            _check_complete(cases, modalities=modalities)
    kept: dict[Name, Sequence[Case]] = {
        split: [case for case in cases if any(map(case.has, modalities))] for split, cases in splits.items()
    }
    total = sum(map(len, splits.values()))
    if left_out := total - sum(map(len, kept.values())):
        what = " or ".join(modalities)
        rank_zero_info("%s: %d of %d cases have no %s and are left out", name, left_out, total, what)
    return kept


def _check_complete(cases: Sequence[Case], *, modalities: Sequence[str]) -> None:
    for case in cases:
        for modality in modalities:
            if not case.has(modality):
                raise TableError(
                    f"{case.where}: case {case.case_id!r} has no {modality}; complete it, take it out, or set "
                    "allow_missing: true"
                )
