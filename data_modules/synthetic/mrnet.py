"""A look-alike of MRNet (v1.0): the same tables and folders, drawn knees, and labels that need several planes.

The signal: each plane shows fluid in one of five places. An exam is of one of five kinds: normal (0), abnormal alone
(1), with a torn meniscus (2), with a torn ligament (3), with both (4). With the kind y and a shift e (0 in 8 of 20
exams, else 1 to 4 equally often), all modulo 5::

    axial = y + e        coronal = y + 2 e        sagittal = y + 3 e        hence  y = 2 axial - coronal = ...

A single plane shows the kind's own place in 40 % of the exams and says no more. Any two tell the kind; no sum of what
the planes say by themselves does: where e is not 0, they show three different places, and none is the kind's.

9 of 25 exams are normal, 4 of each other kind: 64 % are abnormal, 32 % have each tear. A ranking by chance has the mean
of these, .43, for its mAP; the best from a single plane .51.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from data_modules.errors import DataSettingsError
from data_modules.knee.tables import LABELS, OfficialSplit, label_file, volume_path
from data_modules.synthetic.knee_pictures import PLACES, Plane, draw_volume
from data_modules.synthetic.tree import new_tree

FEWEST_CASES = 10
SMALLEST = 16
VALID_SHARE = 0.25
KINDS = ((0, 0, 0), (1, 0, 0), (1, 1, 0), (1, 0, 1), (1, 1, 1))
"""Labels of each kind of exam: abnormal, meniscus, acl."""
KIND_CYCLE = (0,) * 9 + (1, 2, 3, 4) * 4
SHIFTS = (0,) * 8 + (1, 2, 3, 4) * 3
SLICES: dict[Plane, tuple[int, int]] = {"axial": (8, 12), "coronal": (8, 11), "sagittal": (9, 14)}
"""Fewest and most slices of a volume; fewer than a scan's, to be fast."""
README = """A look-alike of the MRNet release, drawn by a program for tests and trials.
No scan, no patient and no medical truth is in it: never mix it with the real release.
"""


@dataclass(frozen=True, slots=True)
class SyntheticExam:
    """One drawn exam: what it is, and what its planes show (indices into ``PLACES``)."""

    exam_id: str
    split: OfficialSplit
    kind: int
    places: dict[Plane, int]

    @property
    def label(self) -> tuple[int, ...]:
        """Zeros and ones in the order of ``LABELS``."""
        return KINDS[self.kind]


def write(root: str | Path, *, cases: int, seed: int, img_size: int = 48) -> None:
    """Write a look-alike release; the same arguments give the same bytes.

    Args:
        root: A missing or empty folder, or one that this function wrote before, which is then replaced.
        cases: How many exams, 10 or more; three quarters in ``train``, a quarter in ``valid``.
        seed: Zero or more.
        img_size: Height and width of a slice in pixels, 16 or more.

    Raises:
        DataSettingsError: If a number is too small, or the folder holds something else.
    """
    for name, value, least in (("cases", cases, FEWEST_CASES), ("seed", seed, 0), ("img_size", img_size, SMALLEST)):
        if value < least:
            raise DataSettingsError(f"{name} is {value}; it has to be at least {least}")
    settings = {"cases": cases, "seed": seed, "img_size": img_size}
    with new_tree(Path(root), description={"set": "mrnet", **settings}) as folder:
        _write_release(folder, **settings)


def _write_release(root: Path, *, cases: int, seed: int, img_size: int) -> None:
    """All files of a release below an empty folder."""
    (root / "README.txt").write_text(README)
    plan = plan_exams(cases, np.random.default_rng([seed, 0]))
    for number, exam in enumerate(plan):
        _draw(root, exam, img_size=img_size, rng=np.random.default_rng([seed, 1, number]))
    for split in get_args(OfficialSplit):
        for column, name in enumerate(LABELS):
            lines = [f"{exam.exam_id},{exam.label[column]}\n" for exam in plan if exam.split == split]
            (root / label_file(split, name)).write_text("".join(lines))


def plan_exams(cases: int, rng: np.random.Generator) -> list[SyntheticExam]:
    """Kind, places and split of every exam, in the order of their ids.

    Args:
        cases: How many.
        rng: Shuffles.
    """
    valid = max(1, round(cases * VALID_SHARE))
    sizes: dict[OfficialSplit, int] = {"train": cases - valid, "valid": valid}
    numbers = iter(range(cases))
    return [
        SyntheticExam(f"{next(numbers):04}", split, kind, _places(kind, shift))
        for split, size in sizes.items()
        for kind, shift in _kinds_and_shifts(size, rng)
    ]


def _places(kind: int, shift: int) -> dict[Plane, int]:
    planes: tuple[Plane, ...] = get_args(Plane)
    return {plane: (kind + factor * shift) % len(PLACES) for factor, plane in enumerate(planes, start=1)}


def _kinds_and_shifts(size: int, rng: np.random.Generator) -> Iterator[tuple[int, int]]:
    """Every 25 exams hold each kind as ``KIND_CYCLE`` does, every 20 of a kind each shift as ``SHIFTS`` does."""
    kinds = _cycles(KIND_CYCLE, size, rng)
    shifts = [iter(_cycles(SHIFTS, size, rng)) for _ in KINDS]
    return ((kind, next(shifts[kind])) for kind in kinds)


def _cycles(values: Sequence[int], size: int, rng: np.random.Generator) -> list[int]:
    """``size`` values: the given ones in random order, again and again."""
    rounds = -(-size // len(values))
    return [value for _ in range(rounds) for value in rng.permutation(values).tolist()][:size]


def _draw(root: Path, exam: SyntheticExam, *, img_size: int, rng: np.random.Generator) -> None:
    for plane, place in exam.places.items():
        slices = int(rng.integers(*SLICES[plane], endpoint=True))
        path = root / volume_path(exam.split, plane, exam.exam_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, draw_volume(plane, place, slices=slices, size=img_size, rng=rng), allow_pickle=False)
