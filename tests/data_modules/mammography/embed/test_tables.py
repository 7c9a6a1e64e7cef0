"""The rules of the sheet, one by one."""

import pytest

from data_modules.mammography.embed.rules import EmbedRules
from data_modules.mammography.embed.tables import make_samples
from data_modules.mammography.samples import SCHEMA
from tests.data_modules.mammography.embed.small import PREFIX, WORDS, findings, images, one, samples

LEFT, RIGHT = {"ImageLateralityFinal": "L"}, {"ImageLateralityFinal": "R"}


def test_a_sample_says_what_the_two_tables_say():
    found = {"asses": "S", "side": "L", "massshape": "X", "massdens": "+", "calcfind": "A,P", "calcdistri": "G"}
    assert one({**LEFT, "spot_mag": "1.0", "ViewPosition": "mlo"}, [{**found, "implanfind": "N"}]) == {
        "image": "images/cohort_1/p/s/e/1.2.0.dcm",
        "image_id": "1.2.0",
        "patient_id": "7",
        "exam_id": "70",
        "breast_id": "70_L",
        "laterality": "L",
        "view": "MLO",
        "image_type": "2D",
        "birads": 4,
        "density": 2,
        "cancer": None,
        "mass_shape": "irregular",
        "mass_density": "high density",
        "calc_finding": "amorphous and punctate",
        "calc_distribution": "grouped",
        "procedure": "MG Screening Bilateral",
        "reason": "screening",
        "age": 61.5,
        "race": "Asian",
        "ethnicity": "Non-Hispanic or Latino",
        "site": "2",
        "machine": None,
        "spot": True,
        "implant": True,
        "inferred": False,
        "split": None,
    }
    assert samples([LEFT], [found]).frame.schema == SCHEMA


@pytest.mark.parametrize(("code", "category"), [*zip("ANBPSMK", range(7), strict=True), ("X", None), (None, None)])
def test_categories(code, category):
    assert one(LEFT, [{"asses": code}])["birads"] == category


@pytest.mark.parametrize(("code", "density"), [("1", 1), ("2.0", 2), ("3", 3), ("4.0", 4), ("5.0", None), (None, None)])
def test_densities_with_men_left_out(code, density):
    assert one(LEFT, [{"tissueden": code}])["density"] == density


@pytest.mark.parametrize("side", ["L", "B", None])
def test_rows_of_the_same_side_of_both_and_of_none_count(side):
    assert one(LEFT, [{"asses": "P", "side": side}])["birads"] == 3


def test_of_several_rows_the_most_urgent_speaks():
    order = ["M", "S", "A", "K", "P", "B", "N"]
    for place, code in enumerate(order):
        rows = [{"asses": other, "numfind": str(number)} for number, other in enumerate(reversed(order[place:]))]
        assert one(LEFT, rows)["birads"] == "ANBPSMK".index(code)


def test_of_equal_rows_the_lower_finding_number_speaks():
    rows = [{"asses": "S", "numfind": "2", "massshape": "O"}, {"asses": "S", "numfind": "1", "massshape": "X"}]
    assert one(LEFT, rows)["mass_shape"] == "irregular"
    assert one(LEFT, [{**rows[1], "numfind": None}, rows[0]])["mass_shape"] == "oval"


def test_no_assessment_never_beats_one():
    assert one(LEFT, [{"asses": "X"}, {"asses": "N"}])["birads"] == 1


def test_a_side_without_a_row_is_negative_and_says_so():
    rows = [{"asses": "S", "side": "L", "massshape": "X", "tissueden": "4"}]
    table = samples([LEFT, RIGHT], rows)
    wanted = ["laterality", "birads", "density", "mass_shape", "inferred"]
    assert table.frame.select(wanted).rows() == [("L", 4, 4, "irregular", False), ("R", 1, 4, None, True)]
    assert table.touched["image of a side without a row in a bilateral exam: negative, inferred"] == 1


