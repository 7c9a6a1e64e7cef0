"""The audit of the four sets: look-alikes are sound, and one look finds what is wrong with a set's tables."""

import pytest

from data_modules.errors import DatasetNotFoundError
from data_modules.mammography.audit import RELEASES
from data_modules.mammography.cbis_ddsm.audit import audit_cbis_ddsm
from tests.data_modules.mammography.cbis_ddsm.trees import FILES, make_cbis, row_of
from tests.data_modules.mammography.csv_tables import edit_cell, edit_csv, read_csv, write_csv
from tests.data_modules.mammography.look_alikes import AUDITS, copy_of, pristine

BREASTS, FINDINGS = "breast-level_annotations.csv", "finding_annotations.csv"
METADATA, CLINICAL = (f"tables/EMBED_OpenData_{name}.csv" for name in ("metadata_reduced", "clinical"))


@pytest.mark.parametrize("name", AUDITS)
def test_a_look_alike_is_sound_and_every_image_counted_and_read(name):
    seen = []
    audit = AUDITS[name](pristine(name), track=lambda images: seen.extend(images) or images)
    assert audit.sound, audit.by_kind("fault")
    images = sum(count for counts in audit.counts.values() for count in counts.values())
    notes = audit.by_kind("note")
    assert notes["images read"] == [f"all {images}"]
    assert len(seen) == images > 0
    assert notes["size"][0].startswith(f"{images} images of ")
    assert notes["look-alike"] == ["drawn by medlit: figures say nothing about medicine"]
    assert "another version, or a part of it" in notes["release"][0]
    assert set(audit.by_kind("quirk")) <= {"patient in a training and a test table", "class without images"}


@pytest.mark.parametrize(
    ("name", "classes", "splits"),
    [
        ("embed", [f"BI-RADS {n}" for n in range(7)], ["no official split"]),
        ("rsna_mammo", ["no cancer", "cancer"], ["no official split"]),
        ("vindr_mammo", [f"BI-RADS {n}" for n in range(7)], ["train", "test"]),
        ("cbis_ddsm", ["no cancer", "cancer"], ["train", "test"]),
    ],
)
def test_images_are_counted_by_class_and_official_split(name, classes, splits):
    counts = AUDITS[name](pristine(name), read=0).counts
    assert list(counts) == [*classes, "unknown"]
    assert {tuple(row) for row in counts.values()} == {tuple(splits)}


@pytest.mark.parametrize("name", AUDITS)
def test_no_tables_are_refused_with_what_to_do(name, tmp_path):
    with pytest.raises(DatasetNotFoundError, match=f"medlit data synth {name} --root {tmp_path}"):
        AUDITS[name](tmp_path)


@pytest.mark.parametrize("name", AUDITS)
def test_tables_alone_are_looked_at_too(name, tmp_path):
    root = pristine(name)
    for path in root.rglob("*.csv"):
        copy = tmp_path / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    audit = AUDITS[name](tmp_path)
    [message] = audit.by_kind("fault").pop("no images")
    assert message.startswith("none of the ")
    assert audit.by_kind("fault").keys() == {"no images"}
    assert audit.by_kind("note")["size"]


@pytest.mark.parametrize(
    ("name", "table", "column"),
    [
        ("rsna_mammo", "train.csv", "view"),
        ("vindr_mammo", BREASTS, "split"),
        ("vindr_mammo", FINDINGS, "finding_categories"),
        ("cbis_ddsm", FILES["mass", "test"], "pathology"),
    ],
)
def test_every_row_that_cannot_be_used_is_a_fault(name, table, column, tmp_path):
    root = copy_of(name, tmp_path)
    edit_cell(root / table, 0, column, "?")
    edit_cell(root / table, 3, column, "")
    faults = AUDITS[name](root, read=0).by_kind("fault")
    messages = faults["row of a table that cannot be used"]
    assert [f"(row {row}), column {column}: " in message for row, message in zip((0, 3), messages, strict=True)]
    assert faults.keys() == {"row of a table that cannot be used"}


def test_an_embed_table_that_cannot_be_used_is_a_fault(tmp_path):
    root = copy_of("embed", tmp_path)
    edit_csv(root / METADATA, 0, anon_dicom_path="/elsewhere/1.dcm")
    [message] = AUDITS["embed"](root).by_kind("fault")["table that cannot be used"]
    assert METADATA in message


