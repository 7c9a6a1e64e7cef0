"""MRNet as the official release has it, and from lists: what is read, what is drawn, what is refused."""

from collections import Counter

import albumentations as A
import numpy as np
import pytest
import torch

from data_modules.errors import (
    DataSettingsError,
    ImageNotFoundError,
    TableError,
    UnreadableImageError,
)
from data_modules.knee import MRNetDataModule
from data_modules.volumes import slice_positions
from tests.data_modules.contract import DataModuleContract
from tests.data_modules.knee.trees import (
    COMBINATIONS,
    LABELS,
    PLANES,
    edit_label,
    make_mrnet,
    read_labels,
    save,
    write_labels,
)


class TestMRNet(DataModuleContract):
    class_names = LABELS
    modalities = PLANES

    def make_tree(self, root):
        return make_mrnet(root)

    def build(self, root, **settings):
        return MRNetDataModule(root=root, val_size=5, **settings)

    def remove_labels(self, root):
        for file in root.glob("*.csv"):
            file.unlink()


@pytest.fixture
def root(tmp_path):
    return make_mrnet(tmp_path / "mrnet")


def build(root, *stages, **settings):
    data = MRNetDataModule(**{"root": root, "img_size": 12, "val_size": 5, **settings})
    for stage in stages:
        data.setup(stage)
    return data


def ids(cases):
    return [case.case_id for case in cases]


def test_labels_are_in_the_order_of_the_ids(root):
    data = build(root, "fit")
    labels = {case.case_id: case.label for cases in data.splits.values() for case in cases}
    assert labels == {f"{number:04}": COMBINATIONS[number % 5] for number in range(30)}


def test_the_official_valid_tests_and_train_is_cut(root):
    data = build(root, "fit")
    assert ids(data.splits["test"]) == [f"{number:04}" for number in range(20, 30)]
    assert sorted(ids(data.splits["train"] + data.splits["val"])) == [f"{number:04}" for number in range(20)]
    assert Counter(case.label for case in data.splits["val"]) == dict.fromkeys(COMBINATIONS, 1)


def test_the_validation_set_follows_split_seed_alone(root):
    first, again, other = (
        ids(build(root, "fit", split_seed=split_seed, seed=seed).splits["val"])
        for split_seed, seed in ((0, 0), (0, 1), (1, 0))
    )
    assert first == again != other


@pytest.mark.parametrize(("train", "expected"), [(1130, 120), (113, 12), (20, 2), (5, 1)])
def test_without_a_size_as_large_a_share_validates_as_in_the_paper(tmp_path, train, expected):
    for label, column in zip(LABELS, range(3), strict=True):
        values = {f"{number:04}": COMBINATIONS[number % 5][column] for number in range(train)}
        write_labels(tmp_path, "train", label, values)
    splits = MRNetDataModule(root=tmp_path).read_splits(["train", "val"], labelled=True)
    assert [len(splits[split]) for split in ("train", "val")] == [train - expected, expected]


def test_slices_are_as_stored_gray_in_three_channels(root):
    data = build(root, "test", eval_transform=[A.NoOp()], num_slices=3)
    sample = data.dataset("test")[0]
    for plane in PLANES:
        volume = np.load(root / "valid" / plane / "0020.npy")
        expected = torch.from_numpy(volume[slice_positions(len(volume), 3)]).float() / 255
        assert sample["images"][plane].shape == (3, 3, 12, 12)
        for channel in range(3):
            torch.testing.assert_close(sample["images"][plane][:, channel], expected)


