import pytest

from data_modules.errors import DatasetNotFoundError, TableError, UnreadableFileError
from data_modules.knee.tables import Exam, read_exams, scan_exams
from tests.data_modules.knee.trees import COMBINATIONS, append_line, edit_label, make_mrnet, read_labels, write_labels


@pytest.fixture
def root(tmp_path):
    return make_mrnet(tmp_path, train=6, valid=2, side=2)


def test_exams_are_what_the_tables_say(root):
    assert read_exams(root, "train") == [
        Exam(f"{n:04}", "train", COMBINATIONS[n % 5], f"train-abnormal.csv line {n + 1}") for n in range(6)
    ]
    assert [exam.exam_id for exam in read_exams(root, "valid")] == ["0006", "0007"]


def test_tables_may_be_in_different_orders(root):
    values = read_labels(root, "train", "acl")
    write_labels(root, "train", "acl", dict(reversed(values.items())))
    assert [exam.label for exam in read_exams(root, "train")] == [COMBINATIONS[n % 5] for n in range(6)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("7,0", r"train-acl.csv line 7: '7' is no exam of MRNet: ids have leading zeros.*spreadsheet"),
        ("id,acl", r"train-acl.csv line 7: 'id' is no exam.*no header"),
        ("../../etc/passwd,0", r"train-acl.csv line 7: '../../etc/passwd' is no exam"),
        ("\u0660\u0660\u0660\u0667,0", "is no exam"),
        ("0007", r"line 7: '0007' is not an exam and its label, as in '0000,1'"),
        ("0007,0,1", "is not an exam and its label"),
        ("0007,2", r"line 7: the label of exam '0007' is '2'; allowed are '0' and '1'"),
        ("0007,", r"the label of exam '0007' is ''"),
        ("0007,1.0", r"the label of exam '0007' is '1.0'"),
        ("0002,0", r"line 7: exam '0002' is on line 3 too"),
    ],
)
def test_lines_that_cannot_be_used(root, line, message):
    append_line(root, "train-acl.csv", line)
    with pytest.raises(TableError, match=message):
        read_exams(root, "train")


@pytest.mark.parametrize("label", ["abnormal", "meniscus", "acl"])
def test_an_exam_that_one_table_lacks(root, label):
    values = read_labels(root, "train", label)
    del values["0003"]
    write_labels(root, "train", label, values)
    named = "train-meniscus.csv line 4" if label == "abnormal" else "train-abnormal.csv line 4"
    with pytest.raises(TableError, match=rf"train-{label}.csv: no line for exam '0003', which {named} names"):
        read_exams(root, "train")


@pytest.mark.parametrize("label", ["meniscus", "acl"])
def test_a_tear_in_a_normal_exam_is_a_contradiction(root, label):
    edit_label(root, "train", label, "0000", 1)
    named = rf"train-{label}.csv line 1: exam '0000' has {label} 1, but abnormal 0 in train-abnormal.csv line 1"
    with pytest.raises(TableError, match=named):
        read_exams(root, "train")


def test_all_faults_are_collected(root):
    edit_label(root, "train", "acl", "0000", 1)
    append_line(root, "train-meniscus.csv", "x,1")
    append_line(root, "train-abnormal.csv", "0099,1")
    exams, faults = scan_exams(root, "train")
    assert len(exams) == 7
    assert len(faults) == 4  # the contradiction, the line, and two tables without 0099


def test_spaces_quotes_blank_lines_and_windows_do_not_matter(root):
    lines = (root / "train-acl.csv").read_text().splitlines()
    first, *rest = lines
    exam, value = first.split(",")
    (root / "train-acl.csv").write_bytes(
        "\ufeff".encode() + "\r\n".join([f'"{exam}" , {value}', "", *rest, "", ""]).encode()
    )
    assert [exam.label for exam in read_exams(root, "train")] == [COMBINATIONS[n % 5] for n in range(6)]


def test_an_empty_table(root):
    (root / "train-acl.csv").write_text("\n")
    with pytest.raises(TableError, match=r"train-acl.csv: it holds no exam"):
        read_exams(root, "train")


def test_a_missing_table_says_what_to_do(root):
    (root / "train-acl.csv").unlink()
    with pytest.raises(
        DatasetNotFoundError, match=r"MRNet not found: no train-acl.csv below .*medlit data synth mrnet"
    ):
        read_exams(root, "train")


def test_a_folder_in_place_of_a_table(root):
    (root / "train-acl.csv").unlink()
    (root / "train-acl.csv").mkdir()
    with pytest.raises(UnreadableFileError, match=r"train-acl.csv: cannot be read \(Is a directory\)"):
        read_exams(root, "train")


def test_a_release_one_folder_down_is_named(tmp_path):
    make_mrnet(tmp_path / "MRNet-v1.0", train=5, valid=1, side=2)
    with pytest.raises(DatasetNotFoundError, match=r"use root .*/MRNet-v1.0$"):
        read_exams(tmp_path, "train")


def test_without_labels_the_folders_tell_the_exams(root):
    (root / "valid-acl.csv").unlink()
    (root / "valid/axial/0006.npy").unlink()
    assert read_exams(root, "valid", labelled=False) == [
        Exam("0006", "valid", None, "valid/coronal/0006.npy"),
        Exam("0007", "valid", None, "valid/axial/0007.npy"),
    ]
