import csv

import albumentations as A
import numpy as np
import pytest
import torch
from PIL import Image

from data_modules.errors import (
    DataSettingsError,
    ImageNotFoundError,
    SplitLeakageError,
    TableError,
    UnreadableImageError,
    UnsafePathError,
)
from data_modules.skin import Derm7ptDataModule
from tests.data_modules.contract import DataModuleContract
from tests.data_modules.trees import edit_meta, make_derm7pt, read_indexes, read_meta, write_indexes, write_meta


class TestDerm7pt(DataModuleContract):
    class_names = ("BCC", "NEV", "MEL", "SK", "MISC")
    modalities = ("clinic", "derm")

    def make_tree(self, root):
        return make_derm7pt(root)

    def build(self, root, **settings):
        return Derm7ptDataModule(root=root, **settings)

    def remove_labels(self, root):
        rows = read_meta(root)
        write_meta(root, rows, columns=["case_num", "clinic", "derm"])
        for file in root.glob("meta/*_indexes.csv"):
            file.unlink()


class TestDerm7ptWithVariables(TestDerm7pt):
    test_workers_do_not_change_samples = None  # the tables' tests start them, with variables
    modalities = ("derm", "variables")

    def build(self, root, **settings):
        return Derm7ptDataModule(root=root, modalities=self.modalities, **settings)

    def remove_labels(self, root):
        super().remove_labels(root)
        variables = {"sex": "male", "location": "back", "elevation": ""}
        rows = [row | variables for row in read_meta(root)]
        write_meta(root, rows, columns=["case_num", "derm", *variables])


@pytest.fixture
def root(tmp_path):
    return make_derm7pt(tmp_path / "derm7pt")


def build(root, *stages, **settings):
    data = Derm7ptDataModule(root=root, img_size=16, **settings)
    for stage in stages:
        data.setup(stage)
    return data


def first_row(root, split="train"):
    return read_indexes(root, split)[0]


def test_reads_the_picture_that_the_table_names(root):
    data = build(root, "test", eval_transform=[A.CenterCrop(16, 16)])
    row = first_row(root, "test")
    path = root / "images" / read_meta(root)[row]["derm"]
    expected = np.asarray(Image.open(path), dtype=np.float32)[:, 4:20].transpose(2, 0, 1) / 255
    sample = data.dataset("test")[0]
    assert sample["case_id"] == str(row + 1)
    torch.testing.assert_close(sample["images"]["derm"][0], torch.from_numpy(expected))


def test_one_modality_needs_no_column_and_no_picture_of_the_other(root):
    rows = read_meta(root)
    write_meta(root, rows, columns=["case_num", "diagnosis", "derm"])
    data = build(root, "fit", modalities=["derm"])
    assert list(data.dataset("train")[0]["images"]) == ["derm"]


def test_augmentation_of_a_modality_does_not_depend_on_the_others(root):
    both, alone = build(root, "fit"), build(root, "fit", modalities=["derm"])
    request = (2, 77)
    a, b = (data.dataset("train", training=True)[request]["images"]["derm"] for data in (both, alone))
    assert torch.equal(a, b)
    a, b = both.dataset("train", training=True)[request]["images"].values()
    assert not torch.equal(a, b)


@pytest.mark.parametrize(
    ("target", "classes"),
    [
        ("diagnosis", 5),
        ("diagnosis_20", 20),
        ("pigment_network", 3),
        ("streaks", 3),
        ("pigmentation", 3),
        ("regression_structures", 2),
        ("dots_and_globules", 3),
        ("blue_whitish_veil", 2),
        ("vascular_structures", 3),
    ],
)
def test_every_target_trains(root, target, classes):
    data = build(root, "fit", target=target)
    assert data.num_classes == classes
    assert sum(data.class_counts.values()) == len(data.splits["train"])
    assert all(0 <= batch["label"].min() <= batch["label"].max() < classes for batch in data.train_dataloader())


