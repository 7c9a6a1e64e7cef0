"""The look-alike of CBIS-DDSM: four official tables with their quirks, films in the folders of TCIA's download."""

import csv
from collections import Counter

import numpy as np
import pydicom
import pytest

from data_modules.errors import DataSettingsError
from data_modules.mammography.cbis_ddsm.tables import SET, read_samples
from data_modules.synthetic import cbis_ddsm
from data_modules.synthetic.cbis_ddsm import LEAK_EVERY, plan_patients
from tests.data_modules.synthetic.mammo_helpers import columns, contents, held_out_accuracy, look, rows

CASES = 48
KINDS, PARTS = ("mass", "calc"), ("train", "test")


def file(kind, part):
    return f"{kind}_case_description_{part}_set.csv"


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("synthetic") / "cbis_ddsm"
    cbis_ddsm.write(root, cases=CASES, seed=3, img_size=64)
    return root


@pytest.fixture(scope="module")
def listed(tree):
    return {(kind, part): rows(tree / file(kind, part)) for kind in KINDS for part in PARTS}


def test_the_same_arguments_give_the_same_bytes_and_another_seed_gives_others(tmp_path):
    for folder, seed in (("first", 4), ("second", 4), ("other", 5)):
        cbis_ddsm.write(tmp_path / folder, cases=10, seed=seed, img_size=48)
    first, second, other = (contents(tmp_path / folder) for folder in ("first", "second", "other"))
    assert first == second
    assert first[file("mass", "train")] != other[file("mass", "train")]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(
    ("kind", "density", "described"),
    [("mass", "breast_density", "mass shape,mass margins"), ("calc", "breast density", "calc type,calc distribution")],
)
def test_tables_have_the_official_columns_with_both_spellings(tree, kind, part, density, described):
    official = (
        f"patient_id,{density},left or right breast,image view,abnormality id,abnormality type,{described},assessment,"
        "pathology,subtlety,image file path,cropped image file path,ROI mask file path"
    )
    assert columns(tree / file(kind, part)) == official.split(",")


@pytest.mark.parametrize(("kind", "column"), [("mass", "ROI mask file path"), ("calc", "cropped image file path")])
def test_paths_of_one_column_end_in_a_line_break(tree, listed, kind, column):
    for part in PARTS:
        for row in listed[kind, part]:
            assert [name for name, cell in row.items() if "\n" in cell] == [column]
            assert row[column].endswith(".dcm\n")
    with (tree / file(kind, "train")).open(newline="") as stream:
        assert len(list(csv.reader(stream))) == 1 + len(listed[kind, "train"])


def test_the_reader_of_the_set_finds_every_film_though_the_paths_are_of_no_download(tree):
    samples = read_samples(tree)
    found = [SET.find(tree, image) for image in samples.frame["image"]]
    assert all(found)
    assert len(set(found)) == len(found)
    assert not any((tree / image).exists() for image in samples.frame["image"])
    assert all("full mammogram images" in path.parent.name for path in found)
    files = list((tree / "CBIS-DDSM").rglob("*.dcm"))
    joined = samples.touched["image in the tables of both kinds, joined"]
    assert len(files) == len(samples.frame) + joined


def test_some_patients_are_in_two_splits_and_the_reader_says_so(tree, listed):
    patients = {part: {row["patient_id"] for kind in KINDS for row in listed[kind, part]} for part in PARTS}
    leaking = patients["train"] & patients["test"]
    assert len(leaking) == CASES // LEAK_EVERY
    for kind in KINDS:
        own = [{row["patient_id"] for row in listed[kind, part]} for part in PARTS]
        assert not own[0] & own[1]
    samples = read_samples(tree).frame
    assert set(samples.filter(samples["patient_id"].is_in(sorted(leaking)))["split"]) == {"test"}


def test_a_film_may_have_several_abnormalities(listed):
    counts = Counter(row["image file path"] for own in listed.values() for row in own)
    assert set(counts.values()) == {1, 2}
    ids = {row["abnormality id"] for own in listed.values() for row in own}
    assert ids == {"1", "2"}


def test_what_is_drawn_follows_from_the_pathology():
    for patient in plan_patients(300, np.random.default_rng(0)):
        assert len(patient.breast.lesions) == len(patient.found)
        for one in patient.found:
            malignant = one.pathology == "MALIGNANT"
            if one.kind == "mass":
                assert (one.lesion.margin == "spiculated") == malignant
                assert one.lesion.calcification is None
            else:
                assert (one.lesion.calcification == "coarse") == (not malignant)
                assert one.lesion.shape is None
            assert one.assessment in ((4, 5) if malignant else (0, 2, 3, 4))


def test_half_of_the_patients_have_a_cancer_and_a_fifth_is_for_the_test():
    plan = plan_patients(600, np.random.default_rng(0))
    assert np.mean([patient.found[0].pathology == "MALIGNANT" for patient in plan]) == pytest.approx(0.5, abs=0.01)
    assert np.mean([patient.found[0].part == "test" for patient in plan]) == 0.2
    assert Counter(patient.density for patient in plan) == dict.fromkeys((1, 2, 3, 4), 150)


def test_films_have_16_bits_base_fog_and_a_bright_border(tree):
    for path in list((tree / "CBIS-DDSM").rglob("*.dcm"))[:6]:
        dataset = pydicom.dcmread(path)
        film = dataset.pixel_array / 65535
        assert dataset.BitsStored == 16
        assert film[0].mean() > 0.9
        assert film[-1].mean() > 0.9
        assert np.quantile(film, 0.05) > 0.03


@pytest.mark.slow
def test_cancer_can_be_learned_from_the_files(tmp_path):
    """By a logistic regression on the grays of pictures of 96 pixels, on held-out patients: chance is .5."""
    cbis_ddsm.write(tmp_path / "set", cases=120, seed=0, img_size=160)
    frame = read_samples(tmp_path / "set", abnormalities="mass").frame
    pictures = [look(SET.find(tmp_path / "set", image), side=96) for image in frame["image"]]
    assert held_out_accuracy(pictures, frame["cancer"].to_list(), frame["patient_id"].to_list()) >= 0.85


@pytest.mark.parametrize("wrong", [{"cases": 9}, {"seed": -1}, {"img_size": 47}])
def test_numbers_that_are_too_small_are_named(tmp_path, wrong):
    with pytest.raises(DataSettingsError, match=f"{next(iter(wrong))} is {next(iter(wrong.values()))}"):
        cbis_ddsm.write(tmp_path, **{"cases": 10, "seed": 0, **wrong})
