"""The audit of Derm7pt: sound copies pass with their quirks named, and one look finds every fault."""

import csv
import shutil

import numpy as np
import pytest
from PIL import Image

from data_modules.audit import Audit
from data_modules.errors import DatasetNotFoundError, DataSettingsError
from data_modules.skin.audit import OFFICIAL_COUNTS, OFFICIAL_ROWS, audit_derm7pt, compare_with_release
from data_modules.synthetic import derm7pt


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    root = tmp_path_factory.mktemp("audit") / "derm7pt"
    derm7pt.write(root, cases=50, seed=0, img_size=48)
    return root


@pytest.fixture
def root(pristine, tmp_path):
    return shutil.copytree(pristine, tmp_path / "derm7pt")


def read_table(root, file="meta/meta.csv"):
    with (root / file).open(newline="") as handle:
        return list(csv.DictReader(handle))


def write_table(root, rows, file="meta/meta.csv"):
    with (root / file).open("w", newline="") as handle:
        writer = csv.DictWriter(handle, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def set_cell(root, row, column, value):
    rows = read_table(root)
    rows[row][column] = value
    write_table(root, rows)


def row_of(root, split, place=5):
    return int(read_table(root, f"meta/{split}_indexes.csv")[place]["indexes"])


def image_of(root, row, modality="derm"):
    return root / "images" / read_table(root)[row][modality]


def faults(root):
    return audit_derm7pt(root).by_kind("fault")


def test_a_look_alike_is_sound_and_its_quirks_are_named(pristine):
    audit = audit_derm7pt(pristine)
    assert audit.sound
    quirks = audit.by_kind("quirk")
    assert {kind: len(messages) for kind, messages in quirks.items()} == {
        "path in another case": 1,
        "one picture for several modalities": 1,
    }
    assert "meta/meta.csv line" in quirks["path in another case"][0]
    assert {"no patient ids", "sizes", "release", "look-alike"} == set(audit.by_kind("note"))


def test_classes_are_counted_by_split(pristine):
    counts = audit_derm7pt(pristine).counts
    assert sum(counts["MEL"].values()) == 10
    assert {split: sum(row[split] for row in counts.values()) for split in ("train", "val", "test")} == {
        "train": 27,
        "val": 8,
        "test": 15,
    }


def test_progress_sees_every_image(pristine):
    seen = []
    audit_derm7pt(pristine, track=lambda items: seen.extend(items) or items)
    assert len(seen) == 100


def test_no_table_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(DatasetNotFoundError, match="medlit data synth derm7pt"):
        audit_derm7pt(tmp_path)


def test_a_missing_image(root):
    row = row_of(root, "train")
    image_of(root, row).unlink()
    assert f"line {row + 2} (row {row}), column derm" in faults(root)["missing image"][0]


def test_a_text_file_named_jpg_and_a_truncated_jpeg(root):
    text, cut = (image_of(root, row_of(root, "test", place)) for place in (0, 1))
    text.write_text("not a picture")
    cut.write_bytes(cut.read_bytes()[:-200])
    found = faults(root)["unreadable image"]
    assert sorted(str(path) in message for path in (text, cut) for message in found) == [False, False, True, True]


def test_a_path_that_leaves_the_root(root):
    row = row_of(root, "train")
    set_cell(root, row, "clinic", "../../etc/passwd")
    assert "'../../etc/passwd' leaves" in faults(root)["path that leaves the root"][0]


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("diagnosis", "melanom", "unknown value 'melanom'; did you mean 'melanoma'?"),
        ("case_num", "2", "'2' is on line"),
        ("derm", "", "no image"),
    ],
)
def test_a_cell_that_cannot_be_used(root, column, value, words):
    set_cell(root, 20, column, value)
    assert words in faults(root)["meta/meta.csv: cell that cannot be used"][0]


@pytest.mark.parametrize(("target", "column"), [("diagnosis", "streaks"), ("streaks", "diagnosis")])
def test_the_target_decides_what_is_a_fault(root, target, column):
    train = row_of(root, "train")
    set_cell(root, train, column, "many")
    for place in (6, 7):
        set_cell(root, row_of(root, "train", place), column, "")
    audit = audit_derm7pt(root, target=target)
    assert audit.sound
    quirks = audit.by_kind("quirk")
    assert quirks["another target's empty cells"] == [f"meta/meta.csv, column {column}: 2 of 50 cells are empty"]
    assert f"row {train}), column {column}: unknown value" in quirks["another target's cell that cannot be used"][0]
    found = audit_derm7pt(root, target=column).by_kind("fault")
    assert len(found[f"no {column}"]) == 2
    assert f"row {train}), column {column}: unknown value" in found["meta/meta.csv: cell that cannot be used"][0]


def test_a_column_is_needed_for_its_own_target_alone(root):
    write_table(root, [{k: v for k, v in row.items() if k != "diagnosis"} for row in read_table(root)])
    assert audit_derm7pt(root, target="streaks").sound
    assert faults(root) == {"missing column": ["meta/meta.csv: no column 'diagnosis'; copy it anew from release_v0"]}


def test_clinical_variables_are_counted_and_their_unknown_values_listed(root):
    set_cell(root, 20, "sex", "")
    set_cell(root, 21, "location", "bakc")
    audit = audit_derm7pt(root)
    assert audit.sound
    quirks = audit.by_kind("quirk")
    (empty,) = quirks["a clinical variable's empty cells"]
    assert "column sex: 1 of" in empty
    (unknown,) = quirks["a clinical variable's cell that cannot be used"]
    assert "line 23 (row 21), column location: unknown value 'bakc'; did you mean 'back'?" in unknown


