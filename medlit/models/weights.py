"""Foundation weights: where they come from, and how they enter a timm model without a tensor left out in silence."""

import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from medlit.errors import CheckpointMismatchError, WeightsNotFoundError
from medlit.models import hub
from medlit.models.archives import refuse_bomb
from medlit.models.foundations import Foundation

WEIGHT_FILES = ("model.safetensors", "open_clip_model.safetensors", "pytorch_model.bin", "open_clip_pytorch_model.bin")
"""Names under which the hub and its mirrors keep the weights of one model, in the order of preference."""

SAFE_NAMES = {"pytorch_model.bin": "model.safetensors", "open_clip_pytorch_model.bin": "open_clip_model.safetensors"}
"""What a pickled file is called where a repository has it as safetensors, too; that one is taken."""

LISTED = 10
"""Most names of missing or unknown tensors in a message."""


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


def hub_place(model: nn.Module, name: str, foundation: Foundation | None = None) -> tuple[str, list[str]]:
    """Repository of the hub that holds the released weights of a model, and names of their file, best first.

    Args:
        model: The timm model; one without memory will do.
        name: What ``backbone:`` was given.
        foundation: Where the weights are, for a model of the field; None: where timm says.

    Raises:
        WeightsNotFoundError: If they are not on the hub; says what to download and where to put it.
    """
    if foundation is not None:
        if foundation.repo is None:
            by_hand = _by_hand(f"{foundation.file} from {foundation.source}", name)
            raise WeightsNotFoundError(f"the weights of {name} are not on the hub: {by_hand}")
        return foundation.repo, _safe_first(foundation.file)
    cfg = getattr(model, "pretrained_cfg", {})
    if not cfg.get("hf_hub_id"):
        raise WeightsNotFoundError(
            f"timm knows no pretrained weights of {name}; give a local file by weights: PATH, or set pretrained: false"
        )
    return cfg["hf_hub_id"], _safe_first(cfg.get("hf_hub_filename") or WEIGHT_FILES[0])


def _safe_first(file: str) -> list[str]:
    """Names under which a file may be had, safetensors first."""
    return [SAFE_NAMES[file], file] if file in SAFE_NAMES else [file]


def download_weights(
    model: nn.Module, name: str, foundation: Foundation | None = None, *, network: bool = True
) -> Path:
    """The released weights of a model: from the hub's local cache, else downloaded.

    Args:
        model: The timm model; one without memory will do.
        name: What ``backbone:`` was given.
        foundation: Where the weights are, for a model of the field; None: where timm says.
        network: Whether to download them.

    Raises:
        WeightsNotFoundError: Without network or where the hub has no such file; says what to download and where to put
            it.
    """
    from huggingface_hub import constants

    repo, files = hub_place(model, name, foundation)
    for found in (hub.cached(repo, file) for file in files):
        if found is not None:
            return found
    file = files[-1]
    help_text = _by_hand(f"{constants.ENDPOINT}/{repo}/resolve/main/{file}", f"{name}/{file}")
    if foundation is not None and foundation.gated:
        help_text = f"accept the terms on {constants.ENDPOINT}/{repo} and log in (HF_TOKEN), or {help_text}"
    if not network or not hub.may_download():
        raise WeightsNotFoundError(f"no network and no cached weights for {name}: {help_text}")
    try:
        return hub.download_first(repo, files)
    except hub.HubError as error:
        raise WeightsNotFoundError(f"cannot get the weights of {name} ({error}): {help_text}") from error


def _by_hand(what: str, place: str) -> str:
    """What to type where a program cannot download."""
    folder = place.split("/")[0]
    return (
        f"download {what} to weights/{place} and set weights: weights/{folder} "
        "(or pretrained: false for random weights)"
    )


def load_foundation_weights(model: nn.Module, path: Path, foundation: Foundation | None = None) -> None:
    """Load a checkpoint of the foundation model's own kind into a timm model, see :func:`load_tensors`.

    Args:
        model: A timm ViT built with ``num_classes=0``.
        path: ``.safetensors`` or a PyTorch file of tensors; read without unpickling objects.
        foundation: Whose names the file has; None: a format that timm knows.

    Raises:
        CheckpointMismatchError: If the file is no checkpoint, or tensors are missing, left over or of another shape.
    """
    load_tensors(model, read_tensors(path), source=str(path), foundation=foundation)


UNFIT = (RuntimeError, LookupError, ArithmeticError, AssertionError, AttributeError, TypeError, ValueError)
"""What timm's filters raise of tensors whose shapes they did not expect."""


