"""Audit of CBIS-DDSM: tables row by row, patients of two splits, crops and masks beside the images."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from data_modules.audit import Audit
from data_modules.errors import TableError
from data_modules.mammography.audit import begin, compare_with_release, fault_rows, finish
from data_modules.mammography.audit_files import MOST_READ, Track
from data_modules.mammography.cbis_ddsm.rows import Abnormality, Kind, OfficialSplit, read_official
from data_modules.mammography.cbis_ddsm.tables import SET, find_leaking, make_samples, read_rows
from data_modules.table import Table

NEGATIVE = (1, 2)
"""BI-RADS categories that no malignant finding should have."""


def audit_cbis_ddsm(root: str | Path, *, read: int = MOST_READ, track: Track = iter) -> Audit:
    """Look through a copy of CBIS-DDSM, raw or prepared; its samples are made by the default rules.

    Args:
        root: Folder that holds the four tables.
        read: How many images of a raw copy to read whole, evenly spaced.
        track: Shows the progress over them.

    Returns:
        Counts of cancer by official split, and findings: faults are what training would stumble over. Patients who are
        in a training and a test table are a quirk, for the samples keep them in one split.

    Raises:
        DatasetNotFoundError: If one of the tables is not there.
    """
    root = Path(root)
    audit = begin(SET, root)
    tables = read_official(root)
    faults: list[TableError] = []
    rows = read_rows(tables, faults=faults)
    samples = make_samples(tables, faults=[])
    fault_rows(audit, faults)
    note_known_oddities(audit, tables, rows)
    patients = len({row.patient_id for row in rows})
    compare_with_release(audit, SET, {"rows": sum(map(len, tables.values())), "patients": patients})
    is_named = is_of_the_release(rows)
    finish(audit, SET, samples, root, target="cancer", folder="", read=read, track=track, is_named=is_named)
    return audit


def note_known_oddities(
    audit: Audit, tables: Mapping[tuple[Kind, OfficialSplit], Table], rows: Sequence[Abnormality]
) -> None:
    """Rows of each table, patients of two splits, rows that contradict themselves.

    Args:
        audit: Where findings go.
        tables: By kind of abnormality and official split.
        rows: Those that can be used.
    """
    words = [f"{kind} {split} {len(table):,}" for (kind, split), table in tables.items()]
    audit.add("note", "rows of the tables", [", ".join(words)])
    leaking = find_leaking(rows)
    for patient, own in sorted(leaking.items()):
        counts = Counter(f"{row.kind} {row.split}" for row in own)
        places = [f"{table} ({_rows(count)} from {_first(own, table)})" for table, count in counts.items()]
        audit.add("quirk", "patient in a training and a test table", [f"{patient}: {' and '.join(places)}"])
    if leaking:
        where = f"{len(leaking)} patients are in a training table of one kind and the test table of the other"
        rule = "All their images are for the test, unless leaking_patients says otherwise"
        audit.add("note", "leaking patients", [f"{where}: {', '.join(sorted(leaking))}. {rule}"])
    for row in rows:
        if row.malignant and row.assessment in NEGATIVE:
            message = f"{row.where}: BI-RADS {row.assessment}; both labels stay as they are"
            audit.add("quirk", "malignant, but assessed as negative or benign", [message])


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def _first(rows: Sequence[Abnormality], table: str) -> str:
    return next(row.where for row in rows if f"{row.kind} {row.split}" == table)


def is_of_the_release(rows: Sequence[Abnormality]) -> Callable[[str], bool]:
    """Whether a file is a whole mammogram, a crop or a mask that the tables name, in any layout of a copy.

    Args:
        rows: Of all tables.

    Returns:
        A function of a file's path below the root.
    """
    paths = [PurePosixPath(path) for row in rows for path in (row.image, *row.others)]
    folders = {path.parts[0] for path in paths}
    series = {path.parent.name for path in paths}

    def is_named(path: str) -> bool:
        """By the first folder of its path in the tables, which may be the file's name, or by its series."""
        bare = PurePosixPath(path).with_suffix("")
        return not folders.isdisjoint(bare.parts) or bare.parent.name in series

    return is_named
