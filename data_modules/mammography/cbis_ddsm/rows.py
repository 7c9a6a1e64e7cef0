"""CBIS-DDSM's four tables: a row per abnormality, read strictly."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from data_modules.errors import TableError, nearest
from data_modules.mammography.official import Row, digits, open_table
from data_modules.table import Table

NAME, TITLE = "cbis_ddsm", "CBIS-DDSM"
Kind = Literal["mass", "calcification"]
OfficialSplit = Literal["train", "test"]
KINDS: tuple[Kind, ...] = ("mass", "calcification")
OFFICIAL_SPLITS: tuple[OfficialSplit, ...] = ("train", "test")
FILES: dict[tuple[Kind, OfficialSplit], str] = {
    ("mass", "train"): "mass_case_description_train_set.csv",
    ("mass", "test"): "mass_case_description_test_set.csv",
    ("calcification", "train"): "calc_case_description_train_set.csv",
    ("calcification", "test"): "calc_case_description_test_set.csv",
}
DENSITY_COLUMNS = ("breast_density", "breast density")
"""One spelling in the tables of masses, the other in those of calcifications."""
PATH = "image file path"
COLUMNS = (
    "patient_id",
    "left or right breast",
    "image view",
    "abnormality id",
    "assessment",
    "pathology",
    PATH,
    "cropped image file path",
    "ROI mask file path",
)
FINDING_COLUMNS: dict[Kind, tuple[str, str]] = {
    "mass": ("mass shape", "mass margins"),
    "calcification": ("calc type", "calc distribution"),
}
SIDES = {"LEFT": "L", "RIGHT": "R"}
VIEWS = {view: view for view in ("CC", "MLO")}
ASSESSMENTS = digits(range(6))
DENSITIES = digits(range(5))
"""1 to 4 as in the BI-RADS atlas; two rows of the release say 0, which means nothing."""
PATHOLOGIES = {"MALIGNANT": 1, "BENIGN": 0, "BENIGN_WITHOUT_CALLBACK": 0}
WORDS = {
    "mass shape": (
        "IRREGULAR",
        "OVAL",
        "LOBULATED",
        "ROUND",
        "ARCHITECTURAL_DISTORTION",
        "LYMPH_NODE",
        "FOCAL_ASYMMETRIC_DENSITY",
        "ASYMMETRIC_BREAST_TISSUE",
    ),
    "mass margins": ("CIRCUMSCRIBED", "SPICULATED", "ILL_DEFINED", "OBSCURED", "MICROLOBULATED"),
    "calc type": (
        "PLEOMORPHIC",
        "AMORPHOUS",
        "PUNCTATE",
        "FINE_LINEAR_BRANCHING",
        "LUCENT_CENTER",
        "LUCENT_CENTERED",
        "ROUND_AND_REGULAR",
        "VASCULAR",
        "EGGSHELL",
        "COARSE",
        "DYSTROPHIC",
        "SKIN",
        "LARGE_RODLIKE",
        "MILK_OF_CALCIUM",
    ),
    "calc distribution": ("CLUSTERED", "SEGMENTAL", "LINEAR", "REGIONAL", "DIFFUSELY_SCATTERED"),
}
"""What the release's tables hold, alone or several with dashes between them."""
SAME_WORD = {"LUCENT_CENTERED": "LUCENT_CENTER"}
NOTHING = ("N/A", "NA")


@dataclass(frozen=True, slots=True)
class Abnormality:
    """One row: one abnormality on one image."""

    kind: Kind
    split: OfficialSplit
    patient_id: str
    side: str
    """L, R."""
    view: str
    density: int
    """1 to 4, or 0 where the table says so."""
    assessment: int
    """0 to 5."""
    malignant: int
    words: tuple[str | None, str | None]
    """Shape and margins of a mass; type and distribution of calcifications."""
    image: str
    """Path of the whole mammogram in the release."""
    others: tuple[str, ...]
    """Paths of the crop around the abnormality and of its mask."""
    where: str
    """File and line."""

    @property
    def folder(self) -> str:
        """First folder of the image's path, which every copy of the release keeps."""
        return PurePosixPath(self.image).parts[0]


