"""The manifest of a prepared folder: a row per image, the same bytes whatever the order the images came in."""

import polars as pl

COLUMNS = pl.Schema(
    {
        "image": pl.String(),  # as the sample table names it; unique
        "source": pl.String(),  # the file that was read, below the raw root; null where there is none
        "source_bytes": pl.Int64(),
        "source_sha256": pl.String(),
        "output": pl.String(),  # below the prepared root; null where the image failed
        "output_bytes": pl.Int64(),
        "output_sha256": pl.String(),
        "height": pl.Int32(),  # of the output, pixels
        "width": pl.Int32(),
        "crop_top": pl.Int32(),  # box in pixels of the stored image, bottom and right exclusive
        "crop_left": pl.Int32(),
        "crop_bottom": pl.Int32(),
        "crop_right": pl.Int32(),
        "crop_method": pl.String(),
        "reduced": pl.Int32(),  # power of two that the image was decoded at
        "window": pl.String(),  # values of interest that were mapped to the full scale
        "flipped": pl.Boolean(),
        "laterality_check": pl.String(),  # agrees, unknown, or who contradicts whom of table, header and pixels
        "photometric": pl.String(),
        "transfer_syntax": pl.String(),
        "flags": pl.List(pl.String()),  # what is odd about a readable image
        "error_kind": pl.String(),  # null where the image is prepared
        "error": pl.String(),
    }
)
"""Columns of the manifest, in this order."""
