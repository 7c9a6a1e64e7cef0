"""Shards hold the very bytes of the images, are the same whatever the way there, and are whole or not there."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from litdata import StreamingDataset
from litdata.streaming.writer import BinaryWriter

from data_modules.errors import (
    DatasetNotFoundError,
    DataSettingsError,
    OutputError,
    PreparationLockedError,
    PreparationMismatchError,
    PreparationUnfinishedError,
    UnreadableImageError,
)
from data_modules.mammography import EMBEDDataModule
from data_modules.mammography.prepare.files import locked
from data_modules.mammography.prepared import DESCRIPTION as PREPARED
from data_modules.mammography.prepared import MANIFEST
from data_modules.mammography.shards import writer
from data_modules.mammography.shards.check import check_shards
from data_modules.mammography.shards.layout import DESCRIPTION, INDEX, LITDATA, read_layout
from data_modules.mammography.shards.writer import write_shards
from tests.data_modules.mammography.prepared_trees import copy_of, pristine, the_set
from tests.data_modules.mammography.shards.trees import (
    SHARD_BYTES,
    copy_of_shards,
    drawn,
    pristine_shards,
    shard_files,
)

EMBED = the_set("embed")


def write(out, *, root=None, workers=2, dataset=EMBED, shard_bytes=SHARD_BYTES):
    return write_shards(dataset, root or pristine("embed"), out, shard_bytes=shard_bytes, workers=workers)


def contents(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def outputs(root):
    """Paths of the prepared images, in the order of the shards."""
    return pl.read_parquet(root / MANIFEST)["output"].drop_nulls().sort().to_list()


def test_litdata_reads_every_image_by_itself():
    folder = pristine("embed")
    names = outputs(folder)
    dataset = StreamingDataset(str(pristine_shards("embed")))
    assert len(dataset) == len(names) == 166
    assert [bytes(dataset[row]) for row in range(len(names))] == [(folder / name).read_bytes() for name in names]


def test_the_index_is_what_litdata_would_have_written(tmp_path):
    made = BinaryWriter(str(tmp_path), chunk_bytes=SHARD_BYTES)
    made.add_item(0, b"image")
    made.done()
    told = made.get_config()
    assert told == {**LITDATA, "chunk_bytes": SHARD_BYTES}


@pytest.mark.parametrize("name", ["rsna_mammo", "vindr_mammo", "cbis_ddsm"])
def test_shards_of_every_set_are_compared_with_its_folder(name):
    layout, faults = check_shards(the_set(name), pristine(name), pristine_shards(name), workers=2)
    assert faults == []
    assert layout.images == len(outputs(pristine(name)))


@pytest.mark.parametrize("workers", [1, 4])
def test_the_bytes_are_the_same_whatever_the_number_of_workers(tmp_path, workers):
    assert write(tmp_path / "out", workers=workers).new == 10
    assert contents(tmp_path / "out") == contents(pristine_shards("embed"))


def test_what_is_whole_stays_and_the_rest_is_written(tmp_path):
    out = copy_of_shards("embed", tmp_path / "out")
    files = shard_files(out)
    files[2].unlink()
    files[5].write_bytes(b"cut")
    before = {file: file.stat().st_mtime_ns for file in files if file.exists()}
    assert write(out).new == 2
    assert contents(out) == contents(pristine_shards("embed"))
    changed = {file for file in before if file.stat().st_mtime_ns != before[file]}
    assert {file for file in changed if file.name.startswith("shard-")} == {files[5]}
    assert write(out).new == 0


RUN = """
import sys, time
from pathlib import Path
from data_modules.mammography.shards import writer
from tests.data_modules.mammography.prepared_trees import the_set
work = writer._write_shard
def slow(*args):
    work(*args)
    time.sleep(0.1)
