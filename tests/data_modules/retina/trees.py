"""A small MMC-AMD tree with noise for pictures, and edits of its lists."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

FOLDERS = {"cfp": "cfp-clahe-448x448", "oct": "oct-median3x3-448x448"}
LETTERS = "hdpw"
SIZES = {"train": 12, "val": 6, "test": 6}

# By split, eye -> images by modality: fellow eyes, ids without side, several scans, a repeat visit.
Plan = dict[str, dict[str, dict[str, list[str]]]]


def plan() -> Plan:
    """24 eyes, classes in turn; the patients of a split are its own."""
    splits: Plan = {}
    number = 0
    for split, size in SIZES.items():
        eyes: dict[str, dict[str, list[str]]] = {}
        for i in range(size):
            letter = LETTERS[i % 4]
            if letter == "h":
                eye, scans = f"h-{number}", [f"o-h-{number}_{part}" for part in (12, 40)]
                photographs = [f"f-h-{number}_7"]
            else:  # dry and PCV are fellow eyes of one patient
                patient = {"d": f"ICG-{number}", "p": f"ICG-{number - 1}", "w": str(number)}[letter]
                eye = f"{letter}-{patient}{ {'d': '-l', 'p': '-r', 'w': ''}[letter] }"
                photographs, scans = [f"f-{eye}"], [f"o-{eye}_{part:03}" for part in range(1, 1 + i % 3 + 1)]
            eyes[eye] = {"cfp": photographs, "oct": scans}
            number += 1
        splits[split] = eyes
    first = next(eye for eye in splits["train"] if eye.startswith("w"))
    splits["train"][first]["cfp"].append(f"f-{first}_2014")
    return splits


def make_mmc_amd(root: Path, *, seed: int = 0, size: int = 16, images: str = "ImageData") -> Path:
    """The tree, split AP."""
    generator = np.random.default_rng(seed)
    for split, eyes in plan().items():
        write_split(root, split, eyes)
        for files in eyes.values():
            for modality, names in files.items():
                for name in names:
                    path = root / images / FOLDERS[modality] / f"{name}.jpg"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    pixels = generator.integers(0, 255, (size, size, 3), dtype=np.uint8)
                    Image.fromarray(pixels).save(path, quality=95)
    return root


def write_split(root: Path, split: str, eyes: dict[str, dict[str, list[str]]], *, official: str = "AP") -> None:
    for modality in FOLDERS:
        names = [(name, eye) for eye, files in eyes.items() for name in files.get(modality, [])]
        own = [eye for eye, files in eyes.items() if files.get(modality)]
        patients = [eye if eye[0] == "h" else eye[2:].removesuffix("-l").removesuffix("-r") for eye in own]
        write_list(root, split, "ImageSets", modality, [name for name, _ in names], official=official)
        write_list(root, split, "EyeSets", modality, own, official=official)
        write_list(root, split, "SubjectSets", modality, list(dict.fromkeys(patients)), official=official)
        labels = [f"{name} {LETTERS.index(eye[0])}" for name, eye in names]
        write_list(root, split, "annotations", modality, labels, official=official)


def list_path(root: Path, split: str, kind: str, modality: str, *, official: str = "AP") -> Path:
    return root / f"mmc-amd-split{official}-{split}" / kind / f"{modality}.txt"


def read_list(root: Path, split: str, kind: str, modality: str) -> list[str]:
    return list_path(root, split, kind, modality).read_text().splitlines()


def write_list(root: Path, split: str, kind: str, modality: str, lines: Sequence[str], *, official: str = "AP") -> None:
    path = list_path(root, split, kind, modality, official=official)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def write_split_a(root: Path) -> None:
    """Split A: the fellow eyes of every patient of split AP's training part in different splits."""
    splits = plan()
    moved = [eye for eye in splits["train"] if eye.startswith("p")]
    splits["test"] |= {eye: splits["train"].pop(eye) for eye in moved}
    for split, eyes in splits.items():
        write_split(root, split, eyes, official="A")
