"""What is particular about EMBED: columns of mixed types, and files that the table names but no sample uses."""

from pathlib import PurePosixPath

from data_modules.audit import Audit
from data_modules.mammography.embed.files import FINDING_COLUMNS, FINDING_OPTIONAL, IMAGES, EmbedTables
from data_modules.mammography.embed.rules import EmbedRules

NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


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
