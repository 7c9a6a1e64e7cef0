"""From stored values to gray, step by step as the standard words it."""

from dataclasses import replace

import numpy as np
import pytest
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from data_modules.mammography.dicom.attributes import Attributes, Refused
from data_modules.mammography.dicom.grayscale import (
    Table,
    Tone,
    Window,
    look_up,
    look_up_by_rows,
    percentile_window,
    stored_values,
    tone_tables,
    window_curve,
)
from data_modules.mammography.dicom.tone import read_tone
from tests.data_modules.mammography.dicom.files import dataset, drawn, items, table

RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)


def gray(pixels, tone):
    return look_up(pixels, tone_tables(tone, pixels).gray)


def slow_window(value, center, width, function):
    """PS3.3 C.11.2.1.2 and C.11.2.1.3, for one value and outputs 0 to 1."""
    if function == "SIGMOID":
        return (1 + np.tanh(2 * (value - center) / width)) / 2  # 1 / (1 + exp(-4 ...)) without an overflow
    if function == "LINEAR_EXACT":
        if value <= center - width / 2:
            return 0.0
        return 1.0 if value > center + width / 2 else (value - center) / width + 0.5
    if value <= center - 0.5 - (width - 1) / 2:
        return 0.0
    if value > center - 0.5 + (width - 1) / 2:
        return 1.0
    return (value - (center - 0.5)) / (width - 1) + 0.5


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("center", "width"), [(2047, 4095), (1000.5, 300), (-20, 7), (10, 1)])
def test_windows_are_the_standard_s(function, center, width):
    values = np.arange(-1100, 5000, 0.5)
    expected = [slow_window(value, center, width, function) for value in values]
    np.testing.assert_allclose(window_curve(values, Window(center, width), function), expected, atol=1e-12)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("rescale", [{}, {"RescaleSlope": 2, "RescaleIntercept": -1000}])
def test_values_are_those_of_pydicom(function, rescale):
    made = dataset(RAMP, WindowCenter=[1500, 7], WindowWidth=[900, 3], VOILUTFunction=function, **rescale)
    expected = apply_voi_lut(apply_modality_lut(RAMP, made), made)
    low, high = (-1000, 7190) if rescale else (0, 4095)
    np.testing.assert_allclose(
        gray(RAMP, read_tone(Attributes(made))) / 65535, (expected - low) / (high - low), atol=0.51 / 65535
    )


def test_a_table_of_interest_goes_before_windows_and_is_pydicom_s():
    entries = (np.linspace(0, 1, 1000) ** 2 * 1023).astype(np.uint16)
    made = dataset(RAMP, VOILUTSequence=items(table(entries, first=500, bits=10)), WindowCenter=5, WindowWidth=9)
    tables = tone_tables(read_tone(Attributes(made)), RAMP)
    assert tables.window == "LUT"
    expected = apply_voi_lut(RAMP, made, prefer_lut=True) / 1023
    np.testing.assert_allclose(look_up(RAMP, tables.gray) / 65535, expected, atol=0.51 / 65535)


def test_a_modality_table_goes_before_the_window():
    entries = np.arange(4096)[::-1] * 2
    made = dataset(RAMP, ModalityLUTSequence=items(table(entries)), WindowCenter=4096, WindowWidth=4000)
    expected = apply_voi_lut(apply_modality_lut(RAMP, made).astype(np.float64), made) / 65535
    result = gray(RAMP, read_tone(Attributes(made)))
    assert np.corrcoef(result.ravel(), expected.ravel())[0, 1] > 0.999999
    assert (np.diff(result.ravel().astype(int)) <= 0).all()


@pytest.mark.parametrize("first", [-1000, 2**16 - 1000])
def test_a_table_for_signed_values_may_write_its_first_one_unsigned(first):
    curve = Table(first=first, entries=np.arange(2000, dtype=np.uint16), bits=11)
    assert curve(np.array([-1500.0, -1000.0, -999.4, 0.0, 5000.0])).tolist() == [0, 0, 1, 1000, 1999]


@pytest.mark.parametrize("signed", [False, True])
def test_patterns_stand_for_their_values(signed):
    values = stored_values(signed=signed)
    dtype = np.int16 if signed else np.uint16
    each = np.array([-32768, -1, 0, 5] if signed else [0, 5, 40000, 65535], dtype)
    assert values[each.view(np.uint16)].tolist() == each.tolist()


