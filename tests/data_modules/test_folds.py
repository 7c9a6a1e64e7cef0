"""Folds and cuts: every case once, groups whole, labels in proportion, a function of the seed alone."""

import random
from collections import Counter

import pytest

from data_modules.cases import Case
from data_modules.errors import DataSettingsError, SplitLeakageError
from data_modules.folds import cut_folds
from data_modules.splits import cut_validation, stratified_parts


def make(cases, *, seed, groups=None, several=False):
    """Random cases: rare and common labels, single or several, each its own group or a member of ``groups`` ones."""
    draw = random.Random(seed)
    made = []
    for number in range(cases):
        label = draw.choices(range(4), weights=[1, 5, 20, 60])[0]
        if several:
            label = (label % 2, label // 2, int(draw.random() < 0.3))
        group = str(number) if groups is None else f"g{draw.randrange(groups)}"
        made.append(Case(case_id=str(number), group_id=group, images={}, label=label, where=f"line {number}"))
    return made


def deviation(parts, shares):
    """How far any label of any part is from its share, in cases."""
    total = Counter(case.label for part in parts for case in part)
    return max(
        abs(Counter(case.label for case in part)[label] - share * count)
        for part, share in zip(parts, shares, strict=True)
        for label, count in total.items()
    )


def folds_of(cases, *, num_folds, seed=0):
    pool = {"train": cases[::2], "val": cases[1::4], "test": cases[3::4]}
    return [cut_folds(pool, num_folds=num_folds, fold=fold, seed=seed) for fold in range(num_folds)]


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize(
    "shares", [[0.2] * 5, [1 / 3] * 3, [0.7, 0.1, 0.2], [0.88, 0.12], [1 / 7] * 7], ids=lambda shares: str(len(shares))
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_single_cases_are_cut_exactly(seed, shares, several):
    cases = make(500, seed=seed, several=several)
    parts = stratified_parts(cases, shares=shares, seed=seed)
    assert sorted(case.case_id for part in parts for case in part) == sorted(case.case_id for case in cases)
    sizes = [len(part) for part in parts]
    assert all(abs(size - share * 500) < 1 for size, share in zip(sizes, shares, strict=True))
    assert deviation(parts, shares) < 2


@pytest.mark.parametrize("seed", range(4))
def test_groups_are_whole_and_labels_near_their_share(seed):
    cases = make(600, seed=seed, groups=250)
    shares = [0.2] * 5
    parts = stratified_parts(cases, shares=shares, seed=seed)
    members = [{case.group_id for case in part} for part in parts]
    assert sum(map(len, members)) == len(set.union(*members))
    assert all(abs(len(part) - 120) <= 2 for part in parts)
    assert deviation(parts, shares) <= 3


def test_parts_do_not_depend_on_the_order_of_the_cases():
    cases = make(200, seed=0, groups=90)
    shuffled = random.Random(1).sample(cases, k=len(cases))
    for a, b in zip(
        stratified_parts(cases, shares=[0.5, 0.5], seed=3), stratified_parts(shuffled, shares=[0.5, 0.5], seed=3),
        strict=True,
    ):  # fmt: skip
        assert {case.case_id for case in a} == {case.case_id for case in b}
    assert stratified_parts(cases, shares=[0.5, 0.5], seed=3) != stratified_parts(cases, shares=[0.5, 0.5], seed=4)


def test_parts_keep_the_order_of_the_cases():
    for part in stratified_parts(make(50, seed=0), shares=[0.6, 0.4], seed=0):
        assert [int(case.case_id) for case in part] == sorted(int(case.case_id) for case in part)


@pytest.mark.parametrize("num_folds", [3, 5, 10])
def test_every_case_is_tested_once_and_validates_once(num_folds):
    cases = make(150, seed=0, groups=70)
    folds = folds_of(cases, num_folds=num_folds)
    for split in ("test", "val"):
        assert sorted(case.case_id for fold in folds for case in fold[split]) == sorted(case.case_id for case in cases)
    for fold, following in zip(folds, [*folds[1:], folds[0]], strict=True):
        assert fold["val"] == following["test"]
        assert sum(map(len, fold.values())) == len(cases)


def test_folds_follow_their_seed():
    cases = make(60, seed=0)
    assert folds_of(cases, num_folds=3) == folds_of(cases, num_folds=3) != folds_of(cases, num_folds=3, seed=1)


def test_a_case_that_is_there_twice_is_refused():
    cases = make(10, seed=0)
    with pytest.raises(SplitLeakageError, match="line 3: case '3' is in line 3 too"):
        cut_folds({"train": cases, "val": [cases[3]], "test": []}, num_folds=3, fold=0, seed=0)


def test_validation_has_the_size_asked_for():
    cases = make(1130, seed=0, several=True)
    rest, validation = cut_validation(cases, size=120, seed=0)
    assert (len(rest), len(validation)) == (1010, 120)
    assert deviation([rest, validation], [1010 / 1130, 120 / 1130]) < 2
    assert cut_validation(cases, size=120, seed=0) == (rest, validation) != cut_validation(cases, size=120, seed=1)


@pytest.mark.parametrize("size", [0, 10, -1])
def test_a_validation_set_needs_a_size_that_leaves_some(size):
    with pytest.raises(DataSettingsError, match=f"validation set of {size} cases cannot be cut from 10"):
        cut_validation(make(10, seed=0), size=size, seed=0)
