"""CBIS-DDSM's tables -> samples: abnormalities joined to images, patients of two splits put into one."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from data_modules.errors import DataSettingsError, TableError, nearest
from data_modules.mammography.cbis_ddsm.files import find_image
from data_modules.mammography.cbis_ddsm.rows import (
    FILES,
    KINDS,
    NAME,
    TITLE,
    Abnormality,
    Kind,
    OfficialSplit,
    read_abnormality,
    read_official,
)
from data_modules.mammography.official import CLINICAL_ORDER, gather, to_frame
from data_modules.mammography.samples import SampleTable
from data_modules.mammography.sets import MammographySet
from data_modules.table import Table

LeakingPatients = Literal["test", "train", "drop"]
SameFilm = Literal["join", "keep"]
Tables = Mapping[tuple[Kind, OfficialSplit], Table]


def read_samples(
    root: Path,
    *,
    abnormalities: Literal["all"] | Kind = "all",
    leaking_patients: LeakingPatients = "test",
    same_film: SameFilm = "join",
) -> SampleTable:
    """Read the samples of a raw or prepared root.

    Args:
        root: Folder that holds the four tables.
        abnormalities: Whose tables to read. Those of one kind have no patient in two splits.
        leaking_patients: What becomes of patients that a training table of one kind names and the test table of the
            other: all their images are for the test, all for training, or none is used.
        same_film: Whether an image that is in the tables of both kinds, under two paths, becomes one sample or two.

    Raises:
        DatasetNotFoundError: If one of the tables is not there.
        UnreadableFileError: If one cannot be read.
        TableError: If one lacks a column or a row cannot be used.
        DataSettingsError: If a rule is none of those above.
    """
    _check("abnormalities", abnormalities, ("all", *KINDS))
    kinds = KINDS if abnormalities == "all" else (abnormalities,)
    return make_samples(read_official(Path(root), kinds=kinds), leaking_patients=leaking_patients, same_film=same_film)


def make_samples(
    tables: Tables,
    *,
    leaking_patients: LeakingPatients = "test",
    same_film: SameFilm = "join",
    faults: list[TableError] | None = None,
) -> SampleTable:
    """Make a sample of every image.

    An image is malignant where any of its abnormalities is; its BI-RADS category is the worst of them. The description
    of a mass, and that of calcifications, is the worst one's.

    Args:
        tables: By kind of abnormality and official split.
        leaking_patients: As ``read_samples``.
        same_film: As ``read_samples``.
        faults: Where errors of rows go, which are then left out; None: the first one is raised.

    Returns:
        Samples in the order in which the tables first name their images, with the official split: ``train``, ``test``.

    Raises:
        DataSettingsError: If a rule is none of those above.
        TableError: If a row cannot be used, without ``faults``.
    """
    _check("leaking_patients", leaking_patients, get_args(LeakingPatients))
    _check("same_film", same_film, get_args(SameFilm))
    rows = read_rows(tables, faults=faults)
    total = sum(map(len, tables.values()))
    dropped, touched = Counter({"row that cannot be used": total - len(rows)}), Counter[str]()
    leaking = find_leaking(rows)
    if leaking_patients == "drop":
        dropped["abnormality of a patient in a train and a test table"] = sum(row.patient_id in leaking for row in rows)
        rows = [row for row in rows if row.patient_id not in leaking]
    samples = []
    for group in _by_image(rows, same_film=same_film).values():
        split: str = group[0].split
        if group[0].patient_id in leaking:
            moved = leaking_patients in ("train", "test") and any(row.split != leaking_patients for row in group)
            split = leaking_patients
            touched[f"image of a patient in a train and a test table, moved to {leaking_patients}"] += moved
        touched["abnormality joined to the first one of its image"] += len(group) - 1
        touched["image in the tables of both kinds, joined"] += len({row.kind for row in group}) - 1
        touched["density 0 in the table, taken as unknown"] += group[0].density == 0
        samples.append(_sample(group, split=split))
    return SampleTable(to_frame(samples), dict(+dropped), dict(+touched))


def _check(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise DataSettingsError(f"{TITLE}: {name} is {value!r}; {nearest(value, allowed)}")


def read_rows(tables: Tables, *, faults: list[TableError] | None = None) -> list[Abnormality]:
    """All rows of all tables, in their order.

    Args:
        tables: By kind of abnormality and official split.
        faults: Where errors of rows go, which are then left out; None: the first one is raised.

    Raises:
        TableError: If a row cannot be used, without ``faults``.
    """
    found: list[Abnormality] = []
    for (kind, split), table in tables.items():
        found += gather(table, partial(read_abnormality, kind=kind, split=split), faults=faults)
    return found


def find_leaking(rows: Sequence[Abnormality]) -> dict[str, list[Abnormality]]:
    """Rows of the patients who are in a training table and a test table, by patient."""
    by_patient: dict[str, list[Abnormality]] = {}
    for row in rows:
        by_patient.setdefault(row.patient_id, []).append(row)
    return {patient: own for patient, own in by_patient.items() if len({row.split for row in own}) > 1}


def _by_image(rows: Sequence[Abnormality], *, same_film: SameFilm) -> dict[tuple[str, ...], list[Abnormality]]:
    """Rows by what is one sample."""
    groups: dict[tuple[str, ...], list[Abnormality]] = {}
    for row in rows:
        key = (row.patient_id, row.side, row.view) if same_film == "join" else (row.image,)
        groups.setdefault(key, []).append(row)
    return groups


def _sample(group: Sequence[Abnormality], *, split: str) -> dict[str, Any]:
    """One image of all its abnormalities."""
    first = group[0]
    worst = sorted(group, key=lambda row: (-row.malignant, CLINICAL_ORDER.index(row.assessment)))
    shape, _ = next((row.words for row in worst if row.kind == "mass"), (None, None))
    finding, distribution = next((row.words for row in worst if row.kind == "calcification"), (None, None))
    return {
        "image": first.image,
        "image_id": first.folder,
        "patient_id": first.patient_id,
        "exam_id": first.patient_id,
        "breast_id": f"{first.patient_id}_{first.side}",
        "laterality": first.side,
        "view": first.view,
        "image_type": "2D",
        "birads": min((row.assessment for row in group), key=CLINICAL_ORDER.index),
        "density": first.density or None,
        "cancer": max(row.malignant for row in group),
        "mass_shape": shape,
        "calc_finding": finding,
        "calc_distribution": distribution,
        "spot": False,
        "inferred": False,
        "split": split,
    }


def read_every_file(root: Path) -> SampleTable:
    """A sample for each file, films that are in the tables of both kinds twice.

    What is prepared from it suits all of the rules: which file stands for such a film depends on them.

    Args:
        root: Folder that holds the four tables.

    Raises:
        DatasetNotFoundError: If one of the tables is not there.
        UnreadableFileError: If one cannot be read.
        TableError: If one lacks a column or a row cannot be used.
    """
    return read_samples(root, same_film="keep")


SET = MammographySet(NAME, TITLE, tuple(FILES.values()), read_every_file, find_image)
