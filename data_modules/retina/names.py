"""What MMC-AMD's file names say: modality, class, eye and patient. Only eye and patient are ever used.

``o-w-ICG-4449-r_001.jpg`` is a B-scan (``o``; photographs are ``f``) of the right eye of patient ICG-4449, class wet
AMD (``w``; ``h`` normal, ``d`` dry AMD, ``p`` PCV). The side may be missing, and what follows the first underscore is
the number of a slice or a visit.
"""

import re
from collections.abc import Collection
from pathlib import PureWindowsPath
from typing import Literal

Modality = Literal["cfp", "oct"]
MODALITIES: tuple[Modality, ...] = ("cfp", "oct")
CLASS_NAMES = ("normal", "dry_amd", "pcv", "wet_amd")
"""In the order of the ids of the release and of Early Intervention (arXiv 2603.17514)."""
LETTERS = "hdpw"
"""Class letters of file names, in the order of the classes."""
SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")


def file_name(image: str) -> str:
    """The file of an image id: the release leaves ``.jpg`` out.

    Args:
        image: An id, or a file's path.
    """
    return image if PureWindowsPath(image).suffix.casefold() in SUFFIXES else f"{image}.jpg"


def eye_of(image: str) -> str:
    """The eye of an image: what stands between the modality's letter and the first underscore.

    Args:
        image: An id, or a file's path; without the letter in front all up to the underscore is taken.
    """
    stem = PureWindowsPath(file_name(image)).stem
    return re.sub(r"^[fo]-", "", stem).split("_")[0]


def patient_of(eye: str, listed: Collection[str] = ()) -> str:
    """The patient of an eye.

    Args:
        eye: From ``eye_of``.
        listed: Patient ids of the release (``SubjectSets``). The first of these that is among them is taken: the eye
            without side, the eye without class letter and side, the same with the side, the eye itself. Where none is,
            class letter (fellow eyes may differ in class) and side are dropped, but for the letter of healthy eyes,
            which are numbered by themselves.
    """
    without_side = re.sub(r"-[lr]$", "", eye, flags=re.IGNORECASE)
    without_letter = re.sub(f"^[{LETTERS}]-", "", eye)
    bare = re.sub(f"^[{LETTERS}]-", "", without_side)
    for candidate in (without_side, bare, without_letter, eye):
        if candidate in listed:
            return candidate
    return without_side if without_side.startswith("h-") else bare


def class_of_label(label: int | tuple[int, ...] | None) -> str | None:
    """The class's name; None where the label is unknown."""
    return CLASS_NAMES[label] if isinstance(label, int) else None


def class_of_name(eye: str) -> str | None:
    """The class that an eye's id gives away, for the audit alone; None where it has no class letter."""
    letter = re.match(f"^([{LETTERS}])-", eye)
    return CLASS_NAMES[LETTERS.index(letter[1])] if letter else None
