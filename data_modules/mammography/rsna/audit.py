"""Audit of RSNA-Mammo: the table row by row, its two sites, and images known to be bad."""

from pathlib import Path

import polars as pl

from data_modules.audit import Audit
from data_modules.errors import TableError
from data_modules.mammography.audit import begin, compare_with_release, fault_rows, finish
from data_modules.mammography.audit_files import MOST_READ, Track
from data_modules.mammography.official import Row, digits
from data_modules.mammography.rsna.tables import IMAGES, SET, make_samples, read_official
from data_modules.table import Table

KNOWN_BAD = {"1942326353": "all of it is zero"}
"""By image id, after those who took part in the challenge."""
POSITIVE = frozenset(digits((1,)))


def audit_rsna_mammo(root: str | Path, *, read: int = MOST_READ, track: Track = iter) -> Audit:
    """Look through a copy of RSNA-Mammo, raw or prepared.

    Args:
        root: Folder that holds ``train.csv``.
        read: How many images of a raw copy to read whole, evenly spaced.
        track: Shows the progress over them.

    Returns:
        Counts of cancer, and findings: faults are what training would stumble over.

    Raises:
        DatasetNotFoundError: If there is no table.
    """
    root = Path(root)
    audit = begin(SET, root)
    table = read_official(root)
    faults: list[TableError] = []
    samples = make_samples(table, faults=faults)
    fault_rows(audit, faults)
    note_sites(audit, samples.frame, table)
    patients = samples.frame["patient_id"].n_unique()
    compare_with_release(audit, SET, {"images": len(table), "patients": patients})
    finish(audit, SET, samples, root, target="cancer", folder=IMAGES, known_bad=KNOWN_BAD, read=read, track=track)
    return audit


def note_sites(audit: Audit, frame: pl.DataFrame, table: Table) -> None:
    """Images and cancers of each site, and rows whose cells contradict each other.

    Args:
        audit: Where findings go.
        frame: Of the sample table.
        table: ``train.csv``.
    """
    sites = frame.group_by("site").agg(
        pl.len().alias("images"), pl.col("patient_id").n_unique().alias("patients"), pl.col("cancer").sum()
    )
    for site, images, patients, cancer in sites.sort("site").iter_rows():
        share = f"{cancer:,} with cancer, {cancer / images:.1%}"
        audit.add("note", "sites", [f"site {site}: {images:,} images ({share}) of {patients:,} patients"])
    words = "report figures by site: one of the two may be the institution of EMBED"
    audit.add("note", "sites", [words])
    for index in range(len(table)):
        row = Row(table, index)
        cancer, biopsy, invasive = (row.cell(name) in POSITIVE for name in ("cancer", "biopsy", "invasive"))
        if invasive and not cancer:
            audit.add("quirk", "cells that contradict each other", [f"{table.place(index)}: invasive without cancer"])
        if cancer and not biopsy:
            audit.add("quirk", "cells that contradict each other", [f"{table.place(index)}: cancer without biopsy"])
