"""A look-alike of VinDr-Mammo (1.0.0): both tables of annotations, and drawn mammograms as DICOM files.

The signal: each picture shows its breast's density and what belongs to its BI-RADS category, 1 to 5
(``mammo_lesions.lesions_of``). Findings are annotated with boxes from category 3 on, as in the release. A fifth of the
studies are the official test split; categories are in the same shares in both.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from data_modules.synthetic.mammo_dicom import ENCODINGS, Header, require_pydicom, uid, write_mammogram
from data_modules.synthetic.mammo_lesions import Lesion, lesions_of
from data_modules.synthetic.mammo_pictures import Box, Breast, View, draw_breast, draw_view
from data_modules.synthetic.mammo_plan import (
    DEFAULT_HEIGHT,
    README,
    SIDES,
    Side,
    check_numbers,
    cycles,
    mirrored,
    write_csv,
)
from data_modules.synthetic.tree import new_tree

OfficialSplit = Literal["training", "test"]
BREAST_COLUMNS = (
    "study_id", "series_id", "image_id", "laterality", "view_position", "height", "width", "breast_birads",
    "breast_density", "split",
)  # fmt: skip
FINDING_COLUMNS = (
    *BREAST_COLUMNS[:-1], "finding_categories", "finding_birads", "xmin", "ymin", "xmax", "ymax", "split",
)  # fmt: skip
TEST_SHARE = 0.2
CATEGORIES = (1, 2, 2, 2, 3, 3, 4, 4, 4, 5, 5, 5)
"""Of the breast with the finding; the other is negative."""
ANNOTATED_FROM = 3


@dataclass(frozen=True, slots=True)
class Study:
    """One exam of four pictures."""

    number: int
    split: OfficialSplit
    density: int
    birads: dict[Side, int]
    breasts: dict[Side, Breast]


def write(root: str | Path, *, cases: int, seed: int, img_size: int = DEFAULT_HEIGHT) -> None:
    """Write a look-alike release; the same arguments give the same bytes.

    Args:
        root: A missing or empty folder, or one that this function wrote before, which is then replaced.
        cases: How many studies of four pictures, 10 or more; a fifth are for the test.
        seed: Zero or more.
        img_size: Rows of a picture in pixels, 48 or more; 13/16 as many columns.

    Raises:
        DataSettingsError: If a number is too small, the folder holds something else, or pydicom is not installed.
    """
    check_numbers(cases=cases, seed=seed, img_size=img_size)
    require_pydicom()
    settings = {"cases": cases, "seed": seed, "img_size": img_size}
    with new_tree(Path(root), description={"set": "vindr_mammo", **settings}) as folder:
        (folder / "README.txt").write_text(README.format(title="VinDr-Mammo"))
        breasts: list[dict[str, object]] = []
        findings: list[dict[str, object]] = []
        for study in plan_studies(cases, np.random.default_rng([seed, 0])):
            for row, found in _draw(folder, study, seed=seed, height=img_size):
                breasts.append(row)
                findings += [{**row, **finding} for finding in found]
        write_csv(folder / "breast-level_annotations.csv", BREAST_COLUMNS, breasts)
        write_csv(folder / "finding_annotations.csv", FINDING_COLUMNS, findings)


def plan_studies(cases: int, rng: np.random.Generator) -> list[Study]:
    """What every study shows, the training split first.

    Args:
        cases: How many.
        rng: Shuffles and draws.
    """
    test = max(1, round(cases * TEST_SHARE))
    sizes: dict[OfficialSplit, int] = {"training": cases - test, "test": test}
    studies: list[Study] = []
    for split, size in sizes.items():
        pairs = zip(cycles(CATEGORIES, size, rng), cycles((1, 2, 3, 4), size, rng), strict=True)
        for category, density in pairs:
            index = SIDES[int(rng.integers(2))]
            birads = {side: category if side == index else 1 for side in SIDES}
            breasts = {side: draw_breast(density, rng, lesions=lesions_of(birads[side], rng)) for side in SIDES}
            studies.append(Study(len(studies), split, density, birads, breasts))
    return studies


def _draw(
    root: Path, study: Study, *, seed: int, height: int
) -> Iterator[tuple[dict[str, object], list[dict[str, object]]]]:
    """The files of a study: a row of the breasts' table for each, and cells of the findings' table."""
    views: tuple[View, ...] = get_args(View)
    study_id, series_id = _hex(seed, "study", study.number), _hex(seed, "series", study.number)
    for side in SIDES:
        for view in views:
            number = 4 * study.number + 2 * SIDES.index(side) + views.index(view)
            image_id = _hex(seed, "image", number)
            drawing = draw_view(study.breasts[side], view, height=height)
            header = Header(
                patient=study_id, study_uid=uid(study_id), series_uid=uid(series_id), image_uid=uid(image_id),
                laterality=side, view=view, manufacturer="SIEMENS", label=number % 3 == 0,
            )  # fmt: skip
            path = root / f"images/{study_id}/{image_id}.dicom"
            write_mammogram(path, drawing.picture, header, ENCODINGS[number % len(ENCODINGS)])
            category = f"BI-RADS {study.birads[side]}"
            row: dict[str, object] = {
                "study_id": study_id,
                "series_id": series_id,
                "image_id": image_id,
                "laterality": side,
                "view_position": view,
                "height": drawing.picture.shape[0],
                "width": drawing.picture.shape[1],
                "breast_birads": category,
                "breast_density": f"DENSITY {'ABCD'[study.density - 1]}",
                "split": study.split,
            }
            boxes = mirrored(drawing.boxes, side, drawing.picture.shape[1])
            yield row, _findings(study.birads[side], study.breasts[side].lesions, boxes)


def _findings(category: int, lesions: tuple[Lesion, ...], boxes: tuple[Box, ...]) -> list[dict[str, object]]:
    """Annotations of a picture; where there is none, a row says so."""
    if category < ANNOTATED_FROM:
        return [{"finding_categories": "['No Finding']"}]
    made: list[dict[str, object]] = []
    for lesion, (left, top, right, bottom) in zip(lesions, boxes, strict=True):
        names = ["Mass"] + (["Suspicious Calcification"] if lesion.calcification else [])
        made.append(
            {
                "finding_categories": str(names),
                "finding_birads": f"BI-RADS {category}",
                "xmin": float(left),
                "ymin": float(top),
                "xmax": float(right),
                "ymax": float(bottom),
            }
        )
    return made


def _hex(*parts: str | int) -> str:
    """An identifier as the release has them: 32 hexadecimal digits."""
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()[:32]
