"""From a sample table to the cases of each split: pure functions of polars frames, the cases without polars."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import polars as pl

from data_modules.errors import DataSettingsError, SplitLeakageError
from data_modules.mammography.cases import UNKNOWN, CaseTable, Files, Names, TextColumn
from data_modules.mammography.official import CLINICAL_ORDER
from data_modules.mammography.prepared import MANIFEST, Prepared
from data_modules.mammography.split import Label, patient_parts, split_patients
from data_modules.splits import SPLITS

Level = Literal["image", "breast"]
MAMMOGRAM = "mammogram"
"""The one modality of an image."""
VIEWS = ("CC", "MLO")
"""The modalities of a breast: the two views of a screening exam."""
VALIDATION_SHARE = 1 / 8
"""Of the patients of an official training set; where a fifth tests, 70 : 10 : 20 as in sets without official splits."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be told of an image or a breast."""

    class_names: tuple[str, ...]
    """In the order of the ids."""
    first: int
    """The value of the table that is class 0; the others follow it."""
    severity: tuple[int, ...]
    """Class ids from the least to the most severe: of several labels of a breast the most severe one stands."""
    positive: int | None = None
    """The class of two that is looked for."""
    contrasts: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)
    """Positive and negative class ids of questions with two answers, by name."""
    scale: tuple[int, ...] | None = None
    """Class ids that are steps of one scale, in its order."""


TARGETS: dict[Label, Target] = {
    "birads": Target(
        *(tuple(f"BI-RADS {number}" for number in range(7)), 0, CLINICAL_ORDER[::-1]),
        contrasts={"suspicious": ((4, 5), (1, 2))},  # 3 is probably benign, 0 not complete, 6 known cancer
        scale=(1, 2, 3, 4, 5),
    ),
    "density": Target(("A", "B", "C", "D"), 1, (0, 1, 2, 3), scale=(0, 1, 2, 3)),
    "cancer": Target(("no cancer", "cancer"), 0, (0, 1), positive=1),
}


def keep_prepared(frame: pl.DataFrame, prepared: Prepared) -> tuple[pl.DataFrame, dict[str, int]]:
    """The samples whose image was prepared, and how many were not, by reason.

    Args:
        frame: Columns of ``samples.SCHEMA``.
        prepared: The prepared folder.

    Returns:
        The frame with ``output``, the path of the prepared image below the prepared root.
    """
    joined = frame.join(
        prepared.manifest.select("image", "output", "error_kind"), on="image", how="left", maintain_order="left"
    )
    failed = joined.filter(pl.col("output").is_null())
    kinds = failed["error_kind"].fill_null("image is not in the manifest").value_counts(sort=True)
    counts = {f"not prepared: {kind}": count for kind, count in kinds.iter_rows()}
    return joined.filter(pl.col("output").is_not_null()).drop("error_kind"), counts


def divide(
    frame: pl.DataFrame,
    *,
    stratify: Label,
    seed: int,
    strata: pl.DataFrame | None = None,
    num_folds: int | None = None,
    fold: int | None = None,
) -> pl.DataFrame:
    """Give every row its split: of a fold, official, or 70 : 10 : 20; patients whole.

    The parts are a function of the seed and of the set's patients and ``stratify`` alone, not of what is to be told,
    the level, the label fraction or the images that could be prepared: what a first stage has trained on, a second
    stage never tests on.

    Args:
        frame: All samples of a set; ``split`` official or null.
        stratify: The label that is in proportion in all parts.
        seed: Of the parts that are cut here.
        strata: The set's samples by its default rules, where ``frame`` was made by others: a patient's part is that of
            the default rules. None: they are ``frame``.
        num_folds: Pool all rows and cut them into K folds.
        fold: The one that tests; the next one validates.

    Returns:
        The frame with ``split`` filled in. Rows that an official split leaves out keep null.

    Raises:
        DataSettingsError: If there are fewer patients than folds.
        SplitLeakageError: If an official split divides a patient.
    """
    if num_folds is not None and fold is not None:
        return _folds(frame, stratify=stratify, seed=seed, strata=strata, num_folds=num_folds, fold=fold)
    official = frame["split"].drop_nulls().unique()
    if official.is_empty():
        return split_patients(frame, label=stratify, seed=seed, strata=strata)
    _check_whole(frame)
    if "val" in official:
        return frame
    trains = pl.col("split") == "train"
    shares = (1 - VALIDATION_SHARE, VALIDATION_SHARE)
    whole = None if strata is None else strata.filter(trains)
    parts = patient_parts(frame.filter(trains), label=stratify, shares=shares, seed=seed, strata=whole)
    chosen = [patient for patient, part in parts.items() if part == 1]
    validates = trains & pl.col("patient_id").is_in(chosen)
    return frame.with_columns(pl.when(validates).then(pl.lit("val")).otherwise("split").alias("split"))


def known(frame: pl.DataFrame, label: Label) -> pl.DataFrame:
    """The rows whose label is known."""
    return frame.filter(pl.col(label).is_not_null())


