"""The judge of an input sees what a user would have seen."""

import os
import time

import pytest

from benchmarks.fuzz import judge as judging
from benchmarks.fuzz.judge import Tally, judge
from data_modules.errors import TableError


def raises(error):
    def read(data):
        raise error

    return read


def test_what_is_read_is_accepted_and_what_the_user_can_mend_is_refused():
    assert judge(len, b"x").result == "accepted"
    outcome = judge(raises(TableError("t.csv: no column 'a'")), b"x")
    assert (outcome.result, outcome.why, outcome.said) == ("refused", "TableError in ", "t.csv: no column 'a'")


@pytest.mark.parametrize(
    "error", [KeyError("a"), ValueError("b"), RecursionError(), SystemExit(3), MemoryError(), BaseException()]
)
def test_any_other_error_is_a_failure(error):
    assert judge(raises(error), b"x").result == "failed"


def test_a_refusal_that_was_the_limit_of_memory_is_a_failure():
    assert judge(raises(TableError("t.csv: Unable to allocate 4 GiB")), b"x").result == "failed"


def test_a_trace_on_standard_error_is_a_failure_whoever_writes_it():
    def read(data):
        os.write(2, b"thread '<unnamed>' panicked at lib.rs:1:1:\n")

    outcome = judge(read, b"x")
    assert (outcome.result, outcome.why) == ("failed", "standard error: thread '<unnamed>' panicked at lib.rs:1:1:")


def test_what_computes_for_too_long_is_a_failure(monkeypatch):
    monkeypatch.setattr(judging, "MAX_SECONDS", 0.01)

    def read(data):
        end = time.process_time() + 0.02
        while time.process_time() < end:
            pass

    assert judge(read, b"x").result == "failed"


def test_of_each_failure_the_shortest_input_is_kept():
    tally = Tally()
    for data in (b"long one", b"short", b"longer one"):
        tally.add(judge(raises(KeyError("a")), data), data, opened=True)
    assert tally.failures == {"KeyError in ": b"short"}
    assert (tally.inputs, tally.opened, tally.results) == (3, 3, {"failed": 3})
    assert judging.peak_memory() > 10 * 2**20
