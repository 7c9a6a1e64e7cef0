"""The real tables of CBIS-DDSM: all rows, both spellings, line breaks, and the patients of two splits."""

import csv
import os
from pathlib import Path

import polars as pl
import pytest

from data_modules.mammography.cbis_ddsm.audit import audit_cbis_ddsm
from data_modules.mammography.cbis_ddsm.rows import FILES, density_column, read_official
from data_modules.mammography.cbis_ddsm.tables import find_leaking, read_rows, read_samples

REAL = os.environ.get("MEDLIT_REAL_FILES")
LEAKING = 31

pytestmark = pytest.mark.skipif(REAL is None, reason="MEDLIT_REAL_FILES names no folder of real tables")


@pytest.fixture(scope="module")
def root():
    return Path(REAL, "cbis_ddsm")


@pytest.fixture(scope="module")
def tables(root):
    return read_official(root)


@pytest.fixture(scope="module")
def rows(tables):
    return read_rows(tables)


def test_all_rows_are_read(tables, rows):
    assert {key: len(table) for key, table in tables.items()} == {
        ("mass", "train"): 1318,
        ("mass", "test"): 378,
        ("calcification", "train"): 1546,
        ("calcification", "test"): 326,
    }
    assert len(rows) == 1318 + 378 + 1546 + 326


def test_line_breaks_are_in_the_files_and_not_in_the_paths(root, rows):
    assert all('.dcm\n"' in (root / file).read_text() for file in FILES.values())
    paths = [path for row in rows for path in (row.image, *row.others)]
    assert all(path == path.strip() and path.endswith(".dcm") for path in paths)


def test_both_spellings_of_density(tables, rows):
    assert {kind: density_column(table) for (kind, _), table in tables.items()} == {
        "mass": "breast_density",
        "calcification": "breast density",
    }
    assert {row.density for row in rows} == {0, 1, 2, 3, 4}


def test_patients_of_a_training_and_a_test_table(root, rows):
    named = {}
    for (_, split), file in FILES.items():
        with (root / file).open(newline="") as stream:
            named.setdefault(split, set()).update(row["patient_id"] for row in csv.DictReader(stream))
    leaking = find_leaking(rows)
    assert leaking.keys() == named["train"] & named["test"]
    assert len(leaking) == LEAKING
    for own in leaking.values():  # never in two tables of one kind
        assert len({(row.kind, row.split) for row in own}) == len({row.kind for row in own}) == 2


@pytest.mark.parametrize(("policy", "train", "test"), [("test", 2356, 676), ("train", 2441, 591), ("drop", 2356, 591)])
def test_samples_keep_patients_apart(root, policy, train, test):
    frame = read_samples(root, leaking_patients=policy).frame
    assert frame["split"].value_counts().sort("split")["count"].to_list() == [test, train]
    assert frame.group_by("patient_id").agg(pl.col("split").n_unique())["split"].max() == 1
    assert frame["image"].is_unique().all()
    assert frame["image_id"].is_unique().all()


@pytest.mark.parametrize(("kind", "train", "test"), [("mass", 1231, 361), ("calcification", 1227, 284)])
def test_one_kind_alone_is_the_official_split(root, kind, train, test):
    samples = read_samples(root, abnormalities=kind)
    assert samples.frame["split"].value_counts().sort("split")["count"].to_list() == [test, train]
    assert not any("moved" in rule for rule in samples.touched)


def test_every_row_is_accounted_for(root, rows):
    for policy in ("test", "train", "drop"):
        samples = read_samples(root, leaking_patients=policy)
        joined = samples.touched["abnormality joined to the first one of its image"]
        assert samples.frame.height + joined + sum(samples.dropped.values()) == len(rows)


def test_the_audit_names_all_leaking_patients_and_says_that_no_images_are_there(root, rows):
    audit = audit_cbis_ddsm(root)
    [note] = audit.by_kind("note")["leaking patients"]
    assert note.startswith(f"{LEAKING} patients are in a training table of one kind and the test table of the other: ")
    quirks = audit.by_kind("quirk")["patient in a training and a test table"]
    assert len(quirks) == LEAKING
    for patient in find_leaking(rows):
        assert patient in note
    assert audit.by_kind("note")["release"] == ["3,568 rows and 1,566 patients, as in the official release"]
    assert audit.by_kind("note")["rows of the tables"] == [
        "mass train 1,318, mass test 378, calcification train 1,546, calcification test 326"
    ]
    assert audit.by_kind("fault").keys() == {"no images"}
