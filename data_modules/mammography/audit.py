"""Audit of the mammography sets, raw or prepared: tables row by row, files, and what the sets are known for."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path, PurePosixPath

from data_modules.audit import Audit
from data_modules.errors import TableError, UnsafePathError
from data_modules.mammography.audit_cbis_ddsm import is_of_the_release, note_known_oddities
from data_modules.mammography.audit_embed import note_mixed_types, released_files
from data_modules.mammography.audit_files import MOST_READ, Track, audit_files
from data_modules.mammography.audit_prepared import audit_prepared, is_prepared
from data_modules.mammography.audit_rsna import KNOWN_BAD, note_sites
from data_modules.mammography.audit_samples import Target, audit_samples
from data_modules.mammography.audit_vindr import note_findings
from data_modules.mammography.cbis_ddsm import rows as cbis_rows
from data_modules.mammography.cbis_ddsm import tables as cbis
from data_modules.mammography.embed import files as embed_files
from data_modules.mammography.embed import tables as embed
from data_modules.mammography.rsna import tables as rsna
from data_modules.mammography.samples import SampleTable
from data_modules.mammography.sets import MammographySet
from data_modules.mammography.vindr import tables as vindr
from data_modules.synthetic.tree import MARKER

RELEASES: Mapping[str, Mapping[str, int]] = {
    "embed": {"images": 480_323, "exams": 72_770},
    "rsna_mammo": {"images": 54_706, "patients": 11_913},
    "vindr_mammo": {"images": 20_000, "exams": 5_000},
    "cbis_ddsm": {"rows": 3_568, "patients": 1_566},
}
"""What the official tables count: rows of images and so on."""


def audit_embed(root: str | Path, *, read: int = MOST_READ, track: Track = iter) -> Audit:
    """Look through a copy of EMBED, raw or prepared; its samples are made by the default rules.

    Args:
        root: Folder that holds ``tables/``.
        read: How many images of a raw copy to read whole, evenly spaced.
        track: Shows the progress over them.

    Returns:
        Counts by BI-RADS category, and findings: faults are what training would stumble over.

    Raises:
        DatasetNotFoundError: If there are no tables.
    """
    root = Path(root)
    audit = _begin(embed.SET, root)
    try:
        tables = embed_files.read_tables(root, rules=embed.DEFAULT)
        note_mixed_types(audit, tables)
        files = (tables.metadata_file, tables.clinical_file)
        make = partial(embed.make_samples, tables.metadata, tables.clinical, legend=tables.legend, files=files)
        samples = make(rules=embed.EVERY_FILE)
    except (TableError, UnsafePathError) as error:
        audit.add("fault", "table that cannot be used", [str(error)])
        return audit
    try:
        make(rules=embed.DEFAULT)
    except TableError as error:  # the rules applied name the codes of all columns
        audit.add("fault", "code without a meaning", [str(error)])
    counts = {"images": tables.metadata.height, "exams": tables.metadata["acc_anon"].n_unique()}
    _compare_with_release(audit, embed.SET, counts)
    named = released_files(tables, rules=embed.DEFAULT)
    _finish(
        audit, embed.SET, samples, root, target="birads", folder=embed_files.IMAGES, read=read, track=track,
        is_named=lambda path: _bare(path) in named,
    )  # fmt: skip
    return audit


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
    audit = _begin(rsna.SET, root)
    table = rsna.read_official(root)
    faults: list[TableError] = []
    samples = rsna.make_samples(table, faults=faults)
    _fault_rows(audit, faults)
    note_sites(audit, samples.frame, table)
    patients = samples.frame["patient_id"].n_unique()
    _compare_with_release(audit, rsna.SET, {"images": len(table), "patients": patients})
    _finish(
        audit, rsna.SET, samples, root, target="cancer", folder=rsna.IMAGES, known_bad=KNOWN_BAD, read=read, track=track
    )
    return audit


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
    audit = _begin(vindr.SET, root)
    breasts, findings = vindr.read_official(root)
    faults: list[TableError] = []
    samples = vindr.make_samples(breasts, findings, faults=faults)
    _fault_rows(audit, faults)
    patients = "a study counts as a patient: one who came twice may be in two splits, leakage cannot be excluded"
    audit.add("note", "no patient ids", [patients])
    note_findings(audit, samples.frame, findings)
    exams = samples.frame["exam_id"].n_unique()
    _compare_with_release(audit, vindr.SET, {"images": len(breasts), "exams": exams})
    _finish(audit, vindr.SET, samples, root, target="birads", folder=vindr.IMAGES, read=read, track=track)
    return audit


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
    audit = _begin(cbis.SET, root)
    tables = cbis_rows.read_official(root)
    faults: list[TableError] = []
    rows = cbis.read_rows(tables, faults=faults)
    samples = cbis.make_samples(tables, faults=[])
    _fault_rows(audit, faults)
    note_known_oddities(audit, tables, rows)
    patients = len({row.patient_id for row in rows})
    _compare_with_release(audit, cbis.SET, {"rows": sum(map(len, tables.values())), "patients": patients})
    is_named = is_of_the_release(rows)
    _finish(audit, cbis.SET, samples, root, target="cancer", folder="", read=read, track=track, is_named=is_named)
    return audit


def _begin(dataset: MammographySet, root: Path) -> Audit:
    audit = Audit(f"{dataset.title} in {root}")
    if (root / MARKER).is_file():
        audit.add("note", "look-alike", ["drawn by medlit: figures say nothing about medicine"])
    return audit


def _fault_rows(audit: Audit, faults: list[TableError]) -> None:
    audit.add("fault", "row of a table that cannot be used", map(str, faults))


def _compare_with_release(audit: Audit, dataset: MammographySet, counts: Mapping[str, int]) -> None:
    """A note whether this is the whole set."""
    official = RELEASES[dataset.name]
    here, there = (" and ".join(f"{count:,} {name}" for name, count in each.items()) for each in (counts, official))
    same = f"{here}, as in the official release"
    other = f"{here}, where the official release has {there}: another version, or a part of it"
    audit.add("note", "release", [same if counts == official else other])


def _finish(
    audit: Audit,
    dataset: MammographySet,
    samples: SampleTable,
    root: Path,
    *,
    target: Target,
    folder: str,
    read: int,
    track: Track,
    known_bad: Mapping[str, str] | None = None,
    is_named: Callable[[str], bool] | None = None,
) -> None:
    """What every set is asked alike."""
    audit_samples(audit, samples, target=target)
    if not samples.frame.height:
        audit.add("fault", "empty set", ["the tables give no sample"])
        return
    if is_prepared(root):
        audit_prepared(audit, samples.frame, dataset=dataset, root=root)
        return
    if is_named is None:
        named = set(map(_bare, samples.frame["image"].to_list()))

        def is_named(path: str) -> bool:
            """Whether it is an image of the table, whatever its suffix."""
            return _bare(path) in named

    audit_files(
        audit,
        samples.frame,
        dataset=dataset,
        root=root,
        folder=folder,
        is_named=is_named,
        known_bad=known_bad or {},
        read=read,
        track=track,
    )


def _bare(path: str) -> str:
    """Without its suffix: a converted image is the same image."""
    return str(PurePosixPath(path).with_suffix(""))
