"""Features as an encoder makes them: correlated, of very different spread, the classes apart along a few directions."""

import torch
from torch import Tensor


def made(cases: int, width: int, classes: int, *, spread: float = 0.3, seed: int = 0) -> tuple[Tensor, Tensor]:
    """(N, D) float32 and (N,) int64; ``spread`` is how far the classes are apart, in deviations of an axis."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (cases,), generator=generator)
    centres = spread * torch.randn(classes, width, generator=generator)
    along_axes = torch.randn(cases, width, generator=generator) + centres[labels]
    decay = torch.arange(1, width + 1).float() ** -0.8
    mixing = torch.randn(width, width, generator=generator) / width**0.5
    return (along_axes * decay) @ mixing + torch.randn(width, generator=generator), labels
