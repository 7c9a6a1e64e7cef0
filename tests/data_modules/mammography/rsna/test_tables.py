"""RSNA-Mammo's table becomes samples; a wrong cell is refused with its line."""

import polars as pl
import pytest

from data_modules.errors import DatasetNotFoundError, TableError, UnsafePathError
from data_modules.mammography.rsna.tables import SET, find_image, make_samples, read_official, read_samples
from data_modules.mammography.samples import SCHEMA
from tests.data_modules.mammography.csv_tables import edit_csv, read_csv, touch, write_csv
from tests.data_modules.mammography.rsna.trees import make_rsna, rsna_rows

FIRST = "train_images/10006/462822612.dcm"


@pytest.fixture
def root(tmp_path):
    return make_rsna(tmp_path)


def test_a_sample_for_every_row(root):
    samples = read_samples(root)
    assert samples.dropped == samples.touched == {}
    assert dict(samples.frame.schema) == SCHEMA
    assert samples.frame.height == len(read_csv(root / "train.csv")) == 24
    first = samples.frame.row(0, named=True)
    assert {name: value for name, value in first.items() if value is not None} == {
        "image": FIRST,
        "image_id": "462822612",
        "patient_id": "10006",
        "exam_id": "10006",
        "breast_id": "10006_L",
        "laterality": "L",
        "view": "CC",
        "image_type": "2D",
        "birads": 1,
        "density": 1,
        "cancer": 0,
        "reason": "screening",
        "age": 50,
        "site": "1",
        "machine": "29",
        "spot": False,
        "implant": False,
        "inferred": False,
    }


def test_images_of_a_breast_share_its_label(root):
    positive = read_samples(root).frame.filter(pl.col("cancer") == 1)
    assert positive["breast_id"].to_list() == ["10008_R", "10008_R"]
    assert positive["birads"].to_list() == [0, 0]


def test_site_two_gives_neither_birads_nor_density(root):
    by_site = dict(read_samples(root).frame.group_by("site").agg("birads", "density").rows_by_key("site"))
    assert by_site["2"] == [([None] * 12, [None] * 12)]
    assert all(value is not None for values in by_site["1"][0] for value in values)


def test_numbers_may_be_written_with_or_without_a_point(root):
    edit_csv(root / "train.csv", 0, age="", BIRADS="2", density="D", implant="1.0", difficult_negative_case="TRUE")
    first = read_samples(root).frame.row(0, named=True)
    assert (first["age"], first["birads"], first["density"], first["implant"]) == (None, 2, 4, True)


@pytest.mark.parametrize("age", ["0", "120.0"])
def test_bounds_of_a_number_are_within(root, age):
    edit_csv(root / "train.csv", 0, age=age)
    assert read_samples(root).frame["age"][0] == float(age)


def test_labels_may_be_unknown(root):
    edit_csv(root / "train.csv", 0, cancer="", BIRADS="", density="")
    assert read_samples(root).frame.select("cancer", "birads", "density").row(0) == (None, None, None)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("site_id", "3", "allowed are"),
        ("site_id", "", "it is empty"),
        ("patient_id", "../../etc", "does not look like '462822612'"),
        ("image_id", "4.62E+08", "does not look like '462822612'"),
        ("laterality", "B", "'B' is unknown"),
        ("view", "MLOO", "allowed are 'CC', 'MLO'"),
        ("age", "121", "not from 0 to 120"),
        ("age", "-1", "not from 0 to 120"),
        ("age", "old", "no number"),
        ("cancer", "2", "'2' is unknown"),
        ("biopsy", "x", "'x' is unknown"),
        ("invasive", "", "it is empty"),
        ("BIRADS", "3", "'3' is unknown"),
        ("density", "E", "'E' is unknown"),
        ("implant", "-1", "'-1' is unknown"),
        ("difficult_negative_case", "maybe", "'maybe' is unknown"),
    ],
)
def test_a_wrong_cell_is_refused_with_its_place(root, column, value, said):
    edit_csv(root / "train.csv", 5, **{column: value})
    with pytest.raises(TableError, match=rf"train.csv line 7 \(row 5\), column {column}: ") as caught:
        read_samples(root)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_image_twice_is_refused_with_both_places(root):
    edit_csv(root / "train.csv", 5, image_id="462822612")
    with pytest.raises(TableError, match=r"line 7 .*'462822612' is in train.csv line 2 \(row 0\) too"):
        read_samples(root)


def test_faults_are_collected_and_their_rows_counted(root):
    edit_csv(root / "train.csv", 5, view="XX")
    edit_csv(root / "train.csv", 9, cancer="?")
    faults = []
    samples = make_samples(read_official(root), faults=faults)
    assert [str(fault).split(" (")[0] for fault in faults] == ["train.csv line 7", "train.csv line 11"]
    assert samples.dropped == {"row that cannot be used": 2}
    assert samples.frame.height + sum(samples.dropped.values()) == 24


def test_a_missing_column_is_named(root):
    write_csv(root / "train.csv", rsna_rows(), without=("difficult_negative_case",))
    with pytest.raises(TableError, match="no column 'difficult_negative_case'"):
        read_samples(root)


def test_a_missing_table_says_what_to_do(tmp_path):
    with pytest.raises(DatasetNotFoundError, match=r"no train.csv below .*medlit data synth rsna_mammo --root"):
        SET.read(tmp_path)


@pytest.mark.parametrize(
    "file",
    [
        FIRST,
        FIRST.replace(".dcm", ".png"),
        FIRST.replace(".dcm", ".jpg"),
        "train_images/10006_462822612.png",
    ],
)
def test_an_image_is_found_as_published_or_converted(tmp_path, file):
    assert find_image(tmp_path, FIRST) is None
    path = touch(tmp_path / file)
    assert SET.find(tmp_path, FIRST) == path


def test_the_published_file_goes_first(tmp_path):
    touch(tmp_path / FIRST.replace(".dcm", ".png"))
    official = touch(tmp_path / FIRST)
    assert find_image(tmp_path, FIRST) == official


def test_the_folder_of_images_may_be_a_link_but_no_file_in_it_may_leave(tmp_path):
    elsewhere, root = tmp_path / "disk", tmp_path / "root"
    root.mkdir()
    touch(elsewhere / "10006/462822612.dcm")
    (root / "train_images").symlink_to(elsewhere)
    assert find_image(root, FIRST) == root / FIRST
    secret = touch(tmp_path / "secret")
    (elsewhere / "10006/1.dcm").symlink_to(secret)
    with pytest.raises(UnsafePathError, match=r"'10006/1\.dcm' leaves the folder of images"):
        find_image(root, "train_images/10006/1.dcm")
