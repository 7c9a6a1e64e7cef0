"""BatchNorm over the rows of all processes: what a head of a contrastive loss needs, whose batch is the global one."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from medlit.collectives import gather_padded, sum_over_processes, world_size
from medlit.precision import at_least_float32, autocast_off


class GlobalBatchNorm1d(nn.BatchNorm1d):
    """``torch.nn.BatchNorm1d`` whose statistics in training are those of all processes' rows, with gradient.

    With one process it is BatchNorm. With several, mean and variance come from all rows, which may be split over the
    processes in any way; so do the running statistics and the gradient. Unlike torch's SyncBatchNorm it works on a CPU,
    and on processes without a row. A row that is alone in training becomes zero, before the factor and the offset, and
    leaves the running statistics as they are, for it has no spread: of a batch in which one caption has a sentence the
    losses make nothing, but training goes on. Every process must call it alike in training, and not inside a function
    whose forward pass is run again for the backward pass (gradient checkpointing), which would count the rows twice in
    the running statistics.

    Reference: Ioffe and Szegedy, "Batch Normalization", ICML 2015, algorithm 1.

    Args:
        num_features: C.
        affine: Whether to learn a factor and an offset for each feature.
        eps: Added to the variance.
        momentum: Share of the newest statistics in the running ones.
    """

    def __init__(
        self, num_features: int, *, affine: bool = True, eps: float = 1e-5, momentum: float | None = 0.1
    ) -> None:
        super().__init__(num_features, eps=eps, momentum=momentum, affine=affine)

    def forward(self, input: Tensor) -> Tensor:
        """Normalise rows.

        Args:
            input: (M, C), any float dtype; computed in float32 at least. M may differ by process and be 0.

        Returns:
            (M, C), of the input's dtype.

        Raises:
            ValueError: If the shape does not fit.
        """
        if input.ndim != 2 or input.shape[1] != self.num_features:
            raise ValueError(f"GlobalBatchNorm1d needs (M, {self.num_features}) rows, got {tuple(input.shape)}")
        with autocast_off(input.device.type):
            if not self.training:
                return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
            if world_size() == 1 and len(input) > 1:
                return self._alone(input)
            return self._together(at_least_float32(input)).to(input.dtype)

    def _alone(self, rows: Tensor) -> Tensor:
        """(M, C) by this process's statistics: torch's own kernel, which counts in float32 and keeps least."""
        share = self._count_batch()
        return F.batch_norm(
            rows, self.running_mean, self.running_var, self.weight, self.bias, True, momentum=share, eps=self.eps
        )

    def _together(self, rows: Tensor) -> Tensor:
        """(M, C) by the statistics of all processes' rows."""
        mean, variance, count = _statistics(rows.detach())
        if count > 1 and self.running_mean is not None and self.running_var is not None:
            share = self._count_batch()
            unbiased = variance * (count / (count - 1))  # as torch's
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
            self.running_var.lerp_(unbiased.to(self.running_var.dtype), share)
        normalised: Tensor = _Normalise.apply(rows, mean, (variance + self.eps).rsqrt(), count)
        return normalised if self.weight is None else normalised * self.weight + self.bias

    def _count_batch(self) -> float:
        """Count one more batch; how much it weighs in the running statistics."""
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        if self.momentum is None and self.num_batches_tracked is not None:
            return 1 / float(self.num_batches_tracked)
        return self.momentum or 0.0


def _statistics(rows: Tensor) -> tuple[Tensor, Tensor, int]:
    """Mean (C,), biased variance (C,) and number of the rows (M, C) of all processes; waits for the device once.

    Each process's sum of squares is about its own mean, and moved to the common one: nothing large cancels.
    """
    variance, mean = torch.var_mean(rows, dim=0, correction=0) if len(rows) else rows.new_zeros(2, rows.shape[1])
    own = torch.stack([torch.full_like(mean, len(rows)), mean, variance])[None]
    sizes, means, variances = gather_padded(own, [1] * world_size()).unbind(dim=1)
    shares = sizes / sizes.sum(dim=0).clamp_min(1)  # (processes, C)
    mean = (shares * means).sum(dim=0)
    variance = (shares * (variances + (means - mean).square())).sum(dim=0)
    return mean, variance, round(float(sizes[:, 0].sum()))


class _Normalise(torch.autograd.Function):
    """``(x - mean) / std`` of all processes' rows; keeps its output alone for the gradient."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, mean: Tensor, inverse_std: Tensor, count: int) -> Tensor:
        """Rows (M, C), mean (C,), 1 / std (C,) and the number of all rows -> (M, C)."""
        normalised = (rows - mean).mul_(inverse_std)
        ctx.count = count
        ctx.save_for_backward(normalised, inverse_std)
        return normalised

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        """``(g - mean(g) - y * mean(g * y)) / std``, the means over all processes' rows."""
        normalised, inverse_std = ctx.saved_tensors
        sums = torch.cat([gradient.sum(dim=0), (gradient * normalised).sum(dim=0)])
        mean, slope = (sum_over_processes(sums) / max(ctx.count, 1)).chunk(2)
        return (gradient - mean).addcmul_(normalised, slope, value=-1).mul_(inverse_std), None, None, None
