"""A look-alike of CBIS-DDSM: the four tables, and drawn films in the folders of TCIA's download.

The signal: a malignant mass is irregular, bright and spiculated, a benign one round or oval and smooth; malignant
calcifications are many and fine, benign ones few and coarse. Density is the patient's.

The tables have the official columns and quirks: ``breast_density`` in the tables of masses and ``breast density`` in
those of calcifications, line breaks at the end of paths, paths that the download does not have, several abnormalities
on an image, and patients who are in a training table of one kind and in the test table of the other.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from data_modules.synthetic.mammo_dicom import DIGITIZED_FILM, Encoding, Header, require_pydicom, uid, write_mammogram
from data_modules.synthetic.mammo_lesions import Lesion, Picture, lesions_of
from data_modules.synthetic.mammo_pictures import Breast, View, draw_breast, draw_view
from data_modules.synthetic.mammo_plan import DEFAULT_HEIGHT, README, SIDES, Side, check_numbers, cycles, write_csv
from data_modules.synthetic.tree import new_tree

Kind = Literal["mass", "calc"]
Part = Literal["train", "test"]
Pathology = Literal["MALIGNANT", "BENIGN", "BENIGN_WITHOUT_CALLBACK"]

PARTS: tuple[Part, ...] = ("train", "test")
PART_CYCLE: tuple[Part, ...] = ("train", "train", "train", "train", "test")
LEAK_EVERY = 12
"""One of so many patients is in a training table of one kind and in the test table of the other, with the same film."""
SECOND_EVERY = 6
"""One of so many patients has a second abnormality in the breast."""
DESCRIPTIONS: dict[Kind, tuple[str, str]] = {
    "mass": ("mass shape", "mass margins"),
    "calc": ("calc type", "calc distribution"),
}
DENSITY_COLUMN: dict[Kind, str] = {"mass": "breast_density", "calc": "breast density"}
BROKEN_COLUMN: dict[Kind, str] = {"mass": "ROI mask file path", "calc": "cropped image file path"}
"""Whose cells end in a line break."""
ASSESSED: dict[Kind, tuple[tuple[int, Pathology], ...]] = {
    "mass": ((5, "MALIGNANT"), (4, "MALIGNANT"), (5, "MALIGNANT"), (4, "BENIGN"), (3, "BENIGN"), (0, "BENIGN")),
    "calc": ((5, "MALIGNANT"), (4, "MALIGNANT"), (4, "BENIGN"), (2, "BENIGN_WITHOUT_CALLBACK")),
}
"""Assessment and pathology of patients, each in its share; half have a cancer."""
MALIGNANT_AREA = (0.2, 0.28)
"""Width of an area of malignant calcifications, as a share of the breast's height."""
SHAPES = {"round": "ROUND", "oval": "OVAL", "irregular": "IRREGULAR"}
MARGINS = {"circumscribed": "CIRCUMSCRIBED", "spiculated": "SPICULATED"}
TYPES = {"coarse": "COARSE", "fine pleomorphic": "PLEOMORPHIC", "fine linear branching": "FINE_LINEAR_BRANCHING"}
DISTRIBUTIONS = {"grouped": "CLUSTERED", "segmental": "SEGMENTAL", "diffuse": "DIFFUSELY_SCATTERED"}
FILM = Encoding("explicit", 2, 16)
UID_ROOT = "1.3.6.1.4.1.9590.100.1.2"
"""What the identifiers of the release start with."""


@dataclass(frozen=True, slots=True)
class Abnormality:
    """A row for each view, but for the paths."""

    kind: Kind
    part: Part
    assessment: int
    pathology: Pathology
    lesion: Lesion


@dataclass(frozen=True, slots=True)
class Patient:
    """One patient, of whom one breast was imaged."""

    number: int
    side: Side
    views: tuple[View, ...]
    density: int
    found: tuple[Abnormality, ...]
    breast: Breast

    @property
    def patient_id(self) -> str:
        """As the release has it."""
        return f"P_{self.number + 1:05}"


