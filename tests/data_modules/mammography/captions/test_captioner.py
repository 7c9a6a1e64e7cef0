"""Captions agree with the row they are of, and say ``unknown`` as often as asked."""

import itertools
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_modules.errors import DataSettingsError, TableError
from data_modules.mammography.captions import MASKED, Captioner
from tests.data_modules.mammography.captions.rows import (
    CATEGORIES,
    COMPOSITIONS,
    FULL,
    rows,
    said_category,
    said_composition,
)

STYLES = ("structured", "natural", "simple")
CAPTIONERS = {style: Captioner(style=style) for style in STYLES}


def generator(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("style", STYLES)
@settings(deadline=None)
@given(row=rows, seed=st.none() | st.integers(0, 2**32 - 1))
def test_any_row_gives_a_caption_that_agrees_with_its_labels(style, row, seed):
    sentences = CAPTIONERS[style].sentences(row, None if seed is None else generator(seed))
    assert all(sentence.strip() and "\n" not in sentence for sentence in sentences)
    assert not any(brace in sentence for sentence in sentences for brace in "{}")
    assert said_category(style, sentences) == (row["birads"], CATEGORIES[row["birads"]])
    assert said_composition(style, sentences) == COMPOSITIONS[row["density"]]


@settings(deadline=None)
@given(row=rows, seed=st.integers(0, 2**32 - 1))
def test_the_same_seed_gives_the_same_caption(row, seed):
    captioner = CAPTIONERS["structured"]
    assert captioner.sentences(row, generator(seed)) == captioner.sentences(row, generator(seed))
    assert captioner.sentences(row, None) == captioner.sentences(row, None)


def test_structured_caption_of_a_full_row():
    assert Captioner(one_sided=False).sentences(FULL) == [
        "Procedure: MG Diagnostic Left w/ CAD.",
        "Reason: diagnostic.",
        "Patient: race Asian, ethnicity Hispanic or Latino, age 61.",
        "Image: 2D, side left, view MLO.",
        "Breast composition: density C, heterogeneously dense.",
        "Sensitivity: may hide small masses.",
        "Findings: mass, shape oval, density high.",
        "Findings: calcification, amorphous, distribution grouped.",
        "Impression: BI-RADS category 4, suspicious.",
        "Assessment: consideration of a biopsy.",
    ]


def test_sensitivity_is_noted_of_dense_breasts_alone():
    noted = [density for density in COMPOSITIONS if "Sensitivity" in " ".join(caption(density=density))]
    assert noted == [3, 4]


def test_without_a_finding_the_caption_says_so():
    bare = dict.fromkeys(("mass_shape", "mass_density", "calc_finding", "calc_distribution"))
    assert "Findings: no mass and no calcification described." in caption(**bare)
    found = [sentence for sentence in caption(**{**bare, "calc_finding": "coarse"}) if sentence.startswith("Findings")]
    assert found == ["Findings: calcification, coarse, distribution unknown."]


@pytest.mark.parametrize("empty", [None, "", "  ", "Unknown, Unavailable or Unreported", "not recorded"])
def test_what_the_table_does_not_know_is_unknown(empty):
    assert "Patient: race unknown, ethnicity unknown, age 61." in caption(race=empty, ethnicity=empty)


@pytest.mark.parametrize(("age", "said"), [(None, "unknown"), (math.nan, "unknown"), (0.0, "0"), (59.99, "59")])
def test_age_is_said_in_whole_years(age, said):
    assert f"Patient: race Asian, ethnicity Hispanic or Latino, age {said}." in caption(age=age)


def caption(**changes):
    return Captioner().sentences({**FULL, **changes})


@pytest.mark.parametrize("probability", [0.0, 0.3, 0.8, 1.0])
def test_masks_come_at_the_asked_rate_each_by_itself(probability):
    draws = 4000
    masks = masked_fields(Captioner(mask_probability=probability, one_sided=False), draws)
    bound = 5 * math.sqrt(probability * (1 - probability) / draws)  # five standard deviations of a binomial share
    assert masks.shape == (draws, 6)
    assert (abs(masks.mean(axis=0) - probability) <= bound).all()
    for one, other in itertools.combinations(range(6), 2):
        both = probability**2
        bound = 5 * math.sqrt(both * (1 - both) / draws)
        assert abs((masks[:, one] & masks[:, other]).mean() - both) <= bound


def masked_fields(captioner, draws):
    """(draws, 6) bool: which of the six fields each caption of a full row calls unknown."""
    source = generator()
    found = []
    for _ in range(draws):
        patient, image = captioner.sentences(FULL, source)[2:4]
        said = [*patient.rstrip(".").split(", "), *image.rstrip(".").split(", ")]
        found.append([part.endswith("unknown") for part in said])
    return np.array(found)


def test_procedure_reason_composition_findings_and_impression_are_never_masked():
    captioner = Captioner(mask_probability=1.0)
    masked, whole = captioner.sentences(FULL, generator()), captioner.sentences(FULL)
    assert masked[2:4] == [
        "Patient: race unknown, ethnicity unknown, age unknown.",
        "Image: unknown, side unknown, view unknown.",
    ]
    assert masked[:2] + masked[4:] == whole[:2] + whole[4:]


def test_other_metadata_can_be_masked_instead():
    sentences = Captioner(mask_probability=1.0, masked=["reason"]).sentences(FULL, generator())
    assert sentences[1:3] == ["Reason: unknown.", "Patient: race Asian, ethnicity Hispanic or Latino, age 61."]
    assert len(MASKED) == 6


@pytest.mark.parametrize(
    ("settings", "procedure", "side"),
    [
        ({"one_sided": True}, "MG Diagnostic one side w/ CAD", "unknown"),
        ({"one_sided": False}, "MG Diagnostic Left w/ CAD", "left"),
        ({"one_sided": True, "side_text": "paper"}, "MG Diagnostic Left w/ CAD", "left"),
    ],
)
def test_left_and_right_are_said_where_they_are_true(settings, procedure, side):
    sentences = Captioner(**settings).sentences(FULL)
    assert sentences[0] == f"Procedure: {procedure}."
    assert sentences[3] == f"Image: 2D, side {side}, view MLO."


@pytest.mark.parametrize(
    ("column", "code"),
    [("birads", 7), ("birads", -1), ("density", 5), ("density", 0), ("laterality", "B"), ("age", -1.0)],
)
def test_a_code_without_a_meaning_is_refused(column, code):
    with pytest.raises(TableError, match=column):
        Captioner(one_sided=False).sentences({**FULL, column: code})


def test_an_unknown_label_has_no_sentence():
    text = " ".join(caption(birads=None, density=None))
    assert "BI-RADS" not in text
    assert "composition" not in text


@pytest.mark.parametrize("style", STYLES)
def test_class_captions_name_each_class(style):
    captioner = CAPTIONERS[style]
    birads = captioner.class_captions("birads")
    assert [said_category(style, one.sentences) for one in birads] == list(CATEGORIES.items())
    assert [one.label for one in birads] == list(range(7))
    density = captioner.class_captions("density")
    assert [said_composition(style, one.sentences) for one in density] == list(COMPOSITIONS.values())
    assert [one.label for one in density] == list(range(4))


def test_cancer_is_told_by_the_categories_of_its_classes():
    captions = Captioner().class_captions("cancer")
    said = [(said_category("structured", one.sentences)[0], one.label) for one in captions]
    assert said == [(1, 0), (2, 0), (4, 1), (5, 1)]


@pytest.mark.parametrize("target", ["birads", "density", "cancer"])
def test_class_captions_take_metadata_of_an_image_and_none_of_its_labels(target):
    captioner = Captioner()
    captions = captioner.class_captions(target, FULL)
    assert all(one.sentences[:4] == captioner.sentences(FULL)[:4] for one in captions)
    others = {**FULL, "birads": 1, "density": 1, "mass_shape": None, "mass_density": None, "calc_finding": "other"}
    assert captioner.class_captions(target, others) == captions
    text = " ".join(sentence for one in captions for sentence in one.sentences)
    assert "Findings" not in text
    assert ("BI-RADS" in text) == (target != "density")
    assert ("composition" in text) == (target == "density")


def test_class_captions_without_an_image_call_its_metadata_unknown():
    masked = Captioner(mask_probability=1.0).sentences(FULL, generator())
    assert Captioner().class_captions("birads")[4].sentences == [
        "Procedure: unknown.",
        "Reason: unknown.",
        *masked[2:4],
        *masked[-2:],
    ]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"mask_probability": 1.2}, "mask_probability"),
        ({"side_text": "papers"}, "did you mean 'paper'"),
        ({"masked": ["birads"]}, "masked: 'birads'"),
        ({"style": "structure"}, "did you mean 'structured'"),
    ],
)
def test_a_setting_that_cannot_work_is_refused(settings, named):
    with pytest.raises(DataSettingsError, match=named):
        Captioner(**settings)


def test_an_unknown_target_is_refused():
    with pytest.raises(DataSettingsError, match="did you mean 'density'"):
        Captioner().class_captions("densty")


def test_a_captioner_reaches_a_worker():
    captioner = pickle.loads(pickle.dumps(Captioner()))
    assert captioner.sentences(FULL, generator(3)) == Captioner().sentences(FULL, generator(3))
