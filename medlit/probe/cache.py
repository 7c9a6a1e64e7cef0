"""Features of images, encoded once and kept: a folder per encoder and data, shards that are whole or not there."""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from medlit.errors import ConfigurationError
from medlit.files import write_text, write_whole
from medlit.models.weights import write_tensors

FORMAT_VERSION = 1
"""Of the layout; part of the key, so that no version reads what another wrote."""

SETTINGS = "settings.json"
SHARDS = "features-*.safetensors"

SHARD_ROWS = 1024
"""Features that are written at a time: a file of 3 MB at a width of 768."""

SHARD_SECONDS = 60.0
"""Features are written no later than this after they were encoded, so that an interrupted run loses no more."""

MAX_SHARD_BYTES = 2**30
"""Larger files are refused unread; no shard of `SHARD_ROWS` is."""


class FeatureCache:
    """Features by case id of one encoder on one prepared set, in memory and on disk.

    On disk a folder below ``root`` is named after the SHA-256 of the settings: all that decides a feature. It holds the
    settings as JSON, for people, and shards: safetensors files of rows with their case ids and a hash over both. Each
    is written under another name and moved into place, so that two runs at once and a run that is cut short leave whole
    shards; what two runs encoded twice is the same twice. A shard that is broken is told in `faults`, removed, and its
    cases are encoded again.

    Args:
        root: Folder of all caches; None keeps features in memory alone.
        settings: All that decides a feature, as plain types.
        width: D, length of a feature.
    """

    def __init__(self, root: str | Path | None, settings: Mapping[str, Any], *, width: int) -> None:
        said = {"format_version": FORMAT_VERSION, "width": width, **settings}
        self._text = json.dumps(said, indent=2, sort_keys=True) + "\n"
        self.key = hashlib.sha256(self._text.encode()).hexdigest()
        self.folder = None if root is None else Path(root) / self.key[:32]
        self.width = width
        self.faults: list[str] = []
        """A line per shard that was broken when it was read."""
        self._features: dict[str, Tensor] = {}
        self._seen: set[str] = set()
        self._unwritten: list[str] = []
        self._oldest = 0.0  # when the first of the unwritten came

    def __len__(self) -> int:
        return len(self._features)

    def __contains__(self, case_id: object) -> bool:
        return case_id in self._features

    @property
    def case_ids(self) -> frozenset[str]:
        """The cases whose features are known."""
        return frozenset(self._features)

    def of(self, case_ids: Sequence[str]) -> Tensor:
        """Features (B, D) float32 on the CPU.

        Raises:
            KeyError: If one is not known.
        """
        if not case_ids:
            return torch.zeros(0, self.width)
        return torch.stack([self._features[case] for case in case_ids])

    def read(self) -> None:
        """Take in all shards that were not read before."""
        if self.folder is None:
            return
        for path in sorted(self.folder.glob(SHARDS)):
            if path.name in self._seen:
                continue
            try:
                ids, features = read_shard(path, key=self.key, width=self.width)
            except FileNotFoundError:
                continue  # another run found it broken
            except ValueError as error:
                self.faults.append(f"{path}: {error}; its features are encoded again")
                path.unlink(missing_ok=True)
                continue
            self._seen.add(path.name)
            for case, feature in zip(ids, features, strict=True):
                self._features.setdefault(case, feature)

    def add(self, case_ids: Sequence[str], features: Tensor) -> None:
        """Keep features, on disk too once there are enough of them.

        Args:
            case_ids: B ids; those that are known keep what they have.
            features: (B, D), finite.

        Raises:
            ConfigurationError: If the folder takes no file.
        """
        for case, feature in zip(case_ids, features.detach().float().cpu(), strict=True):
            if case not in self._features:
                self._features[case] = feature.clone()  # a row alone would hold the whole batch in memory
                self._oldest = self._oldest if self._unwritten else time.monotonic()
                self._unwritten.append(case)
        if len(self._unwritten) >= SHARD_ROWS or (self._unwritten and time.monotonic() - self._oldest > SHARD_SECONDS):
            self.flush()

    def flush(self) -> None:
        """Write what is not on disk yet.

        Raises:
            ConfigurationError: If the folder takes no file.
        """
        ids, self._unwritten = self._unwritten, []
        if not ids or self.folder is None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not (self.folder / SETTINGS).exists():
                write_text(self.folder / SETTINGS, self._text)
            self._seen.add(write_shard(self.folder, ids, self.of(ids), key=self.key).name)
        except OSError as error:
            raise ConfigurationError(
                f"features cannot be kept in {self.folder} ({error.strerror or error}); give cache_dir another folder"
            ) from error


def write_shard(folder: Path, case_ids: Sequence[str], features: Tensor, *, key: str) -> Path:
    """Write a shard, whole or not at all.

    Args:
        folder: Of the cache.
        case_ids: B ids.
        features: (B, D) float32.
        key: Of the cache.

    Returns:
        Its path, named after its content: two processes that write the same write one file.
    """
    from safetensors import SafetensorError

    cases = json.dumps(list(case_ids))
    digest = _digest(key, cases, features)
    path = folder / SHARDS.replace("*", digest[:32])
    metadata = {"key": key, "cases": cases, "sha256": digest}
    try:
        write_whole(path, lambda temporary: write_tensors({"features": features}, temporary, metadata=metadata))
    except SafetensorError as error:
        raise OSError(str(error)) from error
    return path


def read_shard(path: Path, *, key: str, width: int) -> tuple[list[str], Tensor]:
    """Case ids and features (B, D) of a shard.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is not what `write_shard` wrote for this cache: cut short, changed, another's.
    """
    from safetensors import SafetensorError, safe_open

    if path.stat().st_size > MAX_SHARD_BYTES:
        raise ValueError(f"larger than {MAX_SHARD_BYTES:,} bytes")
    try:
        with safe_open(path, framework="pt") as file:
            metadata, features = dict(file.metadata() or {}), file.get_tensor("features")
    except FileNotFoundError:
        raise
    except (SafetensorError, OSError) as error:
        raise ValueError(f"cannot be read ({error})") from error
    if not {"key", "cases", "sha256"} <= metadata.keys() or metadata["key"] != key:
        raise ValueError("it is no shard of this cache")
    if features.dtype != torch.float32 or features.ndim != 2 or features.shape[1] != width:
        raise ValueError(f"features are {tuple(features.shape)} {features.dtype}, not (B, {width}) float32")
    if metadata["sha256"] != _digest(key, metadata["cases"], features):
        raise ValueError("its hash differs from what it says")
    try:
        ids = json.loads(metadata["cases"])
    except RecursionError as error:
        raise ValueError("its case ids are nested") from error
    if len(ids) != len(features):
        raise ValueError(f"{len(ids)} cases for {len(features)} features")
    return ids, features


def _digest(key: str, cases: str, features: Tensor) -> str:
    digest = hashlib.sha256(f"{key}\n{cases}\n{tuple(features.shape)}\n".encode())
    digest.update(features.contiguous().numpy().data)
    return digest.hexdigest()
