"""The audit of MRNet: sound copies pass, and one look finds every fault."""

import os
import pickle
import shutil

import numpy as np
import pytest

from data_modules.audit import Audit
from data_modules.errors import DatasetNotFoundError
from data_modules.knee import audit as module
from data_modules.knee.audit import OFFICIAL_POSITIVES, audit_mrnet, combination
from data_modules.synthetic import mrnet
from tests.data_modules.knee.trees import PLANES, append_line, edit_label, read_labels, save, write_labels


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    root = tmp_path_factory.mktemp("audit") / "mrnet"
    mrnet.write(root, cases=60, seed=0, img_size=32)
    return root


@pytest.fixture
def root(pristine, tmp_path):
    return shutil.copytree(pristine, tmp_path / "mrnet")


def faults(root, **settings):
    return audit_mrnet(root, **settings).by_kind("fault")


def exam_of(root, kind, split="train"):
    """An exam with a combination of labels, and the line that names it."""
    labels = zip(*(read_labels(root, split, name).items() for name in ("abnormal", "meniscus", "acl")), strict=True)
    for line, pairs in enumerate(labels, start=1):
        if tuple(int(value) for _, value in pairs) == kind:
            return pairs[0][0], line
    raise AssertionError(kind)


def test_a_look_alike_is_sound(pristine):
    audit = audit_mrnet(pristine)
    assert audit.sound
    assert audit.by_kind("quirk") == {}
    assert set(audit.by_kind("note")) == {"no patient ids", "labels", "release", "look-alike", "slices", "sizes"}


def test_exams_are_counted_by_combination_and_split(pristine):
    audit = audit_mrnet(pristine)
    assert list(audit.counts) == [
        "normal",
        "abnormal",
        "abnormal, meniscus",
        "abnormal, acl",
        "abnormal, meniscus, acl",
    ]
    assert {split: sum(row[split] for row in audit.counts.values()) for split in ("train", "valid")} == {
        "train": 45,
        "valid": 15,
    }
    abnormal = sum(int(value) for value in read_labels(pristine, "train", "abnormal").values())
    assert f"train: abnormal {abnormal}, meniscus" in audit.by_kind("note")["labels"][0]


def test_progress_sees_every_volume(pristine):
    seen = []
    audit_mrnet(pristine, track=lambda items: seen.extend(items) or items)
    assert len(seen) == 180


def test_no_table_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(DatasetNotFoundError, match="medlit data synth mrnet"):
        audit_mrnet(tmp_path)


def test_a_missing_volume(root):
    (root / "train/coronal/0004.npy").unlink()
    [message] = faults(root)["missing volume"]
    assert "train-abnormal.csv line 5: no file 'train/coronal/0004.npy'" in message
    assert "allow_missing: true" in message
    audit = audit_mrnet(root, allow_missing=True)
    assert audit.sound
    assert len(audit.by_kind("quirk")["missing plane"]) == 1


@pytest.mark.parametrize("allow_missing", [False, True])
def test_an_exam_without_a_volume(root, allow_missing):
    for plane in PLANES:
        (root / f"train/{plane}/0004.npy").unlink()
    assert set(faults(root, allow_missing=allow_missing)) == {"exam without a volume"}


def test_volumes_that_cannot_be_read(root):
    class Malicious:
        def __reduce__(self):
            return os.mkdir, (str(root / "owned"),)

    save(root, "train", "axial", "0000", np.zeros((5, 8, 8), np.float32))
    objects = np.empty((1, 1, 1), dtype=object)
    objects[0, 0, 0] = Malicious()
    np.save(root / "train/axial/0001.npy", objects, allow_pickle=True)
    (root / "train/axial/0002.npy").write_bytes(pickle.dumps(Malicious()))
    cut = root / "train/axial/0003.npy"
    cut.write_bytes(cut.read_bytes()[:-9])
    save(root, "train", "axial", "0004", np.zeros((0, 8, 8), np.uint8))
    found = faults(root)
    assert set(found) == {"unreadable volume"}
    words = ["values are float32", "Python objects", "no .npy file", "cut off", "no slice"]
    for number, (word, message) in enumerate(zip(words, found["unreadable volume"], strict=True)):
        assert word in message
        assert f"train-abnormal.csv line {number + 1}" in message
    assert not (root / "owned").exists()


def test_a_volume_of_one_gray_value(root):
    save(root, "train", "axial", "0000", np.zeros((9, 32, 32), np.uint8))
    save(root, "train", "axial", "0001", np.zeros((9, 32, 32), np.uint8))
    found = faults(root)
    assert set(found) == {"blank volume"}
    assert len(found["blank volume"]) == 2


def test_odd_numbers_and_sizes_of_slices_are_quirks(root):
    noise = np.random.default_rng(0).integers(0, 256, (40, 64, 48), dtype=np.uint8)
    save(root, "train", "axial", "0000", noise[:2, :32, :32])
    save(root, "train", "coronal", "0001", noise[:, :32, :32])
    save(root, "train", "sagittal", "0002", noise[:10])
    audit = audit_mrnet(root)
    assert audit.sound
    quirks = audit.by_kind("quirk")
    assert {kind: len(messages) for kind, messages in quirks.items()} == {
        "few slices": 1,
        "number of slices out of the ordinary": 1,
        "size of slices out of the ordinary": 1,
    }
    assert "'train/axial/0000.npy' has 2 slices, fewer than the 4" in quirks["few slices"][0]
    assert "has 40 slices" in quirks["number of slices out of the ordinary"][0]
    assert "is 48 x 64" in quirks["size of slices out of the ordinary"][0]


