"""Size, crop and side: the same however the image was decoded, with as few pixels as possible."""

import numpy as np
import pytest
from pydicom.uid import JPEG2000Lossless, RLELossless

from data_modules.mammography.dicom import CropBox, read_mammogram
from data_modules.mammography.dicom.develop import reduction, shrink
from tests.data_modules.mammography.dicom.files import drawn, save

LARGE = drawn(1300, 820)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    folder = tmp_path_factory.mktemp("large")
    return {
        "plain": save(folder / "plain.dcm", LARGE, ImageLaterality="L"),
        "rle": save(folder / "rle.dcm", LARGE, syntax=RLELossless, ImageLaterality="L"),
        "jpeg2000": save(folder / "j2k.dcm", LARGE, syntax=JPEG2000Lossless, ImageLaterality="L"),
    }


@pytest.mark.parametrize(
    ("box", "long_side", "levels", "power"),
    [
        (CropBox(0, 0, 4000, 2000), 1000, 5, 2),
        (CropBox(0, 0, 3999, 2000), 1000, 5, 1),
        (CropBox(0, 0, 2000, 4000), 1000, 5, 2),
        (CropBox(1000, 0, 2000, 500), 1000, 5, 0),
        (CropBox(0, 0, 4000, 2000), 100, 3, 3),
        (CropBox(0, 0, 4000, 2000), 1000, 0, 0),
        (CropBox(0, 0, 4000, 2000), None, 5, 0),
    ],
)
def test_the_largest_reduction_that_leaves_something_to_shrink(box, long_side, levels, power):
    assert reduction(box, long_side, levels) == power


@pytest.mark.parametrize(
    ("long_side", "shape"), [(100, (100, 50)), (400, (400, 200)), (401, (400, 200)), (None, (400, 200)), (1, (1, 1))]
)
def test_the_longer_side_shrinks_and_is_never_enlarged(long_side, shape):
    assert shrink(np.zeros((400, 200), np.uint16), CropBox(10, 10, 410, 210), long_side).shape == shape


def test_shrinking_is_the_mean_over_areas():
    pixels = np.random.default_rng(0).integers(0, 65536, (64, 32)).astype(np.uint16)
    expected = pixels.reshape(16, 4, 8, 4).mean(axis=(1, 3))
    assert np.abs(shrink(pixels, CropBox(0, 0, 64, 32), 16) - expected).max() <= 0.5


@pytest.mark.parametrize("long_side", [None, 900])
def test_lossless_encodings_give_the_same_image(large, long_side):
    images = [read_mammogram(path, long_side=long_side) for path in large.values()]
    assert [image.reduced for image in images] == [0, 0, 0]
    assert len({image.crop_box for image in images}) == 1
    for other in images[1:]:
        np.testing.assert_array_equal(other.pixels, images[0].pixels)


@pytest.mark.parametrize(("long_side", "power"), [(600, 0), (500, 1), (200, 2)])
def test_a_reduced_decode_gives_nearly_the_full_one_s_image(large, long_side, power):
    reduced = read_mammogram(large["jpeg2000"], long_side=long_side)
    full = read_mammogram(large["jpeg2000"], long_side=long_side, reduced_decode=False)
    assert (reduced.reduced, full.reduced) == (power, 0)
    assert np.abs(np.subtract(reduced.crop_box, full.crop_box)).max() <= 4  # one pixel of the small copy
    sides = [slice(0, min(lengths)) for lengths in zip(reduced.pixels.shape, full.pixels.shape, strict=True)]
    difference = np.abs(np.subtract(*(each.pixels[tuple(sides)].astype(int) for each in (reduced, full))))
    assert difference.mean() < 0.01 * 65535


def test_without_a_crop_both_have_the_same_size(large):
    images = [
        read_mammogram(large["jpeg2000"], long_side=300, crop=False, reduced_decode=reduced).pixels
        for reduced in (True, False)
    ]
    assert images[0].shape == images[1].shape == (300, 189)
    assert np.abs(np.subtract(*(image.astype(int) for image in images))).mean() < 0.005 * 65535


def test_bright_padding_forbids_the_reduced_decode(tmp_path):
    padded = LARGE.copy()
    padded[:, -120:] = 4095
    bright = save(tmp_path / "bright.dcm", padded, syntax=JPEG2000Lossless, PixelPaddingValue=4095)
    plain = save(tmp_path / "plain.dcm", padded, PixelPaddingValue=4095)
    read = read_mammogram(bright, long_side=200)
    assert read.reduced == 0
    np.testing.assert_array_equal(read.pixels, read_mammogram(plain, long_side=200).pixels)
    dark = save(tmp_path / "dark.dcm", LARGE, syntax=JPEG2000Lossless, PixelPaddingValue=0)
    assert read_mammogram(dark, long_side=200).reduced == 2


def test_a_small_image_is_decoded_whole_for_nothing_would_be_saved(tmp_path):
    path = save(tmp_path / "small.dcm", drawn(), syntax=JPEG2000Lossless)
    read = read_mammogram(path, long_side=60)
    full = read_mammogram(path, long_side=60, reduced_decode=False)
    assert (read.reduced, read.crop_box) == (0, full.crop_box)
    assert np.array_equal(read.pixels, full.pixels)
