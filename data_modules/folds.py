"""Cross-validation: all cases of a set in K folds, each of which tests once."""

from collections.abc import Mapping, Sequence

from data_modules.cases import Case
from data_modules.errors import DataSettingsError, SplitLeakageError
from data_modules.splits import Split, stratified_parts


def cut_folds(
    splits: Mapping[Split, Sequence[Case]], *, num_folds: int, fold: int, seed: int
) -> dict[Split, list[Case]]:
    """Pool the official splits and cut them into folds: groups whole, labels in proportion.

    Args:
        splits: All cases, in the official splits.
        num_folds: K, at least 3.
        fold: The one that tests, 0 to K - 1; the next one (after the last the first) validates, the rest trains.
        seed: Zero or more; the folds are a function of it and of the cases alone, the same for every ``fold``.

    Returns:
        Cases by split, each in the order of the pool.

    Raises:
        DataSettingsError: If there are fewer groups than folds.
        SplitLeakageError: If two cases have one id.
    """
    pool = [case for cases in splits.values() for case in cases]
    first: dict[str, Case] = {}
    for case in pool:
        if case.case_id in first:
            raise SplitLeakageError(
                f"{case.where}: case {case.case_id!r} is in {first[case.case_id].where} too: it could be in two folds; "
                "remove one of them"
            )
        first[case.case_id] = case
    groups = len({case.group_id for case in pool})
    if groups < num_folds:
        raise DataSettingsError(
            f"num_folds is {num_folds}, but the {len(pool)} cases belong to {groups} groups, which are never cut; "
            "set fewer folds"
        )
    parts = stratified_parts(pool, shares=[1 / num_folds] * num_folds, seed=seed)
    role: dict[int, Split] = {fold: "test", (fold + 1) % num_folds: "val"}
    part_of = {case.case_id: part for part, cases in enumerate(parts) for case in cases}
    cut: dict[Split, list[Case]] = {"train": [], "val": [], "test": []}
    for case in pool:
        cut[role.get(part_of[case.case_id], "train")].append(case)
    return cut


def fold_sources(*, num_folds: int, fold: int) -> dict[Split, str]:
    """How messages name the splits of a fold."""
    return {
        "train": f"training part of fold {fold} of {num_folds}",
        "val": f"validation part of fold {fold} of {num_folds}",
        "test": f"test part of fold {fold} of {num_folds}",
    }
