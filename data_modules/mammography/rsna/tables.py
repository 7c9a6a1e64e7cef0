"""RSNA-Mammo's ``train.csv``: a row per image, labels per breast, read strictly."""

from pathlib import Path
from typing import Any

from data_modules.errors import TableError
from data_modules.mammography.official import (
    DENSITIES,
    LATERALITIES,
    Row,
    digits,
    find_converted,
    gather,
    open_table,
    refuse_twice,
    to_frame,
)
from data_modules.mammography.samples import SampleTable
from data_modules.mammography.sets import MammographySet
from data_modules.table import Table

NAME, TITLE = "rsna_mammo", "RSNA-Mammo"
TABLE = "train.csv"
IMAGES = "train_images"
COLUMNS = (
    "site_id",
    "patient_id",
    "image_id",
    "laterality",
    "view",
    "age",
    "cancer",
    "biopsy",
    "invasive",
    "BIRADS",
    "implant",
    "density",
    "machine_id",
    "difficult_negative_case",
)
VIEWS = {view: view for view in ("CC", "MLO", "AT", "LM", "ML", "LMO")}
"""CC and MLO; the others are rare."""
SITES = {site: str(number) for site, number in digits((1, 2)).items()}
FLAGS = digits((0, 1))
BIRADS = digits((0, 1, 2))
"""0: recalled; 1: negative; 2: normal. Screening gives no others, and site 2 gives none."""
TRUTHS = {"True": True, "False": False, "TRUE": True, "FALSE": False, "1": True, "0": False}
"""As pandas writes them, as a spreadsheet does, as numbers."""
MOST_AGE = 120
"""Years; whoever is older was entered wrongly."""


def read_samples(root: Path) -> SampleTable:
    """Read the samples of a raw or prepared root.

    Args:
        root: Folder that holds ``train.csv``.

    Raises:
        DatasetNotFoundError: If there is no such table.
        UnreadableFileError: If it cannot be read.
        TableError: If it lacks a column or a row cannot be used.
    """
    return make_samples(read_official(root))


def read_official(root: Path) -> Table:
    """The official table.

    Args:
        root: Folder that holds it.

    Raises:
        DatasetNotFoundError: If there is no such table.
        UnreadableFileError: If it cannot be read.
        TableError: If it lacks a column.
    """
    return open_table(Path(root), TABLE, needed=COLUMNS, name=NAME, title=TITLE)


def make_samples(table: Table, *, faults: list[TableError] | None = None) -> SampleTable:
    """Make a sample of every row.

    A patient has one exam in this set. All images of a breast carry its label, unknown where its cell is empty.
    The set has no official split.

    Args:
        table: ``train.csv``.
        faults: Where errors of rows go, which are then left out; None: the first one is raised.

    Returns:
        Samples in the table's order. ``reason`` is ``screening`` throughout: the challenge is about screening exams.

    Raises:
        TableError: If a row cannot be used, without ``faults``.
    """
    seen: dict[str, int] = {}

    def sample(row: Row) -> dict[str, Any]:
        """One image."""
        image_id = _id(row, "image_id")
        refuse_twice(row, "image_id", image_id, seen)
        patient, side = _id(row, "patient_id"), row.choice("laterality", LATERALITIES)
        for column, values in (("biopsy", FLAGS), ("invasive", FLAGS), ("difficult_negative_case", TRUTHS)):
            row.choice(column, values)  # no column of the sample table, but a wrong value means a wrong row
        return {
            "image": f"{IMAGES}/{patient}/{image_id}.dcm",
            "image_id": image_id,
            "patient_id": patient,
            "exam_id": patient,
            "breast_id": f"{patient}_{side}",
            "laterality": side,
            "view": row.choice("view", VIEWS),
            "image_type": "2D",
            "birads": row.choice_or_none("BIRADS", BIRADS),
            "density": row.choice_or_none("density", DENSITIES),
            "cancer": row.choice_or_none("cancer", FLAGS),
            "reason": "screening",
            "age": row.number_or_none("age", least=0, most=MOST_AGE),
            "site": row.choice("site_id", SITES),
            "machine": row.cell("machine_id"),
            "spot": False,
            "implant": bool(row.choice("implant", FLAGS)),
            "inferred": False,
        }

    samples = gather(table, sample, faults=faults)
    dropped = {"row that cannot be used": len(table) - len(samples)} if len(samples) < len(table) else {}
    return SampleTable(to_frame(samples), dropped)


def _id(row: Row, column: str) -> str:
    """Digits alone, for paths are made of ids."""
    return row.text(column, pattern=r"[0-9]{1,64}", example="462822612")


def find_image(root: Path, image: str) -> Path | None:
    """The file of a sample's image below the raw root.

    Args:
        root: Folder that holds ``train_images/``, which may be a link.
        image: As the sample table names it.

    Returns:
        The DICOM file, else one of the same name converted to PNG or JPEG, else
        ``train_images/<patient_id>_<image_id>.png``, else None.
    """
    relative = image.removeprefix(f"{IMAGES}/")
    flat = relative.replace("/", "_")
    return find_converted(Path(root), IMAGES, relative) or find_converted(Path(root), IMAGES, flat)


SET = MammographySet(NAME, TITLE, (TABLE,), read_samples, find_image)
