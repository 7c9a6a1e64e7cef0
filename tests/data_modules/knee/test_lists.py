"""Lists of exams in place of the official tables."""

from pathlib import Path

import pytest
import torch
import yaml

from data_modules.errors import DataSettingsError, TableError
from data_modules.knee import MRNetDataModule
from tests.data_modules.knee.trees import make_mrnet, official_name


@pytest.fixture
def root(tmp_path):
    return make_mrnet(tmp_path / "mrnet")


def build(root, *stages, **settings):
    data = MRNetDataModule(root=root, img_size=12, **settings)
    for stage in stages:
        data.setup(stage)
    return data


def ids(cases):
    return [case.case_id for case in cases]


def write_list(root, name, lines):
    (root / name).write_text("".join(f"{line}\n" for line in lines))
    return name


@pytest.fixture
def lists(root):
    return {
        "train": write_list(
            root,
            "lists-train.txt",
            [
                official_name("train", "0000") + "\t",
                official_name("train", "0001") + "\tabnormal",
                official_name("train", "0004") + "\tabnormal,acl,meniscus",
            ],
        ),
        "val": write_list(root, "lists-val.txt", [official_name("train", "0002") + "\tabnormal,meniscus"]),
        "test": write_list(root, "lists-test.txt", [official_name("valid", "0023") + "\tabnormal,acl"]),
    }


def test_lists_are_read_in_place_of_the_tables(root, lists):
    expected = build(root, "test").dataset("test")[3]
    assert expected["case_id"] == "0023"
    for file in root.glob("*.csv"):
        file.unlink()
    data = build(root, "fit", list_files=lists)
    assert {split: {case.case_id: case.label for case in cases} for split, cases in data.splits.items()} == {
        "train": {"0000": (0, 0, 0), "0001": (1, 0, 0), "0004": (1, 1, 1)},
        "val": {"0002": (1, 1, 0)},
        "test": {"0023": (1, 0, 1)},
    }
    assert set(data.data_hashes()) == {*lists.values(), "split/train", "split/val", "split/test"}
    torch.testing.assert_close(data.dataset("test")[0]["images"], expected["images"])


def test_predict_takes_exams_without_a_label(root, lists):
    write_list(root, lists["test"], [official_name("valid", "0023")])
    data = build(root, "predict", list_files={"test": lists["test"]})
    assert "label" not in next(iter(data.predict_dataloader()))
    with pytest.raises(TableError, match=r"lists-test.txt line 1: no label"):
        build(root, "test", list_files=lists)


def test_all_of_them_are_predicted(root, lists):
    data = build(root, "predict", list_files=lists, predict_split="all")
    assert ids(data.splits["all"]) == ["0000", "0001", "0004", "0002", "0023"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "train/axial/0000.npy\tabnormal",
            r"lists-val.txt line 1: 1 volumes where three are named, as in axial.npy",
        ),
        (official_name("train", "0005") + "\tabnormal,acll", r"line 1: unknown label 'acll'; did you mean 'acl'"),
        (official_name("train", "0005") + "\tacl", r"line 1: acl without abnormal"),
        ("train/axial/0005.npy,,train/sagittal/0005.npy\t", r"line 1: no coronal volume; .*allow_missing: true"),
        (",,\t", r"line 1: no axial volume"),
    ],
)
def test_lines_that_cannot_be_used(root, lists, line, message):
    write_list(root, lists["val"], [line])
    with pytest.raises(TableError, match=message):
        build(root, "fit", list_files=lists)


def test_an_exam_twice(root, lists):
    write_list(root, lists["val"], [official_name("train", "0005") + "\t"] * 2)
    with pytest.raises(TableError, match=r"line 2: exam '0005' is in lists-val.txt line 1 too"):
        build(root, "fit", list_files=lists)


def test_an_empty_plane_is_an_absence_where_allowed(root, lists):
    write_list(root, lists["test"], ["valid/axial/0023.npy,,valid/sagittal/0023.npy\tabnormal"])
    data = build(root, "test", list_files=lists, allow_missing=True)
    assert list(data.dataset("test")[0]["images"]) == ["axial", "sagittal"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"valid": "a.txt"}, "unknown split 'valid'; did you mean 'val'"),
        ({}, "list_files is empty"),
        ({"train": "../a.txt"}, "has to be a path below the root"),
        ({"train": "/etc/passwd"}, "has to be a path below the root"),
    ],
)
def test_settings_that_cannot_work(settings, message):
    with pytest.raises(DataSettingsError, match=message):
        MRNetDataModule(list_files=settings)


def test_a_split_without_a_list(root, lists):
    del lists["val"]
    with pytest.raises(DataSettingsError, match="list_files names no list for val"):
        build(root, "fit", list_files=lists)


def test_a_missing_list(root, lists):
    with pytest.raises(FileNotFoundError, match=r"no gone.txt below .*; correct list_files"):
        build(root, "fit", list_files={**lists, "val": "gone.txt"})


def test_the_documented_configuration_is_one():
    text = (Path(__file__).parents[3] / "docs/datasets/mrnet.md").read_text()
    config = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])["data"]
    assert config["class_path"] == "data_modules.knee.MRNetDataModule"
    assert MRNetDataModule(**config["init_args"]).list_files == config["init_args"]["list_files"]
