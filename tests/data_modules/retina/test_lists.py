"""The lists of MMC-AMD and what is wrong with them: errors name file, line and value."""

import shutil
from typing import ClassVar

import pytest

from data_modules.errors import (
    DatasetNotFoundError,
    DataSettingsError,
    ImageNotFoundError,
    TableError,
    UnreadableFileError,
    UnsafePathError,
)
from data_modules.retina import MMCAMDDataModule
from tests.data_modules.retina.trees import FOLDERS, SIZES, list_path, make_mmc_amd, plan, read_list, write_list


@pytest.fixture
def root(tmp_path):
    return make_mmc_amd(tmp_path / "mmc")


def build(root, *stages, **settings):
    data = MMCAMDDataModule(root=root, img_size=16, **settings)
    for stage in stages:
        data.setup(stage)
    return data


class TestListFiles:
    """Lists of the form cfp[ cfp...],oct[ oct...]<TAB>label."""

    FILES: ClassVar = {split: f"lists/{split}.txt" for split in SIZES}
    LABELS: ClassVar = dict(zip("hdpw", ("no_amd", "dry_amd", "pcv", "wet_amd"), strict=True))

    @pytest.fixture
    def root(self, root):
        for folder in root.glob("mmc-amd-split*"):
            shutil.rmtree(folder)
        (root / "lists").mkdir()
        for split, eyes in plan().items():
            lines = [
                f"{' '.join(files['cfp'])},{' '.join(f'{name}.jpg' for name in files['oct'])}\t{self.LABELS[eye[0]]}"
                for eye, files in eyes.items()
            ]
            (root / self.FILES[split]).write_text("\n".join(lines) + "\n")
        return root

    def change(self, root, line, text, split="train"):
        lines = (root / self.FILES[split]).read_text().splitlines()
        lines[line - 1] = text
        (root / self.FILES[split]).write_text("\n".join(lines))

    def test_the_same_cases_as_the_official_lists(self, root, tmp_path):
        listed = build(root, "fit", list_files=self.FILES)
        official = build(make_mmc_amd(tmp_path / "official"), "fit")
        for split in SIZES:
            for a, b in zip(listed.splits[split], official.splits[split], strict=True):
                assert (a.case_id, a.group_id, a.label, list(a.images)) == (
                    b.case_id,
                    b.group_id,
                    b.label,
                    list(b.images),
                )
        assert {"lists/train.txt", "lists/val.txt", "lists/test.txt"} < listed.data_hashes().keys()

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("f-h-0_7 o-h-0_12\tno_amd", "train.txt line 1: .*not of the form"),
            (",\tno_amd", "train.txt line 1: no image"),
            ("f-h-0_7,o-h-0_12\tno_md", "train.txt line 1: unknown label 'no_md'; did you mean 'no_amd'"),
        ],
    )
    def test_a_line_that_cannot_be_used(self, root, text, words):
        self.change(root, 1, text)
        with pytest.raises(TableError, match=words):
            build(root, "fit", list_files=self.FILES)

    def test_paths_with_folders_and_lines_without_label(self, root):
        self.change(root, 1, f"ImageData/{FOLDERS['cfp']}/f-h-18_7.jpg,{FOLDERS['oct']}/o-h-18_12.jpg", "test")
        data = build(root, "predict", list_files=self.FILES)
        assert data.splits["test"][0].label is None
        assert len(next(iter(data.predict_dataloader()))["case_id"]) == 6
        with pytest.raises(TableError, match=r"test.txt line 1: no label"):
            build(root, "test", list_files=self.FILES)

    @pytest.mark.parametrize(
        ("files", "words"),
        [
            ({"train": "a.txt", "val": "b.txt"}, "lacks 'test'"),
            ({**FILES, "tets": "a.txt"}, "names 'tets'; did you mean 'test'"),
            ({**FILES, "test": "../a.txt"}, "not below the root"),
        ],
    )
    def test_settings_that_cannot_work(self, files, words):
        with pytest.raises(DataSettingsError, match=words):
            MMCAMDDataModule(list_files=files)

    def test_a_path_that_leaves_the_images(self, root):
        self.change(root, 1, "../../etc/passwd.jpg,o-h-0_12\tno_amd")
        with pytest.raises(UnsafePathError, match=r"train.txt line 1.*leaves"):
            build(root, "fit", list_files=self.FILES)


