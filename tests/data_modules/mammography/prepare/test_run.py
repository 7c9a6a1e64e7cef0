"""Preparing a set: what is written, what is counted, and what a second run does."""

import os
from dataclasses import replace

import cv2
import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from data_modules.errors import (
    DatasetNotFoundError,
    DataSettingsError,
    OutputError,
    PreparationMismatchError,
    PreparationUnfinishedError,
    TableError,
    TooManyErrorsError,
)
from data_modules.mammography.dicom import read_mammogram
from data_modules.mammography.prepare.files import LOCK, locked
from data_modules.mammography.prepare.run import prepare_set
from data_modules.mammography.prepare.settings import PreparationSettings
from data_modules.mammography.prepared import open_prepared, output_path, read_manifest
from data_modules.mammography.rsna.tables import SET
from data_modules.synthetic.tree import MARKER
from tests.data_modules.mammography.prepare import crew
from tests.data_modules.mammography.prepare.trees import contents, files, make_rsna, read_table, write_table

SETTINGS = PreparationSettings(long_side=32)
IMAGES = 12


def run(root, out, *, settings=SETTINGS, workers=1, **options):
    return prepare_set(SET, root, out, settings=settings, workers=workers, **options)


def damage(root):
    """One file in each of six ways; returns the kind of error by image."""
    missing, empty, truncated, corrupt, folder, link = files(root)[:6]
    missing.unlink()
    empty.write_bytes(b"")
    truncated.write_bytes(truncated.read_bytes()[:5000])
    corrupt.write_bytes(b"\xa5" * 4000)
    folder.unlink()
    folder.mkdir()
    link.unlink()
    link.symlink_to(root / "nowhere")
    kinds = dict.fromkeys((missing, folder, link), "missing file") | {empty: "empty file"}
    kinds |= dict.fromkeys((truncated, corrupt), "unreadable image")
    return {path.relative_to(root).as_posix(): kind for path, kind in kinds.items()}


@pytest.fixture
def root(tmp_path):
    return make_rsna(tmp_path / "raw", images=IMAGES)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def test_every_image_is_prepared_or_its_failure_is_recorded(root, out):
    wrong = damage(root)
    (root / "train_images/stray.dcm").write_bytes(b"")
    summary = run(root, out, workers=2)
    assert (summary.images, summary.written, summary.failed, summary.unnamed) == (IMAGES, IMAGES - 6, 6, 1)
    prepared = open_prepared(out, name="rsna_mammo", settings=SETTINGS)
    assert prepared.failed == wrong
    assert prepared.manifest["image"].to_list() == sorted(path["image"] for path in prepared.manifest.to_dicts())
    for row in prepared.readable().to_dicts():
        mammogram = read_mammogram(root / row["source"], long_side=32)
        written = cv2.imread(str(out / row["output"]), cv2.IMREAD_UNCHANGED)
        assert written.dtype == np.uint16
        np.testing.assert_array_equal(written, mammogram.pixels)
        assert (row["height"], row["width"]) == written.shape
        box = tuple(row[f"crop_{side}"] for side in ("top", "left", "bottom", "right"))
        assert (box, row["flipped"], row["window"]) == (mammogram.crop_box, mammogram.flipped, mammogram.window)
        assert row["output_bytes"] == (out / row["output"]).stat().st_size
        assert (row["laterality_header"], row["laterality_table"]) == (mammogram.header.laterality, "agrees")
    said = "\n".join(summary.lines())
    for words in ("6 of 12 images are prepared", "6 failed", "3 missing file, such as train_images/", "1 empty file"):
        assert words in said
    assert str(root) not in "".join(prepared.manifest["error"].drop_nulls())  # the same wherever the raw set lies


def test_the_images_may_lie_on_another_disk(root, out, tmp_path):
    (root / "train_images").rename(tmp_path / "elsewhere")
    (root / "train_images").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/stray.dcm").write_bytes(b"")
    summary = run(root, out)
    assert (summary.written, summary.unnamed) == (IMAGES, 1)


