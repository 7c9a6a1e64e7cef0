"""Which finding speaks for a breast, and what a breast without one counts as."""

import polars as pl

from data_modules.mammography.embed.findings import exam_rows
from data_modules.mammography.embed.legend import WORDED
from data_modules.mammography.embed.rules import EmbedRules
from data_modules.mammography.official import CLINICAL_ORDER

BREAST = ("exam_id", "laterality")
BILATERAL = r"(?i)\bbil(at|\b)"
"""In the description of an exam, such as ``MG Screening Bilateral`` or ``BIL MAMMO SCREEN``."""
NEGATIVE = 1
UNRANKED = 100


def breast_rows(findings: pl.DataFrame, exams: pl.DataFrame, *, rules: EmbedRules) -> pl.DataFrame:
    """A row for every breast of every exam that the clinical table or the table of images names.

    Args:
        findings: As ``finding_rows`` gives them.
        exams: The exams of the images: ``exam_id``, ``patient_id``, ``procedure``, ``acquired`` (date).
        rules: How to choose.

    Returns:
        ``exam_id``, ``laterality``, ``patient_id``, ``date``; ``birads``, ``density``, ``male``, ``implant``,
        ``inferred``, the findings in words; ``missing`` (a side without a row in a bilateral exam), ``rows`` (of the
        breast), ``clinical`` (whether the exam has any row), ``several_birads``, ``several_densities``; and the exam's
        ``description``, ``age``, ``race``, ``ethnicity``, ``site``, ``clinical_date``.
    """
    whole = exams.join(exam_rows(findings), on="exam_id", how="full", coalesce=True, suffix="_clinical")
    sides = whole.join(pl.DataFrame({"laterality": ["L", "R"]}), how="cross")
    candidates = _candidates(findings, rules=rules)
    chosen = _chosen(candidates, rules=rules)
    said = candidates.group_by(BREAST).agg(
        pl.len().alias("rows"),
        pl.col("implant").any(),
        pl.col("density").max().alias("breast_density"),
        (pl.col("birads").drop_nulls().n_unique() > 1).alias("several_birads"),
        (pl.col("density").drop_nulls().n_unique() > 1).alias("several_densities"),
    )
    breasts = sides.join(chosen, on=BREAST, how="left").join(said, on=BREAST, how="left")
    return _concluded(breasts, has_implants=findings["implant"].is_not_null().any(), rules=rules)


def _candidates(findings: pl.DataFrame, *, rules: EmbedRules) -> pl.DataFrame:
    """Findings that may speak for a breast, once for each breast."""
    either = findings.join(pl.DataFrame({"laterality": ["L", "R"]}), how="cross")
    same = pl.col("side") == pl.col("laterality")
    both = pl.col("side") == "B"
    if rules.fidelity == "paper":
        return either.filter(same | both | pl.col("side").is_null())
    distance = pl.when(same.fill_null(False)).then(0).when(both.fill_null(False)).then(1).otherwise(2)
    return either.filter(distance == distance.min().over(BREAST))


def _chosen(candidates: pl.DataFrame, *, rules: EmbedRules) -> pl.DataFrame:
    """The finding that speaks for each breast; of equal ones that with the lowest number, then the first row."""
    category = pl.col("birads")
    if rules.fidelity == "paper":
        rank = category.replace_strict({name: rank for rank, name in enumerate(CLINICAL_ORDER)}, default=UNRANKED)
        order = [rank, pl.col("numfind").fill_null(float("inf")), pl.col("row")]
    else:
        at_most_benign = (category.max().over(BREAST) <= 2) & (category == 0)
        rank = pl.when(at_most_benign).then(-UNRANKED).otherwise(-category.cast(pl.Int16)).fill_null(UNRANKED)
        order = [rank, pl.col("row")]
    first = candidates.sort(*BREAST, *order).unique(subset=BREAST, keep="first", maintain_order=True)
    return first.select(*BREAST, "birads", "density", *WORDED.values())


def _concluded(breasts: pl.DataFrame, *, has_implants: bool, rules: EmbedRules) -> pl.DataFrame:
    """What the rules conclude where no row of the breast says it."""
    none = pl.col("rows").is_null()
    described = pl.coalesce("description", "procedure").str.contains(BILATERAL)
    missing = none & described.fill_null(False) & pl.col("assessed").fill_null(False)
    breasts = breasts.with_columns(missing.alias("missing"), pl.col("male").fill_null(False))
    density = pl.col("density")
    if rules.fidelity == "paper":
        of_exam = pl.when(~none | pl.col("missing")).then(pl.col("exam_density"))
        density = pl.when(~pl.col("male")).then(pl.coalesce("density", "breast_density", of_exam))
    inferred = pl.col("missing") & (rules.missing_side == "negative")
    known = pl.lit(has_implants) & pl.col("assessed").is_not_null()
    return breasts.select(
        *BREAST,
        pl.coalesce("patient_id", "patient_id_clinical").alias("patient_id"),
        pl.coalesce("acquired", "clinical_date").alias("date"),
        pl.when(inferred).then(NEGATIVE).otherwise(pl.col("birads")).cast(pl.Int8).alias("birads"),
        density.alias("density"),
        pl.when(known).then(pl.col("implant").fill_null(False)).alias("implant"),
        inferred.alias("inferred"),
        pl.col("assessed").is_not_null().alias("clinical"),
        pl.col("several_birads", "several_densities").fill_null(False),
        pl.col("rows").fill_null(0),
        *WORDED.values(),
        *("missing", "male", "description", "age", "race", "ethnicity", "site", "clinical_date"),
    )