def make_cases(frame: pl.DataFrame, *, root: str, label: Label, level: Level, strata: Sequence[str] = ()) -> CaseTable:
    """Cases of images, or of breasts with a view as a modality.

    Args:
        frame: From ``keep_prepared``.
        root: The prepared root.
        label: What is to be told.
        level: ``image``: every row is a case. ``breast``: rows of other views than CC and MLO are left out; several
            images of a view come in the order of the table, spot and magnification views last; the label is the most
            severe one.
        strata: Columns whose values tell groups of cases apart; a breast is in that of its first row.

    Returns:
        Cases in the order of the table, breasts in that of their first row; groups are patients.
    """
    if level == "image":
        return _image_cases(frame, root=root, label=label, strata=strata)
    return _breast_cases(frame.filter(pl.col("view").is_in(VIEWS)), root=root, label=label, strata=strata)


def class_ids(frame: pl.DataFrame, label: Label) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """The class of each row, (rows,), ``UNKNOWN`` where it has none."""
    column = (pl.col(label).cast(pl.Int16) - TARGETS[label].first).fill_null(UNKNOWN)
    return np.array(frame.select(column).to_series().to_numpy(), dtype=np.int16)


def _image_cases(frame: pl.DataFrame, *, root: str, label: Label, strata: Sequence[str]) -> CaseTable:
    ends = np.arange(1, len(frame) + 1, dtype=np.int64)
    return CaseTable(
        root=root,
        source=MANIFEST,
        case_ids=TextColumn(frame["image_id"].to_list()),
        groups=Names.of(frame["patient_id"].to_list()),
        labels=class_ids(frame, label),
        files={MAMMOGRAM: Files(ends, TextColumn(frame["output"].to_list()))},
        units={"breast": Names.of(frame["breast_id"].to_list()), "exam": Names.of(frame["exam_id"].to_list())},
        strata=_strata(frame, strata),
    )


def _breast_cases(frame: pl.DataFrame, *, root: str, label: Label, strata: Sequence[str]) -> CaseTable:
    breasts = Names.of(frame["breast_id"].to_list())
    count = len(breasts.values)
    _, first = np.unique(breasts.codes, return_index=True)  # codes are numbered in the order of their first row
    rank = np.array([-1, *np.argsort(TARGETS[label].severity)])  # of UNKNOWN (last by index -1 + 1), then by class
    severity = np.full(count, -1)
    np.maximum.at(severity, breasts.codes, rank[class_ids(frame, label) + 1])
    classes = np.array([*TARGETS[label].severity, UNKNOWN], dtype=np.int16)[severity]
    owners = frame[first.tolist()]
    return CaseTable(
        root=root,
        source=MANIFEST,
        case_ids=breasts.values,
        groups=Names.of(owners["patient_id"].to_list()),
        labels=classes,
        files={view: _files(frame, breasts, view=view) for view in VIEWS},
        # The breast too, so that an exam is put together of breasts, as it is where the cases are images.
        units={
            "breast": Names(np.arange(count, dtype=np.int32), breasts.values),
            "exam": Names.of(owners["exam_id"].to_list()),
        },
        strata=_strata(owners, strata),
    )


def _strata(frame: pl.DataFrame, columns: Sequence[str]) -> dict[str, Names]:
    return {column: Names.of(frame[column].fill_null("unknown").to_list()) for column in columns}


def _files(frame: pl.DataFrame, breasts: Names, *, view: str) -> Files:
    """The images of a view by breast, spot and magnification views last."""
    rows = frame.select(
        pl.Series("breast", breasts.codes), pl.col("view") == view, pl.col("spot").fill_null(False), "output"
    )
    chosen = rows.filter(pl.col("view")).sort("breast", "spot", maintain_order=True)
    counts = np.bincount(chosen["breast"].to_numpy(), minlength=len(breasts.values))
    return Files(np.cumsum(counts), TextColumn(chosen["output"].to_list()))


def _folds(
    frame: pl.DataFrame, *, stratify: Label, seed: int, strata: pl.DataFrame | None, num_folds: int, fold: int
) -> pl.DataFrame:
    patients = frame["patient_id"].n_unique()
    if patients < num_folds:
        raise DataSettingsError(
            f"num_folds is {num_folds}, but there are {patients} patients, who are never cut; set fewer folds"
        )
    parts = patient_parts(frame, label=stratify, shares=[1 / num_folds] * num_folds, seed=seed, strata=strata)
    roles = {fold: "test", (fold + 1) % num_folds: "val"}
    names = {patient: roles.get(part, "train") for patient, part in parts.items()}
    return frame.with_columns(pl.col("patient_id").replace_strict(names, return_dtype=pl.String).alias("split"))


def _check_whole(frame: pl.DataFrame, *, splits: Sequence[str] = SPLITS) -> None:
    """Refuse patients in several splits."""
    seen = frame.filter(pl.col("split").is_in(splits)).group_by("patient_id").agg(pl.col("split").unique().sort())
    leaks = seen.filter(pl.col("split").list.len() > 1).sort("patient_id")
    if len(leaks):
        patient, names = leaks.row(0)
        raise SplitLeakageError(
            f"patient {patient!r} is in {' and '.join(names)} ({len(leaks)} such patients in all): results would be "
            "too good; say what becomes of them in the set's settings, or take them out of the tables"
        )