@pytest.mark.parametrize(
    ("description", "bilateral"),
    [
        ("RESEARCH MAMMO SCRN BIL DIGITL", True),
        ("MG Screen Bilat w/Tomo/CAD Stnd Protocol", True),
        ("MG Diagnostic Right w/ billing note", False),
    ],
)
def test_which_descriptions_are_of_both_sides(description, bilateral):
    assert one(RIGHT, [{"asses": "S", "side": "L", "desc": description}])["inferred"] == bilateral


def test_a_side_without_a_row_can_be_dropped():
    table = samples([LEFT, RIGHT], [{"asses": "S", "side": "L"}], rules=EmbedRules(missing_side="drop"))
    assert table.frame["laterality"].to_list() == ["L"]
    assert table.dropped == {"side without a row in a bilateral exam": 1}


@pytest.mark.parametrize("cells", [{"desc": "MG Diagnostic Left w/CAD"}, {"asses": "X"}])
def test_nothing_is_inferred_from_an_exam_of_one_side_or_without_an_assessment(cells):
    sample = one(RIGHT, [{"asses": "S", "side": "L", **cells}])
    assert (sample["birads"], sample["inferred"]) == (None, False)


def test_the_code_takes_rows_of_the_other_breast():
    code = EmbedRules(fidelity="code")
    assert one(RIGHT, [{"asses": "S", "side": "L"}], rules=code)["birads"] == 4
    assert one(LEFT, [{"asses": "B", "side": "L"}, {"asses": "S", "side": "B"}], rules=code)["birads"] == 2
    assert one(RIGHT, [{"asses": "B", "side": "B"}, {"asses": "S", "side": None}], rules=code)["birads"] == 2


@pytest.mark.parametrize(
    ("letters", "category"), [("NA", 0), ("BNA", 0), ("AP", 3), ("AK", 6), ("SK", 6), ("NB", 2), ("XN", 1)]
)
def test_the_code_takes_the_highest_number_but_0_among_the_harmless(letters, category):
    rows = [{"asses": letter, "side": "L"} for letter in letters]
    assert one(LEFT, rows, rules=EmbedRules(fidelity="code"))["birads"] == category


def test_contradictions_are_counted_once_a_breast():
    rows = [{"asses": "S", "tissueden": "2", "side": "L"}, {"asses": "B", "tissueden": "3", "side": "L"}]
    touched = samples([LEFT, {**LEFT, "ViewPosition": "MLO"}], rows).touched
    assert touched["breast with several assessments: one was chosen"] == 1
    assert touched["breast with several densities: one was chosen"] == 1


def test_a_density_that_the_chosen_row_lacks_comes_from_another():
    rows = [
        {"asses": "S", "side": "L", "tissueden": None},
        {"asses": "B", "side": "L", "tissueden": "3"},
        {"asses": "B", "side": "R", "tissueden": "4"},
    ]
    assert one(LEFT, rows)["density"] == 3  # the breast's own before the exam's
    assert one(LEFT, rows[::2])["density"] == 4


def test_rows_that_are_no_samples_are_counted_by_reason():
    rows = [
        {},
        {"FinalImageType": "cview"},
        {"FinalImageType": "ROI_SSC"},
        {"FinalImageType": None},
        {"ImageLateralityFinal": None},
        {"ImageLateralityFinal": "B"},
        {"acc_anon": None},
        {"empi_anon": None},
        {"anon_dicom_path": None},
        {"anon_dicom_path": f"{PREFIX}cohort_1/p/s/e/1.2.0.dcm"},
        {"acc_anon": "71", "empi_anon": "8"},
        {"acc_anon": "71", "empi_anon": "9"},
    ]
    table = samples(rows, [{}])
    assert table.dropped == {
        "image type cview": 1,
        "image type ROI_SSC": 1,
        "no image type": 1,
        "no laterality": 1,
        "laterality B": 1,
        "no exam id": 1,
        "no patient id": 1,
        "no path": 1,
        "file named by an earlier row": 1,
        "exam of several patients": 2,
    }
    assert len(table.frame) + sum(table.dropped.values()) == len(rows)


