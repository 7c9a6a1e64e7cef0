"""A short fuzz of every kind, the same inputs every time; the long one is told of in docs/fuzzing.md."""

from random import Random

import pytest

from benchmarks.fuzz.judge import Tally, judge
from benchmarks.fuzz.kinds import KINDS, make

INPUTS = {
    "dicom": 80,
    "npy": 1000,
    "tables": 120,
    "parquet": 80,
    "config": 80,
    "fit": 4,
    "checkpoints": 40,
    "predictions": 40,
}


def test_no_kind_is_left_out():
    assert INPUTS.keys() == KINDS.keys()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of broken files, by every library; the command line logs them
@pytest.mark.parametrize("kind", KINDS)
def test_valid_files_are_read_and_changed_ones_read_or_refused_in_one_line(kind, tmp_path):
    target = make(kind, tmp_path)
    for seed in target.seeds:
        assert target.opens(seed)
    outcomes = [judge(target.read, seed) for seed in target.seeds]
    assert not [outcome for outcome in outcomes if outcome.result == "failed"]
    assert sum(outcome.result == "accepted" for outcome in outcomes) > 0
    random, tally = Random(f"short {kind}"), Tally()
    for _ in range(INPUTS[kind]):
        data = target.mutate(random.choice(target.seeds), random)
        tally.add(judge(target.read, data), data, opened=target.opens(data))
    assert not tally.failures
    assert tally.inputs < 40 or tally.opened >= tally.inputs / 2  # a few say nothing of a share
