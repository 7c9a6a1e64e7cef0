"""From EMBED's official tables to the sample table: a row per image, labels from the findings of its breast."""

from pathlib import Path

import polars as pl

from data_modules.mammography.embed.account import Account, count
from data_modules.mammography.embed.breasts import BREAST, breast_rows
from data_modules.mammography.embed.cancer import cancer_column
from data_modules.mammography.embed.files import CLINICAL, METADATA_REDUCED, TABLES, find_image, read_tables
from data_modules.mammography.embed.findings import finding_rows
from data_modules.mammography.embed.images import image_rows
from data_modules.mammography.embed.legend import Legend
from data_modules.mammography.embed.rules import EmbedRules
from data_modules.mammography.samples import SCHEMA, SampleTable
from data_modules.mammography.sets import MammographySet

DEFAULT = EmbedRules()
EVERY_FILE = EmbedRules(unknown_codes="all")


def read_samples(root: Path, *, rules: EmbedRules = DEFAULT) -> SampleTable:
    """Read EMBED's tables and make its samples.

    Args:
        root: Folder that holds ``tables/``; raw or prepared.
        rules: How rows are joined, and what is kept.

    Raises:
        DatasetNotFoundError: If a table is missing.
        UnreadableFileError: If one cannot be read.
        TableError: If one is no CSV table, lacks a column, or holds a value that its documentation does not know.
        UnsafePathError: If a path leaves the folder of images.
    """
    tables = read_tables(root, rules=rules)
    return make_samples(
        tables.metadata,
        tables.clinical,
        legend=tables.legend,
        rules=rules,
        files=(tables.metadata_file, tables.clinical_file),
    )


def make_samples(
    metadata: pl.DataFrame,
    clinical: pl.DataFrame,
    *,
    legend: Legend,
    rules: EmbedRules = DEFAULT,
    files: tuple[str, str] = (METADATA_REDUCED, CLINICAL),
) -> SampleTable:
    """Make EMBED's samples from its tables.

    An image is joined with the findings of its exam (``acc_anon``) whose side is its own (``ImageLateralityFinal``),
    both (B) or not given; one of them speaks for the breast (``EmbedRules.fidelity``). Images without a label stay,
    with nulls, and are counted.

    Args:
        metadata: A row per image: ``row`` and the columns of ``files.IMAGE_COLUMNS``, as text.
        clinical: A row per finding: ``row`` and the columns of ``files.FINDING_COLUMNS``, as text; further ones where
            they exist.
        legend: Words by code by column.
        rules: How rows are joined, and what is kept.
        files: Names of the two tables, for errors.

    Returns:
        Samples in the order of ``metadata``; together with ``dropped`` they are all of its rows.

    Raises:
        TableError: For a value that the documentation does not know.
        UnsafePathError: If a path leaves the folder of images.
    """
    account = Account()
    images = image_rows(metadata, file=files[0], rules=rules, account=account)
    exams = images.group_by("exam_id", maintain_order=True).agg(
        pl.col("patient_id").first(),
        pl.col("procedure").drop_nulls().first(),
        pl.col("date").min().alias("acquired"),
    )
    findings = finding_rows(clinical, legend=legend, file=files[1], rules=rules, account=account)
    findings = _of_the_same_patient(findings, exams, account=account)
    breasts = breast_rows(findings, exams, rules=rules)
    breasts = breasts.join(cancer_column(breasts, findings, rules=rules, account=account), on=BREAST, how="left")
    joined = images.drop("date", "patient_id").join(breasts, on=BREAST, how="left", maintain_order="left")
    if rules.fidelity == "paper" and rules.missing_side == "drop":
        joined = account.drop(joined, pl.col("missing"), "side without a row in a bilateral exam")
    _note(joined, account=account)
    frame = joined.with_columns(
        (pl.col("exam_id") + "_" + pl.col("laterality")).alias("breast_id"),
        pl.coalesce("procedure", "description").alias("procedure"),
        pl.coalesce(_reason("procedure"), _reason("description")).alias("reason"),
        pl.lit(None, pl.String).alias("split"),
    )
    return SampleTable(
        frame.select(pl.col(name).cast(kind) for name, kind in SCHEMA.items()), account.dropped, account.touched
    )


def _of_the_same_patient(findings: pl.DataFrame, exams: pl.DataFrame, *, account: Account) -> pl.DataFrame:
    """Findings but those that give an exam to another patient than its images do."""
    owners = exams.select("exam_id", pl.col("patient_id").alias("owner"))
    joined = findings.join(owners, on="exam_id", how="left", maintain_order="left")
    account.touch("finding of an exam without images", joined["owner"].null_count())
    own = pl.coalesce("owner", pl.col("patient_id").first().over("exam_id")) == pl.col("patient_id")
    kept = joined.filter(own).drop("owner")
    account.touch("finding whose exam is another patient's: left out", len(joined) - len(kept))
    return kept


def _reason(column: str) -> pl.Expr:
    """Screening or diagnostic, as the description says; null where it says neither."""
    text = pl.col(column).str.to_lowercase()
    return (
        pl.when(text.str.contains("screen|scrn"))
        .then(pl.lit("screening"))
        .when(text.str.contains("diag"))
        .then(pl.lit("diagnostic"))
    )


def _note(joined: pl.DataFrame, *, account: Account) -> None:
    """Count the images, breasts and exams that a rule decided about, and those without a label."""
    clinical, rows = pl.col("clinical"), pl.col("rows") > 0
    for reason, which in {
        "image of an exam without clinical rows: no label": ~clinical,
        "image of a side without a row in a bilateral exam: negative, inferred": pl.col("inferred"),
        "image of a side without a row in an exam of one side: no label": clinical & ~rows & ~pl.col("missing"),
        "image of a breast without an assessment (X or empty): no BI-RADS": rows & pl.col("birads").is_null(),
        "image of a man: no density": pl.col("male"),
        "image without a density": clinical & ~pl.col("male") & pl.col("density").is_null(),
        "image with cancer": pl.col("cancer") == 1,
        "image without cancer": pl.col("cancer") == 0,
        "image with cancer unknown": pl.col("cancer").is_null(),
    }.items():
        account.touch(reason, count(joined, which))
    breasts = joined.unique(subset=BREAST)
    account.touch("breast with several assessments: one was chosen", count(breasts, pl.col("several_birads")))
    account.touch("breast with several densities: one was chosen", count(breasts, pl.col("several_densities")))
    exams = joined.unique(subset="exam_id")
    account.touch("exam dated differently by the two tables", count(exams, pl.col("date") != pl.col("clinical_date")))
    reasons = _reason("procedure") != _reason("description")
    account.touch("exam that one table calls screening and the other diagnostic", count(exams, reasons))


def read_every_file(root: Path) -> SampleTable:
    """The samples by the default rules, but that a code without a meaning is an empty cell, and counted.

    Images are read whatever the tables say of them; who trains on such tables is told.

    Args:
        root: Folder that holds ``tables/``.

    Raises:
        DatasetNotFoundError: If a table is missing.
        UnreadableFileError: If one cannot be read.
        TableError: If one is no CSV table, lacks a column, or holds a path, id, number or date that cannot be used.
        UnsafePathError: If a path leaves the folder of images.
    """
    return read_samples(root, rules=EVERY_FILE)


SET = MammographySet(name="embed", title="EMBED", tables=TABLES, read=read_every_file, find=find_image)
