"""MaMA's augmentation: gray stays gray, its parts come as often as the paper says, mirroring is known."""

import albumentations as A
import numpy as np
import pytest

from data_modules.mammography.transforms import mama_augmentation, mirrors
from data_modules.transforms import SeededTransform

SIZE = 32


@pytest.fixture
def picture():
    """Brighter to the right and, half as much, downwards: a mirrored image can be told."""
    across, down = np.meshgrid(np.linspace(0, 120, 64), np.linspace(0, 60, 64))
    return np.repeat((40 + across + down).astype(np.uint8)[..., None], 3, axis=2)


def test_gray_stays_gray_in_the_size_asked_for(picture):
    transform = SeededTransform(mama_augmentation(SIZE), img_size=SIZE)
    for seed in range(50):
        result = transform(picture, seed=seed)
        assert result.shape == (SIZE, SIZE, 3)
        assert np.array_equal(result[..., 0], result[..., 1])
        assert np.array_equal(result[..., 0], result[..., 2])


def test_both_mirrorings_come_half_of_the_time_each_by_itself(picture):
    transform = SeededTransform(mama_augmentation(SIZE), img_size=SIZE)
    results = [transform(picture, seed=seed)[..., 0].astype(float) for seed in range(400)]
    across = np.array([image[:, SIZE // 2 :].mean() < image[:, : SIZE // 2].mean() for image in results])
    down = np.array([image[SIZE // 2 :].mean() < image[: SIZE // 2].mean() for image in results])
    # Four standard deviations of a binomial share of 400 are 0.10; both at once come a quarter of the time.
    assert across.mean() == pytest.approx(0.5, abs=0.1)
    assert down.mean() == pytest.approx(0.5, abs=0.1)
    assert (across & down).mean() == pytest.approx(0.25, abs=0.1)


def test_a_crop_keeps_a_tenth_of_the_area_or_more():
    board = np.zeros((64, 64, 3), dtype=np.uint8)
    board[:, :, :] = np.arange(64, dtype=np.uint8)[None, :, None]
    [crop] = [step for step in mama_augmentation(64) if isinstance(step, A.RandomResizedCrop)]
    transform = SeededTransform([crop], img_size=64)
    widths = []
    for seed in range(200):
        result = transform(board, seed=seed)[..., 0]
        widths.append(int(result.max()) - int(result.min()) + 1)
    narrowest = 64 * (0.1 * 3 / 4) ** 0.5  # a tenth of the area at the ratio 3 : 4
    assert min(widths) >= narrowest - 2
    assert min(widths) < 32 < 56 < max(widths)


def test_the_papers_steps_on_colours_would_change_nothing(picture):
    jitter = A.ColorJitter(brightness=(1, 1), contrast=(1, 1), saturation=(0.2, 1.8), hue=(-0.2, 0.2), p=1)
    for step in (jitter, A.ToGray(p=1)):
        transform = SeededTransform([step], img_size=64)
        for seed in range(20):
            assert np.abs(transform(picture, seed=seed).astype(int) - picture).max() <= 1  # rounding


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([], False),
        ([A.ColorJitter()], False),
        ([A.HorizontalFlip(p=0.5)], True),
        ([A.ColorJitter(), A.OneOf([A.GaussianBlur(), A.Sequential([A.D4()])])], True),
        (mama_augmentation(8), True),
    ],
)
def test_mirroring_is_found_however_deep(steps, expected):
    assert mirrors(steps) is expected
