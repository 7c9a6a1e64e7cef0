"""A real film in many encodings, and thirty odd or broken files: read soundly, or refused in one line."""

import os
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.stats import spearmanr

from data_modules.errors import UnreadableImageError
from data_modules.mammography.dicom import CropBox, read_mammogram

REAL = os.environ.get("MEDLIT_REAL_FILES")

pytestmark = pytest.mark.skipif(REAL is None, reason="MEDLIT_REAL_FILES names no folder of real files")

FILM = "mammo/MG1_J2KI.dcm"
LABEL_LEFT, BORDER_TOP = 2300, 4600
"""On the film, in pixels: the letters L MLO begin right of this column, the border with its numbers below this row."""
NIPPLE = 2049
"""The column that the breast reaches."""

PLAIN = "mammo_derived/MG1_ds4_explicitLE_MONO2.dcm"
SIGMOID = "mammo_derived/MG1_ds4_explicitLE_SIGMOID_multiWC.dcm"
RIGHT = "mammo_derived/MG1_ds4_explicitLE_MONO2_rightflip.dcm"
ALIKE = (
    "mammo_derived/MG1_ds4_J2KLossless_MONO1.dcm",
    "mammo_derived/MG1_ds4_RLE_MONO2.dcm",
    "mammo_derived/MG1_ds4_explicitLE_MONO1.dcm",
    RIGHT,
)

READ = {
    "J2K_pixelrep_mismatch": (512, 512),
    "JLSL_16_15_1_1F": (128, 128),
    "JPEGLSNearLossless_16": (50, 10),
    "JPEGLossless_1s_1f_i_16_16_bad": (512, 512),
    "MR_small": (64, 64),
    "MR_small_RLE": (64, 64),
    "MR_small_bigendian": (64, 64),
    "MR_small_implicit": (64, 64),
    "MR_small_jp2klossless": (64, 64),
    "MR_small_jpeg_ls_lossless": (64, 64),
    "MR_small_padded": (64, 64),
    "RG1_J2KI": (1955, 1841),
    "RG2_JLSN": (2140, 1760),
    "RG3_J2KR": (1760, 1760),
    "bad_sequence": (512, 512),
    "image_dfl": (512, 512),
    "mlut_18": (512, 512),
    "vlut_04": (512, 512),
}
"""Odd files that have to be read, with their rows and columns: every grayscale image with one frame that is whole."""
REFUSED = {
    "HTJ2KLossless_08_RGB": "RGB: only grayscale",
    "JPEG-lossy": "no decoder reads it",  # 12-bit lossy JPEG: none of the decoders under a free licence can
    "JPEG2000-embedded-sequence-delimiter": "the compressed image is 3722445056 x 1024",
    "MR_truncated": "less than expected",
    "SC_rgb_small_odd_jpeg": "YBR_FULL: only grayscale",
    "badVR": "NumberOfFrames '1A' is no number",
    "emri_small_jpeg_2k_lossless_too_short": "holds no pixels",
    "examples_palette": "PALETTE COLOR: only grayscale",
    "examples_ybr_color": "30 frames",
    "no_meta": "no DICOM, PNG or JPEG file",
    "rtplan_truncated": "holds no pixels (modality RTPLAN)",
    "test-SR": "holds no pixels (modality SR)",
}
"""Odd files that have to be refused, and why."""
SAME = [name for name in READ if name.startswith("MR_small")]
"""One image in seven encodings."""


def read(name, **settings):
    return read_mammogram(Path(REAL, name), **settings)


def whole(name):
    """Neither cropped nor turned nor shrunk."""
    return read(name, crop=False, orient="none", long_side=None).pixels


def by_pydicom(name):
    """What pydicom makes of the modality and the values of interest, bright where it is meant to be bright."""
    from pydicom import dcmread  # of the extra dicom, which the real files need
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    dataset = dcmread(Path(REAL, name))
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "The pixel data is 8320 bytes long", UserWarning
        )  # one file is padded on purpose
        pixels = dataset.pixel_array
    values = apply_voi_lut(apply_modality_lut(pixels, dataset), dataset, index=0).astype(float)
    return -values if dataset.PhotometricInterpretation == "MONOCHROME1" else values


