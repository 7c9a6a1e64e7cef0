"""The look-alike of EMBED: official tables and folders, their quirks, pictures that agree with them."""

from collections import Counter
from datetime import date
from itertools import pairwise

import numpy as np
import polars as pl
import pydicom
import pytest

from data_modules.errors import DataSettingsError
from data_modules.mammography.embed.tables import SET, read_samples
from data_modules.synthetic import embed
from data_modules.synthetic.mammo_embed_tables import PREFIX, finding_rows
from data_modules.synthetic.mammo_stories import FITS, QUIRK_EVERY, STORIES, plan_exams
from tests.data_modules.synthetic.mammo_helpers import columns, contents, held_out_accuracy, look, rows

CASES = 80
TABLES = (
    "AWS_Open_Data_Clinical_Legend",
    "EMBED_OpenData_clinical",
    "EMBED_OpenData_clinical_reduced",
    "EMBED_OpenData_metadata",
    "EMBED_OpenData_metadata_reduced",
)
METADATA_COLUMNS = {
    "empi_anon", "acc_anon", "anon_dicom_path", "png_path", "png_filename", "study_date_anon", "StudyDescription",
    "SeriesDescription", "FinalImageType", "ImageLateralityFinal", "ViewPosition", "spot_mag", "num_roi",
    "ROI_coords", "SRC_DST", "match_level",
}  # fmt: skip
CLINICAL_COLUMNS = {
    "empi_anon", "acc_anon", "study_date_anon", "desc", "asses", "tissueden", "numfind", "side", "massshape",
    "massmargin", "massdens", "calcfind", "calcdistri", "calcnumber", "procdate_anon", "type",
    *(f"path{number}" for number in range(1, 11)), "path_severity", "age_at_study", "RACE_DESC", "ETHNICITY_DESC",
    "ETHNIC_GROUP_DESC", "implanfind",
}  # fmt: skip
BIRADS = {"A": 0, "N": 1, "B": 2, "P": 3, "S": 4, "M": 5, "K": 6}


def table(root, name):
    return rows(root / f"tables/EMBED_OpenData_{name}.csv")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("synthetic") / "embed"
    embed.write(root, cases=CASES, seed=3, img_size=48)
    return root


@pytest.fixture(scope="module")
def samples(tree):
    return read_samples(tree)


@pytest.fixture(scope="module")
def plan():
    return plan_exams(1000, np.random.default_rng(0))


def test_the_same_arguments_give_the_same_bytes_and_another_seed_gives_others(tmp_path):
    for folder, seed in (("first", 4), ("second", 4), ("other", 5)):
        embed.write(tmp_path / folder, cases=10, seed=seed, img_size=48)
    first, second, other = (contents(tmp_path / folder) for folder in ("first", "second", "other"))
    assert first == second
    assert not {path for path in first if path.endswith(".dcm")} & other.keys()


def test_it_has_the_official_tables_and_folders(tree):
    assert {path.stem for path in (tree / "tables").iterdir()} == set(TABLES)
    files = sorted(path.relative_to(tree).parts for path in (tree / "images").rglob("*.dcm"))
    assert {len(parts) for parts in files} == {6}
    assert {parts[1] for parts in files} == {"cohort_1", "cohort_2"}
    assert columns(tree / "tables/AWS_Open_Data_Clinical_Legend.csv") == [
        "Header in export",
        "Discription",
        "Code",
        "Meaning",
    ]


@pytest.mark.parametrize(("name", "needed"), [("metadata", METADATA_COLUMNS), ("clinical", CLINICAL_COLUMNS)])
def test_the_tables_have_the_official_columns(tree, name, needed):
    full, reduced = (columns(tree / f"tables/EMBED_OpenData_{name}{kind}.csv") for kind in ("", "_reduced"))
    assert needed <= set(full)
    assert "Unnamed: 0" not in full
    assert reduced[0] == "Unnamed: 0"
    assert set(reduced[1:]) < set(full)


