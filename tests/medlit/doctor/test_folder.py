"""The run folder: whether it takes what a training writes, and nothing is left in it."""

import errno
import os
import time
from pathlib import Path

import pytest

from medlit.doctor.folder import check_clock, check_space, check_writing


def test_a_folder_that_can_be_written_stays_as_it_was(tmp_path):
    assert check_writing(tmp_path / "runs" / "new").state == "ok"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["/proc/runs", "/dev/null/runs"])
def test_a_folder_that_cannot_be_made_is_named(place):
    found = check_writing(Path(place))
    assert found.state == "wrong"
    assert "cannot be written (" in found.said
    assert "choose another --run_dir" in found.said


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_a_disk_that_takes_no_fsync_or_rename_is_found(tmp_path, monkeypatch, name):
    def refuse(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, name, refuse)
    found = check_writing(tmp_path)
    assert (found.state, list(tmp_path.iterdir())) == ("wrong", [])
    assert "Input/output error" in found.said


def test_checkpoints_that_do_not_fit_are_wrong(tmp_path):
    assert check_space(tmp_path / "new", trained=1000).said.endswith("4 checkpoints take up to 48.0 kB")
    found = check_space(tmp_path, trained=10**13)
    assert (found.state, "take up to 480.0 TB: make room" in found.said) == ("wrong", True)
    assert check_space(tmp_path, trained=None).state == "warning"


def test_a_clock_before_the_newest_file_is_found(tmp_path):
    assert check_clock(tmp_path / "new").state == check_clock(tmp_path).state == "ok"
    (tmp_path / "logs").mkdir()
    for name, hours in (("a", -1), ("b", 2)):
        (tmp_path / "logs" / name).touch()
        os.utime(tmp_path / "logs" / name, (time.time() + 3600 * hours,) * 2)
    found = check_clock(tmp_path)
    assert found.state == "warning"
    assert found.said.startswith(("it is 2:00:00 before", "it is 1:59:5"))
    (tmp_path / "logs" / "b").unlink()
    assert check_clock(tmp_path).said.startswith("1:00:0")
