"""Rows of EMBED's table of images, a row per file: which are samples, and what they say of themselves."""

import polars as pl

from data_modules.errors import TableError, UnsafePathError
from data_modules.mammography.embed.account import Account, count
from data_modules.mammography.embed.cells import Cells, ids
from data_modules.mammography.embed.rules import IMAGE_TYPES, EmbedRules

SPOT = {"0": 0, "1": 1}
LEAVES = ["//", "/./", "/../", "\\", "\0"]
"""A part of a path that is empty, ``.`` or ``..``; a backslash or a zero byte. (A regular expression takes longer.)"""


def image_rows(metadata: pl.DataFrame, *, file: str, rules: EmbedRules, account: Account) -> pl.DataFrame:
    """The rows that are samples.

    Args:
        metadata: As ``read_tables`` gives it.
        file: The table, for errors.
        rules: Which images to keep.
        account: Gets what is left out.

    Returns:
        ``image``, ``image_id``, ``patient_id``, ``exam_id``, ``laterality``, ``view``, ``image_type``, ``procedure``,
        ``spot``, ``machine``, ``date`` (of acquisition), in the table's order.

    Raises:
        TableError: For a path without the prefix, a code without a meaning, or an id that was rounded.
        UnsafePathError: For a path that leaves ``images/``.
    """
    frame = ids(Cells(metadata, file, rules, account), ("empi_anon", "acc_anon"))
    frame = _of_one_type(frame, rules=rules, account=account)
    for column, what in (("empi_anon", "patient id"), ("acc_anon", "exam id"), ("anon_dicom_path", "path")):
        frame = account.drop(frame, pl.col(column).is_null(), f"no {what}")
    frame = _of_one_side(frame, account=account)
    patients = frame.group_by("acc_anon").agg(pl.col("empi_anon").n_unique().alias("patients"))
    several = patients.filter(pl.col("patients") > 1)["acc_anon"].to_list()
    frame = account.drop(frame, pl.col("acc_anon").is_in(several), "exam of several patients")
    frame = account.drop(frame, ~pl.col("anon_dicom_path").is_first_distinct(), "file named by an earlier row")
    cells = Cells(frame, file, rules, account)
    path = _paths(cells)
    spot = cells.codes("spot_mag", SPOT)
    account.touch("image of a spot compression or magnification: kept, marked", int((spot == 1).sum()))
    frame = frame.with_columns(path.alias("path"), path.str.replace(r"\.[^./]*$", "").alias("bare"))
    frame = frame.with_columns(pl.col("bare").str.split("/").list.last().alias("stem"))
    shared = ~pl.col("stem").is_unique()
    account.touch("image whose file name another one has: its id is its path", count(frame, shared))
    machine = pl.col("ManufacturerModelName") if "ManufacturerModelName" in frame.columns else pl.lit(None, pl.String)
    return frame.select(
        (pl.lit("images/") + pl.col("path")).alias("image"),
        pl.when(shared).then(pl.col("bare")).otherwise(pl.col("stem")).alias("image_id"),
        pl.col("empi_anon").alias("patient_id"),
        pl.col("acc_anon").alias("exam_id"),
        pl.col("laterality"),
        pl.col("ViewPosition").str.to_uppercase().alias("view"),
        pl.col("image_type"),
        pl.col("StudyDescription").alias("procedure"),
        (spot.fill_null(0) == 1).alias("spot"),
        machine.alias("machine"),
        cells.dates("study_date_anon").alias("date"),
    )


def _of_one_type(frame: pl.DataFrame, *, rules: EmbedRules, account: Account) -> pl.DataFrame:
    """Images of the types asked for, the others counted type by type."""
    text = pl.col("FinalImageType")
    frame = frame.with_columns(
        text.str.to_lowercase().replace_strict(IMAGE_TYPES, default=None, return_dtype=pl.String).alias("image_type")
    )
    frame = account.drop(frame, text.is_null(), "no image type")
    wanted = pl.col("image_type").is_in(list(rules.image_types)).fill_null(False)
    for name in sorted(frame.filter(~wanted)["FinalImageType"].unique().to_list()):
        frame = account.drop(frame, ~wanted & (text == name), f"image type {name}")
    return frame


def _of_one_side(frame: pl.DataFrame, *, account: Account) -> pl.DataFrame:
    """Images of a left or a right breast."""
    side = pl.col("ImageLateralityFinal").str.to_uppercase()
    frame = account.drop(frame, side.is_null(), "no laterality")
    strange = frame.filter(~side.is_in(["L", "R"]))["ImageLateralityFinal"].unique().to_list()
    for name in sorted(strange):
        frame = account.drop(frame, pl.col("ImageLateralityFinal") == name, f"laterality {name}")
    return frame.with_columns(side.alias("laterality"))


def _paths(cells: Cells) -> pl.Series:
    """Paths below ``images/``."""
    column, prefix = "anon_dicom_path", cells.rules.path_prefix
    text = cells.frame[column]
    lacking = ~text.str.starts_with(prefix)
    if lacking.any():
        where, cell = cells.place(lacking, column)
        raise TableError(
            f"{where}: {cell!r} does not start with {prefix!r}; copy the table anew, or set path_prefix to what its "
            "paths start with"
        )
    path = text.str.strip_prefix(prefix)
    leaving = ("/" + path + "/").str.contains_any(LEAVES)
    if leaving.any():
        where, cell = cells.place(leaving, column)
        raise UnsafePathError(f"{where}: {cell!r} leaves the folder of images; correct the table")
    return path