@pytest.mark.parametrize(
    ("name", "table", "column"), [("embed", CLINICAL, "asses"), ("rsna_mammo", "train.csv", "cancer")]
)
def test_a_set_without_any_label_is_not_sound(name, table, column, tmp_path):
    root = copy_of(name, tmp_path)
    write_csv(root / table, [{**row, column: ""} for row in read_csv(root / table)])
    [message] = AUDITS[name](root, read=0).by_kind("fault")["no labels"]
    assert message.endswith("there is nothing to train on")


def test_codes_without_a_meaning_are_a_fault_and_those_of_all_columns_are_named(tmp_path):
    root = copy_of("embed", tmp_path)
    edit_csv(root / CLINICAL, 0, massshape="#", calcfind="!", asses="?")
    audit = AUDITS["embed"](root, read=0)
    [message] = audit.by_kind("fault")["code without a meaning"]
    assert f"{CLINICAL} row 0, column asses: '?' has no meaning" in message
    applied = "; ".join(audit.by_kind("note")["rules applied"])
    for column, code in (("asses", "?"), ("massshape", "#"), ("calcfind", "!")):
        assert f"1: row with a code of {column} that is read as an empty cell ('{code}')" in applied
    assert audit.by_kind("note")["size"]


def test_the_whole_release_is_known_by_the_rows_of_its_tables(monkeypatch):
    """Not by the samples: some rows are left out by rules."""
    rows = read_csv(pristine("embed") / METADATA)
    counts = {"images": len(rows), "exams": len({row["acc_anon"] for row in rows})}
    monkeypatch.setitem(RELEASES, "embed", counts)
    [note] = AUDITS["embed"](pristine("embed"), read=0).by_kind("note")["release"]
    assert note == f"{counts['images']} images and {counts['exams']} exams, as in the official release"


def test_rows_left_out_and_rules_applied_are_counted():
    notes = AUDITS["embed"](pristine("embed"), read=0).by_kind("note")
    assert any(message.endswith("image type cview") for message in notes["rows left out"])
    assert any("inferred" in message for message in notes["rules applied"])


def test_a_column_of_mixed_types(tmp_path):
    root = copy_of("embed", tmp_path)
    edit_csv(root / CLINICAL, 2, desc="4711")
    audit = AUDITS["embed"](root, read=0)
    [message] = audit.by_kind("quirk")["column of mixed types"]
    assert message.startswith(f"{CLINICAL}, column desc: 1 numbers and ")
    assert audit.sound


def test_text_where_a_number_has_to_be_is_told_of_as_a_fault_too(tmp_path):
    root = copy_of("embed", tmp_path)
    edit_csv(root / CLINICAL, 2, age_at_study="old")
    audit = AUDITS["embed"](root, read=0)
    [message] = audit.by_kind("quirk")["column of mixed types"]
    assert message.endswith("1 other texts, such as 'old'")
    assert "'old'" in audit.by_kind("fault")["table that cannot be used"][0]


def test_patients_of_a_training_and_a_test_table_are_named(tmp_path):
    rows = [row_of("mass", "test", "P_00005", side="RIGHT")]
    audit = audit_cbis_ddsm(make_cbis(tmp_path, {("mass", "test"): rows}))
    [message] = audit.by_kind("quirk")["patient in a training and a test table"]
    mass, calc = FILES["mass", "test"], FILES["calc", "train"]
    assert message == (
        f"P_00005: mass test (1 row from {mass} line 2 (row 0)) and "
        f"calcification train (2 rows from {calc} line 2 (row 0))"
    )
    [note] = audit.by_kind("note")["leaking patients"]
    assert note.startswith("1 patients are in a training table of one kind and the test table of the other: P_00005.")
    assert "patient in several splits" not in audit.by_kind("fault")


def test_a_study_in_both_official_splits_is_a_fault(tmp_path):
    root = copy_of("vindr_mammo", tmp_path)
    edit_csv(root / BREASTS, 0, split="test")
    study = read_csv(root / BREASTS)[0]["study_id"]
    assert AUDITS["vindr_mammo"](root, read=0).by_kind("fault") == {
        "patient in several splits": [f"patient {study}: test and train"]
    }