def test_every_row_of_the_metadata_is_a_file_that_says_the_same(tree):
    files = {path.relative_to(tree / "images").as_posix(): path for path in (tree / "images").rglob("*.dcm")}
    listed = table(tree, "metadata")
    assert {row["anon_dicom_path"].removeprefix(PREFIX) for row in listed} == files.keys()
    assert len(listed) == len(files)
    for row in listed[::5]:
        dataset = pydicom.dcmread(files[row["anon_dicom_path"].removeprefix(PREFIX)], stop_before_pixels=True)
        assert dataset.PatientID == row["empi_anon"]
        assert dataset.ImageLaterality == row["ImageLateralityFinal"]
        assert dataset.ViewPosition == row["ViewPosition"]
        assert dataset.StudyDescription == row["StudyDescription"]
        assert dataset.file_meta.MediaStorageSOPInstanceUID == files[row["anon_dicom_path"].removeprefix(PREFIX)].stem
        assert ("GENERATED_2D" in dataset.ImageType) == (row["FinalImageType"] == "cview")
        assert ("ViewModifierCodeSequence" in dataset.ViewCodeSequence[0]) == (row["spot_mag"] == "1.0")


def test_the_reader_of_the_set_takes_it(tree, samples):
    listed = table(tree, "metadata")
    kinds = Counter(row["FinalImageType"] for row in listed)
    assert len(samples.frame) == kinds["2D"]
    assert samples.dropped == {"image type cview": kinds["cview"]}
    assert samples.frame["exam_id"].n_unique() == CASES
    assert all(SET.find(tree, image) for image in samples.frame["image"])
    assert set(samples.frame["birads"].drop_nulls()) == set(range(7))
    assert set(samples.frame["density"].drop_nulls()) == {1, 2, 3, 4}
    assert set(samples.frame["cancer"].drop_nulls()) == {0, 1}
    assert set(samples.frame["reason"]) == {"screening", "diagnostic"}


def test_labels_are_those_of_the_plan(tree, samples):
    """What the rules make of the tables is what was drawn, where no quirk is in the way."""
    exams = {str(exam.accession): exam for exam in plan_exams(CASES, np.random.default_rng([3, 0]))}
    for row in samples.frame.iter_rows(named=True):
        exam = exams[row["exam_id"]]
        if exam.quirk == "no rows":
            assert row["birads"] is None
        elif exam.quirk != "X":
            assert row["birads"] == exam.birads[row["laterality"]]
            unknown = exam.quirk in ("male", "no density")
            assert row["density"] == (None if unknown else exam.patient.density)


