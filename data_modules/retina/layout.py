"""Where MMC-AMD's folders are: the release and the copy that Early Intervention uses spell some names differently."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data_modules.errors import DatasetNotFoundError
from data_modules.retina.names import MODALITIES, Modality
from data_modules.splits import SPLITS, Split

OfficialSplit = Literal["AP", "A"]
"""AP by patient, A by eye."""
IMAGES = ("ImageData", "mmc-amd/ImageData")
"""The folder of images below the root; the release has ``mmc-amd/`` around it."""
FOLDERS: Mapping[Modality, Sequence[str]] = {
    "cfp": ("cfp-clahe-448x448", "cfp-448x448", "cfp"),
    "oct": ("oct-median3x3-448x448", "oct-448x448", "oct"),
}
"""Folders of each modality; the first that there is is read."""
SOURCE = "the MMC-AMD release"


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders of one copy."""

    root: Path
    images: str
    """Folder of images, below the root."""
    folders: Mapping[Modality, str]
    """Folder of each modality below it; a modality without folder has no key."""


def find_layout(root: Path, *, needed: Sequence[str] = MODALITIES) -> Layout:
    """Find the folders of images.

    Args:
        root: Folder of the data set.
        needed: Modalities that have to have one.

    Raises:
        DatasetNotFoundError: Saying which root to name, what to ask for, or how to make a look-alike.
    """
    images = next((images for images in IMAGES if (root / images).is_dir()), None)
    if images is None:
        raise DatasetNotFoundError(f"MMC-AMD not found: no {' and no '.join(IMAGES)} below {root}. {advice(root)}")
    folders = {
        modality: next((name for name in names if (root / images / name).is_dir()), None)
        for modality, names in FOLDERS.items()
    }
    for modality, names in FOLDERS.items():
        if modality in needed and folders[modality] is None:
            raise DatasetNotFoundError(
                f"MMC-AMD: none of the folders {', '.join(names)} below {root / images}; copy one of them from {SOURCE}"
            )
    return Layout(root, images, {modality: name for modality, name in folders.items() if name is not None})


def split_folder(root: Path, official: OfficialSplit, split: Split) -> str:
    """The folder of a split below the root, beside the images or in a folder of its own."""
    name = f"mmc-amd-split{official}-{split}"
    outer = f"mmc-amd-split{official}/{name}"
    return outer if (root / outer).is_dir() and not (root / name).is_dir() else name


def check_splits(root: Path, official: OfficialSplit) -> None:
    """Refuse a folder that has none of the three splits.

    Raises:
        DatasetNotFoundError: With what to do.
    """
    folders = [split_folder(root, official, split) for split in SPLITS]
    if not any((root / folder).is_dir() for folder in folders):
        raise DatasetNotFoundError(f"MMC-AMD not found: no {folders[0]} below {root}. {advice(root)}")


def advice(root: Path) -> str:
    """What to do where the set is not found."""
    try:
        inside = [entry.name for entry in os.scandir(root) if entry.is_dir()]
    except OSError:
        inside = []
    for name in sorted(inside):
        if (root / name / "ImageData").is_dir() and name != "mmc-amd":
            return f"It is one folder down: use root {root / name}"
    return (
        f"Ask its authors for it (docs/datasets/mmc_amd.md), or try without it: medlit data synth mmc_amd --root {root}"
    )
