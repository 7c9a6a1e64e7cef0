"""Converted pictures: gray as they are, up to the full scale of the bits in use."""

import io

import numpy as np
import pytest
from PIL import Image

from data_modules.mammography.dicom.attributes import Refused
from data_modules.mammography.dicom.picture import bits_of, format_of, read_picture


def encoded(pixels, kind="PNG", **settings):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **settings)
    return buffer.getvalue()


def test_the_first_bytes_decide():
    gray = np.zeros((4, 4), np.uint8)
    assert format_of(encoded(gray)) == "PNG"
    assert format_of(encoded(gray, "JPEG")) == "JPEG"
    assert format_of(encoded(gray, "TIFF")) is None
    assert format_of(b"") is None


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_gray_png(dtype):
    pixels = np.arange(12, dtype=dtype).reshape(3, 4) * 20
    header, image, tone = read_picture(encoded(pixels), "PNG")
    assert (header.rows, header.columns, header.bits_stored, header.transfer_syntax) == (3, 4, 8, "PNG")
    assert (header.laterality, header.modality, tone.words, tone.voi.width) == (None, None, "BITS 8", 255)
    np.testing.assert_array_equal(image.full(), pixels)


@pytest.mark.parametrize(
    ("most", "bits"), [(0, 8), (255, 8), (256, 10), (1023, 10), (4095, 12), (4096, 14), (16384, 16), (65535, 16)]
)
def test_the_fewest_bits_in_use_that_hold_all_values(most, bits):
    assert bits_of(np.array([[0, most]], np.uint16)) == bits


def test_gray_in_three_channels_is_gray():
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    np.testing.assert_array_equal(read_picture(encoded(np.dstack([pixels] * 3)), "PNG")[1].full(), pixels)


def test_colour_palettes_and_transparency_are_refused():
    colour = np.zeros((4, 4, 3), np.uint8)
    colour[0, 0, 2] = 1
    with pytest.raises(Refused, match="in colour"):
        read_picture(encoded(colour), "PNG")
    with pytest.raises(Refused, match="mode RGBA"):
        read_picture(encoded(np.zeros((4, 4, 4), np.uint8)), "PNG")
    buffer = io.BytesIO()
    Image.fromarray(colour).convert("P").save(buffer, "PNG")
    with pytest.raises(Refused, match="mode P"):
        read_picture(buffer.getvalue(), "PNG")


def test_several_frames_are_refused():
    frames = [Image.fromarray(np.full((4, 4), value, np.uint8)) for value in (0, 9)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:])
    with pytest.raises(Refused, match="several frames"):
        read_picture(buffer.getvalue(), "PNG")


def test_a_huge_picture_is_refused_before_it_is_decoded(monkeypatch):
    monkeypatch.setattr("data_modules.mammography.dicom.picture.MAX_PIXELS", 15)
    with pytest.raises(Refused, match="4 x 4 is more than 15 pixels"):
        read_picture(encoded(np.zeros((4, 4), np.uint8)), "PNG")
