"""Attributes are read whatever a file put into them; what is malformed and optional is flagged."""

import numpy as np
import pytest

from data_modules.mammography.dicom.attributes import MAX_TEXT, Attributes, Refused
from tests.data_modules.mammography.dicom.files import dataset, item, items

PIXELS = np.zeros((2, 2), np.uint16)


def facts(**elements):
    return Attributes(dataset(PIXELS, **elements))


def test_text_is_trimmed_bounded_and_never_empty():
    read = facts(Manufacturer="  A\nB  ", StudyDescription="", SeriesDescription=["", "second"])
    assert (read.text("Manufacturer"), read.text("StudyDescription"), read.text("PatientID")) == ("A B", None, None)
    assert (read.text("SeriesDescription"), read.texts("ImageType")) == ("second", [])
    long = item()
    long.add_new("ImageComments", "LT", "x" * 500)
    assert len(Attributes(long).text("ImageComments")) == MAX_TEXT


def test_numbers_are_finite_and_the_others_flagged():
    made = dataset(PIXELS)
    made.add_new("WindowCenter", "LO", ["1.5", "nan", "wide"])
    read = Attributes(made)
    assert read.numbers("WindowCenter") == [1.5]
    assert read.flags == ("malformed WindowCenter ('nan')", "malformed WindowCenter ('wide')")


def test_a_needed_number_is_there_whole_and_within_bounds():
    read = facts(NumberOfFrames=3)
    assert read.whole("NumberOfFrames", low=1, high=9) == 3
    assert read.whole("PixelPaddingValue", low=0, high=9, default=5) == 5
    for settings, words in [
        ({"name": "PixelPaddingValue", "low": 0, "high": 9}, "PixelPaddingValue is missing"),
        ({"name": "NumberOfFrames", "low": 4, "high": 9}, "NumberOfFrames 3 is not within 4 to 9"),
        ({"name": "Modality", "low": 0, "high": 9}, "Modality 'MG' is no number"),
    ]:
        with pytest.raises(Refused, match=words):
            read.whole(**settings)


def test_the_top_goes_before_the_groups_of_an_enhanced_image():
    group = item(FrameVOILUTSequence=items(item(WindowCenter=5)), PixelMeasuresSequence=items(item(SliceThickness=2)))
    read = facts(SharedFunctionalGroupsSequence=items(group), WindowCenter=3)
    assert (read.numbers("WindowCenter"), read.numbers("SliceThickness")) == ([3], [2])


def test_items_share_the_flags_and_what_is_no_sequence_has_none():
    bad = item()
    bad.add_new("WindowWidth", "LO", "x")
    read = facts(ReferencedImageSequence=items(bad))
    assert read.items("ReferencedImageSequence")[0].numbers("WindowWidth") == []
    assert read.flags == ("malformed WindowWidth ('x')",)
    assert read.items("Modality") == read.items("PatientID") == []
