"""The side of the breast: pixels win, the header is checked against them."""

import numpy as np
import pytest

from data_modules.mammography.dicom.crop import Breast, CropBox, find_breast
from data_modules.mammography.dicom.header import MammogramHeader
from data_modules.mammography.dicom.orient import check_laterality, is_flipped, side_of_breast
from tests.data_modules.mammography.dicom.files import drawn

LEFT = (drawn() * 16).astype(np.uint16)


def header(laterality=None, orientation=()):
    return MammogramHeader(9, 9, 12, "MONOCHROME2", "", laterality=laterality, patient_orientation=orientation)


@pytest.mark.parametrize(("image", "side"), [(LEFT, "L"), (LEFT[:, ::-1], "R")])
def test_the_side_where_the_breast_is_attached(image, side):
    image = np.ascontiguousarray(image)
    assert side_of_breast(image, find_breast(image)) == side


def test_brightness_decides_where_no_breast_was_found():
    image = np.array([[9, 0, 0, 0]], np.uint16)
    whole = Breast(CropBox(0, 0, 1, 4), np.ones((1, 4), bool), "whole")
    assert side_of_breast(image, whole) == "L"
    assert side_of_breast(image[:, ::-1], whole) == "R"


@pytest.mark.parametrize("row", [[5, 5], [5, 0, 5], [0, 0], [5, 9, 5]])
def test_no_side_where_both_halves_are_alike(row):
    image = np.array([row], np.uint16)
    assert side_of_breast(image, Breast(CropBox(0, 0, 1, len(row)), np.ones(image.shape, bool), "whole")) is None


@pytest.mark.parametrize(
    ("side", "laterality", "orientation", "check"),
    [
        ("L", "L", ("A", "FR"), "agrees"),
        ("R", "R", ("P", "L"), "agrees"),
        ("L", None, ("A", "F"), "agrees"),
        ("L", "R", (), "contradicts"),
        ("R", "R", ("A", "F"), "contradicts"),
        ("R", "L", ("A", "F"), "contradicts"),
        (None, "L", ("A", "F"), "unknown"),
        ("L", None, (), "unknown"),
        ("L", "B", ("H", "F"), "unknown"),
    ],
)
def test_the_header_is_checked_against_the_pixels(side, laterality, orientation, check):
    found, flags = check_laterality(side, header(laterality, orientation))
    assert found == check
    assert bool(flags) == (check == "contradicts")


def test_each_contradiction_is_put_into_words():
    assert check_laterality("R", header("L", ("A", "F")))[1] == [
        "laterality L, but the breast is on the right",
        "patient orientation A, but the breast is on the right",
    ]


@pytest.mark.parametrize(
    ("side", "laterality", "orientation", "flipped"),
    [
        ("R", "L", (), True),
        ("L", "R", (), False),
        (None, "R", (), True),
        (None, None, ("P", "F"), True),
        (None, None, (), False),
    ],
)
def test_pixels_decide_and_then_the_header(side, laterality, orientation, flipped):
    assert is_flipped(side, header(laterality, orientation)) == flipped
