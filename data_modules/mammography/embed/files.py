"""EMBED's files: which of the official tables are read, which columns, and where an image lies."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from data_modules.errors import DatasetNotFoundError, TableError, UnreadableFileError, nearest
from data_modules.mammography.embed.legend import LEGEND, Legend, read_legend
from data_modules.mammography.embed.rules import EmbedRules
from data_modules.mammography.official import find_converted
from data_modules.table import check_head, read_table

IMAGES = "images"
HEAD_BYTES = 2**16
"""Of a table, more than its header has."""

METADATA = "tables/EMBED_OpenData_metadata.csv"
METADATA_REDUCED = "tables/EMBED_OpenData_metadata_reduced.csv"
CLINICAL = "tables/EMBED_OpenData_clinical.csv"
CLINICAL_REDUCED = "tables/EMBED_OpenData_clinical_reduced.csv"
TABLES = (METADATA_REDUCED, METADATA, CLINICAL, CLINICAL_REDUCED, LEGEND)
"""All that may be read; of the first two one is, and the fourth fills what the third lacks."""

IMAGE_COLUMNS = (
    "empi_anon", "acc_anon", "anon_dicom_path", "study_date_anon", "StudyDescription", "FinalImageType",
    "ImageLateralityFinal", "ViewPosition", "spot_mag",
)  # fmt: skip
IMAGE_OPTIONAL = ("ManufacturerModelName",)
FINDING_COLUMNS = ("empi_anon", "acc_anon", "desc", "asses", "tissueden", "side")
EXAM_COLUMNS = ("age_at_study", "RACE_DESC", "ETHNICITY_DESC", "ETHNIC_GROUP_DESC", "loc_num", "study_date_anon")
"""The same in all rows of an exam."""
FINDING_OPTIONAL = (
    "numfind", "massshape", "massdens", "calcfind", "calcdistri", "implanfind", "path_severity", "bside",
    "procdate_anon", "pdate_anon", *EXAM_COLUMNS,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class EmbedTables:
    """The tables as read: cells are text, stripped, null where empty; column ``row`` counts from 0."""

    metadata: pl.DataFrame
    metadata_file: str
    clinical: pl.DataFrame
    clinical_file: str
    legend: Legend


def read_tables(root: Path, *, rules: EmbedRules) -> EmbedTables:
    """Read the needed columns of EMBED's tables.

    Args:
        root: Folder that holds ``tables/``; raw or prepared.
        rules: Which table of images.

    Raises:
        DatasetNotFoundError: If a table is missing.
        UnreadableFileError: If one cannot be read.
        TableError: If one is no CSV table or lacks a column.
    """
    wanted = {"reduced": (METADATA_REDUCED,), "full": (METADATA,), "auto": (METADATA_REDUCED, METADATA)}
    metadata_file = _first(root, wanted[rules.metadata])
    clinical_file = _first(root, (CLINICAL, CLINICAL_REDUCED))
    legend = read_legend(root, advice=_advice(root))
    metadata = read_columns(root, metadata_file, needed=IMAGE_COLUMNS, optional=IMAGE_OPTIONAL)
    clinical = read_columns(root, clinical_file, needed=FINDING_COLUMNS, optional=FINDING_OPTIONAL)
    if clinical_file == CLINICAL and (root / CLINICAL_REDUCED).is_file():
        clinical = _fill_exam_columns(clinical, root)
    return EmbedTables(metadata, metadata_file, clinical, clinical_file, legend)


def read_columns(root: Path, file: str, *, needed: Sequence[str], optional: Sequence[str] = ()) -> pl.DataFrame:
    """Read columns of a CSV table as text: a column may hold numbers in one row and letters in another.

    Args:
        root: Folder of the data set.
        file: The table, below the root.
        needed: Columns that have to exist.
        optional: Columns to read where they exist.

    Returns:
        ``row`` (counted from 0) and the columns, stripped, null where empty.

    Raises:
        UnreadableFileError: If the file cannot be read.
        TableError: If it is no CSV table, or lacks a column.
    """
    path = root / file
    try:
        with path.open("rb") as stream:  # polars would take a folder or a pattern, too
            check_head(stream.read(HEAD_BYTES), path)
        lazy = pl.scan_csv(path, infer_schema=False, encoding="utf8-lossy", row_index_name="row", glob=False)
        names = lazy.collect_schema().names()
        for column in needed:
            if column not in names:
                raise TableError(f"{path}: no column {column!r}; {nearest(column, names[1:])}")
        wanted = [name for name in dict.fromkeys((*needed, *optional)) if name in names]
        if file != METADATA:  # hundreds of megabytes; of the others all columns are parsed, or polars would take a row
            lazy = lazy.collect(engine="streaming").lazy()  # with a comma too many for a whole one
        return lazy.select("row", *map(_cell, wanted)).collect(
            engine="streaming"
        )  # without a map of the file in memory
    except OSError as error:
        raise UnreadableFileError(
            f"{path}: cannot be read ({error.strerror or error}); check its permissions"
        ) from error
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        if file != METADATA:
            read_table(root, file, source="EMBED")  # slower, but it names the line
        reason = " ".join(str(error).split())[:200]
        raise TableError(f"{path}: no CSV table ({reason}); copy it anew from the original") from error


def _cell(column: str) -> pl.Expr:
    text = pl.col(column).str.strip_chars()
    return pl.when(text.str.len_bytes() > 0).then(text).alias(column)


def _fill_exam_columns(clinical: pl.DataFrame, root: Path) -> pl.DataFrame:
    """Columns about the whole exam that the full table lacks, from the reduced one."""
    lacking = [name for name in EXAM_COLUMNS if name not in clinical.columns]
    reduced = read_columns(root, CLINICAL_REDUCED, needed=("acc_anon",), optional=lacking)
    found = [name for name in lacking if name in reduced.columns]
    if not found:
        return clinical
    by_exam = reduced.group_by("acc_anon").agg(pl.col(found).drop_nulls().first())
    return clinical.join(by_exam, on="acc_anon", how="left", maintain_order="left")


def _first(root: Path, files: Sequence[str]) -> str:
    for file in files:
        if (root / file).exists():
            return file
    raise DatasetNotFoundError(f"EMBED not found: no {' and no '.join(files)} below {root}. {_advice(root)}")


def _advice(root: Path) -> str:
    return (
        "Register for EMBED and copy its tables (docs/datasets/embed.md), or try without it: "
        f"medlit data synth embed --root {root}"
    )


def find_image(root: Path, image: str) -> Path | None:
    """The file of a sample below a raw root.

    Args:
        root: Folder that holds ``images/``, which may be a link to another place.
        image: The sample's ``image``, ``images/.../<SOPUID>.dcm``.

    Returns:
        The DICOM file, else one of the same name that was converted to PNG or JPEG, else None.

    Raises:
        UnsafePathError: If a path or a link leads out of ``images/``.
    """
    return find_converted(root, IMAGES, image.removeprefix(f"{IMAGES}/"))
