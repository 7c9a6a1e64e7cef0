"""Cancer of a breast, clause by clause; days are counted from the exam of the image."""

from datetime import date, timedelta

import pytest

from data_modules.mammography.embed.rules import EmbedRules
from tests.data_modules.mammography.embed.small import samples

EXAM = date(2015, 6, 1)
BILATERAL = "MG Screening Bilateral"


def day(number):
    return (EXAM + timedelta(days=number)).isoformat()


def biopsy(severity, number, **cells):
    """A finding of the left breast with pathology, on the exam of the image."""
    return {"asses": "S", "side": "L", "path_severity": severity, "procdate_anon": day(number), **cells}


def follow_up(number, **cells):
    """A later exam, negative on both sides."""
    return {"acc_anon": f"follow-up {number}", "study_date_anon": day(number), **cells}


def cancer(rows, *, assessment="N", side="L", rules=None):
    """Cancer of the breast of one image, whose exam has a row of its own."""
    image = {"study_date_anon": day(0), "ImageLateralityFinal": side}
    own = {"asses": assessment, "study_date_anon": day(0)}
    return samples([image], [own, *rows], rules=rules or EmbedRules())


def label(*rows, **options):
    return cancer(rows, **options).frame["cancer"].item()


@pytest.mark.parametrize("severity", ["0", "1.0"])
def test_cancer_within_180_days_is_positive(severity):
    assert label(biopsy(severity, 0)) == label(biopsy(severity, 180)) == 1
    assert label(biopsy(severity, 181)) is None
    assert label(biopsy(severity, 181), rules=EmbedRules(biopsy_days=181)) == 1


@pytest.mark.parametrize("severity", ["2", "3", "4", "5", "6"])
def test_other_pathology_is_not_positive(severity):
    assert label(biopsy(severity, 10)) is None


def test_cancer_of_the_other_breast_is_not_positive():
    assert label(biopsy("0", 10), side="R") is None


def test_the_side_of_the_biopsy_goes_before_that_of_the_finding():
    assert label(biopsy("0", 10, side="B", bside="L")) == 1
    assert label(biopsy("0", 10, side="L", bside="R")) is None
    assert label(biopsy("0", 10, side="L", bside="R"), side="R") == 1


def test_pathology_of_a_later_diagnostic_exam_is_linked_back():
    assert label(biopsy("0", 30, acc_anon="diagnostic", study_date_anon=day(14))) == 1


def test_cancer_of_another_patient_is_not_linked():
    assert label(biopsy("0", 30, acc_anon="diagnostic", empi_anon="8")) is None


def test_the_report_s_date_and_the_exam_s_stand_in_for_that_of_the_biopsy():
    assert label(biopsy("0", 0, procdate_anon=None, pdate_anon=day(10))) == 1
    assert label(biopsy("0", 0, procdate_anon=None, pdate_anon=day(190))) is None
    table = cancer([biopsy("0", 0, procdate_anon=None, study_date_anon=day(0))])
    assert table.frame["cancer"].item() == 1
    assert table.touched["pathology without a date of biopsy or report: that of its exam"] == 1


def test_a_quiet_exam_a_year_later_makes_a_negative():
    assert label(follow_up(365)) == label(follow_up(900, asses="B")) == 0
    assert label(follow_up(364)) is None
    assert label(follow_up(364), rules=EmbedRules(follow_up_days=364)) == 0


@pytest.mark.parametrize("assessment", ["A", "P", "S", "X", None])
def test_a_later_exam_that_is_not_quiet_settles_nothing(assessment):
    assert label(follow_up(400, asses=assessment)) is None


def test_a_later_exam_of_the_other_breast_or_of_another_patient_settles_nothing():
    assert label(follow_up(400, side="R", desc="MG Diagnostic Right")) is None
    assert label(follow_up(400, empi_anon="8")) is None


@pytest.mark.parametrize(
    ("assessment", "expected"), [*dict.fromkeys("ANBP", 0).items(), *dict.fromkeys("SMKX").items()]
)
def test_which_categories_a_quiet_follow_up_settles(assessment, expected):
    assert label(follow_up(400), assessment=assessment) == expected


@pytest.mark.parametrize(("severity", "expected"), [("2", None), ("3", None), ("4", 0), ("5", 0), ("6", None)])
def test_a_suspicious_breast_needs_a_benign_biopsy_besides(severity, expected):
    assert label(biopsy(severity, 10), follow_up(400)) == expected


def test_a_benign_biopsy_counts_within_180_days_and_of_this_breast_only():
    assert label(biopsy("4", 181), follow_up(400)) is None
    assert label(biopsy("4", 10, bside="R"), follow_up(400)) is None
    assert label(biopsy("4", 10, side="B"), follow_up(400)) is None


def test_without_a_follow_up_a_benign_biopsy_is_not_negative():
    assert label(biopsy("4", 10)) is None


@pytest.mark.parametrize(
    ("number", "expected"), [(-181, 0), (-180, None), (-1, None), (200, None), (400, None), (401, 0)]
)
def test_cancer_from_180_days_before_the_exam_to_the_follow_up_is_not_negative(number, expected):
    """Beyond the follow-up it is a new one, long before the exam it has been treated."""
    later = biopsy("0", number, acc_anon="another", asses="X", study_date_anon=day(number))
    assert label(later, follow_up(400)) == expected


def test_cancer_of_neither_side_makes_both_breasts_unknown():
    row = biopsy("0", 10, side=None)
    for side in "LR":
        table = cancer([row, follow_up(400)], side=side, assessment="B")
        assert table.frame["cancer"].item() is None
    assert table.touched["pathology of cancer on both sides or none: neither breast is known"] == 1


def test_cancer_without_any_date_is_not_negative():
    row = biopsy("0", 0, acc_anon="another", asses="X", procdate_anon=None, study_date_anon=None)
    assert label(row, follow_up(400)) is None


def test_an_inferred_negative_follow_up_counts():
    assert label(follow_up(400, asses="S", side="R", desc=BILATERAL)) == 0


def test_an_exam_without_a_date_is_unknown():
    image = {"study_date_anon": None}
    rows = [{"study_date_anon": None}, biopsy("0", 10), follow_up(400)]
    rows[1]["study_date_anon"] = None
    assert samples([image], rows).frame["cancer"].item() is None


def test_labels_are_counted():
    table = cancer([biopsy("0", 10)])
    assert table.touched["image with cancer"] == 1
    assert cancer([follow_up(400)]).touched["image without cancer"] == 1
    assert cancer([]).touched["image with cancer unknown"] == 1