def test_images_of_a_breast_that_contradict_each_other(tmp_path):
    root = copy_of("vindr_mammo", tmp_path)
    rows = read_csv(root / BREASTS)
    rows[0] |= {"breast_birads": "BI-RADS 5", "breast_density": "DENSITY A"}
    rows[1] |= {"breast_birads": "BI-RADS 2", "breast_density": "DENSITY D"}
    assert rows[0]["study_id"] == rows[1]["study_id"]
    assert rows[0]["laterality"] == rows[1]["laterality"]
    write_csv(root / BREASTS, rows)
    quirks = AUDITS["vindr_mammo"](root, read=0).by_kind("quirk")
    study, side = rows[0]["study_id"], rows[0]["laterality"]
    [birads] = quirks["images of one breast that differ in birads, each keeps its own"]
    assert birads == f"breast {study}_{side}: BI-RADS 2, BI-RADS 5"
    [density] = quirks["images of one exam that differ in density, each keeps its own"]
    assert density.startswith(f"exam {study}: A, ")
    assert density.endswith("D")


def test_findings_are_counted_and_those_worse_than_their_breast_named(tmp_path):
    root = copy_of("vindr_mammo", tmp_path)
    rows = read_csv(root / FINDINGS)
    number = next(i for i, row in enumerate(rows) if row["breast_birads"] == "BI-RADS 3" and row["finding_birads"])
    edit_csv(root / FINDINGS, number, finding_birads="BI-RADS 5")
    milder = next(i for i, row in enumerate(rows) if row["breast_birads"] == "BI-RADS 5" and row["finding_birads"])
    edit_csv(root / FINDINGS, milder, finding_birads="BI-RADS 4")
    audit = AUDITS["vindr_mammo"](root, read=0)
    [message] = audit.by_kind("quirk")["finding worse than its breast"]
    assert message.endswith(f"(row {number}): BI-RADS 5, its breast BI-RADS 3; the breast's counts")
    none = sum(row["finding_categories"] == "['No Finding']" for row in rows)
    assert f"No Finding {none}" in audit.by_kind("note")["findings"][0]


def test_sites_are_told_apart_and_rows_that_contradict_themselves_named(tmp_path):
    root = copy_of("rsna_mammo", tmp_path)
    number = next(i for i, row in enumerate(read_csv(root / "train.csv")) if row["cancer"] == "0")
    edit_csv(root / "train.csv", number, invasive="1")
    audit = AUDITS["rsna_mammo"](root, read=0)
    assert [message[:7] for message in audit.by_kind("note")["sites"]] == ["site 1:", "site 2:", "report "]
    [message] = audit.by_kind("quirk")["cells that contradict each other"]
    assert message.endswith(f"(row {number}): invasive without cancer")


def test_malignant_in_spite_of_a_benign_assessment(tmp_path):
    rows = [row_of("mass", "train", "P_00001", assessment=2)]
    audit = audit_cbis_ddsm(make_cbis(tmp_path, {("mass", "train"): rows}))
    [message] = audit.by_kind("quirk")["malignant, but assessed as negative or benign"]
    assert message.startswith(f"{FILES['mass', 'train']} line 2 (row 0): BI-RADS 2")


def test_a_breast_without_one_of_its_views_and_empty_cells(tmp_path):
    root = copy_of("rsna_mammo", tmp_path)
    rows = read_csv(root / "train.csv")
    removed = next(i for i, row in enumerate(rows) if row["view"] == "MLO")
    rows[0]["age"] = ""
    write_csv(root / "train.csv", rows[:removed] + rows[removed + 1 :])
    notes = AUDITS["rsna_mammo"](root, read=0).by_kind("note")
    assert "1 with CC alone" in notes["views"][0]
    assert "MLO alone" not in notes["views"][0]
    assert any(message.startswith("age: ") for message in notes["empty cells"])


def test_a_class_that_one_split_lacks(tmp_path):
    rows = [row_of("mass", "train", "P_00001", pathology="BENIGN")]
    train = {("mass", "train"): rows, ("calc", "train"): [row_of("calc", "train", "P_00002", pathology="BENIGN")]}
    audit = audit_cbis_ddsm(make_cbis(tmp_path, train))
    assert audit.by_kind("quirk")["class without images"] == ["train has none of: cancer"]
