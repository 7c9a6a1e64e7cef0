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