def assert_sound(mammogram, *, levels):
    pixels = mammogram.pixels
    assert (pixels.dtype, pixels.ndim, pixels.dtype.isnative) == (np.uint16, 2, True)
    assert len(np.unique(pixels)) > levels
    threshold, _ = cv2.threshold(pixels, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    assert 0.05 < (pixels > threshold).mean() < 0.95


def difference(a, b):
    """Mean absolute difference as a part of full scale."""
    return np.abs(a.astype(int) - b).mean() / 65535


@pytest.mark.parametrize("name", ALIKE)
def test_encodings_and_sides_of_one_film_come_out_alike(name):
    plain, other = read(PLAIN), read(name)
    assert other.pixels.shape == plain.pixels.shape
    assert difference(other.pixels, plain.pixels) < 0.01
    assert_sound(other, levels=256)


def test_the_flipped_one_is_turned_and_the_conflict_recorded():
    plain, right = read(PLAIN), read(RIGHT)
    assert (plain.flipped, plain.laterality_check, plain.flags) == (False, "agrees", ())
    assert (right.flipped, right.laterality_check) == (True, "contradicts")
    assert right.flags == ("patient orientation A, but the breast is on the right",)
    kept = read(RIGHT, orient="none")
    assert not kept.flipped
    np.testing.assert_array_equal(kept.pixels[:, ::-1], right.pixels)


def test_the_sigmoid_one_is_a_monotone_function_of_the_others():
    plain, sigmoid = read(PLAIN, long_side=None), read(SIGMOID, long_side=None)
    assert (plain.crop_box, plain.window) == (sigmoid.crop_box, "WINDOW LINEAR 2047/4095")
    assert sigmoid.window == "WINDOW SIGMOID 2047/4095"
    values, curve = plain.pixels.ravel().astype(int), sigmoid.pixels.ravel().astype(int)
    order = np.lexsort((curve, values))
    assert (np.diff(curve[order]) >= 0).all()  # nowhere is what is brighter on the one darker on the other
    assert len(np.unique(curve)) >= len(np.unique(values))
    assert difference(plain.pixels, sigmoid.pixels) > 0.01


def test_the_film_is_cropped_to_the_breast_without_its_border_s_labels():
    film = read(FILM)
    assert film.crop_method == "otsu"
    top, left, bottom, right = film.crop_box
    assert left == 0
    assert NIPPLE <= right < LABEL_LEFT
    assert top < 150
    assert 4400 < bottom < BORDER_TOP
    assert film.pixels.shape == (1024, round(1024 * right / (bottom - top)))
    assert_sound(film, levels=256)


def test_a_quarter_of_the_film_s_size_gives_the_same_crop():
    scaled = np.multiply(read(PLAIN).crop_box, 4)
    assert np.abs(np.subtract(read(FILM).crop_box, scaled)).max() <= 32


@pytest.mark.slow
@pytest.mark.parametrize(("long_side", "power"), [(1024, 2), (2048, 1), (512, 3)])
def test_the_film_decoded_at_reduced_size_is_nearly_the_full_decode(long_side, power):
    settings = {"long_side": long_side, "crop": False}
    reduced, full = read(FILM, **settings), read(FILM, reduced_decode=False, **settings)
    assert (reduced.reduced, full.reduced) == (power, 0)
    assert difference(reduced.pixels, full.pixels) < 0.01


def test_lossy_jpeg_of_12_bits_is_refused_with_what_each_decoder_said():
    with pytest.raises(UnreadableImageError, match=r"MG1_JPLY.dcm: no decoder reads it \(gdcm: .*12-bit.*pillow: "):
        read("mammo/MG1_JPLY.dcm")


@pytest.mark.parametrize("name", sorted(path.stem for path in Path(REAL or ".").glob("odd_dicom/*.dcm")))
def test_odd_files_are_read_or_refused(name, recwarn):
    if name in READ:
        image = read(f"odd_dicom/{name}.dcm")
        assert (image.header.rows, image.header.columns) == READ[name]
        assert CropBox(0, 0, 0, 0) < image.crop_box
        assert image.pixels.min() < image.pixels.max()
    else:
        with pytest.raises(UnreadableImageError) as caught:
            read(f"odd_dicom/{name}.dcm")
        assert REFUSED[name] in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not recwarn.list


def test_the_tables_name_all_thirty():
    assert READ.keys() | REFUSED.keys() == {path.stem for path in Path(REAL, "odd_dicom").glob("*.dcm")}
    assert (len(READ), len(REFUSED)) == (18, 12)


def test_seven_encodings_of_one_image_are_the_same():
    images = [whole(f"odd_dicom/{name}.dcm") for name in SAME]
    for image in images[1:]:
        np.testing.assert_array_equal(image, images[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", [FILM, PLAIN, *ALIKE, SIGMOID, *(f"odd_dicom/{name}.dcm" for name in READ)])
def test_gray_values_stand_in_the_order_of_pydicom_s(name):
    ours, theirs = whole(name), by_pydicom(name)
    assert ours.shape == theirs.shape
    step = max(1, ours.size // 10**6)
    assert spearmanr(ours.ravel()[::step], theirs.ravel()[::step]).statistic > 0.99


@pytest.mark.parametrize("name", ["MR1_J2KR", "MR2_J2KR", "MR3_J2KR", "MR4_J2KR"])
def test_another_modality_is_read_and_flagged(name):
    assert read(f"mr/{name}.dcm").flags == ("modality MR",)


def test_colour_is_refused_and_gray_pictures_are_read():
    for name in ("fundus/VL4_J2KI.dcm", "fundus/retina.jpg"):
        with pytest.raises(UnreadableImageError, match="only grayscale is read"):
            read(name)
    scan = read("oct/kermany_CNV-0.png", crop=False, orient="none")  # a JPEG under a PNG's name
    assert (scan.header.transfer_syntax, scan.window) == ("JPEG", "BITS 8")
