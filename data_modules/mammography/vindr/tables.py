"""VinDr-Mammo's tables (1.0.0): a row per image with its breast's assessment, and a row per finding."""

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from data_modules.errors import TableError, nearest
from data_modules.mammography.official import (
    DENSITIES,
    LATERALITIES,
    Row,
    find_converted,
    gather,
    open_table,
    refuse_twice,
    to_frame,
)
from data_modules.mammography.samples import SampleTable
from data_modules.mammography.sets import MammographySet
from data_modules.table import Table

NAME, TITLE = "vindr_mammo", "VinDr-Mammo"
BREASTS, FINDINGS = "breast-level_annotations.csv", "finding_annotations.csv"
IMAGES = "images"
BREAST_COLUMNS = (
    "study_id",
    "series_id",
    "image_id",
    "laterality",
    "view_position",
    "breast_birads",
    "breast_density",
    "split",
)
FINDING_COLUMNS = ("study_id", "image_id", "finding_categories", "finding_birads")
VIEWS = {view: view for view in ("CC", "MLO")}
BIRADS = {f"BI-RADS {number}": number for number in range(1, 6)}
"""Of breasts; findings are 3 to 5, or have none."""
BREAST_DENSITIES = {f"DENSITY {letter}": number for letter, number in DENSITIES.items()}
SPLITS = {"training": "train", "test": "test"}
MASS, CALCIFICATION = "Mass", "Suspicious Calcification"
CATEGORIES = (
    MASS,
    CALCIFICATION,
    "Asymmetry",
    "Focal Asymmetry",
    "Global Asymmetry",
    "Architectural Distortion",
    "Suspicious Lymph Node",
    "Skin Thickening",
    "Skin Retraction",
    "Nipple Retraction",
    "No Finding",
)
UNSPECIFIED = "unspecified"
"""Shape of a mass: the set says that there is one, and no more."""
ID = r"[0-9A-Za-z]{1,64}"
"""Letters and digits alone, for paths are made of ids."""


def read_samples(root: Path) -> SampleTable:
    """Read the samples of a raw or prepared root.

    Args:
        root: Folder that holds both tables.

    Raises:
        DatasetNotFoundError: If there is no such table.
        UnreadableFileError: If one cannot be read.
        TableError: If one lacks a column or a row cannot be used.
    """
    return make_samples(*read_official(root))


def read_official(root: Path) -> tuple[Table, Table]:
    """The official tables: breasts (a row per image) and findings.

    Args:
        root: Folder that holds them.

    Raises:
        DatasetNotFoundError: If there is no such table.
        UnreadableFileError: If one cannot be read.
        TableError: If one lacks a column.
    """
    breasts = open_table(Path(root), BREASTS, needed=BREAST_COLUMNS, name=NAME, title=TITLE)
    return breasts, open_table(Path(root), FINDINGS, needed=FINDING_COLUMNS, name=NAME, title=TITLE)


def make_samples(breasts: Table, findings: Table, *, faults: list[TableError] | None = None) -> SampleTable:
    """Make a sample of every image.

    The set has no patient ids: a study is taken for a patient, so that one who came twice may be in two splits. Where
    the cell of a label is empty, it is unknown.

    Args:
        breasts: ``breast-level_annotations.csv``.
        findings: ``finding_annotations.csv``.
        faults: Where errors of rows go, which are then left out; None: the first one is raised.

    Returns:
        Samples in the order of ``breasts``, with the official split: ``train`` or ``test``.

    Raises:
        TableError: If a row cannot be used, without ``faults``.
    """
    seen: dict[str, int] = {}

    def sample(row: Row) -> dict[str, Any]:
        """One image, without its findings."""
        image_id = row.text("image_id", pattern=ID, example="4e3a578fe535ea4f5258d3f7f4419db8")
        refuse_twice(row, "image_id", image_id, seen)
        study = row.text("study_id", pattern=ID, example="b8d273e8601f348d3664778dae0e7e0b")
        side = row.choice("laterality", LATERALITIES)
        return {
            "image": f"{IMAGES}/{study}/{image_id}.dicom",
            "image_id": image_id,
            "patient_id": study,
            "exam_id": study,
            "breast_id": f"{study}_{side}",
            "laterality": side,
            "view": row.choice("view_position", VIEWS),
            "image_type": "2D",
            "birads": row.choice_or_none("breast_birads", BIRADS),
            "density": row.choice_or_none("breast_density", BREAST_DENSITIES),
            "spot": False,
            "inferred": False,
            "split": row.choice("split", SPLITS),
        }

    samples = gather(breasts, sample, faults=faults)
    named = dict(zip(breasts.columns["image_id"], breasts.columns["study_id"], strict=True))
    found = _findings(findings, named, faults=faults)
    for one in samples:
        categories = found.get(one["image_id"], set())
        one["mass_shape"] = UNSPECIFIED if MASS in categories else None
        one["calc_finding"] = CALCIFICATION.lower() if CALCIFICATION in categories else None
    dropped = {"row that cannot be used": len(breasts) - len(samples)} if len(samples) < len(breasts) else {}
    return SampleTable(to_frame(samples), dropped)


def _findings(
    findings: Table, study_of: Mapping[str | None, str | None], *, faults: list[TableError] | None
) -> dict[str, set[str]]:
    """Categories by image."""

    def finding(row: Row) -> dict[str, Any]:
        """One row's image and categories."""
        image_id = row.text("image_id", pattern=ID, example="4e3a578fe535ea4f5258d3f7f4419db8")
        if image_id not in study_of:
            raise row.error("image_id", f"{image_id!r} is in no row of {BREASTS}; add it there or remove the row")
        if row.cell("study_id") != study_of[image_id]:
            study = study_of[image_id]
            raise row.error("study_id", f"{row.cell('study_id')!r}, but {study!r} in {BREASTS}; correct one of the two")
        row.choice_or_none("finding_birads", BIRADS)  # no column of the sample table, but a wrong value is a wrong row
        return {"image": image_id, "categories": split_categories(row)}

    by_image: dict[str, set[str]] = {}
    for made in gather(findings, finding, faults=faults):
        by_image.setdefault(made["image"], set()).update(made["categories"])
    return by_image


def split_categories(row: Row) -> list[str]:
    """The categories of a finding, written as Python writes a list of texts.

    Args:
        row: Of ``finding_annotations.csv``.

    Raises:
        TableError: If the cell looks otherwise, or a category is unknown.
    """
    cell = row.text("finding_categories", pattern=r"\[('[^']+'(, *'[^']+')*)?\]", example="['Mass']")
    categories = re.findall(r"'([^']+)'", cell)
    for category in categories:
        if category not in CATEGORIES:
            raise row.error("finding_categories", f"{category[:80]!r} is unknown; {nearest(category, CATEGORIES)}")
    return categories


def find_image(root: Path, image: str) -> Path | None:
    """The file of a sample's image below the raw root.

    Args:
        root: Folder that holds ``images/``, which may be a link.
        image: As the sample table names it.

    Returns:
        The DICOM file (``.dicom``, or ``.dcm`` where it was renamed), else one of the same name converted to PNG or
        JPEG, else None.
    """
    relative = image.removeprefix(f"{IMAGES}/")
    renamed = str(PurePosixPath(relative).with_suffix(".dcm"))
    return find_converted(Path(root), IMAGES, relative) or find_converted(Path(root), IMAGES, renamed)


SET = MammographySet(NAME, TITLE, (BREASTS, FINDINGS), read_samples, find_image)