class TestBadData:
    """Errors name file, line and value."""

    def test_an_id_that_names_no_file(self, root):
        (root / "ImageData" / FOLDERS["oct"] / "o-h-0_12.jpg").unlink()
        with pytest.raises(ImageNotFoundError, match=r"train/ImageSets/oct.txt line 1: no file .*o-h-0_12.jpg"):
            build(root, "fit")

    def test_labels_of_the_modalities_that_contradict(self, root):
        write_list(
            root, "train", "annotations", "cfp", ["f-h-0_7 2", *read_list(root, "train", "annotations", "cfp")[1:]]
        )
        words = r"annotations/oct.txt line 1: eye 'h-0' is normal, but .*annotations/cfp.txt line 1 says pcv"
        with pytest.raises(TableError, match=words):
            build(root, "fit")

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("f-h-0_7 4", "cfp.txt line 1: unknown label '4'; allowed are 0"),
            ("f-h-99_7 0", "cfp.txt line 1: 'f-h-99_7.jpg' is no image of the list"),
        ],
    )
    def test_a_label_that_cannot_be_used(self, root, line, words):
        write_list(root, "train", "annotations", "cfp", [line, *read_list(root, "train", "annotations", "cfp")[1:]])
        with pytest.raises(TableError, match=words):
            build(root, "fit")

    def test_labels_without_ids_are_taken_in_order(self, root):
        words = [line.split()[-1] for line in read_list(root, "train", "annotations", "cfp")]
        before = [case.label for case in build(root, "fit").splits["train"]]
        write_list(root, "train", "annotations", "cfp", words)
        assert [case.label for case in build(root, "fit").splits["train"]] == before
        write_list(root, "train", "annotations", "cfp", words[:-1])
        with pytest.raises(TableError, match=r"cfp.txt: 12 labels for the 13 images"):
            build(root, "fit")

    def test_an_image_twice(self, root):
        write_list(root, "train", "ImageSets", "cfp", ["f-h-0_7", *read_list(root, "train", "ImageSets", "cfp")])
        with pytest.raises(TableError, match=r"cfp.txt line 2: 'f-h-0_7' is in .*cfp.txt line 1 too"):
            build(root, "fit")

    def test_no_labels_to_train_on(self, root):
        list_path(root, "val", "annotations", "oct").unlink()
        with pytest.raises(DatasetNotFoundError, match=r"no mmc-amd-splitAP-val/annotations/oct.txt below"):
            build(root, "fit")

    def test_prediction_of_a_split_needs_its_image_lists_alone(self, root):
        for split in ("train", "val"):
            shutil.rmtree(root / f"mmc-amd-splitAP-{split}")
        shutil.rmtree(root / "mmc-amd-splitAP-test/annotations")
        data = build(root, "predict")
        assert [case.case_id for case in data.splits["test"]] == list(plan()["test"])
        assert all("label" not in batch for batch in data.predict_dataloader())

    def test_no_images(self, root):
        (root / "ImageData" / FOLDERS["oct"]).rename(root / "ImageData/scans")
        with pytest.raises(DatasetNotFoundError, match=r"none of the folders oct-median3x3-448x448, .*ImageData"):
            build(root, "fit")

    def test_one_folder_down(self, root):
        with pytest.raises(DatasetNotFoundError, match=f"one folder down: use root {root}"):
            build(root.parent, "fit")

    def test_a_list_far_too_large(self, root, monkeypatch):
        monkeypatch.setattr("data_modules.retina.lists.MAX_BYTES", 10)
        with pytest.raises(UnreadableFileError, match=r"larger than 10 bytes"):
            build(root, "fit")
