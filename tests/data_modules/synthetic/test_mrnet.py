"""The look-alike of MRNet: official layout, the same bytes every time, labels that need several planes."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from data_modules.errors import DataSettingsError
from data_modules.knee.tables import PLANES, files_on_disk, read_exams, volume_path
from data_modules.synthetic import mrnet
from data_modules.synthetic.knee_pictures import PLACES, TISSUES, draw_volume
from data_modules.volumes import open_volume


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("synthetic") / "mrnet"
    mrnet.write(root, cases=40, seed=3, img_size=24)
    return root


@pytest.fixture(scope="module")
def plan():
    return mrnet.plan_exams(2000, np.random.default_rng(0))


def test_the_same_arguments_give_the_same_bytes(tree, tmp_path):
    mrnet.write(tmp_path / "again", cases=40, seed=3, img_size=24)
    assert contents(tmp_path / "again") == contents(tree)


def test_another_seed_gives_another_tree(tree, tmp_path):
    mrnet.write(tmp_path / "other", cases=40, seed=4, img_size=24)
    other = contents(tmp_path / "other")
    assert other["train-acl.csv"] != (tree / "train-acl.csv").read_bytes()
    assert other["train/axial/0000.npy"] != (tree / "train/axial/0000.npy").read_bytes()


def test_the_reader_of_the_release_takes_it(tree):
    exams = {split: read_exams(tree, split) for split in ("train", "valid")}
    assert {split: len(own) for split, own in exams.items()} == {"train": 30, "valid": 10}
    for split, own in exams.items():
        found = files_on_disk(tree, split)
        assert all(found[plane] == [exam.exam_id for exam in own] for plane in PLANES)
        for exam in own:
            for plane in PLANES:
                volume = open_volume(tree / volume_path(split, plane, exam.exam_id))
                fewest, most = mrnet.SLICES[plane]
                assert volume.shape[1:] == (24, 24)
                assert fewest <= len(volume) <= most


def test_tears_are_abnormal_and_every_combination_is_in_both_splits(tree):
    for split in ("train", "valid"):
        assert {exam.label for exam in read_exams(tree, split)} == set(mrnet.KINDS)


def test_prevalences(plan):
    labels = np.array([exam.label for exam in plan])
    np.testing.assert_allclose(labels.mean(0), [0.64, 0.32, 0.32], atol=0.01)


@pytest.mark.parametrize("plane", PLANES)
def test_one_plane_tells_the_kind_in_part(plan, plane):
    """Its own place in 40 % of the exams; the other kinds share the rest evenly."""
    pairs = Counter((exam.kind, exam.places[plane]) for exam in plan)
    for kind in range(5):
        exams = sum(pairs[kind, place] for place in range(5))
        shares = [pairs[kind, place] / exams for place in range(5)]
        assert shares.pop(kind) == pytest.approx(0.4, abs=0.02)
        assert shares == pytest.approx([0.15] * 4, abs=0.03)


@pytest.mark.parametrize("planes", [("axial", "coronal"), ("axial", "sagittal"), ("coronal", "sagittal")])
def test_any_two_planes_tell_the_kind(plan, planes):
    kinds: dict[tuple[int, ...], set[int]] = {}
    for exam in plan:
        kinds.setdefault(tuple(exam.places[plane] for plane in planes), set()).add(exam.kind)
    assert len(kinds) == 25
    assert all(len(of_pair) == 1 for of_pair in kinds.values())


def test_where_planes_disagree_no_place_is_the_kind_s(plan):
    different = [exam for exam in plan if len(set(exam.places.values())) > 1]
    assert len(different) == pytest.approx(0.6 * len(plan), abs=20)
    for exam in different:
        assert len({*exam.places.values(), exam.kind}) == 4


@pytest.mark.parametrize("plane", PLANES)
def test_every_slice_shows_where_the_fluid_is(plane):
    """Against the mean drawing of each place, the nearest is its own: in any slice, mirrored or not."""
    draws = [
        [draw_volume(plane, place, slices=9, size=24, rng=np.random.default_rng([place, i])) for i in range(6)]
        for place in range(len(PLACES))
    ]
    means = np.stack([np.mean([volume[4] for volume in own], axis=0) for own in draws])
    for place in range(len(PLACES)):
        other = draw_volume(plane, place, slices=9, size=24, rng=np.random.default_rng([place, 99]))
        for picture in other:
            for view in (picture, picture[:, ::-1]):
                details = [
                    np.corrcoef((view - means.mean(0)).ravel(), (mean - means.mean(0)).ravel())[0, 1] for mean in means
                ]
                assert int(np.argmax(details)) == place


def test_planes_differ_in_contrast():
    fluid = {plane: TISSUES[plane]["fluid"] - TISSUES[plane]["bone"] for plane in PLANES}
    assert fluid["axial"] > 0
    assert fluid["sagittal"] > 0
    assert fluid["coronal"] < 0


def test_slices_of_a_volume_differ():
    volume = draw_volume("axial", 0, slices=9, size=48, rng=np.random.default_rng(0))
    bright = (volume > 60).sum(axis=(1, 2))
    assert bright[4] > 1.1 * max(bright[0], bright[8])


def test_its_own_folder_is_replaced_and_others_are_left_alone(tmp_path):
    mrnet.write(tmp_path / "set", cases=12, seed=0, img_size=16)
    mrnet.write(tmp_path / "set", cases=10, seed=1, img_size=16)
    mrnet.write(tmp_path / "fresh", cases=10, seed=1, img_size=16)
    assert contents(tmp_path / "set") == contents(tmp_path / "fresh")
    (tmp_path / "set/thesis.txt").write_text("years of work")
    with pytest.raises(DataSettingsError, match=r"thesis\.txt is not of a look-alike"):
        mrnet.write(tmp_path / "set", cases=10, seed=0)


@pytest.mark.parametrize("wrong", [{"cases": 9}, {"seed": -1}, {"img_size": 15}])
def test_numbers_that_are_too_small_are_named(tmp_path, wrong):
    with pytest.raises(DataSettingsError, match=f"{next(iter(wrong))} is {next(iter(wrong.values()))}"):
        mrnet.write(tmp_path, **{"cases": 10, "seed": 0, **wrong})
