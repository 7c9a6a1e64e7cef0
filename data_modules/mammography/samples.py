"""The sample table: what the tables of every mammography set become, a row per image."""

from dataclasses import dataclass, field

import polars as pl

SCHEMA: dict[str, pl.DataType] = {
    "image": pl.String(),  # file below the raw root, with forward slashes; unique
    "image_id": pl.String(),  # unique
    "patient_id": pl.String(),
    "exam_id": pl.String(),
    "breast_id": pl.String(),  # <exam_id>_<laterality>
    "laterality": pl.String(),  # L, R
    "view": pl.String(),  # CC, MLO, ...; null where unknown
    "image_type": pl.String(),  # 2D, C-view
    "birads": pl.Int8(),  # 0 to 6; null where there is no assessment
    "density": pl.Int8(),  # 1 to 4 (A to D); null where unknown
    "cancer": pl.Int8(),  # 0, 1; null where unknown
    "mass_shape": pl.String(),  # the legend's words, lower case; null: none
    "mass_density": pl.String(),
    "calc_finding": pl.String(),
    "calc_distribution": pl.String(),
    "procedure": pl.String(),  # what was done, as the table words it
    "reason": pl.String(),  # screening, diagnostic
    "age": pl.Float32(),  # years
    "race": pl.String(),
    "ethnicity": pl.String(),
    "site": pl.String(),
    "machine": pl.String(),
    "spot": pl.Boolean(),  # spot compression or magnification view
    "implant": pl.Boolean(),
    "inferred": pl.Boolean(),  # the label stands in no row, a rule concluded it
    "split": pl.String(),  # train, val, test; null where the set has no official one
}
"""Columns of a sample table, in this order."""


@dataclass(frozen=True, slots=True)
class SampleTable:
    """Samples, and an account of every row that is not among them or that a rule touched."""

    frame: pl.DataFrame
    """Columns of ``SCHEMA``."""
    dropped: dict[str, int] = field(default_factory=dict)
    """Rows of the official tables left out, by reason."""
    touched: dict[str, int] = field(default_factory=dict)
    """Rows that a rule changed or decided about, by rule."""
