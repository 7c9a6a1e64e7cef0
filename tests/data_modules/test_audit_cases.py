"""What the audit says of cases: groups in several splits, contradicting labels, re-encoded pictures, telling names."""

import shutil

import cv2
import pytest

from data_modules.audit import Audit
from data_modules.audit_cases import Claim, note_label_conflicts, note_shared_groups, note_telling_names
from data_modules.cases import Case, ImageFile
from data_modules.skin.audit import audit_derm7pt
from data_modules.synthetic import derm7pt
from tests.data_modules.trees import edit_meta, read_indexes, read_meta


def case(case_id, group_id, path="a.jpg"):
    images = {"cfp": (ImageFile(path, f"table line {case_id}"),)}
    return Case(case_id=case_id, group_id=group_id, images=images, label=None, where=f"table line {case_id}")


def test_a_group_in_two_splits_is_a_fault_that_names_both_places():
    audit = Audit("set")
    cases = [case("1", "a"), case("2", "a"), case("3", "b"), case("4", "b"), case("5", "a")]
    note_shared_groups(audit, cases, split_of={"1": "train", "2": "test", "3": "val", "4": "val"}, kind="patient")
    assert audit.by_kind("fault") == {
        "patient in several splits": ["patient 'a': table line 1 (train); table line 2 (test)"]
    }


def test_labels_that_contradict():
    audit = Audit("set")
    claims = [Claim("1", "wet", "a line 1"), Claim("2", "dry", "a line 2"), Claim("1", "wet", "b line 1")]
    note_label_conflicts(audit, claims)
    assert audit.sound
    note_label_conflicts(audit, [*claims, Claim("1", "dry", "b line 3")])
    assert audit.by_kind("fault") == {"labels that contradict each other": ["'1' is wet in a line 1, dry in b line 3"]}


def test_names_of_unlabelled_cases_are_left_out():
    audit = Audit("set")
    cases = [case(str(i), str(i), f"{'hw'[i % 2]}-{i}.jpg") for i in range(60)]
    note_telling_names(audit, cases, class_of={str(i): ("healthy", "wet")[i % 2] for i in range(40)})
    messages = audit.by_kind("quirk")["name that gives the class away"]
    assert [message.split(" cases")[0] for message in messages] == [
        "'h' of the name: 20 of the 20",
        "'w' of the name: 20 of the 20",
    ]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    root = tmp_path_factory.mktemp("audit") / "derm7pt"
    derm7pt.write(root, cases=50, seed=1, img_size=96)
    return root


@pytest.fixture
def root(pristine, tmp_path):
    return shutil.copytree(pristine, tmp_path / "derm7pt")


def copy_saved_anew(root, source, target, *, scale):
    """The dermoscopic photograph of one row as that of another, as another JPEG of another size."""
    paths = [root / "images" / str(read_meta(root)[row]["derm"]) for row in (source, target)]
    picture = cv2.imread(str(paths[0]))
    cv2.imwrite(str(paths[1]), cv2.resize(picture, None, fx=scale, fy=scale), [cv2.IMWRITE_JPEG_QUALITY, 85])


@pytest.mark.parametrize("scale", [1, 1.2])
def test_a_photograph_saved_anew_in_another_split_is_a_fault(root, scale):
    train, test = read_indexes(root, "train")[5], read_indexes(root, "test")[5]
    copy_saved_anew(root, train, test, scale=scale)
    (message,) = audit_derm7pt(root).by_kind("fault")["almost the same picture in several splits"]
    assert f"(row {train}), column derm" in message
    assert f"(row {test}), column derm" in message


def test_within_a_split_it_is_a_quirk_and_two_labels_are_told(root):
    first, second = read_indexes(root, "train")[5:7]
    copy_saved_anew(root, first, second, scale=1)
    for row, diagnosis in ((first, "melanoma"), (second, "lentigo")):
        edit_meta(root, row, diagnosis=diagnosis)
    audit = audit_derm7pt(root)
    assert audit.sound
    assert len(audit.by_kind("quirk")["almost the same picture in several cases"]) == 1
    (message,) = audit.by_kind("quirk")["almost the same picture under several labels"]
    assert "MEL" in message
    assert "MISC" in message


def test_the_look_alikes_names_give_nothing_away(pristine):
    assert "name that gives the class away" not in audit_derm7pt(pristine).by_kind("quirk")


def test_names_with_the_class_in_them(root):
    for row, cells in enumerate(read_meta(root)):
        old = str(cells["derm"])
        new = f"{str(cells['diagnosis']).split()[0]}_{row}.jpg"
        source = next(path for path in (root / "images").rglob("*") if path.name == old.split("/")[-1])
        shutil.copy(source, root / "images" / new)
        edit_meta(root, row, derm=new)
    messages = audit_derm7pt(root, target="diagnosis_20").by_kind("quirk")["name that gives the class away"]
    assert any("'basal' of the name" in message and "basal cell carcinoma" in message for message in messages)