def test_training_draws_slices_within_their_steps(root):
    volume = np.repeat(np.arange(20, dtype=np.uint8)[:, None, None], 12, axis=1).repeat(12, axis=2)
    data = build(root, "fit", modalities=["axial"], train_transform=[], num_slices=4)
    case = data.splits["train"][0]
    save(root, "train", "axial", case.case_id, volume)
    dataset = data.dataset("train", training=True)
    drawn = {
        tuple((dataset[0, seed]["images"]["axial"][:, 0, 0, 0] * 255).round().int().tolist()) for seed in range(50)
    }
    assert len(drawn) > 20
    assert all([position // 5 for position in positions] == [0, 1, 2, 3] for positions in drawn)
    assert {position for positions in drawn for position in positions} == set(range(20))


def test_every_slice_is_augmented_by_itself(root):
    data = build(root, "fit", modalities=["axial"], num_slices=4)
    case = data.splits["train"][0]
    ramp = np.tile(np.arange(12, dtype=np.uint8) * 20, (8, 12, 1))
    save(root, "train", "axial", case.case_id, ramp)
    images = data.dataset("train", training=True)[0, 3]["images"]["axial"]
    assert all(not torch.equal(images[0], images[i]) for i in range(1, 4))


def test_a_volume_with_too_few_slices_repeats_them_evenly(root):
    volume = np.stack([np.full((12, 12), value, np.uint8) for value in (10, 200)])
    save(root, "valid", "coronal", "0020", volume)
    images = build(root, "test").dataset("test")[0]["images"]["coronal"]
    assert (images[:, 0, 0, 0] * 255).round().int().tolist() == [10, 10, 200, 200]


def test_planes_of_other_sizes_and_numbers_of_slices_make_one_batch(root):
    save(root, "valid", "axial", "0020", np.full((40, 30, 20), 9, np.uint8))
    batch = next(iter(build(root, "test", batch_size=3).test_dataloader()))
    assert {images.shape for images in batch["images"].values()} == {(3, 4, 3, 12, 12)}
    assert all(mask.all() for mask in batch["image_mask"].values())


def test_balanced_sampling_evens_out_combinations_of_labels(root):
    for number in (1, 6, 11, 16):
        edit_label(root, "train", "acl", f"{number:04}", 1)  # as many more exams of (1, 0, 1)
    data = build(root, "fit", batch_size=1, val_size=3)
    seen = Counter(tuple(batch["label"][0].int().tolist()) for batch in data.train_dataloader())
    assert len(set(seen.values())) == 1
    assert len(seen) == len({case.label for case in data.splits["train"]}) == 4


@pytest.mark.parametrize("plane", PLANES)
def test_one_plane_needs_no_files_of_the_others(root, plane):
    for other in set(PLANES) - {plane}:
        for path in (root / "train" / other).iterdir():
            path.unlink()
    data = build(root, "fit", modalities=[plane])
    assert list(data.dataset("train")[0]["images"]) == [plane]


class TestBadData:
    def test_a_missing_volume_names_the_line(self, root):
        (root / "train/coronal/0003.npy").unlink()
        with pytest.raises(ImageNotFoundError, match=r"train-abnormal.csv line 4: no file 'train/coronal/0003.npy'"):
            build(root, "fit")
        build(root, "test")

    def test_an_absent_plane_where_allowed(self, root):
        (root / "valid/coronal/0023.npy").unlink()
        data = build(root, "test", allow_missing=True)
        assert list(data.dataset("test")[3]["images"]) == ["axial", "sagittal"]
        (batch,) = build(root, "test", allow_missing=True, batch_size=10).test_dataloader()
        assert batch["image_mask"]["coronal"].any(dim=1).tolist() == [number != 3 for number in range(10)]

    def test_an_exam_without_any_plane_is_left_out(self, root):
        for plane in PLANES:
            (root / f"valid/{plane}/0023.npy").unlink()
        data = build(root, "test", allow_missing=True)
        assert "0023" not in ids(data.splits["test"])

    def test_a_float_volume_names_file_and_line(self, root):
        save(root, "valid", "axial", "0020", np.zeros((5, 12, 12), np.float32))
        named = r"0020.npy: values are float32, not uint8.*valid-abnormal.csv line 1 names it"
        with pytest.raises(UnreadableImageError, match=named):
            build(root, "test").dataset("test")[0]

    def test_no_exam_in_two_splits(self, root):
        write_labels_of_all = {label: read_labels(root, "valid", label) for label in LABELS}
        for label, values in write_labels_of_all.items():
            write_labels(root, "valid", label, values | {"0000": 0})
        with pytest.raises(ValueError, match=r"share case '0000'"):
            build(root, "fit")

    @pytest.mark.slow
    def test_an_unreadable_volume_in_a_worker_keeps_its_message(self, root):
        for path in (root / "train/axial").iterdir():
            path.write_text("no volume")
        with pytest.raises(UnreadableImageError) as caught:
            list(build(root, "fit", num_workers=1).train_dataloader())
        assert "no .npy file; train-abnormal.csv line" in str(caught.value).strip().splitlines()[-1]


class TestPrediction:
    def test_without_tables_exams_come_from_the_folders(self, root):
        for file in root.glob("*.csv"):
            file.unlink()
        (root / "valid/axial/0021.npy").unlink()
        data = build(root, "predict", predict_split="all", allow_missing=True)
        assert ids(data.splits["all"]) == [f"{number:04}" for number in range(30)]
        assert all(case.label is None for case in data.splits["all"])
        assert list(data.dataset("all")[21]["images"]) == ["coronal", "sagittal"]
        assert set(data.data_hashes()) == {"split/all"}

    def test_the_test_split_needs_no_table_of_train(self, root):
        for file in root.glob("train-*.csv"):
            file.unlink()
        assert len(build(root, "predict").splits["test"]) == 10

    def test_the_validation_set_needs_labels_to_be_cut(self, root):
        for file in root.glob("train-*.csv"):
            file.unlink()
        with pytest.raises(FileNotFoundError, match=r"no train-abnormal.csv"):
            build(root, "predict", predict_split="val")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"modalities": ["sagital"]}, "unknown modality 'sagital'; did you mean 'sagittal'"),
        ({"num_slices": 0}, "num_slices is 0"),
        ({"val_size": 0}, "val_size is 0"),
        ({"split_seed": -1}, "split_seed is -1"),
    ],
)
def test_settings_that_cannot_work(settings, message):
    with pytest.raises(DataSettingsError, match=message):
        MRNetDataModule(**settings)


def test_a_validation_set_larger_than_train_is_refused(root):
    with pytest.raises(DataSettingsError, match="20"):
        build(root, "fit", val_size=20)


def test_folds_pool_both_official_splits(root):
    tested = [case for fold in range(3) for case in ids(build(root, "test", num_folds=3, fold=fold).splits["test"])]
    assert sorted(tested) == [f"{number:04}" for number in range(30)]


def test_prediction_without_tables_or_any_volume_of_the_plane_is_refused(root):
    for path in (*root.glob("*.csv"), *root.glob("*/axial/*.npy")):
        path.unlink()
    data = build(root, modalities=["axial"], allow_missing=True, predict_split="all")
    with pytest.raises(TableError, match=r"MRNet: no case below .* has axial, nothing to predict"):
        data.setup("predict")


def test_dropout_leaves_out_planes_in_training_alone(root):
    data = build(root, "fit", modality_dropout=0.5)
    training, plain = data.dataset("train", training=True), data.dataset("train")
    counts = {len(training[0, seed]["images"]) for seed in range(30)}
    assert counts == {1, 2, 3}
    assert all(len(plain[0, seed]["images"]) == 3 for seed in range(3))
