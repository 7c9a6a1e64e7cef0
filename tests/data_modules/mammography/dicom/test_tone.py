"""What a file says about its values, whole or malformed."""

import numpy as np
import pytest

from data_modules.mammography.dicom.attributes import Attributes
from data_modules.mammography.dicom.grayscale import Tone, Window
from data_modules.mammography.dicom.tone import read_tone
from tests.data_modules.mammography.dicom.files import dataset, item, items, table

PIXELS = np.arange(12, dtype=np.uint16).reshape(3, 4)


def tone(pixels=PIXELS, **elements):
    facts = Attributes(dataset(pixels, **elements))
    return read_tone(facts), facts.flags


def test_a_file_that_says_nothing():
    assert tone() == (Tone(signed=False, invert=False), ())


def test_the_first_window_of_several():
    read, flags = tone(WindowCenter=[2047, 1800], WindowWidth=[4095, 1500], VOILUTFunction="SIGMOID")
    assert (read.voi, read.function, flags) == (Window(2047, 4095), "SIGMOID", ())


@pytest.mark.parametrize(
    ("widths", "function", "flags"),
    [
        ([0, 20], "LINEAR", ("window width 0",)),
        ([0.5, 20], "LINEAR", ("window width 0.5",)),
        ([-3, 20], "SIGMOID", ("window width -3",)),
        ([0.5, 20], "LINEAR_EXACT", ()),
    ],
)
def test_a_window_that_cannot_work_is_flagged_and_passed_over(widths, function, flags):
    read, found = tone(WindowCenter=[1, 2], WindowWidth=widths, VOILUTFunction=function)
    assert found == flags
    assert read.voi == (Window(2, 20) if flags else Window(1, 0.5))


def test_an_unknown_function_is_linear_and_flagged():
    read, flags = tone(WindowCenter=1, WindowWidth=2, VOILUTFunction="CUBIC")
    assert (read.function, flags) == ("LINEAR", ("unknown VOI LUT function 'CUBIC'",))


def test_a_malformed_window_counts_as_none():
    made = dataset(PIXELS, WindowWidth=7)
    made.add_new("WindowCenter", "LO", "wide")
    facts = Attributes(made)
    assert read_tone(facts).voi is None
    assert facts.flags == ("malformed WindowCenter ('wide')",)


@pytest.mark.parametrize(
    ("photometric", "shape", "invert", "flags"),
    [
        ("MONOCHROME2", None, False, ()),
        ("MONOCHROME2", "IDENTITY", False, ()),
        ("MONOCHROME1", None, True, ()),
        ("MONOCHROME1", "INVERSE", True, ()),
        ("MONOCHROME1", "IDENTITY", True, ("presentation LUT shape IDENTITY with MONOCHROME1",)),
        ("MONOCHROME2", "INVERSE", False, ("presentation LUT shape INVERSE with MONOCHROME2",)),
    ],
)
def test_inversion_is_the_photometric_interpretation_s(photometric, shape, invert, flags):
    read, found = tone(PhotometricInterpretation=photometric, PresentationLUTShape=shape)
    assert (read.invert, found) == (invert, flags)


@pytest.mark.parametrize(
    ("dtype", "elements", "padding"),
    [
        (np.uint16, {"PixelPaddingValue": 0}, (0, 0)),
        (np.uint16, {"PixelPaddingValue": 4095, "PixelPaddingRangeLimit": 4000}, (4000, 4095)),
        (np.int16, {"PixelPaddingValue": 63536}, (-2000, -2000)),  # written unsigned
        (np.uint16, {"PixelPaddingRangeLimit": 9}, None),
    ],
)
def test_padding_value_and_range(dtype, elements, padding):
    assert tone(PIXELS.astype(dtype), **elements)[0].padding == padding


def test_rescale():
    read, flags = tone(RescaleSlope=2, RescaleIntercept=-1000)
    assert (read.slope, read.intercept, flags) == (2, -1000, ())


def test_a_slope_of_zero_is_flagged_and_taken_as_one():
    assert tone(RescaleSlope=0) == (Tone(signed=False, invert=False), ("rescale slope 0",))


@pytest.mark.parametrize("vr", ["OW", "US"])
def test_tables_of_either_representation(vr):
    read, flags = tone(VOILUTSequence=items(table([0, 9, 1023], first=5, bits=10, vr=vr)))
    assert (read.voi.first, read.voi.bits, read.voi.entries.tolist(), flags) == (5, 10, [0, 9, 1023], ())


def test_eight_bit_entries_may_be_packed():
    packed = item()
    packed.add_new("LUTDescriptor", "US", [3, 0, 8])
    packed.add_new("LUTData", "OW", bytes([1, 2, 3, 0]))
    assert tone(VOILUTSequence=items(packed))[0].voi.entries.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"LUTDescriptor": [9, 0, 16]}, "3 entries, not 9"),
        ({"LUTDescriptor": [3, 0, 17]}, "17 bits an entry"),
        ({"LUTDescriptor": [3, 0]}, "no descriptor"),
        ({"LUTData": bytes(2)}, "1 entries, not 3"),
    ],
)
def test_a_malformed_table_is_flagged_and_the_window_taken(change, words):
    bad = table([1, 2, 3])
    for name, value in change.items():
        bad[name].value = value
    read, flags = tone(VOILUTSequence=items(bad), WindowCenter=3, WindowWidth=4)
    assert read.voi == Window(3, 4)
    assert flags == (f"malformed VOILUTSequence ({words})",)


def test_the_window_of_an_enhanced_image_stands_in_its_groups():
    voi = item(FrameVOILUTSequence=items(item(WindowCenter=5, WindowWidth=6)))
    assert tone(SharedFunctionalGroupsSequence=items(voi))[0].voi == Window(5, 6)
