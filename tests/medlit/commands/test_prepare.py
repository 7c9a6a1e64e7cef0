"""``medlit data prepare``, the installed command: killed, interrupted, out of space, and taken up again."""

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest

from data_modules.mammography.prepare.journal import JOURNAL
from data_modules.mammography.prepared import read_manifest
from data_modules.synthetic import rsna_mammo
from medlit.commands import data, progress
from tests.data_modules.mammography.prepare.trees import contents, files, make_rsna
from tests.medlit.command_line import SCRIPT, medlit

IMAGES, EACH = 300, 10
EXAMS = 72
"""Of the look-alike: four images each, some more."""
# Root may open any file; without these two rights (capabilities 1 and 2, dropped by prctl 24) it may not. Ctrl-C is
# heard also where the tests were started in the background, for a shell lets such programs ignore it.
AS_ANYBODY = """
import ctypes, os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
if os.geteuid() == 0:
    prctl = ctypes.CDLL(None).prctl
    assert prctl(24, 1, 0, 0, 0) == prctl(24, 2, 0, 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])
"""


def words(root, out, *more):
    return ["data", "prepare", "rsna_mammo", "--root", root, "--out", out, "--long-side", "64", "--workers", "2", *more]


def start(root, out, **pipes):
    """The command, in a session of its own, as anybody."""
    command = [sys.executable, "-c", AS_ANYBODY, SCRIPT, *words(root, out)]
    return subprocess.Popen(list(map(str, command)), start_new_session=True, text=True, **pipes)


def finish(root, out):
    with start(root, out, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        said, wrong = process.communicate(timeout=120)
    assert process.returncode == 0, wrong
    return said


def lines(out):
    journal = out / JOURNAL
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def wait_for_lines(process, out, number):
    while lines(out) < number:
        assert process.poll() is None, "it ended before it could be stopped"
        time.sleep(0.001)


def damage(root):
    """Ten files in each of four ways; their images by way."""
    ways = {
        "corrupt": lambda path: path.write_bytes(path.read_bytes()[:400] + b"\xff" * 2000),
        "truncated": lambda path: path.write_bytes(path.read_bytes()[:-500]),
        "empty": lambda path: path.write_bytes(b""),
        "unreadable": lambda path: path.chmod(0),
    }
    paths = np.random.default_rng(5).permutation(files(root))[: EACH * len(ways)].reshape(len(ways), EACH)
    for way, damaged in zip(ways.values(), paths, strict=True):
        for path in damaged:
            way(path)
    return {name: [path.relative_to(root).as_posix() for path in row] for name, row in zip(ways, paths, strict=True)}


@pytest.fixture
def root(tmp_path):
    return make_rsna(tmp_path / "raw", images=IMAGES)


@pytest.mark.slow
def test_killed_three_times_it_ends_as_if_never_killed_and_loses_no_failure(tmp_path):
    root = tmp_path / "look_alike"
    rsna_mammo.write(root, cases=EXAMS, seed=0, img_size=96)
    images = len(files(root))
    assert images >= IMAGES
    damaged = damage(root)
    said = finish(root, tmp_path / "unbroken")
    out = tmp_path / "killed"
    generator = np.random.default_rng(7)
    for least, most in ((1, 90), (100, 180), (190, 280)):
        with start(root, out) as process:
            wait_for_lines(process, out, generator.integers(least, most))
            time.sleep(generator.uniform(0, 0.01))
            process.kill()  # its workers notice that it is gone
        assert process.returncode == -signal.SIGKILL
        assert json.loads((out / "prepared.json").read_text())["state"] == "unfinished"
    before = lines(out)
    assert finish(root, out).splitlines()[1:] == said.splitlines()[1:]
    assert before >= 190
    assert contents(out) == contents(tmp_path / "unbroken")
    rows = {row["image"]: row for row in read_manifest(out).to_dicts()}
    kinds = {way: {rows[image]["error_kind"] for image in images} for way, images in damaged.items()}
    assert kinds == {
        "corrupt": {"unreadable image"},
        "truncated": {"unreadable image"},
        "empty": {"empty file"},
        "unreadable": {"unreadable file"},
    }
    assert sum(row["output"] is not None for row in rows.values()) == images - 4 * EACH
    for phrase in ("40 failed", "10 empty file, such as", "10 unreadable file, such as train_images/"):
        assert phrase in said


@pytest.mark.slow
def test_after_a_kill_only_the_rest_is_done(root, tmp_path):
    out = tmp_path / "out"
    with start(root, out) as process:
        wait_for_lines(process, out, 150)
        os.killpg(process.pid, signal.SIGKILL)
    done = lines(out)
    looked = re.search(r"this run looked at (\d+)", finish(root, out))
    assert int(looked[1]) <= IMAGES - done + 1  # one line may have been torn


@pytest.mark.slow
def test_ctrl_c_ends_it_with_a_word_and_no_traceback(root, tmp_path):
    out = tmp_path / "out"
    with start(root, out, stderr=subprocess.PIPE) as process:
        wait_for_lines(process, out, 1)  # soon: on a busy machine the last line may be there before it is looked for
        os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to the workers too
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == f"{out}: what is done stays; the same command goes on from here\nmedlit: error: interrupted\n"
    assert f"{IMAGES} of {IMAGES} images are prepared" in finish(root, out)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", disk], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a full disk needs the right to mount a small one: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", disk], check=True)


