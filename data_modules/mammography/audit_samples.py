"""What an audit says of a sample table: classes, gaps, contradictions, patients in two splits."""

from collections.abc import Mapping
from typing import Literal

import polars as pl

from data_modules.audit import Audit
from data_modules.mammography.samples import SampleTable

Target = Literal["birads", "density", "cancer"]
CLASSES: Mapping[Target, Mapping[int, str]] = {
    "birads": {number: f"BI-RADS {number}" for number in range(7)},
    "density": dict(enumerate("ABCD", start=1)),
    "cancer": {0: "no cancer", 1: "cancer"},
}
UNKNOWN = "unknown"
NO_SPLIT = "no official split"
SPLITS = ("train", "val", "test")
STANDARD = ("CC", "MLO")


def audit_samples(audit: Audit, samples: SampleTable, *, target: Target) -> None:
    """Count images by class and split, and look for what is missing from the table or contradicts itself in it.

    Args:
        audit: Where counts and findings go.
        samples: The set's.
        target: What is counted by split; the others are notes.
    """
    frame = samples.frame
    _count(audit, frame, target=target)
    if frame.height and frame[target].null_count() == frame.height:
        audit.add("fault", "no labels", [f"no image has a known {target}: there is nothing to train on"])
    audit.add("note", "rows left out", [f"{count:,}: {reason}" for reason, count in samples.dropped.items()])
    audit.add("note", "rules applied", [f"{count:,}: {reason}" for reason, count in samples.touched.items()])
    _note_size(audit, frame)
    for other in CLASSES:
        if frame[other].null_count() < frame.height:
            audit.add("note", "labels", [f"{other}: {_spread(frame[other], CLASSES[other])}"])
    _note_gaps(audit, frame)
    _note_views(audit, frame)
    _note_contradictions(audit, frame)
    _fault_shared_patients(audit, frame)


def _count(audit: Audit, frame: pl.DataFrame, *, target: Target) -> None:
    names = CLASSES[target]
    counted = frame.group_by(target, pl.col("split").fill_null(NO_SPLIT)).len().rows()
    splits = [split for split in (*SPLITS, NO_SPLIT) if any(found == split for _, found, _ in counted)]
    audit.counts = {name: dict.fromkeys(splits, 0) for name in (*names.values(), UNKNOWN)}
    for value, split, count in counted:
        audit.counts[UNKNOWN if value is None else names[value]][split] = count
    present = [name for name in names.values() if any(audit.counts[name].values())]
    for split in splits:
        absent = [name for name in present if not audit.counts[name][split]]
        if absent:
            audit.add("quirk", "class without images", [f"{split} has none of: {', '.join(absent)}"])


def _note_size(audit: Audit, frame: pl.DataFrame) -> None:
    units = ("patient_id", "exam_id", "breast_id")
    words = [f"{frame[unit].n_unique():,} {unit.removesuffix('_id')}s" for unit in units]
    audit.add("note", "size", [f"{frame.height:,} images of {', '.join(words)}"])


def _spread(column: pl.Series, names: Mapping[int, str]) -> str:
    """How many images have each class, classes without any left out."""
    counts = dict(column.value_counts().iter_rows())
    words = [f"{name} {counts[value]:,}" for value, name in names.items() if counts.get(value)]
    if counts.get(None):
        words.append(f"{UNKNOWN} {counts[None]:,}")
    return ", ".join(words)


def _note_gaps(audit: Audit, frame: pl.DataFrame) -> None:
    """Columns that are empty in some rows but not in all; the labels are told of already."""
    for name in ("view", "age", "machine", "procedure", "reason"):
        empty = frame[name].null_count()
        if 0 < empty < frame.height:
            audit.add("note", "empty cells", [f"{name}: {empty:,} of {frame.height:,} images"])


def _note_views(audit: Audit, frame: pl.DataFrame) -> None:
    """Which breasts lack a standard view, which exams a breast."""
    breasts = frame.group_by("breast_id").agg(pl.col("view").is_in([view]).any().alias(view) for view in STANDARD)
    first, second = (pl.col(view) for view in STANDARD)
    shown = {
        "CC and MLO": first & second,
        "CC alone": first & ~second,
        "MLO alone": second & ~first,
        "neither": ~first & ~second,
    }
    counts = {name: breasts.filter(condition).height for name, condition in shown.items()}
    words = ", ".join(f"{count:,} with {name}" for name, count in counts.items() if count)
    audit.add("note", "views", [f"of {breasts.height:,} breasts {words}"])
    exams = frame.group_by("exam_id").agg(pl.col("laterality").n_unique().alias("sides"))
    single = exams.filter(pl.col("sides") == 1).height
    audit.add("note", "views", [f"of {exams.height:,} exams {exams.height - single:,} show both breasts"])


def _note_contradictions(audit: Audit, frame: pl.DataFrame) -> None:
    """Images of one breast, or of one exam, that say different things; each image keeps its own."""
    for column, unit in (("cancer", "breast"), ("birads", "breast"), ("density", "exam")):
        names = CLASSES[column]  # type: ignore[index]  # the first of each pair is a target
        known = frame.filter(pl.col(column).is_not_null())
        several = known.group_by(f"{unit}_id", maintain_order=True).agg(pl.col(column).unique().sort())
        several = several.filter(pl.col(column).list.len() > 1)
        audit.add(
            "quirk",
            f"images of one {unit} that differ in {column}, each keeps its own",
            [f"{unit} {name}: {', '.join(names[value] for value in values)}" for name, values in several.iter_rows()],
        )


def _fault_shared_patients(audit: Audit, frame: pl.DataFrame) -> None:
    split = frame.filter(pl.col("split").is_not_null())
    shared = split.group_by("patient_id", maintain_order=True).agg(pl.col("split").unique().sort())
    shared = shared.filter(pl.col("split").list.len() > 1)
    audit.add(
        "fault",
        "patient in several splits",
        [f"patient {patient}: {' and '.join(splits)}" for patient, splits in shared.iter_rows()],
    )
