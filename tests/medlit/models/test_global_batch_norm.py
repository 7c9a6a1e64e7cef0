"""BatchNorm of the global batch in one process: torch's, and what torch's refuses, a batch of one row or none.

Several processes are in tests/medlit/losses/test_processes.py.
"""

import pytest
import torch
from torch import nn

from medlit.models.global_batch_norm import GlobalBatchNorm1d


def rows(m=7, c=5, dtype=torch.float64):
    generator = torch.Generator().manual_seed(m)
    return (3 * torch.randn(m, c, generator=generator, dtype=torch.float64) + 2).to(dtype).requires_grad_()


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("momentum", [0.1, 0.7, None])
def test_is_torchs_in_training_and_evaluation(affine, momentum):
    theirs = nn.BatchNorm1d(5, affine=affine, momentum=momentum).double()
    ours = GlobalBatchNorm1d(5, affine=affine, momentum=momentum).double()
    for m in (7, 4):
        torch.testing.assert_close(ours(rows(m)), theirs(rows(m)))
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value)
    torch.testing.assert_close(ours.eval()(rows(3)), theirs.eval()(rows(3)))


def test_loads_torchs_state():
    theirs = nn.BatchNorm1d(5).double()
    theirs(rows())
    ours = GlobalBatchNorm1d(5).double()
    ours.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(ours.eval()(rows(2)), theirs.eval()(rows(2)))


def test_gradient_is_right():
    assert torch.autograd.gradcheck(GlobalBatchNorm1d(5).double(), rows())


def test_bfloat16_rows_are_counted_in_float32():
    given = rows(500, dtype=torch.bfloat16)
    norm = GlobalBatchNorm1d(5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = norm(given)
    expected = nn.BatchNorm1d(5)
    assert output.dtype == torch.bfloat16
    assert torch.equal(output, expected(given.float()).bfloat16())
    torch.testing.assert_close(norm.running_var, expected.running_var)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("m", [0, 1])
def test_no_row_or_one_has_no_spread_changes_nothing_and_can_go_backward(m, affine):
    norm = GlobalBatchNorm1d(5, affine=affine)
    if affine:
        torch.nn.init.constant_(norm.bias, 3.0)
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    given = rows(m, dtype=torch.float32)
    output = norm(given)
    output.square().sum().backward()
    assert torch.equal(output, torch.full((m, 5), 3.0 if affine else 0.0))
    assert torch.equal(given.grad, torch.zeros(m, 5))
    assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())


def test_one_row_is_normalised_in_evaluation():
    norm = GlobalBatchNorm1d(5).eval()
    given = rows(1, dtype=torch.float32)
    torch.testing.assert_close(norm(given), given / (1 + norm.eps) ** 0.5)


@pytest.mark.parametrize("shape", [(4,), (4, 6), (2, 5, 3)])
def test_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"needs \(M, 5\) rows"):
        GlobalBatchNorm1d(5)(torch.zeros(shape))
