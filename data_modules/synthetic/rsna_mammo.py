"""A look-alike of RSNA-Mammo: ``train.csv``, and drawn screening mammograms as DICOM files.

The signal: a breast with cancer shows a spiculated mass; one that was recalled without cancer a haze or a smooth mass;
a benign one coarse calcifications; a negative one nothing. Density is the patient's. Two fifths of the patients have a
cancer, many more than in the challenge, so that little data are enough to learn from.

As in the challenge, BIRADS and density are empty for site 2, BIRADS is 0, 1 or 2, and files are JPEG 2000 or JPEG
lossless, MONOCHROME1 or 2, some with four windows, SIGMOID, and no Modality.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from data_modules.synthetic.mammo_dicom import Encoding, Header, require_pydicom, uid, write_mammogram
from data_modules.synthetic.mammo_lesions import lesions_of
from data_modules.synthetic.mammo_pictures import Breast, View, draw_breast, draw_view
from data_modules.synthetic.mammo_plan import (
    DEFAULT_HEIGHT,
    README,
    SIDES,
    Side,
    check_numbers,
    cycles,
    write_csv,
)
from data_modules.synthetic.tree import new_tree

Kind = Literal["cancer", "recalled", "benign", "negative"]
COLUMNS = (
    "site_id", "patient_id", "image_id", "laterality", "view", "age", "cancer", "biopsy", "invasive", "BIRADS",
    "implant", "density", "machine_id", "difficult_negative_case",
)  # fmt: skip
KINDS: tuple[Kind, ...] = ("cancer",) * 4 + ("recalled",) * 2 + ("benign",) * 2 + ("negative",) * 2
"""Of patients; one breast is of this kind, the other negative."""
BIRADS: dict[Kind, int] = {"cancer": 0, "recalled": 0, "benign": 2, "negative": 1}
DRAWN: dict[Kind, tuple[int, ...]] = {"cancer": (4, 5), "recalled": (0, 3), "benign": (2,), "negative": (1,)}
"""Categories whose findings are drawn (``mammo_lesions.lesions_of``), in turn."""
SITES = (1, 1, 2)
MACHINES = {1: (49, 29, 48), 2: (21, 93)}
THIRD_VIEW_EVERY = 8
"""One of so many patients has a third picture of each breast, a lateral one or a second MLO."""
ENCODINGS = (
    Encoding("jpeg2000", 1, 12),
    Encoding("jpeg2000", 2, 12, voi="sigmoid", windows=4, bare=True),
    Encoding("jpeg", 2, 14),
    Encoding("jpeg", 1, 14, voi="exact", padding=True),
    Encoding("jpeg2000", 2, 12, intercept=-500),
)
"""The varieties, taken in turn; a fifth is SIGMOID, as in the challenge."""


@dataclass(frozen=True, slots=True)
class Patient:
    """One patient, who has one exam."""

    number: int
    patient_id: int
    site: int
    kind: Kind
    index: Side
    """The breast of this kind."""
    density: int
    age: int | None
    invasive: bool
    breasts: dict[Side, Breast]


def write(root: str | Path, *, cases: int, seed: int, img_size: int = DEFAULT_HEIGHT) -> None:
    """Write a look-alike of the challenge's training set; the same arguments give the same bytes.

    Args:
        root: A missing or empty folder, or one that this function wrote before, which is then replaced.
        cases: How many patients, 10 or more; one exam of four pictures each, some of six.
        seed: Zero or more.
        img_size: Rows of a picture in pixels, 48 or more; 13/16 as many columns.

    Raises:
        DataSettingsError: If a number is too small, the folder holds something else, or pydicom is not installed.
    """
    check_numbers(cases=cases, seed=seed, img_size=img_size)
    require_pydicom()
    settings = {"cases": cases, "seed": seed, "img_size": img_size}
    with new_tree(Path(root), description={"set": "rsna_mammo", **settings}) as folder:
        (folder / "README.txt").write_text(README.format(title="RSNA-Mammo"))
        rng = np.random.default_rng([seed, 0])
        patients = plan_patients(cases, rng)
        image_ids = iter((10**8 + rng.permutation(9 * 10**5)[: 6 * cases] * 1000 + 7).tolist())
        rows = [row for patient in patients for row in _draw(folder, patient, image_ids, seed=seed, height=img_size)]
        write_csv(folder / "train.csv", COLUMNS, rows)


def plan_patients(cases: int, rng: np.random.Generator) -> list[Patient]:
    """What every patient has.

    Args:
        cases: How many.
        rng: Shuffles and draws.
    """
    kinds, sites = cycles(KINDS, cases, rng), cycles(SITES, cases, rng)
    densities, ids = cycles((1, 2, 3, 4), cases, rng), (10_000 + rng.permutation(max(55_000, 2 * cases))).tolist()
    seen: dict[Kind, int] = dict.fromkeys(DRAWN, 0)
    patients = []
    for number, kind in enumerate(kinds):
        index = SIDES[int(rng.integers(2))]
        category = DRAWN[kind][seen[kind] % len(DRAWN[kind])]
        seen[kind] += 1
        lesions = {side: lesions_of(category if side == index else 1, rng) for side in SIDES}
        breasts = {side: draw_breast(densities[number], rng, lesions=lesions[side]) for side in SIDES}
        age = None if number % 25 == 24 else int(rng.integers(40, 85))  # a few are empty in the challenge
        invasive = kind == "cancer" and rng.random() < 0.7
        patient_id, site = ids[number], sites[number]
        patients.append(Patient(number, patient_id, site, kind, index, densities[number], age, bool(invasive), breasts))
    return patients


def _draw(
    root: Path, patient: Patient, image_ids: Iterator[int], *, seed: int, height: int
) -> Iterator[dict[str, object]]:
    """The files of a patient, and their rows."""
    machines = MACHINES[patient.site]
    views: tuple[tuple[View, str], ...] = tuple((view, view) for view in get_args(View))
    if patient.number % THIRD_VIEW_EVERY == 3:
        views += (("MLO", "ML" if patient.number % 2 else "MLO"),)
    for side in SIDES:
        for count, (view, name) in enumerate(views):
            image_id = next(image_ids)
            header = Header(
                patient=str(patient.patient_id), study_uid=uid(seed, "study", patient.number),
                series_uid=uid(seed, "series", patient.number), image_uid=uid(seed, "image", image_id),
                laterality=side, view=name, age=patient.age, label=image_id % 3 == 0,
            )  # fmt: skip
            drawing = draw_view(patient.breasts[side], view, height=height, again=count // 2)
            path = root / f"train_images/{patient.patient_id}/{image_id}.dcm"
            write_mammogram(path, drawing.picture, header, ENCODINGS[(patient.number + count) % len(ENCODINGS)])
            yield {
                "image_id": image_id,
                "view": name,
                "machine_id": machines[patient.number % len(machines)],
                **_label(patient, side),
            }


def _label(patient: Patient, side: Side) -> dict[str, object]:
    """Cells that are the same for all pictures of a breast."""
    kind: Kind = patient.kind if side == patient.index else "negative"
    first = patient.site == 1
    biopsy = kind == "cancer" or (kind == "recalled" and patient.number % 2 == 0)
    return {
        "site_id": patient.site,
        "patient_id": patient.patient_id,
        "laterality": side,
        "age": "" if patient.age is None else f"{patient.age}.0",
        "cancer": int(kind == "cancer"),
        "biopsy": int(biopsy),
        "invasive": int(kind == "cancer" and patient.invasive),
        "BIRADS": f"{BIRADS[kind]}.0" if first else "",
        "implant": 0,
        "density": "ABCD"[patient.density - 1] if first else "",
        "difficult_negative_case": kind == "recalled",
    }
