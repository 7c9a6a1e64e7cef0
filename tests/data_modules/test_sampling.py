from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_modules.sampling import EvaluationSampler, TrainingSampler, balanced_order

GROUPS = [0] * 11 + [1] * 4 + [2] * 2


def sampler(**settings):
    return TrainingSampler(range(17), **{"batch_size": 4, "seed": 1, **settings})


def epoch(number, **settings):
    chosen = sampler(**settings)
    chosen.set_epoch(number)
    requests = list(chosen)
    assert len(requests) == len(chosen)
    return requests


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(0, 2**32 - 1))
def test_balanced_order_repeats_whole_groups_and_draws_the_rest(groups, seed):
    order = balanced_order(groups, generator=np.random.default_rng(seed))
    largest = max(Counter(groups).values())
    times = Counter(order.tolist())
    assert Counter(groups[i] for i in order) == dict.fromkeys(groups, largest)
    for i, group in enumerate(groups):
        whole, rest = divmod(largest, groups.count(group))
        assert whole <= times[i] <= whole + bool(rest)


def test_epoch_is_a_function_of_seed_and_epoch():
    assert epoch(2) == epoch(2)
    assert epoch(2) != epoch(3)
    assert epoch(2) != epoch(2, seed=2)
    assert [index for index, _ in epoch(2)] != [index for index, _ in epoch(3)]


def test_without_groups_every_case_comes_once_then_wraps_round():
    indices = [index for index, _ in epoch(0)]
    assert sorted(indices[:17]) == list(range(17))
    assert indices[17:] == indices[:3]


def test_repeats_of_a_case_are_augmented_differently():
    requests = epoch(0, groups=GROUPS)
    assert len(set(requests)) == len(requests)


@pytest.mark.parametrize("groups", [None, GROUPS])
@pytest.mark.parametrize("world_size", [2, 3])
def test_processes_share_the_global_batches_of_one(groups, world_size):
    batch = 2
    alone = epoch(5, batch_size=batch * world_size, groups=groups)
    shares = [epoch(5, batch_size=batch, groups=groups, world_size=world_size, rank=rank) for rank in range(world_size)]
    together = [
        request
        for step in range(0, len(shares[0]), batch)
        for share in shares
        for request in share[step : step + batch]
    ]
    assert together == alone


def test_fewer_cases_than_a_global_batch_fill_one():
    assert len(list(TrainingSampler(range(3), batch_size=8, seed=0))) == 8


def evaluated(cases, batch_size, world_size, **settings):
    """Batches of each process, by rank."""
    shares = []
    for rank in range(world_size):
        sampler = EvaluationSampler(range(cases), batch_size=batch_size, world_size=world_size, rank=rank, **settings)
        requests = list(sampler)
        assert len(requests) == len(sampler)
        assert {seed for _, seed in requests} == {0}
        order = [index for index, _ in requests]
        shares.append([tuple(order[start : start + batch_size]) for start in range(0, len(order), batch_size)])
    return shares


@given(st.integers(1, 40), st.integers(1, 7), st.integers(1, 5))
def test_evaluation_takes_every_case_once_but_for_a_pass_that_a_process_would_lack(cases, batch_size, world_size):
    shares = evaluated(cases, batch_size, world_size)
    assert len({len(share) for share in shares}) == 1  # passes, of which none may have more
    for rank, share in enumerate(shares):
        own = list(range(rank, cases, world_size))
        seen = [case for batch in share for case in batch]
        lacks_a_pass = -(-len(own) // batch_size) < len(shares[0])
        assert seen == ([*own, 0] if lacks_a_pass else own)
        assert not lacks_a_pass or share[-1] == (0,)  # a batch of its own: no other is changed


def test_with_enough_cases_for_equal_passes_none_comes_twice():
    for world_size in (1, 2, 3):
        seen = [case for share in evaluated(13, 5, world_size) for batch in share for case in batch]
        assert sorted(seen) == list(range(13))


@given(st.integers(1, 40), st.integers(1, 7), st.integers(1, 5))
def test_whole_batches_dealt_out_are_those_of_one_process(cases, batch_size, world_size):
    [alone] = evaluated(cases, batch_size, 1, whole_batches=True)
    assert [index for batch in alone for index in batch] == list(range(cases))
    shares = evaluated(cases, batch_size, world_size, whole_batches=True)
    assert len({len(share) for share in shares}) == 1
    dealt = [batch for turn in zip(*shares, strict=True) for batch in turn]
    assert dealt == alone + [alone[0]] * (len(dealt) - len(alone))
    assert len(dealt) - len(alone) < world_size
