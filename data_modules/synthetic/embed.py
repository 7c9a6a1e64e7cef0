"""A look-alike of EMBED (open data): the official tables and folders, drawn mammograms as DICOM files.

The signal: each picture shows its breast's density and finding, as its rows say. Both views of a breast show the same
finding, both breasts of an exam have the same density, and one breast alone has the finding of categories 0 and 3 to
6. What belongs to a category is in ``mammo_lesions.lesions_of``, who comes and how often in ``mammo_stories.STORIES``.
From 40 exams on the tables have the quirks of the real ones: assessment X, a male patient, rows that contradict each
other, exams without rows or with two dates, a severity that is no cancer of the breast.

Files differ as those of a hospital's machines do (``mammo_dicom.ENCODINGS``, taken in turn).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np

from data_modules.synthetic.mammo_dicom import (
    ENCODINGS,
    UNWINDOWED,
    Encoding,
    Header,
    require_pydicom,
    uid,
    write_mammogram,
)
from data_modules.synthetic.mammo_embed_tables import Image, cohort, write_tables
from data_modules.synthetic.mammo_pictures import View, draw_view
from data_modules.synthetic.mammo_plan import DEFAULT_HEIGHT, README, Side, check_numbers, mirrored
from data_modules.synthetic.mammo_stories import Exam, plan_exams
from data_modules.synthetic.tree import new_tree

CVIEW_EVERY = 6
"""One of so many screening exams has pictures made from tomosynthesis, too."""
SPOT_EVERY = 4
"""One of so many diagnostic exams has a magnification view of the finding, too."""
LABEL_EVERY = 3
MACHINES = (
    ("HOLOGIC, Inc.", "Selenia Dimensions"),
    ("HOLOGIC, Inc.", "Lorad Selenia"),
    ("GE MEDICAL SYSTEMS", "Senographe Pristina"),
)


def write(root: str | Path, *, cases: int, seed: int, img_size: int = DEFAULT_HEIGHT) -> None:
    """Write a look-alike release; the same arguments give the same bytes.

    Args:
        root: A missing or empty folder, or one that this function wrote before, which is then replaced.
        cases: How many exams, 10 or more; two or four pictures each, and some magnified or made from tomosynthesis.
            From 40 on with the quirks of the real tables.
        seed: Zero or more.
        img_size: Rows of a picture in pixels, 48 or more; 13/16 as many columns.

    Raises:
        DataSettingsError: If a number is too small, the folder holds something else, or pydicom is not installed.
    """
    check_numbers(cases=cases, seed=seed, img_size=img_size)
    require_pydicom()
    settings = {"cases": cases, "seed": seed, "img_size": img_size}
    with new_tree(Path(root), description={"set": "embed", **settings}) as folder:
        (folder / "README.txt").write_text(README.format(title="EMBED"))
        exams = plan_exams(cases, np.random.default_rng([seed, 0]))
        numbers = iter(range(100 * cases))
        images = {exam.number: _draw(folder, exam, numbers, seed=seed, height=img_size) for exam in exams}
        write_tables(folder, exams, images)


def _draw(root: Path, exam: Exam, numbers: Iterator[int], *, seed: int, height: int) -> list[Image]:
    """All files of an exam."""
    images = []
    manufacturer, model = MACHINES[exam.number % len(MACHINES)]
    for side, view, kind, spot in _shots(exam):
        number = next(numbers)
        drawing = draw_view(exam.breasts[side], view, height=height, spot=spot)
        study, series = uid(seed, "study", exam.number), uid(seed, "series", exam.number, kind, spot)
        name = uid(seed, "image", number)
        path = f"cohort_{cohort(exam)}/{exam.patient.empi}/{study}/{series}/{name}.dcm"
        described = f"{side} {view}{' C-View' if kind == 'cview' else ''}{' Spot Mag' if spot else ''}"
        header = Header(
            patient=str(exam.patient.empi), study_uid=study, series_uid=series, image_uid=name, laterality=side,
            view=view, age=int(exam.age), date=exam.day.isoformat(), description=exam.description,
            manufacturer=manufacturer, spot=spot, from_tomosynthesis=kind == "cview", label=number % LABEL_EVERY == 0,
        )  # fmt: skip
        write_mammogram(root / "images" / path, drawing.picture, header, encoding_of(number, kind))
        boxes = mirrored(drawing.boxes, side, drawing.picture.shape[1])
        images.append(Image(path, side, view, kind, spot, boxes, described, manufacturer, model))
    return images


def _shots(exam: Exam) -> Iterator[tuple[Side, View, str, bool]]:
    """Side, view, type of image, and whether it is magnified."""
    views: tuple[View, ...] = get_args(View)
    cview = exam.reason == "Screening" and exam.number % CVIEW_EVERY == 0
    for kind in ("2D", "cview") if cview else ("2D",):
        for side in exam.birads:
            for view in views:
                yield side, view, kind, False
    if exam.reason == "Diagnostic" and exam.number % SPOT_EVERY == 0:
        yield exam.index, "CC", "2D", True


def encoding_of(number: int, kind: str) -> Encoding:
    """How a picture is stored: the varieties in turn, those without a window for pictures made from tomosynthesis.

    Args:
        number: Of the picture.
        kind: ``2D`` or ``cview``.
    """
    varieties = UNWINDOWED if kind == "cview" else ENCODINGS
    return varieties[number % len(varieties)]