def test_every_quirk_of_the_tables_is_there_and_counted_by_the_reader(tree, samples):
    exams = plan_exams(CASES, np.random.default_rng([3, 0]))
    assert Counter(exam.quirk for exam in exams if exam.quirk) == dict.fromkeys(FITS, CASES // QUIRK_EVERY)
    findings = table(tree, "clinical")
    assert {row["asses"] for row in findings} == {*BIRADS, "X"}
    assert {row["tissueden"] for row in findings} == {"", "1.0", "2.0", "3.0", "4.0", "5.0"}
    assert {row["side"] for row in findings} == {"", "L", "R", "B"}
    assert {row["path_severity"] for row in findings} >= {"", "0.0", "1.0", "4.0", "6.0"}
    assert {row["massdens"] for row in findings} >= {"", "=", "+"}
    told = " ".join(samples.touched)
    for words in (
        "assessment X",
        "of a man",
        "several assessments",
        "dated differently",
        "without clinical rows",
        "inferred",
    ):
        assert words in told
    assert samples.touched["breast with several assessments: one was chosen"] == CASES // QUIRK_EVERY


def test_small_trees_have_no_quirks():
    assert not any(exam.quirk for exam in plan_exams(39, np.random.default_rng(0)))


def test_screening_is_of_both_sides_and_ends_in_0_1_or_2(plan):
    for exam in plan:
        if exam.reason == "Screening":
            assert len(exam.birads) == 2
            assert set(exam.birads.values()) <= {0, 1, 2}
        else:
            assert exam.birads[exam.index] in (2, 3, 4, 5, 6)


def test_one_breast_alone_has_the_finding(plan):
    for exam in plan:
        others = [value for side, value in exam.birads.items() if side != exam.index]
        assert others in ([], [1], [2])
        assert others != [2] or exam.birads[exam.index] == 2
        assert all(bool(exam.breasts[side].lesions) == (value != 1) for side, value in exam.birads.items())
        assert {breast.density for breast in exam.breasts.values()} == {
            1 if exam.quirk == "male" else exam.patient.density
        }


def test_stories_follow_in_time(plan):
    """A recall is assessed within weeks; everything else is at least a year later."""
    by_patient: dict[int, list] = {}
    for exam in plan:
        by_patient.setdefault(exam.patient.empi, []).append(exam)
    assert {len(own) for own in by_patient.values()} == {len(story) for story in STORIES} == {1, 2}
    for own in by_patient.values():
        for first, second in pairwise(own):
            weeks = first.birads[first.index] in (0, 5)
            assert (12 <= (second.day - first.day).days < 40) if weeks else (second.day - first.day).days > 365
            assert first.patient is second.patient
            assert first.index == second.index


def test_pathology_stands_on_diagnostic_exams_in_the_row_of_the_finding(plan):
    for exam in plan:
        told = [row for row in finding_rows(exam) if row.get("path_severity")]
        biopsied = exam.birads[exam.index] in (4, 5, 6) and exam.quirk != "no rows"
        assert len(told) == biopsied
        if told:
            assert exam.reason == "Diagnostic"
            assert told[0]["side"] == exam.index
            after = (date.fromisoformat(str(told[0]["procdate_anon"])) - exam.day).days
            assert (-9 < after < 0) if exam.birads[exam.index] == 6 else (0 < after < 12)
            if exam.birads[exam.index] != 4:
                assert told[0]["path_severity"] in ("0.0", "1.0")


def test_classes_are_frequent_enough_to_be_learned(plan):
    birads = Counter(value for exam in plan for value in exam.birads.values())
    total = sum(birads.values())
    assert all(birads[value] / total > 0.03 for value in range(7))
    assert 0.18 < (birads[4] + birads[5]) / total < 0.4
    densities = Counter(exam.patient.density for exam in plan)
    assert max(densities.values()) < 1.2 * min(densities.values())


def test_findings_are_in_the_words_of_the_legend(samples):
    made = samples.frame
    suspicious = made.filter(pl.col("birads").is_in([4, 5]))
    assert set(suspicious["mass_shape"]) == {"irregular"}
    assert set(suspicious["mass_density"]) == {"high density"}
    assert set(made.filter(pl.col("birads") == 3)["mass_shape"]) <= {"round", "oval"}
    assert set(made.filter(pl.col("birads") == 2)["calc_finding"]) == {"coarse"}
    assert made.filter(pl.col("birads") == 1)["mass_shape"].null_count() == (made["birads"] == 1).sum()


@pytest.mark.slow
def test_density_and_suspicion_can_be_learned_from_the_files(tmp_path):
    """By a logistic regression on the grays of pictures of 64 pixels, on held-out patients: chance is .25 and .5."""
    embed.write(tmp_path / "set", cases=150, seed=0, img_size=128)
    frame = read_samples(tmp_path / "set").frame.filter(~pl.col("spot"))
    pictures = dict(zip(frame["image"], (look(tmp_path / "set" / image) for image in frame["image"]), strict=True))
    dense = frame.filter(pl.col("density").is_not_null())
    seen = [pictures[image] for image in dense["image"]]
    assert held_out_accuracy(seen, dense["density"].to_list(), dense["patient_id"].to_list()) >= 0.85
    judged = frame.filter(pl.col("birads").is_in([1, 2, 4, 5]))
    seen = [pictures[image] for image in judged["image"]]
    assert held_out_accuracy(seen, (judged["birads"] >= 4).to_list(), judged["patient_id"].to_list()) >= 0.95


def test_its_own_folder_is_replaced_and_somebody_elses_left_alone(tmp_path):
    embed.write(tmp_path / "set", cases=12, seed=0, img_size=48)
    embed.write(tmp_path / "set", cases=10, seed=1, img_size=48)
    embed.write(tmp_path / "fresh", cases=10, seed=1, img_size=48)
    assert contents(tmp_path / "set") == contents(tmp_path / "fresh")
    with pytest.raises(DataSettingsError, match="not empty and was not made by medlit"):
        embed.write(tmp_path, cases=10, seed=0)


@pytest.mark.parametrize("wrong", [{"cases": 9}, {"seed": -1}, {"img_size": 47}])
def test_numbers_that_are_too_small_are_named(tmp_path, wrong):
    with pytest.raises(DataSettingsError, match=f"{next(iter(wrong))} is {next(iter(wrong.values()))}"):
        embed.write(tmp_path, **{"cases": 10, "seed": 0, **wrong})