writer._write_shard = slow
writer.write_shards(the_set("embed"), Path(sys.argv[1]), Path(sys.argv[2]), shard_bytes=int(sys.argv[3]), workers=2)
"""


@pytest.mark.slow
def test_a_killed_run_is_taken_up_again(tmp_path):
    out = tmp_path / "out"
    words = [sys.executable, "-c", RUN, str(pristine("embed")), str(out), str(SHARD_BYTES)]
    process = subprocess.Popen(words, cwd=Path(__file__).parents[4])
    while len(shard_files(out)) < 4:
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    there = len(shard_files(out))
    with pytest.raises(PreparationUnfinishedError):
        read_layout(out)
    assert write(out).new == 10 - there < 10
    assert contents(out) == contents(pristine_shards("embed"))


def test_a_failure_leaves_no_half_shard_and_the_next_run_goes_on(tmp_path, monkeypatch):
    out, calls = tmp_path / "out", []
    move = Path.replace

    def full(path, target):
        """The disk is full when the fourth shard is to be moved."""
        if str(target).endswith(".bin"):
            calls.append(target)
            if len(calls) == 4:
                raise OSError(28, "No space left on device")
        return move(path, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match=r"shard-\S+: the disk is full .*give the same command again"):
        write(out, workers=1)
    there = len(shard_files(out))
    assert 3 <= there < 10  # a thread may have begun the next one
    with pytest.raises(PreparationUnfinishedError, match="medlit data shard embed"):
        read_layout(out)
    monkeypatch.undo()
    shutil.copy(pristine("embed") / PREPARED, out)
    shutil.copy(pristine("embed") / MANIFEST, out)
    with pytest.raises(PreparationUnfinishedError, match="not finished"):
        EMBEDDataModule(root=out).setup("fit")
    assert write(out).new == 10 - there
    assert contents(out) == contents(pristine_shards("embed"))


def test_too_little_space_is_said_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(writer.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 1000))
    with pytest.raises(OutputError, match=r"the shards need .* GB, and .* GB are free"):
        write(tmp_path / "out")
    assert contents(tmp_path / "out") == {}


def test_shards_of_a_set_that_was_prepared_anew_replace_the_old_ones(tmp_path):
    root, out = copy_of("embed", tmp_path / "root"), copy_of_shards("embed", tmp_path / "out")
    manifest = pl.read_parquet(root / MANIFEST)
    gone = outputs(root)[20]
    row = pl.col("output") == gone
    blank = [
        pl.when(row).then(None).otherwise(pl.col(name)).alias(name) for name in manifest.columns if "output" in name
    ]
    manifest.with_columns(blank).write_parquet(root / MANIFEST)
    old = set(shard_files(out))
    assert write(out, root=root).new == 9  # all but the first hold other images now
    assert read_layout(out).images == 165
    assert {file.name for file in shard_files(out)} == {shard.file for shard in read_layout(out).shards}
    assert len(old & set(shard_files(out))) == 1


def test_an_image_that_changed_since_is_refused(tmp_path):
    root = copy_of("embed", tmp_path / "root")
    (root / outputs(root)[7]).write_bytes((root / outputs(root)[8]).read_bytes())
    with pytest.raises(UnreadableImageError, match="changed since it was prepared"):
        write(tmp_path / "out", root=root)
    _, faults = check_shards(EMBED, root, pristine_shards("embed"), workers=1)
    assert len(faults) == 1
    assert faults[0].startswith(f"{root / outputs(root)[7]}: changed since it was prepared")


def test_a_check_lists_what_is_wrong_with_every_image(tmp_path):
    out = copy_of_shards("embed", tmp_path / "out")
    shard_files(out)[3].unlink()
    layout, faults = check_shards(EMBED, pristine("embed"), out, workers=2)
    assert len(faults) == layout.shards[3].images
    with pytest.raises(DatasetNotFoundError, match="write the shards first"):
        check_shards(EMBED, pristine("embed"), tmp_path, workers=1)


def refused(tmp_path, how):
    """What is given, of a folder that cannot be used."""
    root, out = tmp_path / "root", tmp_path / "out"
    if how == "nothing there":
        return {"root": root, "out": out}
    shutil.copytree(pristine("embed"), root)
    if how == "something else there":
        out.mkdir()
        (out / "thesis.txt").write_text("mine")
    if how == "not finished":
        (root / PREPARED).write_text((root / PREPARED).read_text().replace("finished", "unfinished"))
    others = {
        "shards of shards": {"root": pristine_shards("embed")},
        "one in the other": {"out": root / "out"},
        "another set": {"dataset": the_set("rsna_mammo")},
        "huge shards": {"shard_bytes": 2**31},
        "no worker": {"workers": 0},
    }
    return {"root": root, "out": out, **others.get(how, {})}


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ("nothing there", DatasetNotFoundError, "no prepared embed below .*medlit data prepare embed"),
        ("something else there", DataSettingsError, r"not made by medlit data shard \(it holds thesis.txt\)"),
        ("not finished", PreparationUnfinishedError, "the preparation is not finished"),
        ("shards of shards", DatasetNotFoundError, "name the folder of single images"),
        ("one in the other", DataSettingsError, "one lies in the other"),
        ("another set", PreparationMismatchError, "holds a prepared embed, not rsna_mammo"),
        ("huge shards", DataSettingsError, "up to 1,073,741,824 bytes"),
        ("no worker", DataSettingsError, "give 1 or more"),
    ],
)
def test_what_cannot_be_sharded_is_refused_in_one_line(tmp_path, how, error, words):
    with pytest.raises(error, match=words) as caught:
        write(**refused(tmp_path, how))
    assert "\n" not in str(caught.value)


def test_one_run_at_a_time(tmp_path):
    with locked(tmp_path / "out"), pytest.raises(PreparationLockedError):
        write(tmp_path / "out")


def test_nothing_is_written_to_the_prepared_folder():
    folder = pristine("embed")
    drawn("embed")
    assert not {DESCRIPTION, INDEX} & set(os.listdir(folder))
    assert not list(folder.rglob("*.bin"))
