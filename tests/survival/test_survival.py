"""Runs that are killed after any step, or in the middle of writing a checkpoint, end as if they had not been.

A twelfth of all places is tried, drawn anew each time (MEDLIT_DRAW=n repeats a draw, which failures name); all of them:
``python -m tests.survival.kills`` and ``python -m tests.survival.faults``.
"""

import json
import os
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from data_modules.synthetic.derm7pt import write
from tests.data_modules.mammography.prepared_trees import pristine
from tests.data_modules.mammography.shards.trees import BUCKET, copy_of_shards, object_store, shard_files
from tests.medlit.command_line import warm_module
from tests.survival.faults import AT_STEP, FAULTS
from tests.survival.runs import INTERVAL, STEPS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
DRAW = int(os.environ.get("MEDLIT_DRAW") or random.SystemRandom().randrange(10**6))


@pytest.fixture(scope="module", params=["ei", "mama"])
def data(request, tmp_path_factory):
    """Kind of a run, and the root of its data."""
    root = tmp_path_factory.mktemp(request.param) / "data"
    if request.param == "ei":
        write(root, cases=60, seed=0)
    else:
        shutil.copytree(pristine("embed"), root)
    return request.param, root


def rows(script, *words):
    """What a script of this folder prints."""
    done = warm_module(f"tests.survival.{script}", script, *words, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_run_killed_after_a_step_ends_as_the_unbroken_one(data):
    steps = sorted(random.Random(DRAW).sample(range(1, STEPS + 1), STEPS // 12))
    done = rows("kills", *data, "--steps", *steps)
    assert [row["step"] for row in done] == steps
    for row in done:
        assert row["killed"] == -9, (DRAW, row)
        assert row["same"], (DRAW, row)
        assert 0 <= row["redone"] <= INTERVAL, (DRAW, row)


def test_a_run_on_shards_of_an_object_store_ends_as_the_unbroken_one_on_single_files(tmp_path, monkeypatch):
    copy_of_shards("embed", tmp_path / BUCKET / "embed")
    step = random.Random(DRAW).randint(1, STEPS)
    with object_store(tmp_path / BUCKET, monkeypatch, tmp_path / "cache") as store:
        [row] = rows("kills", "mama", f"s3://{BUCKET}/embed", "--unbroken", pristine("embed"), "--steps", step)
    assert (row["killed"], row["resumed"], row["same"]) == (-9, 0, True), (DRAW, row)
    fetched = [path for method, path, _ in store.asked if method == "GET" and "shard-" in path]
    assert len(fetched) == len(set(fetched)) == len(shard_files(tmp_path / BUCKET / "embed"))


def test_a_checkpoint_whose_writing_was_stopped_leaves_a_sound_one(data):
    done = rows("faults", *data, "--share", 1 / 12, "--draw", DRAW)
    faults = [row for row in done if "fault" in row]
    assert {row["fault"] for row in faults} == set(FAULTS)
    assert {row["operation"] for row in faults} == {"write", "fsync", "rename"}
    assert len(faults) > faults[0]["of"] * len(FAULTS) // 13
    for row in faults:
        # A full disk is told; an error after the last rename leaves the new checkpoint in its place.
        assert row["code"] == (3 if row["fault"] == "no space" else -9), (DRAW, row)
        assert row["damaged"] == [], (DRAW, row)
        assert AT_STEP[data[0]] - row["step"] in (0, INTERVAL), (DRAW, row)
    assert all(row["same"] for row in done if "resumed" in row), (DRAW, done[-3:])
    chosen = {row["sha256"] for row in faults}
    assert {row["resumed"] for row in done if "resumed" in row} == chosen
    assert {row["step"] for row in faults} == {AT_STEP[data[0]], AT_STEP[data[0]] - INTERVAL}


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "none", disk]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a full disk needs the right to mount a small one: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_disasters_end_clearly_and_nothing_is_lost(tmp_path, small_disk):
    """A full disk, data that go away, a worker killed as by the kernel, a clock set back: within an epoch each."""
    write(tmp_path / "data", cases=60, seed=0)
    done = {row["disaster"]: row for row in rows("disasters", tmp_path / "data", small_disk)}
    expected = {
        "full disk": (2, r"last\.ckpt: cannot be written \(No space left on device\).*--resume true"),
        "data gone": (2, r"\.jpg: \[Errno 2\] No such file.*meta/meta\.csv line \d+ \(row \d+\), column \w+ names it"),
        "worker killed": (1, r"a process that reads images was killed .*Killed.*fewer data\.init_args\.num_workers"),
        "clock set back": (0, None),
        "files of the future": (-9, None),
    }
    assert done.keys() == expected.keys()
    for name, (code, message) in expected.items():
        row = done[name]
        assert (row["code"], row["resumed"], row["same"], row["traceback"]) == (code, 0, True, False), row
        assert len(row["errors"]) == (message is not None), row
        assert message is None or re.search(f"^medlit: error: .*{message}", row["errors"][0]), row
        assert row["from_step"] == {"full disk": row["from_step"], "clock set back": STEPS}.get(name, 9), row
