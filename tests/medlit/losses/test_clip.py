"""CLIP's loss against its definition, and what must hold for any input."""

import math

import pytest
import torch

from medlit.losses import CLIPLoss, clip_loss
from tests.medlit.losses.slow_mama import differences, slow_clip, unit

SCALE = torch.tensor(1 / 0.07, dtype=torch.float64)  # where tau starts


def pairs(n=5, e=4, dtype=torch.float64):
    return unit(n, e, seed=1, dtype=dtype).requires_grad_(), unit(n, e, seed=2, dtype=dtype).requires_grad_()


@pytest.mark.parametrize(("n", "e"), [(2, 3), (7, 5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_the_definition(n, e, dtype):
    image, text = pairs(n, e, dtype)
    scale = SCALE.to(dtype).requires_grad_()
    inputs = (image, text, scale)
    expected = slow_clip(image.double(), text.double(), scale.double())
    found = differences(clip_loss(*inputs), expected, inputs)
    assert max(found.values()) < (1e-5 if dtype == torch.float32 else 1e-12)


@pytest.mark.parametrize("groups", [[0, 1, 0, 2, 1, 0], [3, 3, 3, 3, 3, 3], [5, 4, 3, 2, 1, 0]])
def test_equal_captions_are_positives_of_each_other(groups):
    inputs, groups = pairs(6), torch.tensor(groups)
    found = differences(clip_loss(*inputs, SCALE, groups=groups), slow_clip(*inputs, SCALE, groups), inputs)
    assert max(found.values()) < 1e-12


def test_groups_of_one_are_no_groups():
    image, text = pairs()
    grouped = clip_loss(image, text, SCALE, groups=torch.tensor([9, 7, 5, 3, 1]))
    torch.testing.assert_close(grouped, clip_loss(image, text, SCALE))


def test_embeddings_all_alike_stand_at_chance():
    alike = unit(1, 4).expand(6, 4)
    assert clip_loss(alike, alike, SCALE).item() == pytest.approx(2 * math.log(6))


def test_does_not_care_for_order_or_which_side_is_which():
    image, text = pairs()
    order, groups = torch.tensor([3, 0, 4, 1, 2]), torch.tensor([0, 1, 0, 2, 3])
    expected = clip_loss(image, text, SCALE, groups=groups)
    torch.testing.assert_close(clip_loss(image[order], text[order], SCALE, groups=groups[order]), expected)
    torch.testing.assert_close(clip_loss(text, image, SCALE, groups=groups), expected)


@pytest.mark.parametrize("groups", [None, torch.tensor([0, 1, 0])])
def test_gradient_is_right(groups):
    inputs = [*pairs(3, 2), torch.tensor(3.0, dtype=torch.float64, requires_grad=True)]
    assert torch.autograd.gradcheck(lambda *x: clip_loss(*x, groups=groups), inputs)


def test_a_large_scale_gives_a_finite_loss():
    image = torch.eye(3)
    wrong = clip_loss(image, image.roll(1, 0), torch.tensor(100.0))  # 100: where exp(tau) is clamped
    assert wrong.item() == pytest.approx(200, rel=1e-5)


def test_is_float32_for_bfloat16_embeddings_and_under_autocast():
    image, text = pairs(dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = clip_loss(image, text, SCALE.float())
    assert torch.equal(found, clip_loss(image, text, SCALE.float()))
    assert clip_loss(image.bfloat16(), text.bfloat16(), SCALE.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize("shapes", [((1, 4), (1, 4)), ((3, 4), (2, 4)), ((3, 4), (3, 5)), ((3,), (3,))])
def test_what_cannot_be_compared_is_refused_with_its_shapes(shapes):
    with pytest.raises(ValueError, match=r"N >= 2") as error:
        clip_loss(*(torch.zeros(shape) for shape in shapes), SCALE)
    assert all(str(shape) in str(error.value) for shape in shapes)


def test_a_scale_for_each_row_and_groups_of_the_wrong_kind_are_refused():
    image, text = pairs()
    with pytest.raises(ValueError, match=r"scalar .*\(5,\)"):
        clip_loss(image, text, torch.ones(5))
    for groups in (torch.zeros(4, dtype=torch.int64), torch.zeros(5)):
        with pytest.raises(ValueError, match=r"\(5,\) integers"):
            clip_loss(image, text, SCALE, groups=groups)


def test_the_module_is_the_function():
    image, text = pairs()
    groups = torch.tensor([0, 0, 1, 2, 3])
    for gather in (True, False):
        assert torch.equal(
            CLIPLoss(gather=gather)(image, text, SCALE, groups), clip_loss(image, text, SCALE, groups=groups)
        )
