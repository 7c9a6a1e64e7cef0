"""Where mixed precision stops: routers, gates and losses compute in float32."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor


def autocast_off(device_type: str) -> AbstractContextManager[Any]:
    """A context in which operations keep the dtype of their inputs.

    Args:
        device_type: Of the tensors, as ``cuda``; the meta device, which has no autocast, is left alone.
    """
    if torch.amp.is_autocast_available(device_type):
        return torch.autocast(device_type, enabled=False)
    return nullcontext()


def at_least_float32(tensor: Tensor) -> Tensor:
    """The tensor as float32; float64 stays, so that a loss can be compared with its definition to the last digit."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()
