"""Files are whole or not there; a folder has one writer, and is ours."""

import errno
import os
import subprocess
import sys

import pytest

from data_modules.errors import DataSettingsError, OutputError, PreparationLockedError
from data_modules.mammography.prepare.files import (
    LOCK,
    PARTIAL,
    cannot_write,
    check_folders,
    copy_whole,
    locked,
    refuse_what_is_not_ours,
    write_whole,
)
from tests.data_modules.mammography.prepare.trees import contents


def test_a_file_replaces_another_and_leaves_nothing_beside_it(tmp_path):
    for content in (b"one", b"two"):
        write_whole(tmp_path / "deep/file", content, partial=tmp_path)
    assert contents(tmp_path) == {"deep/file": b"two"}


def test_half_a_file_lies_only_where_the_next_run_sweeps(tmp_path):
    with pytest.raises(OutputError, match="file: cannot be written"):
        write_whole(tmp_path / "file", b"content", partial=tmp_path / "missing")


def test_a_name_may_be_as_long_as_the_system_lets_it(tmp_path):
    name = "\N{GRINNING FACE}" * 62 + ".png"  # 252 bytes; more than 255 are refused
    write_whole(tmp_path / name, b"one")
    assert contents(tmp_path) == {name: b"one"}


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path):
    (tmp_path / "file").mkdir()  # root may write anywhere, but no file in place of a folder
    with pytest.raises(OutputError, match="file: cannot be written"):
        write_whole(tmp_path / "file", b"content")
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_called_so(tmp_path, number):
    said = str(cannot_write(tmp_path / "file", OSError(number, os.strerror(number))))
    assert "the disk is full" in said
    assert "goes on from here" in said


def test_a_copy_that_is_the_same_is_left_alone(tmp_path):
    source, target = tmp_path / "a.csv", tmp_path / "deep/b.csv"
    source.write_bytes(b"1" * 3_000_000)
    copy_whole(source, target)
    before = target.stat()
    copy_whole(source, target)
    assert target.stat() == before
    source.write_bytes(b"1" * 2_999_999 + b"2")
    copy_whole(source, target)
    assert target.read_bytes() == source.read_bytes()
    assert len(contents(tmp_path)) == 2


@pytest.mark.parametrize(("root", "out"), [("raw", "raw"), ("raw", "raw/out"), ("out/raw", "out"), ("raw", "link")])
def test_the_folders_lie_apart(tmp_path, root, out):
    (tmp_path / "raw").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "raw")
    with pytest.raises(DataSettingsError, match="one lies in the other"):
        check_folders(tmp_path / root, tmp_path / out)


def test_folders_whose_names_begin_alike_lie_apart(tmp_path):
    check_folders(tmp_path / "set", tmp_path / "set_prepared")


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(DataSettingsError, match="is a file"):
        check_folders(tmp_path / "raw", tmp_path / "out")


def test_somebody_elses_folder_is_refused(tmp_path):
    refuse_what_is_not_ours(tmp_path / "missing")
    refuse_what_is_not_ours(tmp_path)
    (tmp_path / PARTIAL).mkdir()
    (tmp_path / LOCK).touch()
    (tmp_path / ".prepared.json.12.ab").touch()  # a run that died as it began
    refuse_what_is_not_ours(tmp_path)
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(DataSettingsError, match=r"holds thesis\.tex"):
        refuse_what_is_not_ours(tmp_path)


def test_a_folder_has_one_writer_at_a_time(tmp_path):
    held = "from pathlib import Path\nfrom data_modules.mammography.prepare.files import locked\nimport sys\n"
    held += "with locked(Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    with subprocess.Popen(
        [sys.executable, "-c", held, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(PreparationLockedError, match="another process writes into this folder"), locked(tmp_path):
            pass
        other.kill()  # the lock dies with its process
        other.wait()
    assert (tmp_path / LOCK).exists()
    with locked(tmp_path), pytest.raises(PreparationLockedError), locked(tmp_path):
        pass
    assert not (tmp_path / LOCK).exists()


@pytest.mark.parametrize(("umask", "mode"), [(0o002, 0o664), (0o027, 0o640)])
def test_files_and_lock_follow_the_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        with locked(tmp_path):
            write_whole(tmp_path / "new" / "a.bin", b"a")
            modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_file()}
    finally:
        os.umask(before)
    assert modes == {LOCK: mode, "a.bin": mode}
