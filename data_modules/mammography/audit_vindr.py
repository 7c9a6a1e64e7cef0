"""What is particular about VinDr-Mammo: findings beside the assessment of the breast."""

from collections import Counter

import polars as pl

from data_modules.audit import Audit
from data_modules.errors import TableError
from data_modules.mammography.official import Row
from data_modules.mammography.vindr.tables import BIRADS, CATEGORIES, split_categories
from data_modules.table import Table


def note_findings(audit: Audit, frame: pl.DataFrame, findings: Table) -> None:
    """Findings by category, and those that are worse than their breast.

    Args:
        audit: Where findings go; rows that cannot be used are told of elsewhere.
        frame: Of the sample table.
        findings: ``finding_annotations.csv``.
    """
    birads = dict(frame.select("image_id", "birads").iter_rows())
    counts: Counter[str] = Counter()
    for index in range(len(findings)):
        row = Row(findings, index)
        try:
            counts.update(split_categories(row))
        except TableError:
            continue
        own, breast = BIRADS.get(row.cell("finding_birads") or ""), birads.get(row.cell("image_id"))
        if own is not None and breast is not None and own > breast:
            words = f"{findings.place(index)}: BI-RADS {own}, its breast BI-RADS {breast}; the breast's counts"
            audit.add("quirk", "finding worse than its breast", [words])
    words = ", ".join(f"{name} {counts[name]:,}" for name in CATEGORIES if counts[name])
    audit.add("note", "findings", [words or "none"])
