"""Foundation weights: where they come from, and how they enter a timm model without a tensor left out in silence."""

import socket
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from medlit.errors import CheckpointMismatchError, ConfigurationError, WeightsNotFoundError

WEIGHT_FILES = ("model.safetensors", "open_clip_model.safetensors", "pytorch_model.bin", "open_clip_pytorch_model.bin")
"""Names under which the hub and its mirrors keep the weights of one model, in the order of preference."""


def find_weights(weights: str | Path) -> Path:
    """The file behind ``weights``: itself, or the one weight file of a folder (a downloaded snapshot of the hub).

    Raises:
        WeightsNotFoundError: If there is no such file or folder, or a folder holds none or several candidates.
    """
    path = Path(weights).expanduser()
    if path.is_file():
        return path
    if not path.is_dir():
        raise WeightsNotFoundError(
            f"weights: {path} does not exist; give a .safetensors, .bin or .pth file or its folder"
        )
    named = [path / name for name in WEIGHT_FILES if (path / name).is_file()]
    found = named or sorted(file for file in path.iterdir() if file.suffix in {".safetensors", ".pth", ".pt", ".bin"})
    if not found or (not named and len(found) > 1):
        names = ", ".join(file.name for file in found) or "none"
        raise WeightsNotFoundError(f"weights: {path} should hold one of {', '.join(WEIGHT_FILES)}; found {names}")
    return found[0]


def download_weights(model: nn.Module, name: str) -> Path:
    """The hub's weights of a timm model: from the local cache, else downloaded.

    Raises:
        WeightsNotFoundError: Without network (asked first, for the hub's client retries for a minute) or where the hub
            has no such file; says what to download and where to put it.
    """
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    cfg = getattr(model, "pretrained_cfg", {})
    repo = cfg.get("hf_hub_id")
    if not repo:
        raise WeightsNotFoundError(
            f"timm knows no pretrained weights of {name}; give a local file by weights: PATH, or set pretrained: false"
        )
    file = cfg.get("hf_hub_filename") or WEIGHT_FILES[0]
    cached = try_to_load_from_cache(repo, file)
    if isinstance(cached, str):
        return Path(cached)
    help_text = (
        f"download {constants.ENDPOINT}/{repo}/resolve/main/{file} to weights/{name}/{file} "
        f"and set weights: weights/{name} (or pretrained: false for random weights)"
    )
    if constants.HF_HUB_OFFLINE or not _resolves(constants.ENDPOINT):
        raise WeightsNotFoundError(f"no network and no cached weights for {name}: {help_text}")
    try:
        return Path(hf_hub_download(repo, file))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise WeightsNotFoundError(f"cannot get the weights of {name} ({type(error).__name__}): {help_text}") from error


def _resolves(endpoint: str) -> bool:
    """Whether the hub's host has an address, or a proxy is set that may know one."""
    from urllib.parse import urlsplit
    from urllib.request import getproxies

    if getproxies():
        return True
    try:
        socket.getaddrinfo(urlsplit(endpoint).hostname, 443)
    except OSError:
        return False
    return True


def load_foundation_weights(model: nn.Module, path: Path) -> None:
    """Load a checkpoint of the foundation model's own kind into a timm model, converted by timm's filter.

    Position embeddings are resampled to the model's image size; classifier heads (``head.*``) are left aside.
    Files are read without unpickling objects.

    Args:
        model: A timm ViT built with ``num_classes=0``.
        path: ``.safetensors`` or a PyTorch file of tensors.

    Raises:
        CheckpointMismatchError: If the file is no checkpoint, or tensors are missing, left over or of another shape.
    """
    convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    try:
        state = read_tensors(path)
        state = convert(state, model) if convert is not None else state
        state = {name: tensor for name, tensor in state.items() if not name.startswith(("head.", "head_dist."))}
        missing, unexpected = model.load_state_dict(state, strict=False)
    except (RuntimeError, KeyError, AttributeError) as error:
        reason = str(error).strip().splitlines()
        detail = reason[-1].strip() if reason else type(error).__name__
        raise CheckpointMismatchError(f"{path}: does not fit {type(model).__name__}: {detail}") from error
    for what, names in (("lacks", missing), ("has unknown", unexpected)):
        if names:
            raise CheckpointMismatchError(
                f"{path}: {what} {len(names)} tensors of the backbone, {', '.join(names[:3])} ..."
            )


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors or PyTorch file, by name, on the CPU; nested under ``state_dict`` or ``model`` or not.

    Raises:
        CheckpointMismatchError: If the file cannot be read as tensors alone.
    """
    content = read_file(path)
    for key in ("state_dict", "model"):
        if isinstance(content.get(key), dict):
            content = content[key]
    return content


def read_file(path: Path) -> dict[str, Any]:
    """A safetensors or PyTorch file as a dictionary of tensors and plain types, on the CPU; nothing else is unpickled.

    Raises:
        CheckpointMismatchError: If the file holds anything else, or is broken.
    """
    import pickle

    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError, ValueError) as error:
        raise CheckpointMismatchError(
            f"{path}: not a file of tensors ({type(error).__name__}); nothing was unpickled"
        ) from error
    if not isinstance(content, dict):
        raise CheckpointMismatchError(f"{path}: holds a {type(content).__name__}, not a dictionary of tensors")
    return content


def require_known(name: str) -> None:
    """Refuse a backbone that timm does not know, with the nearest names.

    Raises:
        ConfigurationError: Naming up to three similar models.
    """
    import difflib

    import timm

    if not timm.is_model(name):
        near = difflib.get_close_matches(name, [*timm.list_models(), *timm.list_pretrained()], n=3)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise ConfigurationError(f"backbone: timm has no model {name!r}{hint}")
