"""A look-alike of Derm7pt (release_v0): the same tables and folders, drawn lesions, and a class that needs both photos.

The signal: each photograph shows one of five colours, ``clinic`` as the lesion's and ``derm`` as that of a blotch in
it. With the class y and a shift e (0 in 8 of 20 cases, else 1 to 4 equally often), all modulo 5::

    clinic = y + e        derm = y + 2 e        hence  y = 2 clinic - derm

A single photograph shows the class's own colour in 40 % of the cases and says no more; the two together always tell
the class, but no sum of their separate evidence does: where the colours differ (e is not 0), y is neither of them.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from data_modules.errors import DataSettingsError
from data_modules.skin.labels import CRITERIA, DIAGNOSES, FIVE_CLASSES, five_class
from data_modules.skin.tables import INDEXES, META
from data_modules.splits import Split
from data_modules.synthetic.skin_pictures import COLOURS, Modality, draw_lesion
from data_modules.synthetic.tree import new_tree

FEWEST_CASES = 10
QUIRKS_FROM = 50
"""Smaller trees have no quirks: a case without a photograph of its own would weigh too much."""
SHARES: dict[Split, float] = {"train": 0.55, "val": 0.15, "test": 0.30}
SHIFTS = (0,) * 8 + (1, 2, 3, 4) * 3
FOLDERS = ("AAL", "AGL", "FAL", "FCL", "GAL", "NAL", "NEL", "NHL")
JPEG_QUALITY = 92
COLUMNS = (
    *("case_num", "diagnosis", "seven_point_score", *CRITERIA),
    *("level_of_diagnostic_difficulty", "elevation", "location", "sex", "management", "clinic", "derm"),
    *("case_id", "notes"),
)
SHOWN_CRITERIA = {
    0: ("pigmentation", ("diffuse irregular", "localized irregular")),
    1: ("vascular_structures", ("arborizing", "comma", "hairpin", "wreath", "dotted", "linear irregular")),
    2: ("blue_whitish_veil", ("present",)),
    3: ("regression_structures", ("white areas",)),
}
"""Colour of the blotch -> the criterion that it stands for and the values it may take; without it "absent"."""
TWO_POINTS = {("pigment_network", "atypical"), ("blue_whitish_veil", "present"), ("vascular_structures", "irregular")}
"""Findings that the seven-point checklist counts twice; other irregular or present ones count once."""
OTHER_COLUMNS = {
    "level_of_diagnostic_difficulty": ("low", "medium", "high"),
    "elevation": ("flat", "palpable", "nodular"),
    "location": ("abdomen", "back", "chest", "head neck", "lower limbs", "upper limbs"),
    "sex": ("female", "male"),
    "management": ("clinical follow up", "excision", "no further examination"),
}
README = """A look-alike of the Derm7pt release, drawn by a program for tests and trials.
No photograph, no patient and no medical truth is in it: never mix it with the real release.
"""


@dataclass(frozen=True, slots=True)
class SyntheticCase:
    """One drawn lesion: what it is, and what its pictures show (indices into ``COLOURS``)."""

    row: int
    split: Split
    label: int
    clinic: int
    derm: int


def write(root: str | Path, *, cases: int, seed: int, img_size: int = 96) -> None:
    """Write a look-alike release; the same arguments give the same bytes.

    Args:
        root: A missing or empty folder, or one that this function wrote before, which is then replaced.
        cases: How many lesions, 10 or more; 55 % train, 15 % val, 30 % test, classes evenly in each.
        seed: Zero or more.
        img_size: Width of the pictures in pixels, 24 or more; the height is two thirds of it, as in the release.

    Raises:
        DataSettingsError: If a number is too small, or the folder holds something else.
    """
    for name, value, least in (("cases", cases, FEWEST_CASES), ("seed", seed, 0), ("img_size", img_size, 24)):
        if value < least:
            raise DataSettingsError(f"{name} is {value}; it has to be at least {least}")
    settings = {"cases": cases, "seed": seed, "img_size": img_size}
    with new_tree(Path(root), description={"set": "derm7pt", **settings}) as folder:
        _write_release(folder, **settings)


def _write_release(root: Path, *, cases: int, seed: int, img_size: int) -> None:
    """All files of a release below an empty folder."""
    (root / "README.txt").write_text(README)
    plan = plan_cases(cases, np.random.default_rng([seed, 0]))
    rows = [_row(case, np.random.default_rng([seed, 1, case.row])) for case in plan]
    for case, row in zip(plan, rows, strict=True):
        _draw(root / "images", case, row, img_size=img_size, rng=np.random.default_rng([seed, 2, case.row]))
    if cases >= QUIRKS_FROM:
        _add_quirks(root, plan, rows)
    _write_csv(root / META, COLUMNS, [[row[column] for column in COLUMNS] for row in rows])
    for split, file in INDEXES.items():
        _write_csv(root / file, ("indexes",), [[str(case.row)] for case in plan if case.split == split])


def plan_cases(cases: int, rng: np.random.Generator) -> list[SyntheticCase]:
    """Class, colours and split of every case, in the order of the table.

    Args:
        cases: How many.
        rng: Shuffles.
    """
    sizes: dict[Split, int] = {split: max(1, round(cases * SHARES[split])) for split in ("val", "test")}
    sizes = {"train": cases - sum(sizes.values()), **sizes}
    rows = iter(rng.permutation(cases).tolist())
    plan = []
    for split, size in sizes.items():
        for label, shift in _labels_and_shifts(size, rng):
            clinic, derm = (label + shift) % len(COLOURS), (label + 2 * shift) % len(COLOURS)
            plan.append(SyntheticCase(row=next(rows), split=split, label=label, clinic=clinic, derm=derm))
    return sorted(plan, key=lambda case: case.row)


def _labels_and_shifts(size: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Every five cases hold each class once, every twenty of a class each shift as often as ``SHIFTS``."""
    classes = len(FIVE_CLASSES)
    rounds = -(-size // classes)
    shifts = [
        [shift for _ in range(-(-rounds // len(SHIFTS))) for shift in rng.permutation(SHIFTS).tolist()]
        for _ in range(classes)
    ]
    pairs = [(label, shifts[label][i]) for i in range(rounds) for label in rng.permutation(classes).tolist()]
    return pairs[:size]


def _row(case: SyntheticCase, rng: np.random.Generator) -> dict[str, str]:
    """One row of meta.csv."""

    def pick(values: Sequence[str]) -> str:
        return values[int(rng.integers(len(values)))]

    diagnoses = [name for name in DIAGNOSES if five_class(name) == FIVE_CLASSES[case.label]]
    criteria = {name: pick(tuple(CRITERIA[name])) for name in ("pigment_network", "streaks", "dots_and_globules")}
    for colour, (name, values) in SHOWN_CRITERIA.items():
        criteria[name] = pick(values) if case.derm == colour else "absent"
    folder, number = FOLDERS[case.row % len(FOLDERS)], 2 * (case.row // len(FOLDERS)) + 1
    suffix = "JPG" if case.row % 10 == 9 else "jpg"
    return {
        "case_num": str(case.row + 1),
        "diagnosis": pick(diagnoses),
        "seven_point_score": str(seven_point_score(criteria)),
        **criteria,
        **{column: pick(values) for column, values in OTHER_COLUMNS.items()},
        "clinic": f"{folder}/{folder.capitalize()}{number + 1:03}.{suffix}",
        "derm": f"{folder}/{folder.capitalize()}{number:03}.{suffix}",
        "case_id": "",
        "notes": "",
    }


def seven_point_score(criteria: dict[str, str]) -> int:
    """The seven-point checklist: major findings count 2, minor ones 1.

    Args:
        criteria: Values of the table by criterion.
    """
    found = [(name, CRITERIA[name][value]) for name, value in criteria.items()]
    suspicious = [pair for pair in found if pair[1] in ("atypical", "irregular", "present")]
    return sum(2 if pair in TWO_POINTS else 1 for pair in suspicious)


def _draw(images: Path, case: SyntheticCase, row: dict[str, str], *, img_size: int, rng: np.random.Generator) -> None:
    pictures: tuple[tuple[Modality, int], ...] = (("clinic", case.clinic), ("derm", case.derm))
    for modality, colour in pictures:
        picture = draw_lesion(modality, colour, width=img_size, height=img_size * 2 // 3, rng=rng)
        _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        path = images / row[modality]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.tobytes())


def _add_quirks(root: Path, plan: Sequence[SyntheticCase], rows: Sequence[dict[str, str]]) -> None:
    """Two quirks of the release, in training cases: one file for both photographs, and a folder in another case."""
    same, case_differs = [case.row for case in plan if case.split == "train"][:2]
    (root / "images" / rows[same]["derm"]).unlink()
    rows[same]["derm"] = rows[same]["clinic"]
    folder, name = rows[case_differs]["clinic"].split("/")
    rows[case_differs]["clinic"] = f"{folder[:-1]}{folder[-1].lower()}/{name}"


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
