import shutil

import albumentations as A
import numpy as np
import pytest
import torch
from PIL import Image

from data_modules.errors import DataSettingsError, SplitLeakageError
from data_modules.retina import MMCAMDDataModule
from tests.data_modules.contract import DataModuleContract
from tests.data_modules.retina.trees import (
    FOLDERS,
    SIZES,
    list_path,
    make_mmc_amd,
    plan,
    read_list,
    write_list,
    write_split,
    write_split_a,
)


class TestMMCAMD(DataModuleContract):
    class_names = ("normal", "dry_amd", "pcv", "wet_amd")
    modalities = ("cfp", "oct")

    def make_tree(self, root):
        return make_mmc_amd(root)

    def build(self, root, **settings):
        return MMCAMDDataModule(root=root, **settings)

    def remove_labels(self, root):
        for folder in root.glob("mmc-amd-split*"):
            shutil.rmtree(folder)


@pytest.fixture
def root(tmp_path):
    return make_mmc_amd(tmp_path / "mmc")


def build(root, *stages, **settings):
    data = MMCAMDDataModule(root=root, img_size=16, **settings)
    for stage in stages:
        data.setup(stage)
    return data


def said(caplog, capsys):
    return caplog.text + capsys.readouterr().err


def take_out(root, split, modality, name):
    """Drop an image from its list and its labels."""
    for kind in ("ImageSets", "annotations"):
        lines = read_list(root, split, kind, modality)
        write_list(root, split, kind, modality, [line for line in lines if line.split()[0] != name])


def test_eyes_in_the_order_of_the_lists_with_sorted_images(root):
    data = build(root, "fit")
    for split, cases in data.splits.items():
        assert [case.case_id for case in cases] == list(plan()[split])
    eye = next(case for case in data.splits["train"] if len(case.images["cfp"]) == 2)
    names = [file.path.rpartition("/")[2] for file in eye.images["cfp"]]
    assert names == [f"f-{eye.case_id}.jpg", f"f-{eye.case_id}_2014.jpg"]
    assert {case.group_id for case in data.splits["train"]} >= {"ICG-1", "h-0", "3"}


def test_fellow_eyes_share_their_group(root):
    cases = {case.case_id: case for case in build(root, "fit").splits["train"]}
    assert cases["d-ICG-1-l"].group_id == cases["p-ICG-1-r"].group_id == "ICG-1"
    assert cases["d-ICG-1-l"].label != cases["p-ICG-1-r"].label


@pytest.mark.parametrize("images", ["mmc-amd/ImageData", "ImageData"])
@pytest.mark.parametrize("folders", [FOLDERS, {"cfp": "cfp-448x448", "oct": "oct"}])
def test_both_spellings_of_the_folders(tmp_path, images, folders):
    root = make_mmc_amd(tmp_path / "mmc", images=images)
    for modality, folder in FOLDERS.items():
        (root / images / folder).rename(root / images / folders[modality])
    sample = build(root, "fit").dataset("train")[0]
    assert sample["images"]["oct"].shape == (1, 3, 16, 16)


def test_images_may_be_linked_as_the_release_advises(root, tmp_path):
    (root / "ImageData").rename(tmp_path / "elsewhere")
    (root / "ImageData").symlink_to(tmp_path / "elsewhere")
    assert len(build(root, "fit").dataset("train")[0]["images"]) == 2


def test_splits_in_a_folder_of_their_own(root):
    (root / "mmc-amd-splitAP").mkdir()
    for split in SIZES:
        (root / f"mmc-amd-splitAP-{split}").rename(root / f"mmc-amd-splitAP/mmc-amd-splitAP-{split}")
    assert {split: len(cases) for split, cases in build(root, "fit").splits.items()} == SIZES


def test_evaluation_takes_the_first_image_and_training_any(root):
    data = build(root, "fit", eval_transform=[A.NoOp()], train_transform=[A.NoOp()])
    row, eye = next((i, case) for i, case in enumerate(data.splits["train"]) if len(case.images["oct"]) == 3)
    scans = [
        torch.from_numpy(np.array(Image.open(root / "ImageData" / file.path)).transpose(2, 0, 1) / np.float32(255))
        for file in eye.images["oct"]
    ]
    assert torch.equal(data.dataset("train")[row]["images"]["oct"][0], scans[0])
    training = data.dataset("train", training=True)
    drawn = [training[row, seed]["images"]["oct"] for seed in range(20)]
    assert all(len(images) == 1 for images in drawn)
    assert all(any(torch.equal(images[0], scan) for images in drawn) for scan in scans)
    assert torch.equal(training[row, 5]["images"]["oct"], drawn[5])


