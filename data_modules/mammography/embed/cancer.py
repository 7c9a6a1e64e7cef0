"""Whether a breast has cancer: pathology within a time after the exam, or a later exam that finds nothing."""

import polars as pl

from data_modules.mammography.embed.account import Account
from data_modules.mammography.embed.breasts import BREAST
from data_modules.mammography.embed.rules import EmbedRules

CANCER = (0, 1)
"""``path_severity``: invasive, non-invasive. 6, a cancer that is not of the breast, is none."""
BENIGN = (4, 5)
"""``path_severity``: benign, negative. 2, high risk, and 3, borderline, settle nothing."""
QUIET = (1, 2)
"""BI-RADS categories that a follow-up has to be of."""
OPEN = (0, 1, 2, 3)
"""BI-RADS categories that a quiet follow-up settles; 4, 5 and 6 need a benign biopsy besides."""
SIDE = ("patient_id", "laterality")


def cancer_column(
    breasts: pl.DataFrame, findings: pl.DataFrame, *, rules: EmbedRules, account: Account
) -> pl.DataFrame:
    """Cancer of every breast, exam by exam.

    1: pathology of cancer in this breast of the patient, its biopsy 0 to ``biopsy_days`` after the exam, whichever exam
    of the patient its row stands on (the diagnostic exam that followed a screening, say). The biopsy's side counts
    (``bside``) where it is one, else the finding's.

    0: a later exam of the same breast, at least ``follow_up_days`` after this one, is of category 1 or 2; this one is
    of category 0 to 3, or has a benign biopsy within ``biopsy_days``; and no cancer of this breast, or of a breast
    unknown, was biopsied from ``biopsy_days`` before this exam to the day of that follow-up.

    Unknown: all else, an exam soon after the biopsy of a cancer among them.

    Args:
        breasts: As ``breast_rows`` gives them.
        findings: As ``finding_rows`` gives them.
        rules: The numbers of days.
        account: Gets the pathology that a rule decided about.

    Returns:
        ``exam_id``, ``laterality``, ``cancer`` (Int8: 1, 0, null).
    """
    pathology = _pathology(findings, account=account)
    dated = breasts.filter(pl.col("date").is_not_null()).select(*BREAST, "patient_id", "date", "birads")
    pairs = dated.join(pathology, on=SIDE, how="inner", suffix="_biopsy")
    after = (pl.col("date_biopsy") - pl.col("date")).dt.total_days()
    soon = after.is_between(0, rules.biopsy_days)
    malignant = pl.col("severity").is_in(CANCER)
    said = pairs.group_by(BREAST).agg(
        (malignant & after.is_null()).any().alias("undated_cancer"),
        (soon & malignant & pl.col("sure")).any().alias("positive"),
        (soon & pl.col("severity").is_in(BENIGN) & pl.col("sure")).any().alias("benign"),
        pl.col("date_biopsy").filter(malignant & (after >= -rules.biopsy_days)).min().alias("first_cancer"),
    )
    judged = dated.join(said, on=BREAST, how="left").join(_follow_ups(dated, rules=rules), on=BREAST, how="left")
    settled = pl.col("birads").is_in(OPEN) | pl.col("benign")
    free = pl.col("first_cancer").is_null() | (pl.col("first_cancer") > pl.col("follow_up"))
    free &= ~pl.col("undated_cancer").fill_null(False)
    cancer = (
        pl.when(pl.col("positive"))
        .then(1)
        .when(pl.col("follow_up").is_not_null() & settled.fill_null(False) & free)
        .then(0)
    )
    return judged.select(*BREAST, cancer.cast(pl.Int8).alias("cancer"))


def _pathology(findings: pl.DataFrame, *, account: Account) -> pl.DataFrame:
    """Pathology by patient and breast: ``severity``, ``date``, ``sure`` (whether its breast is known)."""
    found = findings.filter(pl.col("severity").is_not_null())
    account.touch("pathology without a date of biopsy or report: that of its exam", found["biopsy_date"].null_count())
    side = pl.when(pl.col("biopsy_side").is_in(["L", "R"])).then(pl.col("biopsy_side")).otherwise(pl.col("side"))
    found = found.with_columns(side.alias("of"), pl.col("biopsy_date").fill_null(pl.col("date")).alias("date"))
    one = pl.col("of").is_in(["L", "R"]).fill_null(False)
    unsure = found.filter(~one & pl.col("severity").is_in(CANCER))
    account.touch("pathology of cancer on both sides or none: neither breast is known", len(unsure))
    both = found.filter(~one).join(pl.DataFrame({"laterality": ["L", "R"]}), how="cross")
    return pl.concat(
        frame.select("patient_id", "laterality", "severity", "date", sure.alias("sure"))
        for frame, sure in ((found.filter(one).rename({"of": "laterality"}), pl.lit(True)), (both, pl.lit(False)))
    )


def _follow_ups(dated: pl.DataFrame, *, rules: EmbedRules) -> pl.DataFrame:
    """The first day that a quiet exam of the same breast is due and there: ``follow_up``, by breast."""
    quiet = dated.filter(pl.col("birads").is_in(QUIET)).select(*SIDE, pl.col("date").alias("follow_up"))
    due = dated.select(*BREAST, "patient_id", (pl.col("date") + pl.duration(days=rules.follow_up_days)).alias("due"))
    return (
        due.sort("due")
        .join_asof(
            quiet.sort("follow_up"),
            left_on="due",
            right_on="follow_up",
            by=list(SIDE),
            strategy="forward",
            check_sortedness=False,  # both are sorted above; polars cannot check it within groups
        )
        .select(*BREAST, "follow_up")
    )
