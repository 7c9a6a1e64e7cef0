"""Rows of EMBED's clinical table, a row per finding, with codes in words; and what they say of the whole exam."""

import polars as pl

from data_modules.mammography.embed.account import Account
from data_modules.mammography.embed.cells import Cells, ids, told
from data_modules.mammography.embed.files import FINDING_OPTIONAL
from data_modules.mammography.embed.legend import WORDED, Legend
from data_modules.mammography.embed.rules import BIRADS, EmbedRules

NO_ASSESSMENT = -1
MALE = 5
SIDES = ("L", "R", "B")
OLDEST = 120
"""Years."""


def finding_rows(
    clinical: pl.DataFrame, *, legend: Legend, file: str, rules: EmbedRules, account: Account
) -> pl.DataFrame:
    """The findings, cells read strictly.

    Args:
        clinical: As ``read_tables`` gives it.
        legend: Words by code by column.
        file: The table, for errors.
        rules: Which codes may be unknown.
        account: Gets what is left out and touched.

    Returns:
        ``row``, ``exam_id``, ``patient_id``, ``side`` (L, R, B, null), ``birads`` (null: none), ``density`` (1 to 4),
        ``male``, the columns of ``WORDED``, ``numfind``, ``implant``, ``severity``, ``biopsy_side``, ``biopsy_date``,
        ``description``, ``date``, ``age``, ``race``, ``ethnicity``, ``site``.

    Raises:
        TableError: For a code without a meaning, a number that is none, or an id that was rounded.
    """
    frame = ids(Cells(clinical, file, rules, account), ("empi_anon", "acc_anon"))
    absent = [name for name in FINDING_OPTIONAL if name not in frame.columns]
    for name in (*WORDED, "path_severity"):
        if name in absent:
            account.touch(f"clinical row without a column {name}: unknown", len(frame))
    frame = frame.with_columns(pl.lit(None, pl.String).alias(name) for name in absent)
    cells = Cells(_whole(frame, account=account), file, rules, account)
    tissue = cells.codes("tissueden", {str(code): code for code in range(1, MALE + 1)})
    category = cells.codes("asses", {**BIRADS, "X": NO_ASSESSMENT})
    account.touch("finding with assessment X: none", int((category == NO_ASSESSMENT).sum()))
    side = cells.codes("side", {name: number for number, name in enumerate(SIDES)})
    columns = {
        "side": side.replace_strict(dict(enumerate(SIDES)), default=None, return_dtype=pl.String),
        "birads": category.set(category == NO_ASSESSMENT, None),
        "density": tissue.set(tissue == MALE, None),
        "male": (tissue == MALE).fill_null(False),
        **{ours: cells.words(column, legend[column]) for column, ours in WORDED.items()},
        "severity": cells.codes("path_severity", {str(code): code for code in range(7)}),
        "biopsy_side": cells.frame["bside"].str.to_uppercase(),
        "biopsy_date": cells.dates("procdate_anon").fill_null(cells.dates("pdate_anon")),
        "numfind": cells.numbers("numfind"),
        "date": cells.dates("study_date_anon"),
        "age": _age(cells),
    }
    implants = pl.lit(None, pl.Boolean) if "implanfind" in absent else pl.col("implanfind").is_not_null()
    return cells.frame.select(
        "row",
        pl.col("acc_anon").alias("exam_id"),
        pl.col("empi_anon").alias("patient_id"),
        *(values.alias(name) for name, values in columns.items()),
        implants.alias("implant"),
        pl.col("desc").alias("description"),
        told("RACE_DESC").alias("race"),
        pl.coalesce(told("ETHNIC_GROUP_DESC"), told("ETHNICITY_DESC")).alias("ethnicity"),
        pl.col("loc_num").str.strip_suffix(".0").alias("site"),
    )


def _whole(frame: pl.DataFrame, *, account: Account) -> pl.DataFrame:
    """Rows that belong to an exam, each once."""
    named = frame.filter(pl.col("acc_anon").is_not_null() & pl.col("empi_anon").is_not_null())
    account.touch("clinical row without an exam or patient id: left out", len(frame) - len(named))
    once = named.unique(subset=[name for name in named.columns if name != "row"], keep="first", maintain_order=True)
    account.touch("clinical row that repeats an earlier one: left out", len(named) - len(once))
    return once


def _age(cells: Cells) -> pl.Series:
    """Years, null where nobody can be that old."""
    age = cells.numbers("age_at_study")
    impossible = ~age.is_between(0, OLDEST)
    cells.account.touch(f"clinical row with an age that is not from 0 to {OLDEST}: unknown", int(impossible.sum()))
    return age.set(impossible.fill_null(False), None)


def exam_rows(findings: pl.DataFrame) -> pl.DataFrame:
    """What the rows of an exam say of the whole of it, a row per exam.

    Args:
        findings: As ``finding_rows`` gives them.

    Returns:
        ``exam_id``, ``patient_id``, ``description``, ``clinical_date``, ``age``, ``race``, ``ethnicity``, ``site``: the
        first that is known; ``exam_density``: the greatest; ``male``: whether any says so; ``assessed``: whether any
        holds an assessment.
    """
    first = ("patient_id", "description", "age", "race", "ethnicity", "site")
    return findings.group_by("exam_id", maintain_order=True).agg(
        *(pl.col(name).drop_nulls().first() for name in first),
        pl.col("date").drop_nulls().first().alias("clinical_date"),
        pl.col("density").max().alias("exam_density"),
        pl.col("male").any(),
        pl.col("birads").is_not_null().any().alias("assessed"),
    )
