"""The breast is found, whatever is around it; where none is plausible the whole image stays."""

import cv2
import numpy as np
import pytest

from data_modules.mammography.dicom.crop import (
    CropBox,
    find_breast,
    largest_component,
    tissue,
    trim_border,
    without_strips,
)
from data_modules.synthetic.mammo_pictures import AIR, draw_breast, draw_view
from tests.data_modules.mammography.dicom.files import drawn

HEIGHT, WIDTH = 480, 320
TRUE = CropBox(48, 0, 432, 192)  # of the drawn breast: 0.4 of the height around the middle, 0.6 of the width
SLACK = 12
"""The drawn skin fades over a tenth of the radius."""

SMOOTH = cv2.GaussianBlur(np.random.default_rng(0).normal(30000, 96000, (200, 150)), None, 5).astype(np.uint16)
"""Texture without air, as in a spot view."""


def gray(**settings):
    return (drawn(HEIGHT, WIDTH, **settings) * 16).astype(np.uint16)


def assert_near(box, true=TRUE, slack=SLACK):
    assert np.abs(np.subtract(box, true)).max() <= slack


@pytest.mark.parametrize("air", [0, 100, 600])
def test_the_breast_without_the_air(air):
    found = find_breast(gray(air=air))
    assert found.method == "otsu"
    assert_near(found.box)


@pytest.mark.parametrize("darker", [1, 1.5, 2, 2.5])
@pytest.mark.parametrize("view", ["CC", "MLO"])
@pytest.mark.parametrize("density", [1, 2, 3, 4])
def test_all_of_a_breast_is_kept_however_dark_its_fat(density, view, darker):
    picture = draw_view(draw_breast(density, np.random.default_rng(density)), view, height=384).picture
    skin = cv2.blur(picture, (5, 5)) > 4 * AIR
    image = np.rint(np.clip(picture, AIR, 0.7) ** darker / 0.7**darker * 65535).astype(np.uint16)  # fat: 0.4 to 0.1
    found = find_breast(image)
    top, left, bottom, right = found.box
    assert found.method == "otsu"
    assert skin[top:bottom, left:right].sum() > 0.999 * skin.sum()
    assert (bottom - top, right - left) <= (384, skin.any(axis=0).sum() + 12)  # margin, and blurred noise


def test_black_strips_beside_a_fogged_film_do_not_hide_the_breast():
    image = gray(air=600)
    image[:, -16:] = 0
    found = find_breast(image)
    assert found.method == "otsu"
    assert_near(found.box)


def test_letters_are_left_out():
    image = gray()
    letters = np.zeros(image.shape, np.uint8)
    cv2.putText(letters, "L MLO", (215, 60), cv2.FONT_HERSHEY_SIMPLEX, 0.9, 255, 5)
    image[letters > 0] = 65535
    assert_near(find_breast(image).box)


def test_the_nipple_belongs_to_the_breast():
    image = gray()
    without = find_breast(image).box
    cv2.circle(image, (without.right - 8, HEIGHT // 2), 10, 30000, -1)  # half of it beyond the skin
    assert find_breast(image).box.right >= without.right + 4


@pytest.mark.parametrize("edge", ["top", "bottom", "left", "right", "all"])
def test_a_film_border_is_left_out_also_where_it_touches_the_breast(edge):
    image, wide = gray(), 14
    sides = {"top": np.s_[:wide], "bottom": np.s_[-wide:], "left": np.s_[:, :wide], "right": np.s_[:, -wide:]}
    for name, place in sides.items():
        if edge in (name, "all"):
            image[place] = 65000
    found = find_breast(image)
    left = wide if edge in ("left", "all") else 0
    assert found.method == "otsu"
    assert_near(found.box, TRUE._replace(left=left))
    assert found.box.left >= left


def test_bright_muscle_at_the_chest_wall_is_no_border():
    image = gray()
    reach = np.linspace(90, 0, HEIGHT)[:, np.newaxis] > np.arange(WIDTH)  # a triangle from the upper corner
    image[reach] = 50000
    found = find_breast(image)
    assert (found.box.left, found.box.top, found.method) == (0, 0, "otsu")


def test_dense_tissue_that_tapers_at_the_chest_wall_is_no_border():
    image = gray()
    outline = [(0, 40), (0, 440), (110, 392), (119, 332), (180, 240), (119, 148), (110, 88)]  # 0.83, 0.63, 0.38 of rows
    cv2.fillPoly(image, [np.array(outline)], 65535)
    assert trim_border(image) == CropBox(0, 0, HEIGHT, WIDTH)
    assert find_breast(image).box.left == 0


def test_a_border_that_ends_at_once_takes_nothing_with_it():
    image = gray()
    image[:14] = image[:, :9] = 65000
    assert trim_border(image) == CropBox(14, 9, HEIGHT, WIDTH)


def test_a_border_fades_over_some_rows_and_they_go_with_it():
    image = gray()
    image[-20:] = np.linspace(8000, 65535, 20)[:, np.newaxis]
    assert trim_border(image).bottom <= HEIGHT - 10
    assert trim_border(gray()) == CropBox(0, 0, HEIGHT, WIDTH)


@pytest.mark.parametrize(
    "image",
    [
        np.random.default_rng(0).integers(0, 65536, (200, 150)).astype(np.uint16),
        np.random.default_rng(0).integers(30000, 65536, (200, 150)).astype(np.uint16),
        np.pad(np.full((4, 4), 65535, np.uint16), ((10, 186), (10, 136))),
        SMOOTH,
        np.full((3, 3), 9, np.uint16),
        np.array([[0, 65535]], np.uint16),
    ],
    ids=["noise", "noise above air", "a speck", "tissue all over", "tiny", "two pixels"],
)
def test_the_whole_image_stays_where_no_breast_is_plausible(image):
    found = find_breast(image)
    assert (found.method, found.box) == ("whole", CropBox(0, 0, *image.shape))
    assert found.mask.all()


def test_the_skin_line_lies_below_otsu_s_threshold():
    image = gray(fat=500)
    threshold, _ = cv2.threshold(image, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    found = tissue(image)
    assert found[image > threshold].all()
    assert found.sum() > 1.2 * (image > threshold).sum()
    assert not found[:, -100:].any()


def test_a_single_bell_of_grays_is_not_parted():
    bell = np.random.default_rng(0).normal(30000, 3000, (200, 150)).astype(np.uint16)
    assert not tissue(bell).any()
    assert tissue(np.where(np.arange(150) < 60, bell, 3000).astype(np.uint16))[:, :55].all()


def test_strips_go_and_blocks_stay_also_at_the_edge():
    mask = np.zeros((100, 100), bool)
    mask[:, -2:] = mask[50] = True
    mask[:20, :20] = True
    opened = without_strips(mask)
    assert opened[:20, :20].all()
    assert opened.sum() == 400


def test_the_largest_component_touching_corners_do_not_count():
    mask = np.zeros((6, 6), bool)
    mask[:2, :2] = True
    mask[2:5, 2:5] = True
    assert largest_component(mask).sum() == 9
    assert not largest_component(np.zeros((2, 2), bool)).any()
