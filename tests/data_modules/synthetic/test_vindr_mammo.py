"""The look-alike of VinDr-Mammo: both official tables, the official split, boxes around what is drawn."""

from collections import Counter

import numpy as np
import pydicom
import pytest

from data_modules.errors import DataSettingsError
from data_modules.mammography.vindr.tables import SET, read_samples
from data_modules.synthetic import vindr_mammo
from data_modules.synthetic.vindr_mammo import plan_studies
from tests.data_modules.synthetic.mammo_helpers import columns, contents, held_out_accuracy, look, rows

CASES = 40
BREASTS, FINDINGS = "breast-level_annotations.csv", "finding_annotations.csv"


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("synthetic") / "vindr_mammo"
    vindr_mammo.write(root, cases=CASES, seed=3, img_size=64)
    return root


def test_the_same_arguments_give_the_same_bytes_and_another_seed_gives_others(tmp_path):
    for folder, seed in (("first", 4), ("second", 4), ("other", 5)):
        vindr_mammo.write(tmp_path / folder, cases=10, seed=seed, img_size=48)
    first, second, other = (contents(tmp_path / folder) for folder in ("first", "second", "other"))
    assert first == second
    assert first[BREASTS] != other[BREASTS]


def test_it_has_the_official_columns_and_files(tree):
    start = "study_id,series_id,image_id,laterality,view_position,height,width,breast_birads,breast_density"
    assert columns(tree / BREASTS) == f"{start},split".split(",")
    found = f"{start},finding_categories,finding_birads,xmin,ymin,xmax,ymax,split"
    assert columns(tree / FINDINGS) == found.split(",")
    files = {path.relative_to(tree).as_posix(): path for path in (tree / "images").rglob("*.dicom")}
    listed = rows(tree / BREASTS)
    assert {f"images/{row['study_id']}/{row['image_id']}.dicom" for row in listed} == files.keys()
    assert len(listed) == 4 * CASES
    for row in listed[::9]:
        dataset = pydicom.dcmread(files[f"images/{row['study_id']}/{row['image_id']}.dicom"])
        assert (str(dataset.Rows), str(dataset.Columns)) == (row["height"], row["width"])
        assert (dataset.ImageLaterality, dataset.ViewPosition) == (row["laterality"], row["view_position"])


def test_the_reader_of_the_set_takes_it(tree):
    samples = read_samples(tree)
    assert Counter(samples.frame["split"]) == {"train": 32 * 4, "test": 8 * 4}
    assert samples.dropped == {}
    assert set(samples.frame["birads"]) == {1, 2, 3, 4, 5}
    assert set(samples.frame["density"]) == {1, 2, 3, 4}
    assert all(SET.find(tree, image) for image in samples.frame["image"])
    masses = samples.frame.filter(samples.frame["mass_shape"].is_not_null())
    assert set(masses["birads"]) == {3, 4, 5}
    assert len(masses) == (samples.frame["birads"] >= 3).sum()


def test_shares_are_alike_in_both_splits():
    plan = plan_studies(600, np.random.default_rng(0))
    for split, size in (("training", 480), ("test", 120)):
        own = [study for study in plan if study.split == split]
        categories = Counter(max(study.birads.values()) for study in own)
        assert len(own) == size
        assert {category: count / size for category, count in categories.items()} == pytest.approx(
            {1: 1 / 12, 2: 3 / 12, 3: 2 / 12, 4: 3 / 12, 5: 3 / 12}
        )
        assert set(Counter(study.density for study in own).values()) == {size // 4}


def test_findings_from_category_3_on_are_boxed_and_others_are_said_to_be_none(tree):
    for row in rows(tree / FINDINGS):
        if row["breast_birads"] in ("BI-RADS 1", "BI-RADS 2"):
            assert row["finding_categories"] == "['No Finding']"
            assert row["finding_birads"] == row["xmin"] == row["ymax"] == ""
        else:
            assert row["finding_categories"] in ("['Mass']", "['Mass', 'Suspicious Calcification']")
            assert row["finding_birads"] == row["breast_birads"]


def test_boxes_lie_around_the_brightest_place_as_it_is_stored(tree):
    """Right breasts, too, which are stored mirrored."""
    sides = set()
    for row in rows(tree / FINDINGS):
        if row["breast_birads"] == "BI-RADS 5":
            dataset = pydicom.dcmread(tree / f"images/{row['study_id']}/{row['image_id']}.dicom")
            gray = dataset.pixel_array / (2**dataset.BitsStored - 1)
            gray = 1 - gray if dataset.PhotometricInterpretation == "MONOCHROME1" else gray
            left, top, right, bottom = (round(float(row[name])) for name in ("xmin", "ymin", "xmax", "ymax"))
            inside = gray[top:bottom, left:right]
            assert (inside > 0.85).mean() > 0.2
            sides.add(row["laterality"])
    assert sides == {"L", "R"}


@pytest.mark.slow
def test_suspicion_can_be_learned_from_the_files(tmp_path):
    """By a logistic regression on the grays of pictures of 64 pixels, on held-out studies: chance is .5."""
    vindr_mammo.write(tmp_path / "set", cases=60, seed=0, img_size=96)
    frame = read_samples(tmp_path / "set").frame
    pictures = [look(tmp_path / "set" / image) for image in frame["image"]]
    assert held_out_accuracy(pictures, (frame["birads"] >= 4).to_list(), frame["patient_id"].to_list()) >= 0.9


@pytest.mark.parametrize("wrong", [{"cases": 9}, {"seed": -1}, {"img_size": 47}])
def test_numbers_that_are_too_small_are_named(tmp_path, wrong):
    with pytest.raises(DataSettingsError, match=f"{next(iter(wrong))} is {next(iter(wrong.values()))}"):
        vindr_mammo.write(tmp_path, **{"cases": 10, "seed": 0, **wrong})