def test_the_same_volume_in_both_splits_is_a_leak(root):
    exam = next(iter(read_labels(root, "valid", "acl")))
    shutil.copy(root / "train/sagittal/0007.npy", root / f"valid/sagittal/{exam}.npy")
    message = faults(root)["the same volume in several splits"][0]
    assert "'train/sagittal/0007.npy' (train)" in message
    assert f"'valid/sagittal/{exam}.npy' (valid)" in message


def test_the_same_volume_in_one_split_and_for_two_planes_is_a_quirk(root):
    normal, other = exam_of(root, (0, 0, 0))[0], exam_of(root, (1, 1, 1))[0]
    shutil.copy(root / f"train/axial/{normal}.npy", root / f"train/axial/{other}.npy")
    shutil.copy(root / "train/axial/0030.npy", root / "train/coronal/0030.npy")
    audit = audit_mrnet(root)
    assert audit.sound
    quirks = audit.by_kind("quirk")
    assert set(quirks) == {
        "the same volume in several exams",
        "the same volume under several labels",
        "the same volume for several planes",
    }
    assert "validation set cut from them may share it" in quirks["the same volume in several exams"][0]
    assert "normal" in quirks["the same volume under several labels"][0]


def test_a_volume_saved_with_other_values_is_found_too(root):
    exam = next(iter(read_labels(root, "valid", "acl")))
    volume = np.load(root / "train/axial/0007.npy")
    noise = np.random.default_rng(0).integers(-2, 3, volume.shape)
    save(root, "valid", "axial", exam, np.clip(0.9 * volume + noise + 4, 0, 255).astype(np.uint8))
    assert list(faults(root)) == ["almost the same volume in several splits"]


def test_tables_that_contradict_and_lines_that_cannot_be_used(root):
    exam, line = exam_of(root, (0, 0, 0))
    edit_label(root, "train", "acl", exam, 1)
    append_line(root, "train-meniscus.csv", "x,1")
    values = read_labels(root, "valid", "acl")
    gone = next(iter(values))
    write_labels(root, "valid", "acl", {key: value for key, value in values.items() if key != gone})
    found = faults(root)
    assert set(found) == {"line of a table that cannot be used"}
    assert len(found["line of a table that cannot be used"]) == 3
    assert any(
        f"train-acl.csv line {line}: exam '{exam}' has acl 1, but abnormal 0" in one for one in found.popitem()[1]
    )
    assert audit_mrnet(root).counts["no label"] == {"train": 0, "valid": 1}


def test_an_exam_in_both_splits(root):
    for label in ("abnormal", "meniscus", "acl"):
        append_line(root, f"valid-{label}.csv", "0003,0")
    found = faults(root)
    assert "exam '0003': train-abnormal.csv line 4, valid-abnormal.csv line 16" in found["exam in both splits"][0]


def test_a_missing_and_an_unreadable_table(root):
    (root / "train-acl.csv").unlink()
    (root / "valid-acl.csv").unlink()
    (root / "valid-acl.csv").mkdir()
    found = faults(root)
    assert "no train-acl.csv below" in found["missing table"][0]
    assert "Is a directory" in found["unreadable table"][0]


def test_a_volume_that_no_table_names(root):
    shutil.copy(root / "train/axial/0000.npy", root / "train/axial/left_over.npy")
    assert audit_mrnet(root).by_kind("quirk") == {"volume that no table names": ["train/axial/left_over.npy"]}


def test_a_link_out_of_the_root(root, tmp_path):
    path = root / "train/axial/0000.npy"
    path.rename(tmp_path / "elsewhere.npy")
    path.symlink_to(tmp_path / "elsewhere.npy")
    assert "is a link that leaves" in faults(root)["path that leaves the root"][0]


def release():
    """Exams that count as in the release, but for one label."""
    exams = {}
    for split, positives in OFFICIAL_POSITIVES.items():
        total = module.OFFICIAL_EXAMS[split]
        columns = [[int(number < positives[name]) for number in range(total)] for name in module.LABELS]
        exams[split] = [
            module.Exam(f"{number:04}", split, label, "here") for number, label in enumerate(zip(*columns, strict=True))
        ]
    return exams


def test_counts_other_than_the_release_s_are_listed():
    audit = Audit("a release")
    exams = release()
    module.compare_with_release(audit, exams)
    assert audit.by_kind("note") == {"release": ["exams and labels count as in MRNet-v1.0"]}
    exams["train"][0] = module.Exam("0000", "train", (1, 1, 0), "here")
    module.compare_with_release(audit, exams)
    assert audit.by_kind("quirk") == {"counts differ from MRNet-v1.0": ["train acl: 207, MRNet-v1.0 has 208"]}


def test_words_for_labels():
    assert [combination(label) for label in mrnet.KINDS] == [
        *("normal", "abnormal", "abnormal, meniscus", "abnormal, acl", "abnormal, meniscus, acl")
    ]
