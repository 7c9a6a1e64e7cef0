"""Splits: what they may not share, and fingerprints that tell later runs whether they are the same."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Literal

from data_modules.cases import Case
from data_modules.errors import SplitLeakageError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")


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
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def ids_hash(case_ids: Iterable[str]) -> str:
    """SHA-256 of case ids in their order, one a line."""
    return hashlib.sha256("\n".join(case_ids).encode()).hexdigest()
