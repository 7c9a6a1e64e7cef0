"""Checkpoints and weights: medlit's own, MaMA's, exported ones, foundation weights, those of the released code."""

import argparse
import io
import json
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.fuzz.changes import change_bytes, change_tree
from benchmarks.fuzz.checkpoint_seeds import SavedFiles
from benchmarks.fuzz.target import Part, Target, part_opens, read_part, seeds_of

READERS = (
    "medlit/checkpoint.py",
    "medlit/mama_checkpoint.py",
    "medlit/seal.py",
    "medlit/resume.py",
    "medlit/models/weights.py",
    "medlit/models/lineage.py",
    "medlit/interop/released.py",
    "medlit/interop/foundation.py",
    "medlit/interop/mor.py",
    "medlit/interop/early_intervention.py",
)
HEADER = 8
"""Bytes of a safetensors file that say how long its header is."""


def make(folder: Path) -> Target:
    """The target.

    Args:
        folder: To write to.
    """
    files = SavedFiles(folder)
    readers: list[tuple[str, bytes, Callable[[Path], object]]] = [
        ("last.ckpt", files.early_intervention(), files.restore),
        ("clinic.ckpt", files.unimodal(), files.start_from),
        ("mama.ckpt", files.mama(), files.restore_mama),
        ("run/checkpoints/last.ckpt", files.early_intervention(), files.go_on),
        ("export.safetensors", files.exported(), files.load_export),
        ("vit.safetensors", files.foundation(".safetensors"), files.load_foundation),
        ("vit.pth", files.foundation(".pth"), files.load_foundation),
        ("best_model.pkl", files.released(), files.convert),
    ]
    parts = []
    for name, content, read in readers:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        parts.append(Part(path, content, partial(read, path), partial(opens, folder / f"opens{path.suffix}")))
    return Target(READERS, seeds_of(parts), partial(part_opens, parts), partial(read_part, parts), mutate)


def opens(path: Path, data: bytes) -> bool:
    """Whether it is a dictionary of tensors and plain types."""
    import torch
    from safetensors import safe_open

    path.write_bytes(data)
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return bool(list(file.keys()))
        with torch.serialization.safe_globals([argparse.Namespace]):
            return isinstance(torch.load(io.BytesIO(data), map_location="meta", weights_only=True), dict)
    except Exception:  # the readers have a dozen for a broken file
        return False


def mutate(data: bytes, random: Random) -> bytes:
    """What the file says of itself, its tensors, its pickle, or bytes of it; the byte in front stays."""
    content = data[1:]
    draw = random.random()
    if content[:2] == b"PK":
        changed = _as_values(content, random) if draw < 0.65 else _as_archive(content, random) if draw < 0.85 else None
    else:
        changed = _as_safetensors(content, random) if draw < 0.7 else None
    return data[:1] + (change_bytes(content, random) if changed is None else changed)


def _as_values(content: bytes, random: Random) -> bytes | None:
    """Read, changed in one place, and written anew."""
    import torch

    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            values = torch.load(io.BytesIO(content), weights_only=True)
        stream = io.BytesIO()
        torch.save(change_values(values, random), stream)
    except Exception:  # what cannot be read or written is not mutated in this way
        return None
    return stream.getvalue()


def change_values(values: Any, random: Random) -> Any:
    """One place of a checkpoint changed: a tensor's name, shape or type, or a plain value."""
    import torch

    if isinstance(values, torch.Tensor):
        return random.choice(
            (
                lambda: values[:1] if values.ndim else values,
                lambda: values.unsqueeze(0),
                lambda: values.to(torch.float16),
                values.flatten,
                values.to_sparse,
                lambda: values * float("nan"),
                lambda: values.to(torch.int64),
                lambda: torch.empty(0),
                lambda: torch.empty(values.shape, device="meta"),
                lambda: values.t() if values.ndim == 2 else values,
                lambda: torch.zeros(1).expand(1 << 20),
                lambda: values.to(torch.complex64),
                lambda: 3,
            )
        )()
    if isinstance(values, dict) and values:
        key = random.choice(list(values))
        if random.random() < 0.75:
            return {**values, key: change_values(values[key], random)}
        if any(isinstance(value, torch.Tensor) for value in values.values()):
            other = random.choice(list(values))
            made = {name: value for name, value in values.items() if name != key}
            return random.choice(
                (made, {**made, f"{key}x": values[key]}, {**values, key: values[other]}, {**made, 3: values[key]})
            )
    return change_tree(values, random)


def _as_archive(content: bytes, random: Random) -> bytes | None:
    """One member of the ZIP archive changed, mostly the pickle."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {info.filename: archive.read(info) for info in archive.infolist()}
    except Exception:  # a broken archive is changed byte by byte
        return None
    if not members:
        return None
    pickles = [name for name in members if name.endswith("data.pkl")]
    name = random.choice(pickles) if pickles and random.random() < 0.7 else random.choice(list(members))
    members[name] = change_bytes(members[name], random)
    if random.random() < 0.1:
        del members[random.choice(list(members))]
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for member, values in members.items():
            archive.writestr(member, values)
    return stream.getvalue()


def _as_safetensors(content: bytes, random: Random) -> bytes | None:
    """Another header, or other values."""
    length = int.from_bytes(content[:HEADER], "little")
    try:
        header = json.loads(content[HEADER : HEADER + length])
        if random.random() < 0.5 and "medlit" in header.get("__metadata__", {}):
            said = change_tree(json.loads(header["__metadata__"]["medlit"]), random)
            header["__metadata__"]["medlit"] = json.dumps(said)
        elif random.random() < 0.5:
            names = list(header)
            renamed = random.choice(names)
            header = {f"{name}x" if name == renamed else name: value for name, value in header.items()}
        elif random.random() < 0.3:
            return content[: HEADER + length] + change_bytes(content[HEADER + length :], random)
        else:
            header = change_tree(header, random)
        text = json.dumps(header).encode()
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return None
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(HEADER, "little") + text + content[HEADER + length :]