def test_monochrome1_is_inverted_once():
    window = Window(2048, 4096)
    plain, inverted = (gray(RAMP, Tone(signed=False, invert=invert, voi=window)) for invert in (False, True))
    np.testing.assert_array_equal(inverted, 65535 - plain)


def test_padding_is_black_and_moves_no_percentile():
    pixels = drawn()
    padded = pixels.copy()
    padded[:, -40:] = 4095
    alone = tone_tables(Tone(signed=False, invert=False), pixels[:, :-40])
    aside = tone_tables(Tone(signed=False, invert=False, padding=(4095, 4095)), padded)
    assert aside.window == alone.window
    result = look_up(padded, aside.gray)
    assert not result[:, -40:].any()
    np.testing.assert_array_equal(result[:, :-40], look_up(np.ascontiguousarray(pixels[:, :-40]), alone.gray))
    assert not aside.dark_padding


@pytest.mark.parametrize(
    ("padding", "invert", "dark"), [((0, 0), False, True), ((4000, 4095), True, True), ((0, 9), True, False)]
)
def test_padding_beyond_the_dark_end_may_blend(padding, invert, dark):
    pixels = drawn() if not invert else 4095 - drawn()
    assert tone_tables(Tone(signed=False, invert=invert, padding=padding), pixels).dark_padding == dark


def test_percentiles_of_a_histogram():
    values, counts = np.array([9.0, 1.0, 5.0]), np.array([500, 2, 498])
    window = percentile_window(values, counts)
    assert (window.center - window.width / 2, window.center + window.width / 2) == (1, 9)
    rare = percentile_window(np.array([1.0, 5.0, 9.0, 99.0]), np.array([1, 9000, 9000, 1]))
    assert (rare.center - rare.width / 2, rare.center + rare.width / 2) == (5, 9)
    same = percentile_window(np.array([0.0, 8.0]), np.array([9999, 1]))
    assert (same.center - same.width / 2, same.center + same.width / 2) == (0, 8)


def test_without_a_word_about_interest_percentiles_are_taken():
    tables = tone_tables(Tone(signed=False, invert=False), drawn())
    assert tables.window.startswith("PERCENTILES ")
    result = look_up(drawn(), tables.gray)
    assert (result.min(), result.max()) == (0, 65535)
    assert tables.flags == ()


def test_a_window_that_shows_nothing_of_the_image_is_flagged_and_replaced():
    tables = tone_tables(Tone(signed=False, invert=False, voi=Window(50000, 100)), drawn())
    assert tables.window.startswith("PERCENTILES ")
    assert tables.flags == ("WINDOW LINEAR 50000/100 shows nothing of the image: percentiles taken",)
    np.testing.assert_array_equal(tables.gray, tables.plain)


def test_the_plain_table_does_not_depend_on_the_window():
    tones = [
        Tone(signed=False, invert=False, voi=window, function=function)
        for window, function in [(Window(2000, 900), "LINEAR"), (Window(900, 3000), "SIGMOID"), (None, "LINEAR")]
    ]
    plain = [tone_tables(tone, drawn()).plain for tone in tones]
    np.testing.assert_array_equal(plain[0], plain[1])
    np.testing.assert_array_equal(plain[0], plain[2])


def test_an_image_of_nothing_is_refused():
    nothing, tone = np.full((8, 8), 7, np.uint16), Tone(signed=False, invert=False)
    with pytest.raises(Refused, match="every pixel holds 7: there is nothing on it"):
        tone_tables(tone, nothing)
    with pytest.raises(Refused, match="all pixels are padding"):
        tone_tables(replace(tone, padding=(7, 9)), nothing)
    with pytest.raises(Refused, match="every pixel comes out as 5"):
        tone_tables(replace(tone, modality=Table(0, np.array([5], np.uint16), 8)), drawn())


@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_looking_up_is_indexing(dtype):
    generator = np.random.default_rng(0)
    table = generator.integers(0, 2**16, 2**16, dtype=np.uint16)
    values = generator.integers(0, 2**16, (301, 17), dtype=np.uint16).view(dtype)[:, 3:]
    expected = table[values.view(np.uint16)]
    np.testing.assert_array_equal(look_up(values, table), expected)
    np.testing.assert_array_equal(look_up_by_rows(values.view(np.uint16), table, rows=7), expected)
