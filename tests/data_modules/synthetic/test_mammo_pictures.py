"""Drawn mammograms: density and findings can be seen, in both views, where the whole picture is 64 pixels high."""

from dataclasses import replace

import numpy as np
import pytest

from data_modules.synthetic.mammo_lesions import lesions_of
from data_modules.synthetic.mammo_pictures import ASPECT, FAT, GLAND, GLANDULAR, draw_breast, draw_view
from tests.data_modules.synthetic.mammo_helpers import TISSUE, held_out_accuracy, reduced

HEIGHT = 128
VIEWS = ("CC", "MLO")
SUSPICIOUS = (4, 5)


def breast(density=2, birads=1, seed=0):
    rng = np.random.default_rng([density, birads, seed])
    return draw_breast(density, rng, lesions=lesions_of(birads, rng))


def dense_share(picture):
    """How much of the breast is nearer to glandular tissue than to fat."""
    return (picture > (FAT + GLAND) / 2).sum() / (picture > TISSUE).sum()


@pytest.mark.parametrize("view", VIEWS)
def test_the_same_breast_gives_the_same_picture(view):
    first, again = (draw_view(breast(birads=5), view, height=HEIGHT) for _ in range(2))
    np.testing.assert_array_equal(first.picture, again.picture)
    assert first.boxes == again.boxes
    other = draw_view(breast(birads=5, seed=1), view, height=HEIGHT)
    assert np.abs(other.picture - first.picture).mean() > 0.02


@pytest.mark.parametrize("view", VIEWS)
def test_a_breast_hangs_from_the_left_border_in_black_air(view):
    for seed in range(4):
        picture = draw_view(breast(seed=seed), view, height=HEIGHT).picture
        assert picture.dtype == np.float32
        assert picture.shape == (HEIGHT, round(HEIGHT * ASPECT))
        assert picture.min() >= 0
        assert picture.max() <= 1
        tissue = picture > TISSUE
        assert tissue[HEIGHT // 2, 0]
        assert not tissue[:, -HEIGHT // 20 :].any()
        assert 0.15 < tissue.mean() < 0.7


def test_the_muscle_is_in_the_upper_corner_of_the_oblique_view_alone():
    corner = np.s_[: HEIGHT // 5, : HEIGHT // 10]
    for seed in range(4):
        oblique, straight = (draw_view(breast(1, seed=seed), view, height=HEIGHT).picture for view in ("MLO", "CC"))
        assert oblique[corner].mean() > GLAND > FAT > straight[corner].mean()


@pytest.mark.parametrize("density", GLANDULAR)
def test_as_much_of_the_breast_is_dense_as_its_density_says(density):
    """The two quarters of the fourth edition of BI-RADS that a picture may be nearest to are its own."""
    for seed in range(4):
        share = dense_share(draw_view(breast(density, seed=seed), "CC", height=256).picture)
        assert share == pytest.approx(np.mean(GLANDULAR[density]), abs=0.11)
        assert min(GLANDULAR, key=lambda other: abs(np.mean(GLANDULAR[other]) - share)) == density


def test_densities_do_not_overlap():
    borders = [border for density in sorted(GLANDULAR) for border in GLANDULAR[density]]
    assert borders == sorted(borders)
    assert all(quarter / 4 <= low < high <= (quarter + 1) / 4 for quarter, (low, high) in enumerate(GLANDULAR.values()))


def test_a_negative_breast_shows_nothing():
    assert lesions_of(1, np.random.default_rng(0)) == ()
    assert draw_view(breast(birads=1), "CC", height=HEIGHT).boxes == ()


@pytest.mark.parametrize("birads", [0, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("view", VIEWS)
def test_a_finding_is_where_its_box_is_and_nowhere_else(view, birads):
    shown = breast(2, birads)
    drawing = draw_view(shown, view, height=256)
    bare = draw_view(replace(shown, lesions=()), view, height=256).picture
    ((left, top, right, bottom),) = drawing.boxes
    change = np.abs(drawing.picture - bare)
    inside = np.zeros(change.shape, dtype=bool)
    inside[top:bottom, left:right] = True
    assert change[inside].mean() > 4 * change[~inside].mean()
    assert (bottom - top) / 256 > 0.1


@pytest.mark.parametrize("birads", SUSPICIOUS)
@pytest.mark.parametrize("density", [1, 4])
@pytest.mark.parametrize("view", VIEWS)
def test_suspicious_masses_can_be_seen_at_64_pixels(view, density, birads):
    """Wide, spiculated, and brighter than anything else in the densest breast."""
    for seed in range(2):
        shown = breast(density, birads, seed)
        (lesion,) = shown.lesions
        assert lesion.size >= 0.12
        assert (lesion.shape, lesion.margin, lesion.density) == ("irregular", "spiculated", "high")
        drawing = draw_view(shown, view, height=256)
        bare = draw_view(replace(shown, lesions=()), view, height=256).picture
        assert (reduced(drawing.picture) > 0.85).sum() >= 12  # pixels, of a mass that is 8 or more of them wide
        assert (reduced(bare) > 0.85).sum() == 0


def test_benign_calcifications_are_few_small_and_round():
    for seed in range(4):
        shown = breast(2, 2, seed)
        assert [lesion.calcification for lesion in shown.lesions] == ["coarse"]
        bright = draw_view(shown, "CC", height=256).picture > 0.9
        assert 0.0003 < bright.mean() < 0.015


def test_both_views_show_the_finding_at_the_same_distance_from_the_chest_wall():
    for seed in range(3):
        shown = breast(2, 5, seed)
        boxes = [draw_view(shown, view, height=256).boxes[0] for view in VIEWS]
        across, along = zip(
            *[((left + right) / 2, (top + bottom) / 2) for left, top, right, bottom in boxes], strict=True
        )
        assert across[0] == pytest.approx(across[1], abs=2)
        assert along[0] != along[1]


def test_a_magnification_view_shows_the_finding_larger_and_no_whole_breast():
    shown = breast(2, 5)
    whole, spot = (draw_view(shown, "CC", height=256, spot=spot) for spot in (False, True))
    assert spot.boxes == ()
    assert (spot.picture > 0.85).sum() > 2.5 * (whole.picture > 0.85).sum()
    assert spot.picture[128, 0] < TISSUE


def test_another_exposure_has_the_same_finding():
    first, second = (draw_view(breast(birads=5), "MLO", height=HEIGHT, again=again) for again in (0, 1))
    assert np.abs(first.picture - second.picture).mean() > 0.005
    assert np.subtract(first.boxes, second.boxes) == pytest.approx(0, abs=HEIGHT / 8)


def test_density_and_suspicion_can_be_learned_from_few_small_pictures():
    """By a logistic regression on the grays at 64 pixels; chance is .25 and .5."""
    pictures, densities, suspicious, groups = [], [], [], []
    for group in range(48):
        density, birads = 1 + group % 4, (1, 2, 4, 5)[group // 4 % 4]
        for view in VIEWS:
            pictures.append(reduced(draw_view(breast(density, birads, seed=group), view, height=HEIGHT).picture))
            densities.append(density)
            suspicious.append(birads in SUSPICIOUS)
            groups.append(group)
    assert held_out_accuracy(pictures, suspicious, groups) >= 0.95
    assert held_out_accuracy(pictures, densities, groups) >= 0.8
