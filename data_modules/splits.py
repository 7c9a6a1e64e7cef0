"""Splits: how they are cut, what they may not share, and fingerprints that tell whether they are the same again."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from data_modules.cases import Case
from data_modules.errors import DataSettingsError, SplitLeakageError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")


def stratified_parts(cases: Sequence[Case], *, shares: Sequence[float], seed: int) -> list[list[Case]]:
    """Cut cases into parts of given shares: groups whole, labels (several: their combinations) in proportion.

    Groups come largest first, those of the same labels together, otherwise in an order drawn from the seed. Each goes
    to a part that lacks cases so far; among these to the one that lacks the group's labels most. What a part should
    have so far is its share of the groups that have come. Where every case is a group of its own, a part whose share of
    the cases is a whole number gets just that number.

    Args:
        cases: With distinct ids; a label that is unknown counts as one of its own.
        shares: Of the parts, their sum 1.
        seed: Zero or more. The parts are a function of it and of the cases' ids, groups and labels, not of their order.

    Returns:
        The cases of each part, in the order they were given in.
    """
    part_of = assign_groups(_tally(cases), shares=shares, seed=seed)
    parts: list[list[Case]] = [[] for _ in shares]
    for case in cases:
        parts[part_of[case.group_id]].append(case)
    return parts


def assign_groups(tally: Mapping[str, NDArray[np.int64]], *, shares: Sequence[float], seed: int) -> dict[str, int]:
    """The part that each group goes to; how, says ``stratified_parts``.

    Args:
        tally: By group, how many cases it has of each label, (labels,); rare labels first.
        shares: Of the parts, their sum 1.
        seed: Zero or more.

    Returns:
        Number of the part by group: a function of the seed and of ``tally``, not of its order.
    """

    def turn(group: str) -> tuple[int, list[int], bytes]:
        """What groups are sorted by: their size, their rarest labels, a draw that no other group has a part in."""
        counts = tally[group]
        return -int(counts.sum()), (-counts).tolist(), lot(seed, group)

    part_of: dict[str, int] = {}
    width = len(next(iter(tally.values()), ()))
    lacking = np.zeros((len(shares), width))  # by part and label, of what it should have so far
    for group in sorted(tally, key=turn):
        counts = tally[group]
        lacking += np.outer(shares, counts)
        total = lacking.sum(axis=1).round(9)  # rounded, for shares such as 1/3 are not exact and ties have to stay ties
        need = np.where(total > 0, (lacking @ counts).round(9), -np.inf)
        part = int(np.lexsort((-total, -need))[0])
        lacking[part] -= counts
        part_of[group] = part
    return part_of


def lot(seed: int, name: str) -> bytes:
    """A draw for a name that depends on no other name: what things are put in random order by, 32 bytes."""
    return hashlib.sha256(f"{seed} {name}".encode()).digest()


def _tally(cases: Sequence[Case]) -> dict[str, NDArray[np.int64]]:
    """By group, how many cases it has of each label, rare labels first."""
    frequency = Counter(repr(case.label) for case in cases)
    labels = sorted(frequency, key=lambda label: (frequency[label], label))
    column = {label: index for index, label in enumerate(labels)}
    tally: dict[str, NDArray[np.int64]] = {}
    for case in cases:
        tally.setdefault(case.group_id, np.zeros(len(labels), dtype=np.int64))[column[repr(case.label)]] += 1
    return tally


def cut_validation(cases: Sequence[Case], *, size: int, seed: int) -> tuple[list[Case], list[Case]]:
    """Cut a validation set from the cases of a set that has none.

    Args:
        cases: Those to cut from.
        size: Cases of the validation set; as near as it gets where groups have several cases.
        seed: Zero or more.

    Returns:
        The rest and the validation set, groups whole, labels (several: their combinations) in proportion, each in the
        order of ``cases``.

    Raises:
        DataSettingsError: If the size leaves one of the two empty.
    """
    if not 0 < size < len(cases):
        raise DataSettingsError(
            f"a validation set of {size} cases cannot be cut from {len(cases)}; name a size from 1 to {len(cases) - 1}"
        )
    share = size / len(cases)
    rest, validation = stratified_parts(cases, shares=[1 - share, share], seed=seed)
    return rest, validation


def check_disjoint(splits: Mapping[Split, Sequence[Case]], *, sources: Mapping[Split, str]) -> None:
    """Refuse a case or a group that appears in two splits.

    Args:
        splits: Cases by split.
        sources: The file that defines each split, for the error.

    Raises:
        SplitLeakageError: Naming the files and one shared case or group.
    """
    for first, second in combinations(splits, 2):
        for kind in ("case_id", "group_id"):
            groups = {getattr(case, kind) for case in splits[first]}
            shared = [case for case in splits[second] if getattr(case, kind) in groups]
            if shared:
                raise SplitLeakageError(
                    f"{sources[first]} and {sources[second]} share {kind.removesuffix('_id')} "
                    f"{getattr(shared[0], kind)!r} ({shared[0].where}; {len(shared)} in all): results would be too "
                    "good; take it out of one of the files"
                )


def file_hash(path: Path) -> str:
    """SHA-256 of a file, which need not fit into memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def ids_hash(case_ids: Iterable[str]) -> str:
    """SHA-256 of case ids in their order, one a line."""
    return hashlib.sha256("\n".join(case_ids).encode()).hexdigest()
