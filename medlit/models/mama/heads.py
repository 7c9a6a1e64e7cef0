"""From the towers to the space in which images and texts are compared."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medlit.models.global_batch_norm import GlobalBatchNorm1d
from medlit.precision import at_least_float32, autocast_off

FIRST_SCALE = 1 / 0.07
"""exp(tau) at the start (Du et al., after Radford et al. 2021)."""

MOST_SCALE = 100.0
"""Above it exp(tau) is clamped (Radford et al. 2021, section 2.5)."""


def first_log_scale() -> nn.Parameter:
    """Tau as it starts, a scalar."""
    return nn.Parameter(torch.tensor(math.log(FIRST_SCALE)))


def clamped_exp(tau: nn.Parameter) -> Tensor:
    """exp(tau), at most 100, scalar, float32 at least.

    tau itself is set back where a step took it too far, so that it can return: a clamp of the value has no gradient.
    """
    with torch.no_grad():
        tau.clamp_(max=math.log(MOST_SCALE))
    return at_least_float32(tau).exp()


def local_head(width: int, hidden: int, embed_dim: int) -> nn.Sequential:
    """Linear, BatchNorm, ReLU, Linear, BatchNorm without affine; rows (M, ``width``) to (M, ``embed_dim``).

    Statistics are those of all patches or sentences of the global batch.
    """
    return nn.Sequential(
        nn.Linear(width, hidden),
        GlobalBatchNorm1d(hidden),
        nn.ReLU(),
        nn.Linear(hidden, embed_dim),
        GlobalBatchNorm1d(embed_dim, affine=False),
    )


def view_head(width: int, embed_dim: int) -> nn.Sequential:
    """Projection of the loss between two images, (B, ``width``) to (B, ``embed_dim``)."""
    return nn.Sequential(
        nn.Linear(width, width, bias=False),
        GlobalBatchNorm1d(width),
        nn.ReLU(),
        nn.Linear(width, embed_dim, bias=False),
        GlobalBatchNorm1d(embed_dim),
    )


def unit_length(rows: Tensor) -> Tensor:
    """Rows (..., E) of length one, float32 at least, whatever autocast says."""
    with autocast_off(rows.device.type):
        return F.normalize(at_least_float32(rows), dim=-1)
