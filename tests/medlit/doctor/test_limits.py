"""Shared memory and open files against what workers need."""

import subprocess
import sys

import pytest

from medlit.doctor.limits import check_open_files, check_shared_memory, shared_bytes


def test_batches_that_wait_are_counted():
    data = {"num_workers": 4, "batch_size": 8, "img_size": 518, "modalities": ["clinic", "derm"]}
    expected = 2 * 4 * 2 * 8 * 2 * 3 * 518 * 518 * 4  # of the training too, while a validation runs
    assert shared_bytes(data, processes=1) == expected
    assert shared_bytes(data, processes=8) == 8 * expected
    pairs = {"num_workers": 1, "batch_size": 1, "img_size": 1, "pretraining": {"pair": "study"}}
    assert shared_bytes(pairs, processes=1) == 2 * 2 * 2 * 3 * 4
    assert shared_bytes({**data, "num_slices": 4}, processes=1) == 4 * expected
    assert shared_bytes({**data, "num_slices": None}, processes=1) == expected
    assert shared_bytes({**data, "num_workers": 0}, processes=1) == shared_bytes({}, processes=1) == 0


def test_batches_of_other_data_are_not_known():
    data = {"num_workers": 4, "batch_size": 8, "img_size": [224, 224]}
    assert shared_bytes(data, processes=1) is None


def test_too_little_shared_memory_is_wrong_where_it_is_known_what_is_needed(tmp_path):
    assert check_shared_memory(0, folder=tmp_path).state == "ok"
    found = check_shared_memory(10**18, folder=tmp_path)
    assert found.state == "wrong"
    assert "set fewer data.init_args.num_workers" in found.said
    assert check_shared_memory(folder=tmp_path / "none").state == "warning"


@pytest.mark.parametrize(("limit", "expected"), [(256, "warning"), (2048, "ok")])
def test_a_low_limit_of_open_files_is_a_warning(limit, expected):
    code = "from medlit.doctor.limits import check_open_files as c; f = c(); print(f.state, f.said)"
    words = ["sh", "-c", f'ulimit -S -n {limit}; exec "$@"', "sh", sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{expected} at most {limit}")
    assert ("ulimit -n 1024" in done.stdout) == (expected == "warning")


def test_this_process_has_a_limit():
    assert check_open_files().check == "open files"
