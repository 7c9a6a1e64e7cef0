"""The manifest of a prepared folder: a row per image, the same bytes whatever the order the images came in."""

import io
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import polars as pl

from data_modules.mammography.prepare.files import write_whole
from data_modules.mammography.prepare.journal import read_journal
from data_modules.mammography.prepared import MANIFEST, read_manifest

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
        "laterality_header": pl.String(),  # L, R, B (both); null where the header does not say
        "laterality_check": pl.String(),  # the pixels' side against the header's: agrees, contradicts, unknown
        "laterality_table": pl.String(),  # the header's against the table's: agrees, contradicts, unknown
        "photometric": pl.String(),
        "transfer_syntax": pl.String(),
        "flags": pl.List(pl.String()),  # what is odd about a readable image
        "error_kind": pl.String(),  # null where the image is prepared
        "error": pl.String(),
    }
)
"""Columns of the manifest, in this order."""

JOURNAL_COLUMNS = pl.Schema({**COLUMNS, "source_mtime_ns": pl.Int64()})
"""Columns of the journal: the manifest's and when the source was last changed, nanoseconds since 1970."""

CHUNK = 20_000
"""Rows of the journal that are held as Python objects at a time."""


def collect(root: Path) -> pl.DataFrame:
    """What is known of a folder's images: its manifest, overruled by its journal, overruled by later lines of it.

    A row of the manifest carries as ``source_mtime_ns`` when the manifest was written: a source that is newer was
    changed since, as make would say.

    Args:
        root: The prepared folder; manifest and journal may be missing.

    Returns:
        Columns of ``JOURNAL_COLUMNS``, a row per image, sorted by ``image``.

    Raises:
        UnreadableFileError: If the system lets one of the files not be read.
        TableError: If the manifest is not what ``prepare`` writes.
    """
    frames = [pl.DataFrame(schema=JOURNAL_COLUMNS)]
    manifest = root / MANIFEST
    if manifest.is_file():
        written = pl.lit(manifest.stat().st_mtime_ns, dtype=pl.Int64).alias("source_mtime_ns")
        frames.append(read_manifest(root).with_columns(written))
    rows = read_journal(root)
    while chunk := list(islice(rows, CHUNK)):
        frames.append(pl.DataFrame(chunk, schema=JOURNAL_COLUMNS))
    return pl.concat(frames).unique("image", keep="last", maintain_order=True).sort("image")


def write_manifest(frame: pl.DataFrame, laterality: Mapping[str, str | None], root: Path) -> pl.DataFrame:
    """Write the manifest, whole or not at all.

    Args:
        frame: From ``collect``.
        laterality: The table's by image, ``L`` or ``R``; images that are not among them are left out.
        root: The prepared folder.

    Returns:
        What was written.

    Raises:
        OutputError: If the disk is full or lets nothing be written.
    """
    sides = pl.DataFrame(
        {"image": list(laterality), "side": list(laterality.values())},
        schema={"image": pl.String(), "side": pl.String()},
    )
    agrees = (
        pl.when(pl.col("side") == pl.col("laterality_header")).then(pl.lit("agrees")).otherwise(pl.lit("contradicts"))
    )
    known = pl.col("side").is_not_null() & pl.col("laterality_header").is_in(["L", "R"])  # a header may say B: both
    checked = pl.when(pl.col("output").is_null()).then(None).when(known).then(agrees).otherwise(pl.lit("unknown"))
    manifest = (
        frame.join(sides, on="image", how="inner")
        .with_columns(checked.alias("laterality_table"))
        .select(COLUMNS.names())
        .sort("image")
    )
    buffer = io.BytesIO()
    manifest.write_parquet(buffer)
    path, content = root / MANIFEST, buffer.getvalue()
    if not path.is_file() or path.read_bytes() != content:
        write_whole(path, content)
    return manifest
