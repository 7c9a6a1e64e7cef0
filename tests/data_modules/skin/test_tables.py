import pytest

from data_modules.errors import DatasetNotFoundError, TableError, UnreadableFileError
from data_modules.skin.labels import CRITERIA, DIAGNOSES, FIVE_CLASSES, class_names, class_of, five_class
from data_modules.skin.tables import read_indexes, read_meta
from tests.data_modules import trees
from tests.data_modules.trees import edit_meta, make_derm7pt, write_indexes, write_meta

FIVE = {
    "BCC": {"basal cell carcinoma"},
    "NEV": {
        "clark nevus",
        "reed or spitz nevus",
        "dermal nevus",
        "blue nevus",
        "congenital nevus",
        "combined nevus",
        "recurrent nevus",
    },
    "MEL": {
        "melanoma",
        "melanoma (in situ)",
        "melanoma (less than 0.76 mm)",
        "melanoma (0.76 to 1.5 mm)",
        "melanoma (more than 1.5 mm)",
        "melanoma metastasis",
    },
    "SK": {"seborrheic keratosis"},
    "MISC": {"vascular lesion", "lentigo", "dermatofibroma", "melanosis", "miscellaneous"},
}


@pytest.fixture
def root(tmp_path):
    return make_derm7pt(tmp_path, cases=12)


def test_twenty_diagnoses_make_five_classes():
    assert {name: {value for value in DIAGNOSES if five_class(value) == name} for name in FIVE_CLASSES} == FIVE
    assert len(set(DIAGNOSES)) == 20
    assert FIVE_CLASSES == ("BCC", "NEV", "MEL", "SK", "MISC")


def test_diagnosis_20_is_the_table_s_own_word():
    assert [class_of(value, "diagnosis_20") for value in class_names("diagnosis_20")] == list(DIAGNOSES)


@pytest.mark.parametrize(
    ("criterion", "names"),
    [
        ("pigment_network", ("absent", "typical", "atypical")),
        ("streaks", ("absent", "regular", "irregular")),
        ("dots_and_globules", ("absent", "regular", "irregular")),
        ("pigmentation", ("absent", "regular", "irregular")),
        ("vascular_structures", ("absent", "regular", "irregular")),
        ("regression_structures", ("absent", "present")),
        ("blue_whitish_veil", ("absent", "present")),
    ],
)
def test_criteria_as_targets(criterion, names):
    assert class_names(criterion) == names
    assert {class_of(value, criterion) for value in CRITERIA[criterion]} == set(names)


def test_rows_are_what_the_table_says(root):
    written = trees.read_meta(root)
    for row, (read, wrote) in enumerate(zip(read_meta(root), written, strict=True)):
        assert (read.row, read.case_id) == (row, wrote["case_num"])
        assert read.diagnosis == wrote["diagnosis"]
        assert read.criteria == {name: wrote[name] for name in CRITERIA}
        assert read.images == {"clinic": wrote["clinic"], "derm": wrote["derm"]}
        assert read.where == f"meta/meta.csv line {row + 2} (row {row})"


def test_indexes_are_rows_of_the_table(root):
    splits = read_indexes(root, rows=12)
    assert list(splits) == ["train", "val", "test"]
    assert splits["val"] == trees.read_indexes(root, "valid")
    assert sorted(row for rows in splits.values() for row in rows) == list(range(12))


@pytest.mark.parametrize("column", ["case_num", "diagnosis", "streaks", "derm"])
def test_missing_column_is_named(root, column):
    write_meta(root, trees.read_meta(root), columns=[name for name in trees.COLUMNS if name != column])
    with pytest.raises(TableError, match=rf"meta.csv: no column '{column}'"):
        read_meta(root)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (
            {"diagnosis": "clark naevus"},
            r"line 5 \(row 3\), column diagnosis: unknown value 'clark naevus'; did you mean 'cla",
        ),
        ({"diagnosis": "Melanoma"}, r"unknown value 'Melanoma'; did you mean 'melanoma'\?"),
        ({"streaks": "zzz"}, r"column streaks: unknown value 'zzz'; allowed are 'absent', 'regular', 'irregular'"),
        ({"derm": ""}, r"line 5 \(row 3\), column derm: no image"),
        ({"case_num": "1"}, r"line 5 \(row 3\), column case_num: '1' is on line 2 too"),
        ({"case_num": ""}, r"line 5 \(row 3\), column case_num: empty"),
    ],
)
def test_bad_cells_are_named(root, cells, message):
    edit_meta(root, 3, **cells)
    with pytest.raises(TableError, match=message):
        read_meta(root)


def test_only_columns_asked_for_are_checked(root):
    edit_meta(root, 3, streaks="zzz")
    assert read_meta(root, targets=["diagnosis"])[3].criteria == {}


