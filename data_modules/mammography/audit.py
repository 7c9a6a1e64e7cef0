"""What the audits of the four sets share: what every set is asked alike, raw or prepared."""

from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

from data_modules.audit import Audit
from data_modules.errors import TableError
from data_modules.mammography.audit_files import Track, audit_files
from data_modules.mammography.audit_prepared import audit_prepared, is_prepared
from data_modules.mammography.audit_samples import Target, audit_samples
from data_modules.mammography.samples import SampleTable
from data_modules.mammography.sets import MammographySet
from data_modules.synthetic.tree import MARKER

RELEASES: Mapping[str, Mapping[str, int]] = {
    "embed": {"images": 480_323, "exams": 72_770},
    "rsna_mammo": {"images": 54_706, "patients": 11_913},
    "vindr_mammo": {"images": 20_000, "exams": 5_000},
    "cbis_ddsm": {"rows": 3_568, "patients": 1_566},
}
"""What the official tables count: rows of images and so on."""


def begin(dataset: MammographySet, root: Path) -> Audit:
    """An audit without findings; of a look-alike it says so.

    Args:
        dataset: Which set.
        root: Folder of the copy.
    """
    audit = Audit(f"{dataset.title} in {root}")
    if (root / MARKER).is_file():
        audit.add("note", "look-alike", ["drawn by medlit: figures say nothing about medicine"])
    return audit


def fault_rows(audit: Audit, faults: list[TableError]) -> None:
    """Rows that no sample can be made of."""
    audit.add("fault", "row of a table that cannot be used", map(str, faults))


def compare_with_release(audit: Audit, dataset: MammographySet, counts: Mapping[str, int]) -> None:
    """A note whether this is the whole set.

    Args:
        audit: Where it goes.
        dataset: Which set.
        counts: Of this copy, by the names of ``RELEASES``.
    """
    official = RELEASES[dataset.name]
    here, there = (" and ".join(f"{count:,} {name}" for name, count in each.items()) for each in (counts, official))
    same = f"{here}, as in the official release"
    other = f"{here}, where the official release has {there}: another version, or a part of it"
    audit.add("note", "release", [same if counts == official else other])


def finish(
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
    """What every set is asked alike.

    Args:
        audit: Where counts and findings go.
        dataset: Which set.
        samples: Of its tables.
        root: Folder of the copy, raw or prepared.
        target: Whose classes are counted.
        folder: Below the root, where a raw copy's images lie; the root itself where it is empty.
        read: How many images of a raw copy to read whole.
        track: Shows the progress over them.
        known_bad: Images of the release that are known to hold no picture, by id, and why.
        is_named: Whether a table names a file, given its path below the root; None: the samples' tables name all.
    """
    audit_samples(audit, samples, target=target)
    if not samples.frame.height:
        audit.add("fault", "empty set", ["the tables give no sample"])
        return
    if is_prepared(root):
        audit_prepared(audit, samples.frame, dataset=dataset, root=root)
        return
    if is_named is None:
        named = set(map(bare, samples.frame["image"].to_list()))

        def is_named(path: str) -> bool:
            """Whether it is an image of the table, whatever its suffix."""
            return bare(path) in named

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


def bare(path: str) -> str:
    """A path without its suffix: a converted image is the same image."""
    return str(PurePosixPath(path).with_suffix(""))
