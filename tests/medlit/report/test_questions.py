"""Tables of questions show what there is, in 80 columns."""

import io

from rich.console import Console

from medlit.report import question_tables

POINTS = ("specificity_90", "specificity_95", "youden")
AT = ("sensitivity", "specificity", "balanced_accuracy", "ppv", "npv", "ppv_screening", "npv_screening")
CANCER = {
    **{f"{point}/{name}": 0.123456 for point in POINTS for name in AT},
    **dict.fromkeys(("prevalence", "pf1", "brier", "ece", "pf1_screening", "brier_screening", "ece_screening"), 0.2),
}
ROWS = {"class_captions_with_metadata": CANCER, "site=1 by breast": CANCER, "unasked": {"auroc": 0.5}}


def printed(rows, **asked):
    text = io.StringIO()
    console = Console(file=text, width=80)
    for table in question_tables(rows, **asked):
        console.print(table)
    return text.getvalue()


def test_two_classes_have_a_table_of_thresholds_of_probabilities_and_of_the_stated_prevalence():
    text = printed(ROWS, prefix="", title="cancer", prevalence=0.005)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for share in ("90 %", "95 %"):
        assert f"cancer, at the threshold for {share} specificity of the validation" in text
    assert text.count("site=1 by breast") == 3
    assert "unasked" not in text
    assert (text.count(" 0.123 "), text.count(" 0.2000 ")) == (2 * 2 * 6, 2 * 7)  # two rows, two tables and one
    assert text.count("5 in") == 2 + 2 + 3


def test_a_figure_that_nobody_has_has_no_column():
    decided = {name: value for name, value in CANCER.items() if name.endswith(("/sensitivity", "/specificity"))}
    text = printed({"derm": decided}, prefix="", title="cancer", prevalence=None)
    assert "sens." in text
    assert "PPV" not in text
    assert "Brier" not in text
    assert printed({"derm": {"auroc": 0.5}}, prefix="", title="cancer") == ""


def test_a_contrast_has_its_own_table_with_the_classes_apart():
    figures = {"auroc": 0.9, "balanced_accuracy": 0.8, "positives": 40, "called/BI-RADS 0": 0.25}
    rows = {"mammogram": {f"suspicious/{name}": value for name, value in figures.items()} | {"auroc": 0.1}}
    text = printed(rows, prefix="suspicious/", title="suspicious: 4, 5 against 1, 2", apart=["BI-RADS 0", "BI-RADS 3"])
    words = " ".join(text.split())  # titles are as wide as their table
    assert "suspicious: 4, 5 against 1, 2" in words
    assert "suspicious, share called positive of each other class, at 0" in words
    assert [line.split()[1:] for line in text.splitlines() if "mammogram" in line] == [
        ["40", "-", "0.900", "0.800"],  # how many negatives there are was not said
        ["0.250"],
    ]
    assert "BI-RADS 3" not in text
