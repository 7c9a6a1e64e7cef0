"""Audit of EMBED: tables row by row, columns of mixed types, files that the table names but no sample uses."""

from functools import partial
from pathlib import Path, PurePosixPath

from data_modules.audit import Audit
from data_modules.errors import TableError, UnsafePathError
from data_modules.mammography.audit import bare, begin, compare_with_release, finish
from data_modules.mammography.audit_files import MOST_READ, Track
from data_modules.mammography.embed import tables as embed
from data_modules.mammography.embed.files import (
    FINDING_COLUMNS,
    FINDING_OPTIONAL,
    IMAGES,
    EmbedTables,
    read_tables,
)
from data_modules.mammography.embed.rules import EmbedRules

NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


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
    audit = begin(embed.SET, root)
    try:
        tables = read_tables(root, rules=embed.DEFAULT)
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
    compare_with_release(audit, embed.SET, counts)
    named = released_files(tables, rules=embed.DEFAULT)
    finish(
        audit, embed.SET, samples, root, target="birads", folder=IMAGES, read=read, track=track,
        is_named=lambda path: bare(path) in named,
    )  # fmt: skip
    return audit


def note_mixed_types(audit: Audit, tables: EmbedTables) -> None:
    """Columns of the clinical table that hold numbers in some rows and other text in others.

    Args:
        audit: Where findings go; all columns are read as text, so that none is lost.
        tables: As they were read.
    """
    for column in dict.fromkeys((*FINDING_COLUMNS, *FINDING_OPTIONAL)):
        if column not in tables.clinical.columns:
            continue
        text = tables.clinical[column].drop_nulls()
        is_number = text.str.contains(NUMBER)
        numbers = int(is_number.sum())
        if 0 < numbers < len(text):
            example = text.filter(~is_number)[0]
            words = f"{numbers:,} numbers and {len(text) - numbers:,} other texts, such as {example[:40]!r}"
            audit.add("quirk", "column of mixed types", [f"{tables.clinical_file}, column {column}: {words}"])


def released_files(tables: EmbedTables, *, rules: EmbedRules) -> set[str]:
    """Files that the table of images names, samples or not: paths below the root, without suffix.

    Args:
        tables: As they were read.
        rules: What paths start with.
    """
    paths = tables.metadata["anon_dicom_path"].drop_nulls().str.strip_prefix(rules.path_prefix)
    return {f"{IMAGES}/{PurePosixPath(path).with_suffix('')}" for path in paths.to_list()}