def read_official(root: Path, *, kinds: Iterable[Kind] = KINDS) -> dict[tuple[Kind, OfficialSplit], Table]:
    """The official tables.

    Args:
        root: Folder that holds them.
        kinds: Of abnormalities, whose tables are to be read.

    Raises:
        DatasetNotFoundError: If one is not there.
        UnreadableFileError: If one cannot be read.
        TableError: If one lacks a column.
    """
    tables = {}
    for kind in kinds:
        for split in OFFICIAL_SPLITS:
            needed = (*COLUMNS, *FINDING_COLUMNS[kind])
            table = open_table(Path(root), FILES[kind, split], needed=needed, name=NAME, title=TITLE)
            density_column(table)
            tables[kind, split] = table
    return tables


def density_column(table: Table) -> str:
    """How a table spells the column of density.

    Raises:
        TableError: If it has neither spelling.
    """
    for name in DENSITY_COLUMNS:
        if name in table.columns:
            return name
    raise TableError(f"{table.file}: no column {DENSITY_COLUMNS[0]!r}; {nearest(DENSITY_COLUMNS[0], table.columns)}")


def read_abnormality(row: Row, *, kind: Kind, split: OfficialSplit) -> Abnormality:
    """Read one row.

    Args:
        row: Of the table of ``kind`` and ``split``.
        kind: Which abnormalities the table lists.
        split: Which official part it is.

    Raises:
        TableError: If a cell is empty, unknown, or contradicts the path of the image.
    """
    patient = row.text("patient_id", pattern=r"P_[0-9]{5}", example="P_00001")
    side, view = row.choice("left or right breast", SIDES), row.choice("image view", VIEWS)
    image = _path(row, PATH)
    table = f"{'Mass' if kind == 'mass' else 'Calc'}-{'Training' if split == 'train' else 'Test'}"
    folder = f"{table}_{patient}_{row.cell('left or right breast')}_{view}"
    if PurePosixPath(image).parts[0] != folder:
        raise row.error(PATH, f"{image[:80]!r} does not start with {folder!r}, as the row's other cells have it")
    first, second = FINDING_COLUMNS[kind]
    return Abnormality(
        kind=kind,
        split=split,
        patient_id=patient,
        side=side,
        view=view,
        density=row.choice(density_column(row.table), DENSITIES),
        assessment=row.choice("assessment", ASSESSMENTS),
        malignant=row.choice("pathology", PATHOLOGIES),
        words=(read_words(row, first), read_words(row, second)),
        image=image,
        others=(_path(row, "cropped image file path"), _path(row, "ROI mask file path")),
        where=row.table.place(row.index),
    )


def read_words(row: Row, column: str) -> str | None:
    """A finding's description in small letters, such as ``irregular, architectural distortion``.

    Args:
        row: Of any of the tables.
        column: A key of ``WORDS``.

    Returns:
        None where the cell is empty or says that there is nothing to say.

    Raises:
        TableError: If a word is unknown.
    """
    cell = row.cell(column)
    if cell is None or cell in NOTHING:
        return None
    words = cell.split("-")
    for word in words:
        if word not in WORDS[column]:
            raise row.error(column, f"{word[:80]!r} is unknown; {nearest(word, WORDS[column])}")
    distinct = dict.fromkeys(SAME_WORD.get(word, word) for word in words)  # one row says REGIONAL-REGIONAL
    return ", ".join(word.replace("_", " ").lower() for word in distinct)


def _path(row: Row, column: str) -> str:
    """Four parts without dots in front; tables hold line breaks behind some, which the reader strips."""
    pattern = r"[\w-]{1,64}(/[\w-][\w.-]{0,127}){2}/[\w-]{1,64}\.dcm"
    return row.text(column, pattern=pattern, example="Mass-Training_P_00001_LEFT_CC/1.3.6/1.3.6/000000.dcm")