def test_c_view_images_are_kept_where_asked_for():
    rows = [{}, {"FinalImageType": "cview"}]
    assert samples(rows, [{}], rules=EmbedRules(image_types=["2D", "C-view"])).frame["image_type"].to_list() == [
        "2D",
        "C-view",
    ]


def test_images_without_clinical_rows_stay_without_labels():
    table = samples([{"acc_anon": "71"}], [{}])
    assert table.frame.select("birads", "density", "age", "reason").rows() == [(None, None, None, "screening")]
    assert table.touched["image of an exam without clinical rows: no label"] == 1
    assert table.touched["finding of an exam without images"] == 1


def test_ids_that_became_floats_in_one_table_still_join():
    assert one({"acc_anon": "70.0", "empi_anon": "7.0"}, [{}])["birads"] == 1


def test_findings_of_another_patient_are_left_out():
    table = samples([LEFT], [{"empi_anon": "8", "asses": "S"}, {"asses": "N"}])
    assert table.frame["birads"].to_list() == [1]
    assert table.touched["finding whose exam is another patient's: left out"] == 1


def test_two_files_of_one_name_get_their_paths_as_ids():
    rows = [{"anon_dicom_path": f"{PREFIX}{folder}/1.dcm"} for folder in "ab"]
    assert samples(rows, [{}]).frame["image_id"].to_list() == ["a/1", "b/1"]


def test_dates_and_reasons_that_differ_between_the_tables_are_counted():
    touched = samples([LEFT], [{"study_date_anon": "2015-06-03", "desc": "MG Diagnostic Bilateral"}]).touched
    assert touched["exam dated differently by the two tables"] == 1
    assert touched["exam that one table calls screening and the other diagnostic"] == 1


@pytest.mark.parametrize(
    ("procedure", "description", "reason"),
    [
        ("MG Diagnostic Left w/CAD", "MG Screening Bilateral", "diagnostic"),
        ("RESEARCH MAMMO SCRN BIL DIGITL", None, "screening"),
        ("MAMMO CLIP PLACEMENT ONLY", "MG Diagnostic Bilateral", "diagnostic"),
        (None, "MG Screening Bilateral", "screening"),
        ("MG Consultation Outside Film", None, None),
    ],
)
def test_reason(procedure, description, reason):
    assert one({"StudyDescription": procedure}, [{"desc": description}])["reason"] == reason


@pytest.mark.parametrize("cell", ["Unknown, Unavailable or Unreported", "Not Recorded", "Patient Declines", None])
def test_what_nobody_knows_is_null(cell):
    sample = one(LEFT, [{"RACE_DESC": cell, "ETHNICITY_DESC": cell, "age_at_study": "931"}])
    assert (sample["race"], sample["ethnicity"], sample["age"]) == (None, None, None)


def test_race_is_single_spaced():
    assert one(LEFT, [{"RACE_DESC": "African American  or Black"}])["race"] == "African American or Black"


def test_implants_are_unknown_where_no_row_could_tell():
    told = [{"asses": "B", "side": "R", "implanfind": "N"}, {"asses": "N", "side": "L"}]
    assert samples([LEFT, RIGHT], told).frame["implant"].to_list() == [False, True]
    assert one({"acc_anon": "71"}, told)["implant"] is None
    without = findings(*told).drop("implanfind")
    assert make_samples(images(LEFT), without, legend=WORDS).frame["implant"].to_list() == [None]


def test_a_breast_has_an_implant_where_one_of_its_rows_says_so():
    assert one(LEFT, [{"asses": "S"}, {"asses": "N", "implanfind": "N"}])["implant"] is True


def test_tables_without_rows_make_no_samples():
    table = samples([], [])
    assert (len(table.frame), table.dropped) == (0, {})
    assert images().is_empty()
    assert findings().is_empty()
