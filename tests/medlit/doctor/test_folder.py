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


def test_another_node_with_the_same_process_number_is_not_in_the_way(tmp_path):
    other = tmp_path / f".medlit-doctor.{os.getpid()}.part"
    other.touch()
    assert check_writing(tmp_path).state == "ok"
    assert list(tmp_path.iterdir()) == [other]


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


@pytest.mark.parametrize("at_first_sight", [True, False])
def test_files_that_go_while_the_folder_is_read_break_nothing_off(tmp_path, monkeypatch, at_first_sight):
    for name in ("log", "temporary"):
        (tmp_path / name).touch()
    stat = Path.stat

    def vanish(path, **options):
        gone = path.name == "temporary" and path.parent == tmp_path
        if gone and at_first_sight:
            path.unlink(missing_ok=True)
        try:
            return stat(path, **options)
        finally:
            if gone:
                path.unlink(missing_ok=True)

    monkeypatch.setattr(Path, "stat", vanish)
    assert check_clock(tmp_path).said.endswith("after the run folder's newest file")


def test_what_another_node_tries_out_is_no_file_of_the_run(tmp_path):
    (tmp_path / ".medlit-doctor.123.whole").touch()
    os.utime(tmp_path / ".medlit-doctor.123.whole", (time.time() + 3600,) * 2)
    assert check_clock(tmp_path).said == "nothing to compare it with, the run folder is empty"