def test_balanced_epoch_has_even_classes(root):
    data = build(root, "fit", batch_size=1)
    labels = [int(batch["label"]) for batch in data.train_dataloader()]
    present = {name: count for name, count in data.class_counts.items() if count}
    assert set(np.bincount(labels)) - {0} == {max(present.values())}
    assert len(labels) == len(present) * max(present.values())
    plain = build(root, "fit", batch_size=1, balanced_sampling=False)
    assert len(plain.train_dataloader()) == len(plain.splits["train"])


def test_class_weights_even_out_the_classes(root):
    data = build(root, "fit")
    counts = torch.tensor(list(data.class_counts.values()))
    products = (data.class_weights * counts)[counts > 0]
    torch.testing.assert_close(products, torch.full_like(products, len(data.splits["train"]) / 5))


def test_hashes_follow_the_data(root):
    before = build(root, "fit").data_hashes()
    write_indexes(root, train=read_indexes(root, "train")[::-1])
    after = build(root, "fit").data_hashes()
    assert {name for name in before if before[name] != after[name]} == {"meta/train_indexes.csv", "split/train"}


def test_another_stage_keeps_what_is_read(root):
    data = build(root, "fit", "test")
    assert len(data.dataset("train")[0]["images"]) == 2


def test_paths_are_found_without_regard_to_case(root):
    row = first_row(root)
    path = str(read_meta(root)[row]["derm"])
    edit_meta(root, row, derm=path.swapcase())
    assert build(root, "fit").dataset("train")[0]["images"]["derm"].shape == (1, 3, 16, 16)


def test_one_file_for_both_modalities_is_taken_as_it_comes(root):
    row = first_row(root)
    edit_meta(root, row, clinic=str(read_meta(root)[row]["derm"]))
    clinic, derm = build(root, "fit").dataset("train")[0]["images"].values()
    assert torch.equal(clinic, derm)


def test_rows_in_no_split_are_counted(root, caplog, capsys):
    write_indexes(root, train=read_indexes(root, "train")[:-2])
    build(root, "fit")
    assert "2 of 24 rows are in no split" in caplog.text + capsys.readouterr().err


def test_labels_may_be_partly_unknown_in_prediction(root):
    rows = read_indexes(root, "test")
    edit_meta(root, rows[1], diagnosis="")
    data = build(root, "predict")
    (batch,) = data.predict_dataloader()
    assert batch["label"][1] == -1
    assert (batch["label"] != -1).sum() == len(rows) - 1


