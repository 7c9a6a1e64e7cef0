"""The look-alike of MMC-AMD: official layout, the same bytes every time, a class that needs both modalities."""

from collections import Counter
from itertools import combinations

import cv2
import numpy as np
import pytest

from data_modules.errors import DataSettingsError
from data_modules.images import read_image
from data_modules.retina import MMCAMDDataModule
from data_modules.retina.names import CLASS_NAMES, MODALITIES, class_of_name, patient_of
from data_modules.synthetic import mmc_amd
from data_modules.synthetic.retina_pictures import SIGNS, draw_bscan, draw_fundus

SPLITS = ("train", "val", "test")


def contents(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("synthetic") / "mmc_amd"
    mmc_amd.write(root, cases=60, seed=3, img_size=32)
    return root


def read(root, **settings):
    data = MMCAMDDataModule(root=root, img_size=16, **settings)
    data.setup("fit")
    return data


def test_the_same_arguments_give_the_same_bytes(tree, tmp_path):
    mmc_amd.write(tmp_path / "again", cases=60, seed=3, img_size=32)
    assert contents(tmp_path / "again") == contents(tree)


def test_another_seed_gives_another_tree(tree, tmp_path):
    mmc_amd.write(tmp_path / "other", cases=60, seed=4, img_size=32)
    assert contents(tmp_path / "other").keys() != contents(tree).keys()


def test_it_has_the_official_files(tree):
    for official in ("A", "AP"):
        for split in SPLITS:
            folder = tree / f"mmc-amd-split{official}-{split}"
            names = {path.relative_to(folder).as_posix() for path in folder.rglob("*.txt")}
            kinds = ("ImageSets", "EyeSets", "SubjectSets", "annotations")
            pairs = {"ImageSets/mm.txt"} if split != "train" else set()
            assert names == {f"{kind}/{modality}.txt" for kind in kinds for modality in MODALITIES} | pairs
    assert {path.name for path in (tree / "ImageData").iterdir()} == {"cfp-clahe-448x448", "oct-median3x3-448x448"}
    assert all(read_image(path).shape == (32, 32, 3) for path in (tree / "ImageData").rglob("*.jpg"))


def test_the_reader_of_the_set_takes_it(tree):
    data = read(tree)
    assert {split: len(cases) for split, cases in data.splits.items()} == {"train": 33, "val": 9, "test": 18}
    assert data.synthetic
    assert sum(map(len, read(tree, allow_missing=True).splits.values())) == 60 + 3


def test_classes_are_even_in_every_split(tree):
    for cases in read(tree).splits.values():
        counts = Counter(case.label for case in cases)
        assert set(counts) == set(range(len(CLASS_NAMES)))
        assert max(counts.values()) - min(counts.values()) <= 1


def test_fellow_eyes_stay_together_in_ap_and_not_in_a(tree):
    patients = {split: {case.group_id for case in cases} for split, cases in read(tree).splits.items()}
    assert not any(a & b for a, b in combinations(patients.values(), 2))
    by_eye = read(tree, split="A", allow_patient_leakage=True).splits
    patients = {split: {patient_of(case.case_id) for case in cases} for split, cases in by_eye.items()}
    assert any(a & b for a, b in combinations(patients.values(), 2))


def test_the_quirks_of_the_set_are_there(tree):
    cases = [case for own in read(tree, allow_missing=True).splits.values() for case in own]
    photographs = Counter(len(case.images.get("cfp", ())) for case in cases)
    scans = Counter(len(case.images.get("oct", ())) for case in cases)
    assert photographs[2] == 1
    assert max(scans) in range(3, mmc_amd.MOST_SCANS + 2)
    assert any("_2014" in file.path for case in cases for file in case.images.get("cfp", ()))
    assert {photographs[0], scans[0]} == {1, 2}
    assert all(class_of_name(case.case_id) == CLASS_NAMES[case.label] for case in cases)
    assert {case.case_id[-2:] for case in cases} > {"-l", "-r"}
    assert len({case.case_id for case in cases}) == len(cases)


def test_two_pictures_tell_the_class_and_one_tells_it_in_part():
    plan = mmc_amd.plan_eyes(1600, np.random.default_rng(0))
    told = {(eye.cfp, eye.oct): eye.label for eye in plan}
    assert len(told) == 16
    assert all(told[eye.cfp, eye.oct] == eye.label for eye in plan)
    for modality in MODALITIES:
        pairs = Counter((getattr(eye, modality), eye.label) for eye in plan)
        for (sign, label), count in pairs.items():
            assert count / len(plan) == pytest.approx(0.1 if sign == label else 0.05, abs=0.005)


def test_where_the_pictures_disagree_the_class_is_neither_sign():
    plan = mmc_amd.plan_eyes(400, np.random.default_rng(1))
    assert all(eye.label == eye.cfp for eye in plan if eye.cfp == eye.oct)
    assert all(eye.label not in (eye.cfp, eye.oct) for eye in plan if eye.cfp != eye.oct)


@pytest.mark.parametrize("modality", MODALITIES)
def test_pictures_of_one_sign_are_nearer_than_those_of_two(modality):
    """Seen as the tiny backbone sees them: 32 pixels, whichever way up."""
    draw = {"cfp": draw_fundus, "oct": draw_bscan}[modality]

    def mean(sign, seeds):
        pictures = [draw(sign, size=64, rng=np.random.default_rng([sign, seed])) for seed in seeds]
        small = [cv2.resize(picture, (32, 32), interpolation=cv2.INTER_AREA) for picture in pictures]
        return np.mean([view for picture in small for view in (picture, picture[::-1], picture[:, ::-1])], axis=0)

    first, second = ([mean(sign, seeds) for sign in range(4)] for seeds in (range(4), range(4, 8)))
    distances = np.array([[np.abs(a - b).mean() for b in second] for a in first])
    assert distances.argmin(axis=1).tolist() == [0, 1, 2, 3]
    assert len(SIGNS[modality]) == 4


def test_its_own_folder_is_replaced_and_somebody_elses_left_alone(tmp_path):
    mmc_amd.write(tmp_path / "set", cases=12, seed=0, img_size=24)
    mmc_amd.write(tmp_path / "set", cases=10, seed=1, img_size=24)
    mmc_amd.write(tmp_path / "fresh", cases=10, seed=1, img_size=24)
    assert contents(tmp_path / "set") == contents(tmp_path / "fresh")
    with pytest.raises(DataSettingsError, match="not empty and was not made by medlit"):
        mmc_amd.write(tmp_path, cases=10, seed=0)


@pytest.mark.parametrize("wrong", [{"cases": 9}, {"seed": -1}, {"img_size": 8}])
def test_numbers_that_are_too_small_are_named(tmp_path, wrong):
    with pytest.raises(DataSettingsError, match=f"{next(iter(wrong))} is {next(iter(wrong.values()))}"):
        mmc_amd.write(tmp_path, **{"cases": 10, "seed": 0, **wrong})