@pytest.mark.slow
def test_a_full_disk_ends_in_a_clear_error_and_is_taken_up_again(root, tmp_path, small_disk):
    out = small_disk / "out"
    full = medlit(*words(root, out))
    assert full.returncode == 2
    assert re.fullmatch(
        r"medlit: error: \S+: the disk is full \(No space left on device\); what is written stays: free some space, "
        r"give the same command again, and it goes on from here\n",
        full.stderr,
    )
    assert 50 < lines(out) < IMAGES
    again = medlit(*words(root, out))
    assert again.returncode == 2  # nothing was freed
    subprocess.run(["mount", "-o", "remount,size=16m", small_disk], check=True)
    assert medlit(*words(root, out)).returncode == 0
    assert medlit(*words(root, tmp_path / "roomy")).returncode == 0
    assert contents(out) == contents(tmp_path / "roomy")


@pytest.mark.slow
def test_space_that_is_too_little_from_the_start_is_said_with_numbers(root, small_disk):
    short = medlit(*words(root, small_disk / "out"), "--long-side", 1024)
    assert short.returncode == 2
    assert re.search(
        r"300 images of 1024 pixels need about 3\.8 MB, and 1\.0 MB are free; free some space", short.stderr
    )


@pytest.mark.slow
def test_a_terminal_shows_rate_and_time_left(root, tmp_path):
    ours, theirs = pty.openpty()
    with start(root, tmp_path / "out", stdout=subprocess.DEVNULL, stderr=theirs):
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # how a pseudo-terminal says that nobody writes any more
            while block := os.read(ours, 65536):
                shown += block
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert re.search(r"preparing .*300/300 .*[\d.,]+ images/s 0:00:00", text)


def test_without_a_terminal_a_line_is_written_now_and_then(tmp_path, monkeypatch, capsys):
    root = make_rsna(tmp_path / "raw", images=8)
    monkeypatch.setattr(progress, "TOLD_EVERY", 0.0)
    assert data.main(list(map(str, words(root, tmp_path / "out")[1:]))) == 0
    said = capsys.readouterr()
    assert re.search(r"^preparing: 8 of 8, [\d.,]+ images/s, 00:00:00 left, 0 failed$", said.err, re.MULTILINE)
    assert said.out.startswith(f"{tmp_path / 'out'}: 8 of 8 images are prepared")


def test_options_in_both_spellings_reach_the_settings(tmp_path, capsys):
    root = make_rsna(tmp_path / "raw", images=4)
    given = {
        "dash": ("--no-crop", "--full-decode", "--long-side"),
        "bar": ("--no_crop", "--full_decode", "--long_side"),
    }
    said = {}
    for name, (no_crop, full_decode, long_side) in given.items():
        out = tmp_path / name
        options = [no_crop, full_decode, "--orient", "none", long_side, "48"]
        assert data.main(["prepare", "rsna_mammo", "--root", str(root), "--out", str(out), *options]) == 0
        said[name] = json.loads((out / "prepared.json").read_text())["settings"]
        assert read_manifest(out).filter(pl.col("crop_method") == "none").height == 4
    assert said["dash"] == said["bar"] == {"long_side": 48, "crop": False, "orient": "none", "reduced_decode": False}


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--long-side", "0"), "'0' is no number of 1 or more"),
        (("--workers", "x"), "'x' is no number of 1 or more"),
        (("--max-errors", "-1"), "'-1' is no count; give 0 or more"),
        (("--orient", "right"), "invalid choice: 'right'"),
    ],
)
def test_options_that_make_no_sense_are_refused(option, said, capsys):
    with pytest.raises(SystemExit) as stop:
        data.main(["prepare", "embed", "--root", ".", "--out", "x", *option])
    assert stop.value.code == 2
    assert said in capsys.readouterr().err


def test_help_imports_nothing_heavy():
    code = (
        "import sys, contextlib\nfrom medlit.cli import main\n"
        "for words in (['data', '--help'], ['data', 'prepare', '--help'], ['data', 'check', '--help']):\n"
        "    assert main(words) == 0\n"
        "print({'torch', 'polars', 'cv2', 'numpy', 'pydicom'} & set(sys.modules))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "prepare" in said
    assert said.endswith("set()\n")
