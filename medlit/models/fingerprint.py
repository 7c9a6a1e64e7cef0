"""What identifies weights."""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, shapes, dtypes and bytes of tensors, hexadecimal.

    Args:
        tensors: By name, on whatever device; their order does not matter.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def frozen_fingerprint(module: nn.Module) -> str:
    """SHA-256 over names, shapes, dtypes and bytes of the frozen parameters of a module, hexadecimal.

    A layer that PEFT has wrapped counts under the name it had before. A module that is trained as a whole has no frozen
    parameters, hence the fingerprint of nothing.

    Args:
        module: Its parameters without ``requires_grad`` count, on whatever device.
    """
    named = module.named_parameters()
    return fingerprint(
        {name.replace(".base_layer.", "."): tensor for name, tensor in named if not tensor.requires_grad}
    )