def load_tensors(
    model: nn.Module, state: dict[str, Tensor], *, source: str, foundation: Foundation | None = None
) -> None:
    """Load tensors into a timm model, converted by timm's filter.

    Position embeddings are resampled to the model's image size; classifier heads (``head.*``) are left aside, and of
    the field's models what :attr:`Foundation.leftovers` lists.

    Args:
        model: A timm ViT built with ``num_classes=0``.
        state: Tensors by name.
        source: The file, for messages.
        foundation: Whose names these are; None: a format that timm knows.

    Raises:
        CheckpointMismatchError: If tensors are missing, left over or of another shape.
    """
    convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    try:
        state = state if foundation is None else foundation.convert(state)
        state = convert(state, model) if convert is not None else state
        state = {name: tensor for name, tensor in state.items() if not name.startswith(("head.", "head_dist."))}
        state = _with_norm_after_pooling(state, model)
        missing, unexpected = model.load_state_dict(state, strict=False)
    except UNFIT as error:
        reason = str(error).strip().splitlines()
        detail = reason[-1].strip() if reason else type(error).__name__
        raise CheckpointMismatchError(f"{source}: does not fit {type(model).__name__}: {detail}") from error
    pooled = " (tuned on the mean of its patches; model_args: {global_pool: avg} reads it so)"
    hint = pooled if "norm.weight" in missing and "fc_norm.weight" in unexpected else ""
    wrong = [
        f"{what} {len(names)} tensors of the backbone: {', '.join(names[:LISTED])}{' ...' * (len(names) > LISTED)}"
        for what, names in (("lacks", missing), ("has unknown", unexpected))
        if names
    ]
    if wrong:
        raise CheckpointMismatchError(f"{source}: {'; '.join(wrong)}{hint}")


def _with_norm_after_pooling(state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """The file's final norm under the name it has in a model that pools first, where it has no other norm for that."""
    own = model.state_dict().keys()
    if "fc_norm.weight" not in own or "norm.weight" in own or "fc_norm.weight" in state:
        return state
    return {f"fc_{name}" if name.startswith("norm.") else name: tensor for name, tensor in state.items()}


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors or PyTorch file, by name; alone or under ``state_dict``, ``model`` or ``teacher``.

    Raises:
        CheckpointMismatchError: If the file cannot be read as tensors alone.
    """
    content = read_file(path, mmap=True)
    for key in ("state_dict", "model", "teacher"):
        if isinstance(content.get(key), dict):
            content = content[key]
    return content


def read_file(path: Path, *, mmap: bool = False) -> dict[str, Any]:
    """A safetensors or PyTorch file as a dictionary of tensors and plain types, on the CPU; nothing else is unpickled.

    Of classes, ``argparse.Namespace`` alone is let through: authors keep the arguments of their training beside the
    weights, and it is a bag of attributes that runs nothing.

    Args:
        path: The file.
        mmap: Read tensors from the file when they are used, so that an optimizer beside the weights costs no memory.

    Raises:
        CheckpointMismatchError: If the file holds anything else, is broken or may not be read.
    """
    import argparse
    import zipfile

    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        refuse_bomb(path)
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap and zipfile.is_zipfile(path))
    except CheckpointMismatchError:
        raise
    except OSError as error:
        raise CheckpointMismatchError(f"{path}: cannot be read ({error.strerror or error})") from error
    except Exception as error:  # the readers have a dozen for a broken file: KeyError, IndexError, struct.error, ...
        raise CheckpointMismatchError(
            f"{path}: not a file of tensors ({type(error).__name__}); nothing was unpickled"
        ) from error
    if not isinstance(content, dict):
        raise CheckpointMismatchError(f"{path}: holds a {type(content).__name__}, not a dictionary of tensors")
    if not all(map(is_whole, _tensors_in(content))):
        raise CheckpointMismatchError(
            f"{path}: holds a tensor without its values: sparse, quantised, on the meta device, or larger than what is "
            "stored of it"
        )
    return content


def is_whole(tensor: Tensor) -> bool:
    """Whether a tensor has all its values in memory; a few bytes can claim to be a tensor of any size."""
    if tensor.layout is not torch.strided or tensor.is_meta or tensor.is_quantized:
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def _tensors_in(content: Any) -> Iterator[Tensor]:
    """All tensors in nested dictionaries and lists, which may hold themselves."""
    seen: set[int] = set()
    left = [content]
    while left:
        value = left.pop()
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (dict, list, tuple, set)) and id(value) not in seen:
            seen.add(id(value))
            left += value.values() if isinstance(value, dict) else value


def stated_info(path: Path) -> dict[str, Any]:
    """What medlit says in a file of weights that it wrote, as its terms; empty of any other file.

    Args:
        path: A safetensors file (its metadata) or a PyTorch file of tensors and plain types.

    Raises:
        CheckpointMismatchError: If the file cannot be read.
    """
    import json

    from safetensors import SafetensorError, safe_open

    if path.suffix != ".safetensors":
        info = read_file(path, mmap=True).get("medlit")
    else:
        try:
            with safe_open(path, framework="pt") as file:
                info = json.loads((file.metadata() or {}).get("medlit", "{}"))
        except (OSError, SafetensorError, json.JSONDecodeError, RecursionError) as error:
            raise CheckpointMismatchError(f"{path}: cannot be read ({error})") from error
    return info if isinstance(info, dict) else {}


def write_tensors(tensors: Mapping[str, Tensor], path: Path, *, metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file that others may read as the umask says; safetensors makes it the owner's alone.

    Args:
        tensors: By name; made contiguous.
        path: The file.
        metadata: Words to keep beside them.
    """
    from safetensors.torch import save_file

    path.touch()
    mode = stat.S_IMODE(path.stat().st_mode)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata=metadata)
    path.chmod(mode)
