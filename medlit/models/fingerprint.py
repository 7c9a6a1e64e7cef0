"""What identifies frozen weights."""

import hashlib

import torch
from torch import nn


def frozen_fingerprint(module: nn.Module) -> str:
    """SHA-256 over names, shapes, dtypes and bytes of the frozen parameters of a module, hexadecimal.

    A layer that PEFT has wrapped counts under the name it had before. A module that is trained as a whole has no frozen
    parameters, hence the fingerprint of nothing.

    Args:
        module: Its parameters without ``requires_grad`` count, on whatever device.
    """
    digest = hashlib.sha256()
    names = {name.replace(".base_layer.", "."): tensor for name, tensor in module.named_parameters()}
    for name, tensor in sorted(names.items()):
        if not tensor.requires_grad:
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()