def write(root: str | Path, *, cases: int, seed: int, img_size: int = DEFAULT_HEIGHT) -> None:
    """Write a look-alike release; the same arguments give the same bytes.

    Args:
        root: A missing or empty folder, or one that this function wrote before, which is then replaced.
        cases: How many patients, 10 or more; a fifth are for the test. One breast each, two views or one.
        seed: Zero or more.
        img_size: Rows of a picture in pixels, 48 or more; 13/16 as many columns.

    Raises:
        DataSettingsError: If a number is too small, the folder holds something else, or pydicom is not installed.
    """
    check_numbers(cases=cases, seed=seed, img_size=img_size)
    require_pydicom()
    settings = {"cases": cases, "seed": seed, "img_size": img_size}
    with new_tree(Path(root), description={"set": "cbis_ddsm", **settings}) as folder:
        (folder / "README.txt").write_text(README.format(title="CBIS-DDSM"))
        patients = plan_patients(cases, np.random.default_rng([seed, 0]))
        for patient in patients:
            _draw(folder, patient, seed=seed, height=img_size)
        for kind in DESCRIPTIONS:
            for part in PARTS:
                rows = [row for patient in patients for row in table_rows(patient, kind, part, seed=seed)]
                columns = _columns(kind)
                write_csv(folder / f"{kind}_case_description_{part}_set.csv", columns, rows)


def plan_patients(cases: int, rng: np.random.Generator) -> list[Patient]:
    """What every patient has.

    Args:
        cases: How many.
        rng: Shuffles and draws.
    """
    kinds = cycles(tuple(DESCRIPTIONS), cases, rng)
    parts = cycles(PART_CYCLE, cases, rng)
    densities = cycles((1, 2, 3, 4), cases, rng)
    assessed = {kind: iter(cycles(pairs, 2 * cases, rng)) for kind, pairs in ASSESSED.items()}
    patients: list[Patient] = []
    for number, (kind, part) in enumerate(zip(kinds, parts, strict=True)):
        found = [_abnormality(kind, part, next(assessed[kind]), rng)]
        if number % LEAK_EVERY == LEAK_EVERY - 1:
            other: Kind = "calc" if kind == "mass" else "mass"
            same = ASSESSED[other][0 if found[0].pathology == "MALIGNANT" else -1]
            found.append(_abnormality(other, "test" if part == "train" else "train", same, rng))
        elif number % SECOND_EVERY == 1:
            found.append(_abnormality(kind, part, ASSESSED[kind][-1], rng))
        views: tuple[View, ...] = ("MLO",) if number % 7 == 6 else ("CC", "MLO")
        breast = draw_breast(densities[number], rng, lesions=[one.lesion for one in found])
        side = SIDES[int(rng.integers(2))]
        patients.append(Patient(number, side, views, densities[number], tuple(found), breast))
    return patients


def _abnormality(kind: Kind, part: Part, assessed: tuple[int, Pathology], rng: np.random.Generator) -> Abnormality:
    """What was found, drawn as its pathology asks."""
    assessment, pathology = assessed
    malignant = pathology == "MALIGNANT"
    if kind == "mass":
        (lesion,) = lesions_of(assessment if malignant else 3, rng)
        return Abnormality(kind, part, assessment, pathology, replace(lesion, calcification=None, distribution=None))
    (lesion,) = lesions_of(2, rng)
    if malignant:
        lesion = replace(lesion, size=float(rng.uniform(*MALIGNANT_AREA)))
        fine: Mapping[int, Lesion] = {
            4: replace(lesion, calcification="fine pleomorphic", distribution="grouped"),
            5: replace(lesion, calcification="fine linear branching", distribution="segmental"),
        }
        lesion = fine[assessment]
    return Abnormality(kind, part, assessment, pathology, lesion)


