"""What is particular about EMBED: columns of mixed types, and files that the table names but no sample uses."""

from pathlib import Path, PurePosixPath

import polars as pl

from data_modules.audit import Audit
from data_modules.mammography.embed.files import FINDING_COLUMNS, FINDING_OPTIONAL, IMAGES, read_tables
from data_modules.mammography.embed.rules import EmbedRules

NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


def note_mixed_types(audit: Audit, root: Path) -> None:
    """Columns of the clinical table that hold numbers in some rows and other text in others.

    Args:
        audit: Where findings go; all columns are read as text, so that none is lost.
        root: Folder that holds ``tables/``.
    """
    tables = read_tables(root, rules=EmbedRules())
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


def released_files(root: Path, *, rules: EmbedRules | None = None) -> set[str]:
    """Files that the table of images names, samples or not: paths below the root, without suffix.

    Args:
        root: Folder that holds ``tables/``.
        rules: What paths start with; None: the default.
    """
    rules = rules or EmbedRules()
    paths = read_tables(root, rules=rules).metadata["anon_dicom_path"].drop_nulls()
    bare = paths.str.strip_prefix(rules.path_prefix)
    frame = pl.DataFrame({"path": bare}).unique()
    return {f"{IMAGES}/{PurePosixPath(path).with_suffix('')}" for path in frame["path"].to_list()}
