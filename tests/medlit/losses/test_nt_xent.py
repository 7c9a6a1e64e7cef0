"""NT-Xent against its definition, view by view, and what must hold for any input."""

import math

import pytest
import torch

from medlit.losses import NTXentLoss, nt_xent_loss
from tests.medlit.losses.slow_mama import differences, slow_nt_xent


def views(n=5, e=4, dtype=torch.float64):
    generator = torch.Generator().manual_seed(n)
    a, b = torch.randn(2, n, e, generator=generator, dtype=torch.float64).to(dtype)
    return a.requires_grad_(), b.requires_grad_()


@pytest.mark.parametrize(("n", "e", "temperature"), [(2, 3, 0.5), (7, 16, 0.07), (12, 8, 1.0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_the_definition(n, e, temperature, dtype):
    a, b = views(n, e, dtype)
    expected = slow_nt_xent(a.double(), b.double(), temperature)
    found = differences(nt_xent_loss(a, b, temperature), expected, (a, b))
    assert max(found.values()) < (1e-5 if dtype == torch.float32 else 1e-12)


def test_symmetric_in_its_views():
    a, b = views()
    torch.testing.assert_close(nt_xent_loss(a, b), nt_xent_loss(b, a))


def test_does_not_care_for_scale_or_order():
    a, b = views()
    order, lengths = torch.tensor([4, 2, 0, 1, 3]), torch.arange(1, 6)[:, None]
    torch.testing.assert_close(nt_xent_loss(a[order] * lengths, b[order]), nt_xent_loss(a, b))


def test_views_all_alike_stand_at_chance():
    alike = torch.ones(6, 4)
    assert nt_xent_loss(alike, alike).item() == pytest.approx(math.log(2 * 6 - 1))


def test_gradient_is_right():
    assert torch.autograd.gradcheck(nt_xent_loss, views(3, 2))


def test_is_float32_for_bfloat16_views_and_under_autocast():
    a, b = views(dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(nt_xent_loss(a, b), NTXentLoss()(a, b))
    assert nt_xent_loss(a.bfloat16(), b.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize("shapes", [((1, 4), (1, 4)), ((3, 4), (2, 4)), ((3,), (3,))])
def test_what_cannot_be_compared_is_refused_with_its_shapes(shapes):
    with pytest.raises(ValueError, match=r"N >= 2") as error:
        nt_xent_loss(*(torch.zeros(shape) for shape in shapes))
    assert all(str(shape) in str(error.value) for shape in shapes)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan])
def test_a_temperature_that_is_not_above_zero_is_refused(temperature):
    with pytest.raises(ValueError, match="temperature"):
        nt_xent_loss(*views(), temperature)


def test_the_module_is_the_function():
    a, b = views()
    for gather in (True, False):
        assert torch.equal(NTXentLoss(temperature=0.1, gather=gather)(a, b), nt_xent_loss(a, b, 0.1))