def table_rows(patient: Patient, kind: Kind, part: Part, *, seed: int) -> Iterator[dict[str, object]]:
    """A patient's rows in one of the tables.

    Args:
        patient: Whose.
        kind: Of abnormalities.
        part: Official split.
        seed: Of the set; identifiers in paths come from it.
    """
    own = [one for one in patient.found if one.kind == kind and one.part == part]
    for view in patient.views if own else ():
        for number, one in enumerate(own, start=1):
            folder = _folder(patient, kind, part, view)
            whole, crop, mask = (
                f"{name}/{UID_ROOT}.{uid(seed, name, 1)[5:]}/{UID_ROOT}.{uid(seed, name, what)[5:]}/{file}"
                for name, what, file in (
                    (folder, "whole", "000000.dcm"),
                    (f"{folder}_{number}", "crop", "000000.dcm"),
                    (f"{folder}_{number}", "crop", "000001.dcm"),
                )
            )
            cells: dict[str, object] = {
                "patient_id": patient.patient_id,
                DENSITY_COLUMN[kind]: patient.density,
                "left or right breast": "LEFT" if patient.side == "L" else "RIGHT",
                "image view": view,
                "abnormality id": number,
                "abnormality type": "mass" if kind == "mass" else "calcification",
                **dict(zip(DESCRIPTIONS[kind], _words(one), strict=True)),
                "assessment": one.assessment,
                "pathology": one.pathology,
                "subtlety": 5 if one.pathology == "MALIGNANT" else 4,
                "image file path": whole,
                "cropped image file path": crop,
                "ROI mask file path": mask,
            }
            cells[BROKEN_COLUMN[kind]] = f"{cells[BROKEN_COLUMN[kind]]}\n"
            yield cells


def _columns(kind: Kind) -> Sequence[str]:
    return (
        "patient_id", DENSITY_COLUMN[kind], "left or right breast", "image view", "abnormality id",
        "abnormality type", *DESCRIPTIONS[kind], "assessment", "pathology", "subtlety", "image file path",
        "cropped image file path", "ROI mask file path",
    )  # fmt: skip


def _words(one: Abnormality) -> tuple[str, str]:
    if one.kind == "mass":
        return SHAPES[one.lesion.shape or "round"], MARGINS[one.lesion.margin or "circumscribed"]
    return TYPES[one.lesion.calcification or "coarse"], DISTRIBUTIONS[one.lesion.distribution or "diffuse"]


def _folder(patient: Patient, kind: Kind, part: Part, view: View) -> str:
    title = f"{'Mass' if kind == 'mass' else 'Calc'}-{'Training' if part == 'train' else 'Test'}"
    return f"{title}_{patient.patient_id}_{'LEFT' if patient.side == 'L' else 'RIGHT'}_{view}"


def _draw(root: Path, patient: Patient, *, seed: int, height: int) -> None:
    """The films of a patient; one that is in two tables lies in two folders."""
    for view in patient.views:
        rng = np.random.default_rng([seed, 1, patient.number, view == "MLO"])
        picture = _as_film(draw_view(patient.breast, view, height=height).picture, rng)
        for kind, part in dict.fromkeys((one.kind, one.part) for one in patient.found):
            folder = _folder(patient, kind, part, view)
            series = f"1.000000-full mammogram images-{10_000 + 2 * patient.number + len(view) % 2}"
            header = Header(
                patient=folder, study_uid=uid(seed, folder, 1), series_uid=uid(seed, folder, "whole"),
                image_uid=uid(seed, folder, "image"), laterality=patient.side, view=view, label=True,
                storage=DIGITIZED_FILM,
            )  # fmt: skip
            path = root / "CBIS-DDSM" / folder / f"07-20-2016-DDSM-{10_000 + patient.number}" / series / "1-1.dcm"
            write_mammogram(path, picture, header, FILM)


def _as_film(picture: Picture, rng: np.random.Generator) -> Picture:
    """A scan of a film: base fog, and a bright border where the film ends."""
    height, wide = picture.shape
    film = 0.06 + 0.9 * picture
    top, bottom, side = (max(1, round(height * rng.uniform(0.004, 0.014))) for _ in range(3))
    film[:top], film[height - bottom :], film[:, wide - side :] = 0.94, 0.94, 0.94
    return film