class TestBadData:
    """Errors name file, line, column and value, and come from setup where that is cheap."""

    def test_missing_index_file(self, root):
        (root / "meta/valid_indexes.csv").unlink()
        with pytest.raises(FileNotFoundError, match=r"no meta/valid_indexes.csv below .*derm7pt"):
            build(root, "fit")
        build(root, "predict", predict_split="all")

    def test_missing_image_is_named_and_all_are_counted(self, root):
        rows = read_indexes(root, "train")[:2]
        for row in rows:
            (root / "images" / str(read_meta(root)[row]["derm"])).unlink()
        named = rf"meta/meta.csv line {rows[0] + 2} \(row {rows[0]}\), column derm: no file 'NlL/.*\(2 missing"
        with pytest.raises(ImageNotFoundError, match=named):
            build(root, "fit")
        build(root, "test")

    def test_missing_image_of_the_test_split_is_found_before_training(self, root):
        row = first_row(root, "test")
        (root / "images" / str(read_meta(root)[row]["derm"])).unlink()
        with pytest.raises(ImageNotFoundError, match=rf"\(row {row}\), column derm: no file"):
            build(root, "fit")
        build(root, "validate")

    def test_path_that_leaves_the_root(self, root):
        row = first_row(root)
        edit_meta(root, row, clinic="../../etc/passwd")
        with pytest.raises(UnsafePathError, match=rf"line {row + 2} .*column clinic.*'\.\./\.\./etc/passwd'"):
            build(root, "fit")

    @pytest.mark.parametrize("content", [b"no picture at all\n", b""])
    def test_text_named_jpg(self, root, content):
        row = first_row(root)
        (root / "images" / str(read_meta(root)[row]["derm"])).write_bytes(content)
        with pytest.raises(
            UnreadableImageError, match=rf"\.jpg: not a picture; meta/meta.csv line {row + 2} .*column derm"
        ):
            build(root, "fit").dataset("train")[0]

    def test_truncated_jpeg(self, root):
        row = first_row(root)
        path = root / "images" / str(read_meta(root)[row]["derm"])
        path.write_bytes(path.read_bytes()[:-40])
        with pytest.raises(UnreadableImageError, match=rf"\.jpg: .*truncated.*line {row + 2} ") as caught:
            build(root, "fit").dataset("train")[0]
        assert "\n" not in str(caught.value)

    @pytest.mark.slow
    def test_unreadable_image_in_a_worker_keeps_its_message(self, root):
        for path in (root / "images/NlL").iterdir():
            path.write_text("no picture")
        with pytest.raises(UnreadableImageError) as caught:
            list(build(root, "fit", num_workers=1).train_dataloader())
        assert "not a picture; meta/meta.csv line" in str(caught.value).strip().splitlines()[-1]

    def test_no_label_in_a_training_split(self, root):
        row = first_row(root)
        edit_meta(root, row, diagnosis="")
        with pytest.raises(TableError, match=rf"line {row + 2} .*column diagnosis: no label"):
            build(root, "fit")

    def test_empty_split(self, root):
        write_indexes(root, valid=[])
        with pytest.raises(TableError, match=r"valid_indexes.csv: no case in it"):
            build(root, "fit")

    def test_case_in_two_splits(self, root):
        write_indexes(root, test=[*read_indexes(root, "test"), first_row(root)])
        with pytest.raises(
            SplitLeakageError, match=rf"test_indexes.csv line .*: {first_row(root)} is in meta/train_ind"
        ):
            build(root, "fit")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": "diagnosys"}, "did you mean 'diagnosis'"),
        ({"modalities": ["dermo"]}, "unknown modality 'dermo'; did you mean 'derm'"),
        ({"modalities": []}, "name one or more"),
        ({"modalities": ["derm", "derm"]}, "each once"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"num_workers": -1}, "num_workers is -1"),
    ],
)
def test_settings_that_cannot_work(settings, message):
    with pytest.raises(DataSettingsError, match=message):
        Derm7ptDataModule(**settings)


def test_a_split_that_is_not_read_is_refused(root):
    with pytest.raises(DataSettingsError, match=r"setup\(\"fit\"\)"):
        build(root).dataset("train")


def test_prediction_of_a_split_needs_its_index_file_alone(root):
    rows = read_indexes(root, "test")
    for name in ("train", "valid"):
        (root / f"meta/{name}_indexes.csv").unlink()
    data = build(root, "predict")
    assert [case.case_id for case in data.splits["test"]] == [str(row + 1) for row in rows]


@pytest.mark.parametrize(("stage", "split"), [("fit", "test"), ("predict", "all")])
def test_a_look_alike_says_so(root, stage, split, caplog, capsys):
    assert not build(root, stage, predict_split=split).synthetic
    assert "look-alike" not in caplog.text + capsys.readouterr().err
    (root / "synthetic.json").write_text("{}")
    data = build(root, predict_split=split)
    assert not data.synthetic
    data.setup(stage)
    assert data.synthetic
    words = "Derm7pt: look-alike set, drawn by medlit: figures say nothing about medicine"
    assert words in caplog.text + capsys.readouterr().err


def test_official_columns_with_spaces_and_other_encodings(root):
    rows = read_meta(root)
    rows[0]["notes"] = "na\u00efve"
    with (root / "meta/meta.csv").open("w", newline="", encoding="latin-1") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    assert sum(build(root, "fit").class_counts.values()) == len(read_indexes(root, "train"))
