"""Audit of VinDr-Mammo: both tables row by row, and findings beside the assessment of the breast."""

from collections import Counter
from pathlib import Path

import polars as pl

from data_modules.audit import Audit
from data_modules.errors import TableError
from data_modules.mammography.audit import begin, compare_with_release, fault_rows, finish
from data_modules.mammography.audit_files import MOST_READ, Track
from data_modules.mammography.official import Row
from data_modules.mammography.vindr.tables import (
    BIRADS,
    CATEGORIES,
    IMAGES,
    SET,
    make_samples,
    read_official,
    split_categories,
)
from data_modules.table import Table


def audit_vindr_mammo(root: str | Path, *, read: int = MOST_READ, track: Track = iter) -> Audit:
    """Look through a copy of VinDr-Mammo, raw or prepared.

    Args:
        root: Folder that holds both tables.
        read: How many images of a raw copy to read whole, evenly spaced.
        track: Shows the progress over them.

    Returns:
        Counts by BI-RADS category and official split, and findings: faults are what training would stumble over.

    Raises:
        DatasetNotFoundError: If there is no table.
    """
    root = Path(root)
    audit = begin(SET, root)
    breasts, findings = read_official(root)
    faults: list[TableError] = []
    samples = make_samples(breasts, findings, faults=faults)
    fault_rows(audit, faults)
    patients = "a study counts as a patient: one who came twice may be in two splits, leakage cannot be excluded"
    audit.add("note", "no patient ids", [patients])
    note_findings(audit, samples.frame, findings)
    exams = samples.frame["exam_id"].n_unique()
    compare_with_release(audit, SET, {"images": len(breasts), "exams": exams})
    finish(audit, SET, samples, root, target="birads", folder=IMAGES, read=read, track=track)
    return audit


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
