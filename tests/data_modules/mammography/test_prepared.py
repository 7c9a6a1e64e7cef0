"""A prepared folder is opened if it is what was asked for, whole, and finished."""

import json

import polars as pl
import pytest

from data_modules.errors import (
    DatasetNotFoundError,
    PreparationMismatchError,
    PreparationUnfinishedError,
    TableError,
    UnreadableFileError,
)
from data_modules.mammography.prepare.manifest import COLUMNS
from data_modules.mammography.prepare.settings import PIPELINE_VERSION, PreparationSettings
from data_modules.mammography.prepared import DESCRIPTION, MANIFEST, open_prepared, output_path

SETTINGS = PreparationSettings(long_side=64)
ROWS = [
    {"image": "a/1.dcm", "output": "images/a/1.png", "flags": []},
    {"image": "a/2.dcm", "error_kind": "empty file", "error": "the file is empty"},
]


def write(root, rows=ROWS, **changes):
    said = {
        "set": "embed",
        "settings": {"long_side": 64, "crop": True, "orient": "left", "reduced_decode": True},
        "pipeline_version": PIPELINE_VERSION,
        "hash": SETTINGS.hash,
        "state": "finished",
    }
    (root / DESCRIPTION).write_text(json.dumps(said | changes))
    pl.DataFrame(rows, schema=COLUMNS).write_parquet(root / MANIFEST)


def opened(root, settings=SETTINGS):
    return open_prepared(root, name="embed", settings=settings)


@pytest.mark.parametrize(
    ("image", "output"),
    [
        ("images/a.b/1.2.dcm", "images/images/a.b/1.2.png"),
        ("x.dicom", "images/x.png"),
        ("a/x.png", "images/a/x.png"),
        ("a/x", "images/a/x.png"),
    ],
)
def test_where_outputs_lie(image, output):
    assert output_path(image) == output


def test_images_with_an_output_and_those_that_failed(tmp_path):
    write(tmp_path)
    prepared = opened(tmp_path)
    assert prepared.readable()["output"].to_list() == ["images/a/1.png"]
    assert prepared.failed == {"a/2.dcm": "empty file"}


def test_a_missing_folder_says_how_to_prepare_one(tmp_path):
    said = f"medlit data prepare embed --root RAW --out {tmp_path} --long-side 64"
    with pytest.raises(DatasetNotFoundError, match=said):
        opened(tmp_path)


def test_other_settings_are_named(tmp_path):
    write(tmp_path)
    with pytest.raises(PreparationMismatchError, match="long_side is 64 there and 1024 here"):
        opened(tmp_path, PreparationSettings())
    write(tmp_path, set="rsna_mammo")
    with pytest.raises(PreparationMismatchError, match="a prepared rsna_mammo, not embed"):
        opened(tmp_path)
    write(tmp_path, hash="0" * 64, pipeline_version=0)
    with pytest.raises(PreparationMismatchError, match="version 0 there"):
        opened(tmp_path)


def test_an_unfinished_folder_says_how_to_go_on(tmp_path):
    write(tmp_path, state="unfinished")
    with pytest.raises(PreparationUnfinishedError, match="go on with it: medlit data prepare embed --root RAW"):
        opened(tmp_path)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"set": 3}', b"\xff\xfe\x00", b"[" * 100_000])
def test_a_description_that_is_none_is_refused(tmp_path, content):
    write(tmp_path)
    (tmp_path / DESCRIPTION).write_bytes(content)
    with pytest.raises(TableError, match="prepare the set anew"):
        opened(tmp_path)


def test_a_description_that_cannot_be_read_is_refused(tmp_path):
    (tmp_path / DESCRIPTION).mkdir()
    with pytest.raises(UnreadableFileError, match="cannot be read"):
        opened(tmp_path)


def test_a_manifest_that_is_none_is_refused(tmp_path):
    write(tmp_path)
    (tmp_path / MANIFEST).write_bytes(b"PAR1")
    with pytest.raises(TableError, match=r"not as prepare writes it .*; remove it and prepare the set again"):
        opened(tmp_path)
    pl.DataFrame({"image": ["a"]}).write_parquet(tmp_path / MANIFEST)
    with pytest.raises(TableError, match="not as prepare writes it"):
        opened(tmp_path)
    (tmp_path / MANIFEST).unlink()
    with pytest.raises(DatasetNotFoundError, match="prepare the set again"):
        opened(tmp_path)


@pytest.mark.parametrize("output", ["../secret.png", "/etc/x.png", "images/../../x.png", "train.csv"])
def test_a_manifest_cannot_lead_out_of_the_folder(tmp_path, output):
    write(tmp_path, [{"image": "a", "output": output}])
    with pytest.raises(TableError, match="leaves"):
        opened(tmp_path)
