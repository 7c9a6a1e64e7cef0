"""Stored values: the same from every encoding, native, within their bits, whole or reduced."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFile
from pydicom.uid import ExplicitVRBigEndian, JPEG2000Lossless, RLELossless

from data_modules.mammography.dicom.attributes import Refused
from data_modules.mammography.dicom.decode import reduced_jpeg2000, stored_image, within_bits
from data_modules.mammography.dicom.header import read_header
from tests.data_modules.mammography.dicom.files import dataset, drawn


def image(pixels, **settings):
    made = dataset(pixels, **settings)
    return stored_image(made, read_header(made))


@pytest.mark.parametrize("settings", [{}, {"syntax": RLELossless}, {"syntax": JPEG2000Lossless}])
@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.uint8])
def test_lossless_encodings_give_the_stored_values(settings, dtype):
    pixels = (drawn() // 32).astype(dtype) - np.array(60 if dtype == np.int16 else 0, dtype)
    values = image(pixels, bits=8 if dtype == np.uint8 else 12, **settings).full()
    assert values.dtype == (np.int16 if dtype == np.int16 else np.uint16)
    np.testing.assert_array_equal(values, pixels)


def test_big_endian_becomes_native():
    made = dataset(drawn())
    made.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    made.PixelData = drawn().astype(">u2").tobytes()
    values = stored_image(made, read_header(made)).full()
    assert values.dtype.isnative
    np.testing.assert_array_equal(values, drawn())


@pytest.mark.parametrize(
    ("values", "bits", "signed"),
    [([[0, 4096]], 12, False), ([[0, 4096]], 12, True), ([[-2049, 0]], 12, True), ([[0, 300]], 8, False)],
)
def test_values_beyond_the_bits_stored_are_refused(values, bits, signed):
    with pytest.raises(Refused, match=f"exceed the {bits} bits"):
        within_bits(np.array(values, np.int16), bits, signed=signed)


@pytest.mark.parametrize("settings", [{}, {"syntax": RLELossless}, {"syntax": JPEG2000Lossless}])
def test_they_are_refused_and_do_not_wrap_around(settings):
    pixels = drawn()
    pixels[100, 50] = 5000
    made = dataset(pixels, bits=16, **settings)
    made.BitsStored, made.HighBit = 12, 11
    with pytest.raises(Refused, match="up to 5000 exceed the 12 bits"):
        stored_image(made, read_header(made)).full()


def test_the_sign_may_stand_in_the_bits_stored_alone():
    values = np.array([[4095, 2048, 2047, 0]], np.int16)
    assert within_bits(values, 12, signed=True).tolist() == [[-1, -2048, 2047, 0]]


@pytest.mark.parametrize(
    ("least", "most", "bits", "signed"), [(0, 4095, 12, False), (-2048, 2047, 12, True), (-32768, 32767, 16, True)]
)
def test_the_ends_of_the_bits_are_within(least, most, bits, signed):
    assert within_bits(np.array([[least, most]], np.int16), bits, signed=signed).tolist() == [[least, most]]


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.uint8])
@pytest.mark.parametrize("power", [1, 2, 3])
def test_reduced_jpeg_2000_is_a_small_copy_in_the_same_units(dtype, power):
    pixels = drawn(241, 163)
    pixels = (pixels // 16).astype(dtype) if dtype == np.uint8 else pixels.astype(dtype)
    if dtype == np.int16:
        pixels -= 2000
    stored = image(pixels, bits=8 if dtype == np.uint8 else 12, syntax=JPEG2000Lossless)
    small = stored.reduced(power)
    assert small.shape == (-(-241 // 2**power), -(-163 // 2**power))
    assert small.dtype == (np.int16 if dtype == np.int16 else np.uint16)
    side = 2**power
    smooth = cv2.GaussianBlur(pixels.astype(np.float64), None, side / 2)[::side, ::side]  # where wavelets sample
    assert np.corrcoef(small.ravel(), smooth.ravel())[0, 1] > 0.99
    assert abs(small.mean() - smooth.mean()) < 0.01 * np.ptp(pixels)


def restated(pixels, *, bits):
    """A file whose stream states another precision than its header."""
    made = dataset(pixels, bits=16 if pixels.dtype == np.uint16 else 13, syntax=JPEG2000Lossless)
    made.BitsStored, made.HighBit = bits, bits - 1
    return stored_image(made, read_header(made))


def test_only_jpeg_2000_is_reduced_and_signed_values_only_at_the_stated_precision():
    assert image(drawn(), syntax=JPEG2000Lossless).levels > 0
    assert image(drawn()).levels == image(drawn(), syntax=RLELossless).levels == 0
    signed = drawn().astype(np.int16) - 2000
    assert image(signed, bits=13, syntax=JPEG2000Lossless).levels > 0
    assert restated(signed, bits=14).levels == 0


def test_another_precision_of_the_stream_changes_no_value():
    stored = restated(drawn(), bits=12)
    assert stored.levels > 0
    np.testing.assert_array_equal(stored.full(), drawn())
    alike = image(drawn(), syntax=JPEG2000Lossless)
    assert np.abs(np.subtract(stored.reduced(2), alike.reduced(2), dtype=int)).max() <= 1


def test_values_beyond_the_bits_stored_are_refused_in_a_reduced_decode_too():
    pixels = drawn()
    pixels[80:160, :80] = 5000
    with pytest.raises(Refused, match="exceed the 12 bits"):
        restated(pixels, bits=12).reduced(2)


@pytest.mark.parametrize("name", ["Rows", "Columns"])
def test_a_stream_of_another_size_is_refused_before_it_is_decoded(name):
    made = dataset(drawn(), syntax=JPEG2000Lossless)
    setattr(made, name, 9)
    with pytest.raises(Refused, match="the compressed image is 160 x 240 with 1 channels, the header says"):
        stored_image(made, read_header(made))


def test_a_stream_of_more_bits_than_are_allocated_is_refused():
    made = dataset(drawn(), bits=16, syntax=JPEG2000Lossless)
    made.BitsAllocated = made.BitsStored = 8
    with pytest.raises(Refused, match="has 16 bits a pixel, the header says 8"):
        stored_image(made, read_header(made))


def test_a_frame_far_too_long_for_its_pixels_is_refused():
    made = dataset(drawn(16, 16), syntax=RLELossless)
    made.PixelData = made.PixelData + bytes(10**6)
    with pytest.raises(Refused, match="compressed bytes for 16 x 16 pixels"):
        stored_image(made, read_header(made))


def test_a_broken_stream_names_what_each_decoder_said():
    made = dataset(drawn(), syntax=JPEG2000Lossless)
    data = bytearray(made.PixelData)
    tile = data.index(b"\xff\x90")
    data[tile : tile + 40] = bytes(40)
    made.PixelData = bytes(data)
    with pytest.raises(Refused, match=r"no decoder reads it .*pylibjpeg: .*gdcm: .*pillow: "):
        stored_image(made, read_header(made)).full()


def test_what_pillow_cannot_reduce_to_gray_is_refused(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(buffer, "JPEG2000", no_jp2=True)
    with pytest.raises(Refused, match="uint8 with 3 dimensions"):
        reduced_jpeg2000(buffer.getvalue(), 1, bits=8, signed=False)


def test_a_pillow_that_does_not_reduce_is_noticed(monkeypatch):
    monkeypatch.setattr("PIL.Jpeg2KImagePlugin.Jpeg2KImageFile.load", ImageFile.ImageFile.load)
    stored = image(drawn(241, 163), syntax=JPEG2000Lossless)
    with pytest.raises(Refused, match=r"Pillow \S+ reduces JPEG 2000 to 164 x 242, not 82 x 121: decode it whole"):
        stored.reduced(1)
