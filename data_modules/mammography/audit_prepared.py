"""What an audit says of a prepared folder: its manifest has read every image already."""

from collections import Counter
from pathlib import Path

import polars as pl

from data_modules.audit import Audit
from data_modules.errors import DataError, PreparationMismatchError
from data_modules.mammography.audit_files import note_copies, note_flags
from data_modules.mammography.prepared import DESCRIPTION, read_description, read_manifest
from data_modules.mammography.sets import MammographySet
from data_modules.mammography.shards.layout import are_shards, read_layout

OWNER = ("image", "patient_id", "split")


def is_prepared(root: Path) -> bool:
    """Whether a folder is one that ``medlit data prepare`` made."""
    return (root / DESCRIPTION).is_file()


def audit_prepared(audit: Audit, frame: pl.DataFrame, *, dataset: MammographySet, root: Path) -> None:
    """Compare samples, manifest and outputs.

    Args:
        audit: Where findings go. Images that could not be prepared are quirks: the DataModules leave them out.
        frame: Of the sample table.
        dataset: The set.
        root: The prepared folder.

    Raises:
        PreparationMismatchError: If another set is prepared there.
    """
    description = read_description(root) or {}
    if description["set"] != dataset.name:
        raise PreparationMismatchError(
            f"{root}: holds a prepared {description['set']}, not {dataset.name}; name the folder of {dataset.name}"
        )
    settings = ", ".join(f"{name} {value}" for name, value in description["settings"].items())
    audit.add("note", "prepared", [f"with {settings}"])
    if description["state"] != "finished":
        words = f"go on with it: medlit data prepare {dataset.name} --root RAW --out {root}"
        audit.add("fault", "preparation not finished", [words])
        return
    try:
        manifest = read_manifest(root)
    except DataError as error:
        audit.add("fault", "no manifest", [str(error)])
        return
    rows = frame.select(*OWNER).join(manifest, on="image", how="left", maintain_order="left")
    prepared = rows.filter(pl.col("output").is_not_null())
    audit.add("note", "prepared", [f"{prepared.height:,} of {rows.height:,} images"])
    _note_failed(audit, rows, root=root)
    if are_shards(root):
        _fault_shards(audit, dataset, root=root)
    else:
        _fault_outputs(audit, prepared, root=root)
    _note_checks(audit, prepared)
    note_flags(audit, Counter(prepared["flags"].explode().drop_nulls().to_list()))
    sources = prepared.filter(pl.col("source_sha256").is_not_null())
    digests = dict(sources.select("image", "source_sha256").iter_rows())
    owners = {image: (patient, split) for image, patient, split in sources.select(*OWNER).rows()}
    note_copies(audit, digests, owners)


def _note_failed(audit: Audit, rows: pl.DataFrame, *, root: Path) -> None:
    failed = rows.filter(pl.col("error_kind").is_not_null())
    for image, kind, error in failed.select("image", "error_kind", "error").iter_rows():
        audit.add("quirk", f"not prepared: {kind}", [f"{image}: {error}"])
    unknown = rows.filter(pl.col("error_kind").is_null() & pl.col("output").is_null())
    words = f"is not in the manifest of {root}: prepare the set again"
    audit.add("fault", "image that was not prepared", [f"{image} {words}" for image in unknown["image"].to_list()])


def _fault_outputs(audit: Audit, prepared: pl.DataFrame, *, root: Path) -> None:
    """Outputs that are gone or were changed in size."""
    for output, size in prepared.select("output", "output_bytes").iter_rows():
        path = root / output
        if not path.is_file():
            audit.add("fault", "missing output", [f"{path}: prepare the set again"])
        elif path.stat().st_size != size:
            words = f"{path}: {path.stat().st_size:,} bytes, {size:,} in the manifest; prepare the set again"
            audit.add("fault", "changed output", [words])


def _fault_shards(audit: Audit, dataset: MammographySet, *, root: Path) -> None:
    """Shards that are gone or were changed in size."""
    try:
        layout = read_layout(root)
    except DataError as error:
        audit.add("fault", "no description of the shards", [str(error)])
        return
    audit.add("note", "in shards", [f"{layout.images:,} images in {len(layout.shards):,} files"])
    again = f"medlit data shard {dataset.name} --root PREPARED --out {root}"
    for shard in layout.shards:
        path = root / shard.file
        size = path.stat().st_size if path.is_file() else None
        if size != shard.bytes:
            words = "missing" if size is None else f"{size:,} bytes, {shard.bytes:,} when it was written"
            audit.add("fault", "damaged shard", [f"{path}: {words}; write it again: {again}"])


def _note_checks(audit: Audit, prepared: pl.DataFrame) -> None:
    for kind, column, value, words in (
        ("side that table and file tell differently", "laterality_table", "contradicts", "the table counts"),
        ("picture on the other side", "laterality_check", "contradicts", "not where its file says; pixels count"),
        ("no breast found to crop to", "crop_method", "whole", "the whole picture stays"),
    ):
        images = prepared.filter(pl.col(column) == value)["image"].to_list()
        audit.add("quirk", kind, [f"{image}: {words}" for image in images])
