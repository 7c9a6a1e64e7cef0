"""What a run did and could not do, counted."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

MOST_KINDS = 20
"""Of failures, that are listed at the end of a run."""


@dataclass(frozen=True, slots=True)
class Failures:
    """Failures of one kind that are worded alike."""

    kind: str
    count: int
    image: str
    """The first of them."""
    error: str
    """Of that image."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A finished preparation."""

    out: Path
    images: int
    """That the tables name as samples."""
    written: int
    """That have an output."""
    done_now: int
    """Images that this run dealt with, failures among them; the others were done before."""
    failures: list[Failures] = field(default_factory=list)
    """Most frequent first."""
    counts: dict[str, int] = field(default_factory=dict)
    """Prepared images by what is worth knowing about them."""
    unnamed: int = 0
    """Image files below the raw root that are no sample's."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Rows of the tables that became no sample, by reason."""
    touched: Mapping[str, int] = field(default_factory=dict)
    """Rows that a rule of the tables decided about, by rule."""

    @property
    def failed(self) -> int:
        """Images without an output."""
        return sum(failures.count for failures in self.failures)

    def lines(self) -> list[str]:
        """The summary in words, a line each."""
        words = [
            f"{self.out}: {self.written:,} of {self.images:,} images are prepared; this run looked at {self.done_now:,}"
        ]
        if self.failures:
            words.append(f"{self.failed:,} failed:")
        for failures in self.failures[:MOST_KINDS]:
            example = f"such as {failures.image}" if failures.count > 1 else failures.image
            words.append(f"  {failures.count:,} {failures.kind}, {example}: {failures.error}")
        if len(self.failures) > MOST_KINDS:
            words.append(f"  and {len(self.failures) - MOST_KINDS} more kinds: the manifest has a row for every image")
        words += [f"{count:,} prepared images: {what}" for what, count in self.counts.items()]
        words += [f"{count:,} rows of the tables left out: {reason}" for reason, count in self.dropped.items()]
        words += [f"{count:,} rows of the tables touched: {rule}" for rule, count in self.touched.items()]
        if self.unnamed:
            words.append(f"{self.unnamed:,} image files below the raw root are no sample's")
        return words


def group_failures(manifest: pl.DataFrame) -> list[Failures]:
    """Failures by kind and wording, in which numbers do not count.

    Args:
        manifest: A row per image, sorted.
    """
    rows = manifest.filter(pl.col("error_kind").is_not_null()).select("error_kind", "error", "image").iter_rows()
    groups: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for kind, error, image in rows:
        alike = re.sub(r"[0-9]+(\.[0-9]+)?", "#", error)
        # Errors that quote the file's own text would be a kind each; "no such file" is one whatever the set says of it.
        groups.setdefault((kind, alike if kind != "missing file" else ""), []).append((image, error))
    found = [Failures(kind, len(members), *members[0]) for (kind, _), members in groups.items()]
    return sorted(found, key=lambda failures: (-failures.count, failures.image))


def count_remarks(manifest: pl.DataFrame) -> dict[str, int]:
    """Prepared images by what is worth knowing: flags, crops that found no breast, sides that contradict.

    Args:
        manifest: A row per image.
    """
    ready = manifest.filter(pl.col("output").is_not_null())
    remarks = {
        "no plausible breast found, the whole image was kept": ready.filter(pl.col("crop_method") == "whole").height,
        "the pixels show the breast on the other side than the header demands": ready.filter(
            pl.col("laterality_check") == "contradicts"
        ).height,
        "the header's laterality contradicts the table's": ready.filter(
            pl.col("laterality_table") == "contradicts"
        ).height,
    }
    flags = Counter(flag for flags in ready["flags"].to_list() for flag in flags or ())
    remarks |= {f"flagged {flag}": count for flag, count in sorted(flags.items())}
    return {what: count for what, count in remarks.items() if count}
