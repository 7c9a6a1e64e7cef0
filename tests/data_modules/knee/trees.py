"""Look-alike trees of MRNet in the official layout: functions of (root, seed), tiny volumes of noise."""

from pathlib import Path

import numpy as np

PLANES = ("axial", "coronal", "sagittal")
LABELS = ("abnormal", "meniscus", "acl")
COMBINATIONS = ((0, 0, 0), (1, 0, 0), (1, 1, 0), (1, 0, 1), (1, 1, 1))


def make_mrnet(root: Path, *, seed: int = 0, train: int = 20, valid: int = 10, side: int = 12) -> Path:
    """Exams 0000 and on; each combination of labels in turn; 5 to 9 slices a volume."""
    generator = np.random.default_rng(seed)
    for number in range(train + valid):
        split = "train" if number < train else "valid"
        for plane in PLANES:
            shape = (int(generator.integers(5, 10)), side, side)
            save(root, split, plane, f"{number:04}", generator.integers(0, 256, shape, dtype=np.uint8))
    for split, numbers in (("train", range(train)), ("valid", range(train, train + valid))):
        for column, label in enumerate(LABELS):
            write_labels(root, split, label, {f"{n:04}": COMBINATIONS[n % 5][column] for n in numbers})
    return root


def save(root: Path, split: str, plane: str, exam: str, volume: np.ndarray) -> Path:
    path = root / split / plane / f"{exam}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, volume)
    return path


def write_labels(root: Path, split: str, label: str, values: dict[str, object]) -> None:
    (root / f"{split}-{label}.csv").write_text("".join(f"{exam},{value}\n" for exam, value in values.items()))


def read_labels(root: Path, split: str, label: str) -> dict[str, object]:
    lines = (root / f"{split}-{label}.csv").read_text().splitlines()
    return dict(line.split(",") for line in lines)


def edit_label(root: Path, split: str, label: str, exam: str, value: object) -> None:
    write_labels(root, split, label, read_labels(root, split, label) | {exam: value})


def append_line(root: Path, file: str, line: str) -> None:
    with (root / file).open("a") as handle:
        handle.write(line + "\n")


def official_name(split: str, exam: str) -> str:
    """A line of a list file without its labels."""
    return ",".join(f"{split}/{plane}/{exam}.npy" for plane in PLANES)