def test_the_tables_are_copied_so_that_samples_are_read_from_either_folder(root, out):
    run(root, out)
    assert_frame_equal(SET.read(out).frame, SET.read(root).frame)
    assert not (out / LOCK).exists()


def test_what_marks_a_look_alike_goes_with_it(root, out):
    (root / MARKER).write_text("{}")
    run(root, out)
    assert (out / MARKER).is_file()


@pytest.mark.slow
def test_number_of_workers_and_interruptions_leave_no_trace(root, tmp_path):
    damage(root)
    run(root, tmp_path / "one", workers=1)

    def interrupt(what, done, total, failures):
        if what == "preparing" and done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(root, tmp_path / "three", workers=3, progress=interrupt)
    with pytest.raises(PreparationUnfinishedError, match="is not finished; go on with it: medlit data prepare"):
        open_prepared(tmp_path / "three", name="rsna_mammo", settings=SETTINGS)
    run(root, tmp_path / "three", workers=3)
    assert contents(tmp_path / "three") == contents(tmp_path / "one")


def test_a_second_run_touches_nothing(root, out):
    damage(root)
    run(root, out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    summary = run(root, out)
    assert (summary.done_now, summary.failed) == (0, 6)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


@pytest.mark.slow
def test_a_second_run_does_what_changed_and_nothing_else(root, out):
    images = [path.relative_to(root).as_posix() for path in files(root)]
    missing, changed, lost, broken = files(root)[:4]
    content = missing.read_bytes()
    missing.unlink()
    broken.write_bytes(b"no mammogram")
    run(root, out)
    missing.write_bytes(content)
    changed.write_bytes(files(root)[7].read_bytes())  # as long as before
    (out / output_path(images[2])).unlink()
    seen = []
    summary = run(root, out, progress=lambda what, done, total, failures: seen.append((what, total)))
    assert ("preparing", 3) in seen
    assert (summary.done_now, summary.written, summary.failed) == (3, IMAGES - 1, 1)
    assert lost.exists()
    assert open_prepared(out, name="rsna_mammo", settings=SETTINGS).failed == {images[3]: "unreadable image"}
    assert run(root, out, retry_failed=True).done_now == 1


def test_a_source_of_another_size_is_read_again_however_old_it_is(root, out):
    run(root, out)
    os.utime(files(root)[0], ns=(0, 0))
    assert run(root, out).done_now == 0
    files(root)[0].write_bytes(files(root)[0].read_bytes()[:-500])
    os.utime(files(root)[0], ns=(0, 0))
    assert run(root, out).failed == 1


def test_a_source_that_changes_while_the_others_are_read_is_read_again_by_the_next_run(root, out):
    run(root, out, work=crew.change_1000_at_1003)
    assert run(root, out).done_now == 1
    image = "train_images/10/1000.dcm"
    written = cv2.imread(str(out / output_path(image)), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(written, read_mammogram(root / image, long_side=32).pixels)
    assert run(root, out).done_now == 0


def test_an_image_that_fails_now_loses_its_earlier_output(root, out):
    run(root, out)
    broken = files(root)[0]
    broken.write_bytes(b"")
    run(root, out)
    assert not (out / output_path(broken.relative_to(root).as_posix())).exists()
    assert read_manifest(out)["output"].null_count() == 1


def test_an_image_that_the_table_names_no_longer_leaves_the_folder(root, out):
    run(root, out)
    write_table(root, read_table(root)[1:])
    run(root, out)
    assert len(read_manifest(out)) == IMAGES - 1
    assert len(list(out.rglob("*.png"))) == IMAGES - 1


def test_a_table_that_names_no_image_costs_a_finished_folder_nothing(root, out):
    run(root, out)
    before = contents(out)
    write_table(root, [])
    with pytest.raises(TableError, match="name no image to prepare; are they whole"):
        run(root, out)
    assert contents(out) == before


def test_a_crash_of_the_decoder_costs_one_file(root, out):
    summary = run(root, out, work=crew.crash_at_1003, workers=2)
    assert (summary.written, summary.failed) == (IMAGES - 1, 1)
    row = read_manifest(out).row(by_predicate=pl.col("error_kind").is_not_null(), named=True)
    assert row["image"] == "train_images/10/1003.dcm"
    assert (row["error_kind"], row["error"]) == ("decoder crashed", "decoder crashed (signal 11, Segmentation fault)")
    assert len(row["source_sha256"]) == 64
    assert run(root, out).done_now == 0  # the same bytes crash again
    assert run(root, out, retry_failed=True).failed == 0


@pytest.mark.slow
def test_a_file_that_takes_too_long_is_tried_again_at_the_next_run(root, out):
    assert run(root, out, work=crew.linger_at_1003, seconds=2.0).failed == 1
    assert read_manifest(out)["error_kind"].drop_nulls().to_list() == ["timeout"]
    assert run(root, out).failed == 0


@pytest.mark.slow
def test_more_errors_than_allowed_stop_the_run_until_more_are_allowed(root, out):
    damage(root)
    with pytest.raises(TooManyErrorsError, match=r"6 images failed, more than --max-errors 5: 3 missing file \(train"):
        run(root, out, max_errors=5)
    with pytest.raises(TooManyErrorsError):
        run(root, out, max_errors=5)
    assert run(root, out, max_errors=6).failed == 6


def test_a_set_of_which_nothing_can_be_read_is_not_finished(root, out):
    for path in files(root):
        path.write_bytes(b"")
    with pytest.raises(TooManyErrorsError, match="not one of 12 images could be prepared: 12 empty file"):
        run(root, out)
    for path in files(root):
        path.unlink()
    with pytest.raises(DatasetNotFoundError, match="none of the 12 images of RSNA-Mammo lies below"):
        run(root, out)


def test_space_is_looked_for_first(root, out):
    with files(root)[0].open("r+b") as file:
        file.truncate(2**43)  # no disk of a test has 8 TB; the file is sparse
    with pytest.raises(OutputError, match=r"12 images of 5000000 pixels need about 8,796\.\d GB, and .* are free"):
        run(root, out, settings=PreparationSettings(long_side=5_000_000))
    assert contents(out) == {}


@pytest.mark.parametrize("change", [{"long_side": 33}, {"crop": False}])
def test_other_settings_are_refused_and_named(root, out, change):
    run(root, out)
    before = contents(out)
    other = PreparationSettings(**({"long_side": 32} | change))
    with pytest.raises(PreparationMismatchError, match=rf"{next(iter(change))} is .* there and .* here"):
        run(root, out, settings=other)
    assert contents(out) == before


def test_folders_that_cannot_work_are_refused(root, out):
    with pytest.raises(DataSettingsError, match="0 workers"):
        run(root, out, workers=0)
    with pytest.raises(DataSettingsError, match="one lies in the other"):
        run(root, root / "prepared")
    with pytest.raises(DatasetNotFoundError):
        run(out, root.parent / "third")
    out.mkdir()
    (out / "file").touch()
    with pytest.raises(DataSettingsError, match="not made by medlit"):
        run(root, out)
    assert contents(out) == {"file": b""}


def test_another_run_that_came_and_went_while_the_tables_were_read_is_noticed(root, out):
    def read(folder):
        run(root, out, settings=PreparationSettings(long_side=33))
        return SET.read(folder)

    with pytest.raises(PreparationMismatchError, match="long_side is 33 there and 32 here"):
        prepare_set(replace(SET, read=read), root, out, settings=SETTINGS, workers=1)


def test_a_run_beside_another_is_refused(root, out):
    with locked(out), pytest.raises(BlockingIOError, match="another process"):
        run(root, out)
