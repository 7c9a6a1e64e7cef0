import albumentations as A
import numpy as np
import pytest

from data_modules.errors import DataSettingsError
from data_modules.transforms import SeededTransform, evaluation_transform, paper_augmentation


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)


def test_result_is_a_function_of_the_seed_whatever_came_before(image):
    transform = SeededTransform(paper_augmentation(32), img_size=32)
    first = transform(image, seed=7)
    transform(image, seed=8)
    transform(image[:20], seed=9)
    assert np.array_equal(transform(image, seed=7), first)
    assert np.array_equal(SeededTransform(paper_augmentation(32), img_size=32)(image, seed=7), first)
    assert not np.array_equal(transform(image, seed=8), first)


def test_steps_draw_independently(image):
    transform = SeededTransform([A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5)], img_size=40)
    square = image[:, :40]
    flips = {(0, 0): square, (1, 0): square[:, ::-1], (0, 1): square[::-1], (1, 1): square[::-1, ::-1]}
    results = [transform(square, seed=seed) for seed in range(64)]
    for flipped in flips.values():
        assert 6 <= sum(np.array_equal(result, flipped) for result in results) <= 28


def test_nested_pipelines_are_seeded_too(image):
    transform = SeededTransform([A.OneOf([A.RandomCrop(8, 8), A.GaussNoise(p=1)], p=1)], img_size=16)
    assert np.array_equal(transform(image, seed=3), transform(image, seed=3))


def test_paper_augmentation_rotates_crops_flips_and_changes_colour():
    size = 64
    marked = np.full((size, size, 3), 100, dtype=np.uint8)
    transform = SeededTransform(paper_augmentation(size), img_size=size)
    results = [transform(marked, seed=seed) for seed in range(40)]
    centres = np.array([result[size // 2, size // 2].mean() for result in results])
    assert all(result.shape == (size, size, 3) for result in results)
    assert any((result[0, 0] == 0).all() for result in results)  # a rotated corner
    assert 100 * 0.7**2 - 2 <= centres.min() < 85
    assert 115 < centres.max() <= 100 * 1.3**2 + 2


def chosen(*indices):
    """Steps of the paper's augmentation for images of 32 pixels, by their place."""
    steps = paper_augmentation(32)
    return [steps[index] for index in indices]


def test_contrast_comes_first_then_brightness_then_saturation():
    halves = np.full((32, 32, 3), 50, dtype=np.uint8)
    halves[:16] = 150
    contrast, brightness, saturation = (SeededTransform(chosen(index), img_size=32) for index in (-3, -2, -1))
    dark, light = (contrast(halves, seed=1)[row, 0, 0] for row in (-1, 0))
    assert (int(dark) + int(light)) == pytest.approx(200, abs=2)  # about the mean
    assert abs(int(light) - int(dark) - 100) > 2
    dark, light = (brightness(halves, seed=1)[row, 0, 0] for row in (-1, 0))
    assert light / dark == pytest.approx(3, abs=0.1)  # times a factor
    assert abs(int(dark) - 50) > 1
    assert np.array_equal(saturation(halves, seed=1), halves)  # gray stays gray


def test_saturation_alone_changes_the_distance_of_the_channels():
    flat = np.full((32, 32, 3), (200, 100, 50), dtype=np.uint8)
    spreads = [np.ptp(SeededTransform(chosen(-1), img_size=32)(flat, seed=seed)[0, 0]) for seed in range(60)]
    assert 150 * 0.7 - 3 <= min(spreads) < 150 * 0.8
    assert 150 * 1.2 < max(spreads) <= 150 * 1.3 + 3


def test_crops_and_flips_come_at_the_paper_s_rate(image):
    square = image[:32, :32]
    flips = [SeededTransform(chosen(2), img_size=32)(square, seed=seed) for seed in range(200)]
    assert 70 <= sum(np.array_equal(result, square[:, ::-1]) for result in flips) <= 130
    crops = [SeededTransform(chosen(1), img_size=32)(square, seed=seed) for seed in range(200)]
    assert 70 <= sum(np.array_equal(result, square) for result in crops) <= 130


def test_evaluation_only_resizes(image):
    transform = SeededTransform(evaluation_transform(20), img_size=20)
    assert np.array_equal(transform(image, seed=1), transform(image, seed=2))
    means = image.reshape(20, 2, 20, 3, 3).mean(axis=(1, 3))
    assert np.abs(transform(image, seed=0) - means).max() <= 1


def test_pipeline_of_another_size_is_resized_at_the_end(image):
    assert SeededTransform([A.HorizontalFlip(p=1)], img_size=24)(image, seed=0).shape == (24, 24, 3)
    assert SeededTransform([], img_size=24)(image, seed=0).shape == (24, 24, 3)


@pytest.mark.parametrize("step", [A.Normalize(), A.ToFloat()])
def test_pipeline_that_leaves_8_bits_is_refused(image, step):
    with pytest.raises(DataSettingsError, match="leave out Normalize, ToFloat"):
        SeededTransform([step], img_size=8)(image, seed=0)