def test_spaces_around_cells_do_not_matter(root):
    edit_meta(root, 3, diagnosis=" melanosis ")
    assert read_meta(root)[3].diagnosis == "melanosis"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            "12",
            r"train_indexes.csv line 2 \(row 0\), column indexes: 12 is out of range, meta/meta.csv has rows 0 to 11",
        ),
        ("-1", "-1 is out of range"),
        ("-12", "-12 is out of range"),
        ("1_0", "'1_0' is no row number"),
        ("\u0661", "'\u0661' is no row number"),
        ("9" * 5000, "is no row number"),
        ("3.5", "'3.5' is no row number"),
        ("abc", "'abc' is no row number"),
    ],
)
def test_bad_indexes_are_named(root, entry, message):
    write_indexes(root, train=[entry])
    with pytest.raises(TableError, match=message):
        read_indexes(root, rows=12)


def test_index_twice_in_a_file(root):
    write_indexes(root, train=[1, 2, 1])
    with pytest.raises(TableError, match=r"train_indexes.csv line 4 .*1 is there twice"):
        read_indexes(root, rows=12)


def test_index_file_without_its_column(root):
    (root / "meta/train_indexes.csv").write_text("index\n1\n")
    with pytest.raises(TableError, match=r"no column 'indexes'; did you mean 'index'"):
        read_indexes(root, rows=12)


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n3,4,5,6\n"])
def test_files_that_are_no_table(root, content):
    (root / "meta/meta.csv").write_text(content)
    with pytest.raises(TableError, match=r"meta.csv: no CSV table") as caught:
        read_meta(root)
    assert "\n" not in str(caught.value)


def test_missing_table(tmp_path):
    with pytest.raises(DatasetNotFoundError, match=r"no meta/meta.csv below .*medlit data synth derm7pt --root"):
        read_meta(tmp_path)


def test_notes_of_several_lines_do_not_shift_the_lines_named(root):
    edit_meta(root, 1, notes="one\ntwo\r\nthree")
    edit_meta(root, 3, diagnosis="zzz", notes="four\nfive")
    with pytest.raises(TableError, match=r"meta.csv line 7 \(row 3\), column diagnosis"):
        read_meta(root)
    lines = (root / "meta/meta.csv").read_bytes().splitlines()
    assert b",zzz," in lines[7 - 1]


def test_the_line_of_a_repeated_case_is_named(root):
    edit_meta(root, 0, notes="one\ntwo")
    edit_meta(root, 3, case_num="2")
    with pytest.raises(TableError, match=r"line 6 \(row 3\), column case_num: '2' is on line 4 too"):
        read_meta(root)


@pytest.mark.parametrize("twin", ["derm", "derm "])
def test_two_columns_of_one_name_are_refused(root, twin):
    path = root / "meta/meta.csv"
    path.write_text(path.read_text().replace(",case_id,", f",{twin},", 1))
    with pytest.raises(TableError, match=r"meta.csv: two columns called 'derm'"):
        read_meta(root)


def test_a_root_with_the_signs_of_a_pattern(tmp_path):
    root = make_derm7pt(tmp_path / "data[1]*", cases=12)
    assert len(read_meta(root)) == 12
    assert len(read_indexes(root, rows=12)["train"]) == 6


def test_a_release_one_folder_down_is_named(tmp_path):
    make_derm7pt(tmp_path / "release_v0", cases=12)
    with pytest.raises(DatasetNotFoundError, match=r"no meta/meta.csv below .*: use root .*/release_v0$"):
        read_meta(tmp_path)


def test_a_table_without_a_case_is_refused(root):
    write_meta(root, [])
    with pytest.raises(TableError, match=r"meta/meta.csv: it holds no case"):
        read_meta(root)


@pytest.mark.parametrize("ending", ["\n\n", "\n  \n", "\r\n\r\n"])
def test_empty_lines_at_the_end_are_no_entries(root, ending):
    (root / "meta/train_indexes.csv").write_text(f"indexes\n3\n1{ending}", newline="")
    assert read_indexes(root, rows=12, splits=["train"]) == {"train": [3, 1]}


def test_only_the_splits_asked_for_need_a_file(root):
    (root / "meta/train_indexes.csv").unlink()
    assert read_indexes(root, rows=12, splits=["test"]) == {"test": trees.read_indexes(root, "test")}


def test_a_folder_in_place_of_a_table_and_a_file_in_place_of_a_folder(root, tmp_path):
    (root / "meta/meta.csv").unlink()
    (root / "meta/meta.csv").mkdir()
    with pytest.raises(UnreadableFileError, match=r"meta.csv: cannot be read \(Is a directory\)"):
        read_meta(root)
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetNotFoundError, match=r"no meta/meta.csv below .*file"):
        read_meta(tmp_path / "file")
