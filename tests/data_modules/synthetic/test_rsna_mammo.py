"""The look-alike of RSNA-Mammo: the official table and folders, what site 2 does not say, pictures that agree."""

from collections import Counter

import numpy as np
import pydicom
import pytest

from data_modules.errors import DataSettingsError
from data_modules.mammography.rsna.tables import SET, read_samples
from data_modules.synthetic import rsna_mammo
from data_modules.synthetic.rsna_mammo import DRAWN, plan_patients
from tests.data_modules.synthetic.mammo_helpers import columns, contents, held_out_accuracy, look, rows

CASES = 40


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("synthetic") / "rsna_mammo"
    rsna_mammo.write(root, cases=CASES, seed=3, img_size=48)
    return root


@pytest.fixture(scope="module")
def listed(tree):
    return rows(tree / "train.csv")


def test_the_same_arguments_give_the_same_bytes_and_another_seed_gives_others(tmp_path):
    for folder, seed in (("first", 4), ("second", 4), ("other", 5)):
        rsna_mammo.write(tmp_path / folder, cases=10, seed=seed, img_size=48)
    first, second, other = (contents(tmp_path / folder) for folder in ("first", "second", "other"))
    assert first == second
    assert first["train.csv"] != other["train.csv"]


def test_it_has_the_official_columns_and_files(tree, listed):
    official = (
        "site_id,patient_id,image_id,laterality,view,age,cancer,biopsy,invasive,BIRADS,implant,density,machine_id,"
        "difficult_negative_case"
    )
    assert columns(tree / "train.csv") == official.split(",")
    files = {path.relative_to(tree).as_posix() for path in (tree / "train_images").rglob("*.dcm")}
    assert {f"train_images/{row['patient_id']}/{row['image_id']}.dcm" for row in listed} == files
    assert len(files) == len(listed)


def test_the_reader_of_the_set_takes_it(tree, listed):
    samples = read_samples(tree)
    assert len(samples.frame) == len(listed)
    assert samples.dropped == {}
    assert samples.frame["patient_id"].n_unique() == CASES
    assert all(SET.find(tree, image) for image in samples.frame["image"])
    assert samples.frame["cancer"].to_list() == [int(row["cancer"]) for row in listed]


def test_views_are_cc_and_mlo_and_rarely_another(listed):
    views = Counter(row["view"] for row in listed)
    assert views["CC"] == 2 * CASES
    assert views["MLO"] >= 2 * CASES
    assert 0 < views["ML"] < CASES
    assert views.keys() == {"CC", "MLO", "ML"}


def test_site_2_gives_no_birads_and_no_density(listed):
    for row in listed:
        empty = row["site_id"] == "2"
        assert (row["BIRADS"] == "") == (row["density"] == "") == empty
    assert {row["BIRADS"] for row in listed} == {"", "0.0", "1.0", "2.0"}
    assert {row["density"] for row in listed} == {"", "A", "B", "C", "D"}
    machines = {site: {row["machine_id"] for row in listed if row["site_id"] == site} for site in "12"}
    assert not machines["1"] & machines["2"]


def test_labels_are_per_breast_and_follow_from_each_other(listed):
    by_breast: dict[tuple[str, str], set[tuple[str, ...]]] = {}
    for row in listed:
        names = ("cancer", "biopsy", "invasive", "BIRADS", "difficult_negative_case")
        by_breast.setdefault((row["patient_id"], row["laterality"]), set()).add(tuple(row[name] for name in names))
        if row["cancer"] == "1":
            assert row["biopsy"] == "1"
            assert row["BIRADS"] in ("0.0", "")
            assert row["difficult_negative_case"] == "False"
        else:
            assert row["invasive"] == "0"
    assert all(len(labels) == 1 for labels in by_breast.values())
    patients = Counter(patient for (patient, _), labels in by_breast.items() for one in labels if one[0] == "1")
    assert set(patients.values()) == {1}  # one breast alone
    assert len(patients) == 0.4 * CASES


def test_kinds_come_in_their_shares_and_one_breast_alone_shows_its_own():
    plan = plan_patients(200, np.random.default_rng(0))
    kinds = Counter(patient.kind for patient in plan)
    assert kinds == {"cancer": 80, "recalled": 40, "benign": 40, "negative": 40}
    for patient in plan:
        shown = {side: bool(breast.lesions) for side, breast in patient.breasts.items()}
        assert shown == {side: side == patient.index and DRAWN[patient.kind] != (1,) for side in "LR"}


def test_a_fifth_of_the_files_is_sigmoid_with_four_windows_and_no_modality(tree):
    datasets = [pydicom.dcmread(path, stop_before_pixels=True) for path in tree.rglob("*.dcm")]
    sigmoid = [dataset for dataset in datasets if dataset.VOILUTFunction == "SIGMOID"]
    assert 0.15 < len(sigmoid) / len(datasets) < 0.25
    assert all(len(dataset.WindowCenter) == 4 for dataset in sigmoid)
    assert all("Modality" not in dataset and "BodyPartExamined" not in dataset for dataset in sigmoid)
    assert {dataset.PhotometricInterpretation for dataset in datasets} == {"MONOCHROME1", "MONOCHROME2"}
    assert {dataset.file_meta.TransferSyntaxUID.name for dataset in datasets} == {
        "JPEG 2000 Image Compression (Lossless Only)",
        "JPEG Lossless, Non-Hierarchical, First-Order Prediction (Process 14 [Selection Value 1])",
    }


@pytest.mark.slow
def test_cancer_can_be_learned_from_the_files(tmp_path):
    """By a logistic regression on the grays of pictures of 64 pixels, on held-out patients: chance is .5."""
    rsna_mammo.write(tmp_path / "set", cases=60, seed=0, img_size=96)
    frame = read_samples(tmp_path / "set").frame
    pictures = [look(tmp_path / "set" / image) for image in frame["image"]]
    assert held_out_accuracy(pictures, frame["cancer"].to_list(), frame["patient_id"].to_list()) >= 0.9


@pytest.mark.parametrize("wrong", [{"cases": 9}, {"seed": -1}, {"img_size": 47}])
def test_numbers_that_are_too_small_are_named(tmp_path, wrong):
    with pytest.raises(DataSettingsError, match=f"{next(iter(wrong))} is {next(iter(wrong.values()))}"):
        rsna_mammo.write(tmp_path, **{"cases": 10, "seed": 0, **wrong})