@pytest.mark.parametrize("training", [False, True])
def test_all_images_of_an_eye(root, training):
    data = build(root, "fit", images_per_case="all")
    counts = [len(data.dataset("train", training=training)[i]["images"]["oct"]) for i in range(SIZES["train"])]
    assert counts == [len(files["oct"]) for files in plan()["train"].values()]
    batch = next(iter(data.test_dataloader()))
    assert batch["image_mask"]["oct"].sum(1).tolist() == [len(files["oct"]) for files in plan()["test"].values()]


class TestMissing:
    """Eyes with one modality alone: left out and counted, or kept."""

    @pytest.fixture
    def root(self, root):
        take_out(root, "train", "cfp", "f-h-0_7")
        take_out(root, "train", "oct", "o-h-4_12")
        take_out(root, "train", "oct", "o-h-4_40")
        return root

    @pytest.mark.parametrize("modalities", [["cfp", "oct"], ["cfp"]])
    def test_left_out_whatever_the_modalities(self, root, modalities, caplog, capsys):
        data = build(root, "fit", modalities=modalities)
        ids = {case.case_id for case in data.splits["train"]}
        assert len(ids) == 10
        assert not {"h-0", "h-4"} & ids
        assert "2 of 24 eyes lack cfp or oct and are left out" in said(caplog, capsys)

    def test_kept_where_one_may_be_missing(self, root):
        data = build(root, "fit", allow_missing=True)
        cases = {case.case_id: case for case in data.splits["train"]}
        assert len(cases) == 12
        assert list(cases["h-0"].images) == ["oct"]
        assert list(cases["h-4"].images) == ["cfp"]
        assert len(data.dataset("train")[0]["images"]) in (1, 2)

    def test_one_modality_alone_needs_no_list_of_the_other(self, root):
        for split in SIZES:
            for kind in ("ImageSets", "annotations"):
                list_path(root, split, kind, "oct").unlink()
        shutil.rmtree(root / "ImageData" / FOLDERS["oct"])
        assert len(build(root, "fit", modalities=["cfp"], allow_missing=True).splits["train"]) == 11

    def test_prediction_of_all_images_in_the_folders(self, root):
        for folder in root.glob("mmc-amd-split*"):
            shutil.rmtree(folder)
        (root / "ImageData" / FOLDERS["cfp"] / "f-h-0_7.jpg").unlink()
        ids = [case.case_id for case in build(root, "predict", predict_split="all").splits["all"]]
        assert len(ids) == 23
        assert len(build(root, "predict", predict_split="all", allow_missing=True).splits["all"]) == 24
        assert len(build(root, "predict", predict_split="all", modalities=["oct"]).splits["all"]) == 24


class TestSplitA:
    """Fellow eyes in different splits: refused unless allowed by hand."""

    @pytest.fixture
    def root(self, root):
        write_split_a(root)
        return root

    def test_refused_before_anything_is_read(self, tmp_path):
        with pytest.raises(SplitLeakageError, match=r"split A .*allow_patient_leakage: true"):
            build(tmp_path / "nowhere", split="A")

    def test_allowed_and_counted(self, root, caplog, capsys):
        data = build(root, "fit", split="A", allow_patient_leakage=True)
        assert len(data.splits["test"]) == 9
        assert "eyes of 3 of 19 patients are in several splits" in said(caplog, capsys)

    def test_folds_keep_patients_whole(self, root):
        data = build(root, "fit", split="A", num_folds=3, fold=0)
        patients = [{case.group_id for case in cases} for cases in data.splits.values()]
        assert sum(map(len, patients)) == len(set().union(*patients)) == 19

    def test_split_ap_with_a_shared_patient_is_refused(self, root):
        eyes = plan()["test"] | {"w-ICG-1": plan()["train"]["p-ICG-1-r"]}
        eyes["w-ICG-1"] = {"cfp": ["f-w-ICG-1"], "oct": ["o-w-ICG-1"]}
        write_split(root, "test", eyes)
        with pytest.raises(SplitLeakageError, match=r"splitAP-train and mmc-amd-splitAP-test share group 'ICG-1'"):
            build(root, "fit")


def test_which_folder_is_read_where_both_are_there(root, caplog, capsys):
    shutil.copytree(root / "ImageData" / FOLDERS["oct"], root / "ImageData/oct")
    build(root, "fit")
    assert "oct is read from oct-median3x3-448x448, not from oct" in said(caplog, capsys)


@pytest.mark.parametrize("wrong", [{"split": "B"}, {"images_per_case": "two"}])
def test_words_that_are_not_known_are_refused(tmp_path, wrong):
    [(setting, value)] = wrong.items()
    with pytest.raises(DataSettingsError, match=f"MMC-AMD: unknown {setting} '{value}'"):
        build(tmp_path / "nowhere", **wrong)