def test_an_unknown_target_is_refused(root):
    with pytest.raises(DataSettingsError, match="unknown target 'streak'; did you mean 'streaks'"):
        audit_derm7pt(root, target="streak")


def test_backslashes_of_a_table_saved_on_windows_are_no_quirk(root):
    row = row_of(root, "train")
    path = read_table(root)[row]["derm"]
    set_cell(root, row, "derm", path.replace("/", "\\"))
    audit = audit_derm7pt(root)
    assert audit.sound
    assert len(audit.by_kind("quirk")["path in another case"]) == 1  # the one of the look-alike


def test_no_diagnosis_is_a_fault_in_a_split_and_a_quirk_outside(root):
    row = row_of(root, "train")
    set_cell(root, row, "diagnosis", "")
    assert f"row {row}" in faults(root)["no diagnosis"][0]
    entries = [entry for entry in read_table(root, "meta/train_indexes.csv") if entry["indexes"] != str(row)]
    write_table(root, entries, "meta/train_indexes.csv")
    audit = audit_derm7pt(root)
    assert audit.sound
    assert {"no diagnosis", "rows in no split"} <= set(audit.by_kind("quirk"))


@pytest.mark.parametrize(
    ("entry", "kind", "words"),
    [
        ("50", "split entry that cannot be used", "50 is out of range, meta/meta.csv has rows 0 to 49"),
        ("-1", "split entry that cannot be used", "-1 is out of range"),
        ("x", "split entry that cannot be used", "'x' is no row number"),
    ],
)
def test_a_split_entry_that_names_no_row(root, entry, kind, words):
    entries = [*read_table(root, "meta/valid_indexes.csv"), {"indexes": entry}]
    write_table(root, entries, "meta/valid_indexes.csv")
    assert words in faults(root)[kind][0]


def test_splits_that_share_a_case(root):
    entries = [*read_table(root, "meta/test_indexes.csv"), {"indexes": str(row_of(root, "train"))}]
    write_table(root, entries, "meta/test_indexes.csv")
    assert "is in meta/train_indexes.csv too" in faults(root)["splits that share a case"][0]


def test_a_missing_and_an_empty_split_file(root):
    (root / "meta/test_indexes.csv").unlink()
    (root / "meta/valid_indexes.csv").write_text("indexes\n")
    found = faults(root)
    assert "no meta/test_indexes.csv" in found["missing table"][0]
    assert found["empty split"] == ["meta/valid_indexes.csv names no row"]


def test_a_folder_in_place_of_a_table(root):
    (root / "meta/test_indexes.csv").unlink()
    (root / "meta/test_indexes.csv").mkdir()
    assert "test_indexes.csv: cannot be read (Is a directory)" in faults(root)["unreadable table"][0]


def test_missing_columns_needed_and_not(root):
    kept = [{k: v for k, v in row.items() if k not in ("derm", "streaks")} for row in read_table(root)]
    write_table(root, kept)
    audit = audit_derm7pt(root)
    assert "'derm'" in audit.by_kind("fault")["missing column"][0]
    assert "'streaks'" in audit.by_kind("quirk")["missing column"][0]


def test_a_picture_in_two_splits_is_a_leak(root):
    train, test = row_of(root, "train"), row_of(root, "test")
    shutil.copy(image_of(root, train), image_of(root, test))
    message = faults(root)["the same picture in several splits"][0]
    assert f"row {train}" in message
    assert "(train)" in message
    assert "(test)" in message


def test_a_picture_in_two_cases_of_one_split_is_a_quirk(root):
    shutil.copy(image_of(root, row_of(root, "train")), image_of(root, row_of(root, "train", 6)))
    audit = audit_derm7pt(root)
    assert audit.sound
    assert "the same picture in several cases" in audit.by_kind("quirk")


def test_a_size_out_of_the_ordinary_and_an_image_nobody_names(root):
    path = image_of(root, row_of(root, "train"))
    Image.fromarray(np.full((200, 300, 3), 7, dtype=np.uint8)).save(path)
    shutil.copy(path, path.with_name("left_over.jpg"))
    quirks = audit_derm7pt(root).by_kind("quirk")
    assert "is 300 x 200" in quirks["size out of the ordinary"][0]
    assert quirks["image that the table does not name"][0].endswith("left_over.jpg")


def test_every_fault_is_found_at_once(root):
    image_of(root, row_of(root, "train")).unlink()
    set_cell(root, row_of(root, "test"), "diagnosis", "nothing")
    write_table(root, [*read_table(root, "meta/valid_indexes.csv"), {"indexes": "99"}], "meta/valid_indexes.csv")
    assert set(faults(root)) == {
        "missing image",
        "meta/meta.csv: cell that cannot be used",
        "split entry that cannot be used",
    }


def test_the_official_counts_add_up():
    totals = [sum(counts[split] for counts in OFFICIAL_COUNTS.values()) for split in ("train", "val", "test")]
    assert totals == [413, 203, 395]
    assert sum(totals) == OFFICIAL_ROWS


def test_counts_other_than_the_releases_are_listed():
    audit = Audit("a release", counts={name: dict(counts) for name, counts in OFFICIAL_COUNTS.items()})
    compare_with_release(audit, rows=OFFICIAL_ROWS)
    assert audit.by_kind("note") == {"release": ["classes and splits count as in release_v0"]}
    audit.counts["NEV"]["train"] -= 1
    compare_with_release(audit, rows=OFFICIAL_ROWS)
    assert audit.by_kind("quirk") == {"counts differ from release_v0": ["NEV train: 255, release_v0 has 256"]}
