"""How images are prepared, and the hash by which a prepared folder is known."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from data_modules.errors import DataSettingsError, nearest

PIPELINE_VERSION = 1
"""Raised with every change of the reading steps that changes pixels; folders of an older one are refused."""

ORIENTATIONS = ("left", "none")


@dataclass(frozen=True, slots=True)
class PreparationSettings:
    """How images are prepared.

    Args:
        long_side: Longer side of a prepared image, pixels; smaller images keep their size.
        crop: Cut out the breast.
        orient: ``left``: mirror images whose breast lies on the right; ``none``: leave them.
        reduced_decode: Decode JPEG 2000 at a lower resolution where the target is that much smaller.

    Raises:
        DataSettingsError: If a value makes no sense.
    """

    long_side: int = 1024
    crop: bool = True
    orient: Literal["none", "left"] = "left"
    reduced_decode: bool = True

    def __post_init__(self) -> None:
        for name, kind in (("long_side", int), ("crop", bool), ("reduced_decode", bool)):
            value = getattr(self, name)
            if type(value) is not kind:  # True is an int, and 1 hashes unlike True
                raise DataSettingsError(f"preparation: {name} is {value!r}; give {kind.__name__}")
        if self.long_side < 1:
            raise DataSettingsError(f"preparation: long_side is {self.long_side}; give 1 pixel or more")
        if self.orient not in ORIENTATIONS:
            raise DataSettingsError(
                f"preparation: orient is {self.orient!r}; {nearest(str(self.orient), ORIENTATIONS)}"
            )

    @property
    def hash(self) -> str:
        """SHA-256 of the settings and ``PIPELINE_VERSION``, 64 hexadecimal digits."""
        told = json.dumps({**asdict(self), "pipeline_version": PIPELINE_VERSION}, sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()

    def options(self) -> str:
        """The options of ``medlit data prepare`` that give these settings, empty for the default ones."""
        default = PreparationSettings()
        words = []
        if self.long_side != default.long_side:
            words += ["--long-side", str(self.long_side)]
        if not self.crop:
            words.append("--no-crop")
        if self.orient != default.orient:
            words += ["--orient", self.orient]
        if not self.reduced_decode:
            words.append("--full-decode")
        return " ".join(words)


def differences(wanted: PreparationSettings, found: Mapping[str, Any], *, pipeline_version: object) -> list[str]:
    """What a prepared folder was made with instead of the settings that are wanted.

    Args:
        wanted: The settings asked for.
        found: Those that the folder records, by name.
        pipeline_version: The one that the folder records.

    Returns:
        One phrase for each setting that differs; empty where none does.
    """
    said = [
        f"{name} is {found.get(name)!r} there and {value!r} here"
        for name, value in asdict(wanted).items()
        if name not in found or found[name] != value
    ]
    if pipeline_version != PIPELINE_VERSION:
        said.append(f"medlit's reading steps have version {pipeline_version!r} there and {PIPELINE_VERSION} here")
    return said
