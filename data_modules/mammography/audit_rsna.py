"""What is particular about RSNA-Mammo: its two sites, and images known to be bad."""

import polars as pl

from data_modules.audit import Audit
from data_modules.mammography.official import Row, digits
from data_modules.table import Table

KNOWN_BAD = {"1942326353": "all of it is zero"}
"""By image id, after those who took part in the challenge."""
POSITIVE = frozenset(digits((1,)))


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
