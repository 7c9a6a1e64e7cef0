"""NT-Xent: two views of one sample attract, all other samples of the batch repel."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medlit.losses.gather import gather_rows
from medlit.precision import at_least_float32, autocast_off


def nt_xent_loss(a: Tensor, b: Tensor, temperature: float = 0.5) -> Tensor:
    """Normalised temperature-scaled cross-entropy over 2N views, in float32 at least.

    For view i with partner j: ``-log softmax_k(z_i . z_k / T)[j]``, k over all views but i itself.

    Reference: Chen et al., "A Simple Framework for Contrastive Learning", ICML 2020, eq. 1.

    Args:
        a: First views, (N, E), any float dtype; normalised here.
        b: Second views, (N, E); row i belongs to row i of ``a``.
        temperature: T > 0.

    Returns:
        Scalar, mean over the 2N views.

    Raises:
        ValueError: If the shapes differ, N < 2 (nothing would repel), or the temperature is not above zero.
    """
    if a.ndim != 2 or a.shape != b.shape or len(a) < 2:
        raise ValueError(f"nt_xent_loss needs two equal (N >= 2, E) tensors, got {tuple(a.shape)} and {tuple(b.shape)}")
    if not 0 < temperature < float("inf"):
        raise ValueError(f"the temperature of nt_xent_loss must be above 0 and finite, got {temperature}")
    with autocast_off(a.device.type):
        views = F.normalize(torch.cat([at_least_float32(a), at_least_float32(b)]), dim=-1)  # (2N, E)
        similarity = (views @ views.T / temperature).fill_diagonal_(float("-inf"))
        partner = torch.arange(2 * len(a), device=a.device).roll(len(a))
        return F.cross_entropy(similarity, partner)


class NTXentLoss(nn.Module):
    """``nt_xent_loss`` as a module.

    Args:
        temperature: T > 0.
        gather: Whether the rows of all processes form one batch; else each process has negatives of its own alone.
    """

    def __init__(self, *, temperature: float = 0.5, gather: bool = True) -> None:
        super().__init__()
        self.temperature = temperature
        self.gather = gather

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """See ``nt_xent_loss``; with ``gather``, N may differ by process."""
        if self.gather:
            a, b = gather_rows(a), gather_rows(b)
        return nt_xent_loss(a, b, self.temperature)
