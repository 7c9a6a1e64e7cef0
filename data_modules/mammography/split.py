"""Splits, label fractions and balanced subsets of a sample table: by patient, seeded, whatever its rows' order."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import polars as pl

from data_modules.errors import DataSettingsError
from data_modules.mammography.official import CLINICAL_ORDER
from data_modules.splits import SPLITS, lot

Label = Literal["birads", "density", "cancer"]
LABELS: tuple[Label, ...] = ("birads", "density", "cancer")
SHARES = (0.7, 0.1, 0.2)
"""Patients of train, val and test: MaMA's shares of EMBED."""
BALANCED_SHARE = 0.1
"""MaMA tests EMBED on a balanced 10 % of its test split."""
UNKNOWN = -1


def split_patients(
    frame: pl.DataFrame,
    *,
    label: Label,
    shares: Sequence[float] = SHARES,
    seed: int,
    strata: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Divide a sample table among train, val and test, patients whole.

    A patient counts once, under the worst label of all her images (BI-RADS in the clinical order 5, 4, 0, 6, 3, 2, 1,
    else the greatest; unknown is a label of its own), and each label's patients are shared out in proportion. How, and
    what ``strata`` is for, says ``patient_parts``.

    Args:
        frame: With ``patient_id`` and the label's column.
        label: What to stratify by.
        shares: Of train, val and test, their sum 1.
        seed: Zero or more.
        strata: Where labels are looked up; None: in ``frame``.

    Returns:
        The frame in its order, with ``split``: a function of the seed, the patients' ids and labels.

    Raises:
        DataSettingsError: For an unknown label, a negative seed, or shares that are not three with the sum 1.
    """
    if len(shares) != len(SPLITS) or min(shares) < 0 or abs(sum(shares) - 1) > 1e-9:
        raise DataSettingsError(f"shares are {list(shares)}; give train, val and test each one, their sum 1")
    part_of = patient_parts(frame, label=label, shares=shares, seed=seed, strata=strata)
    names = {patient: SPLITS[part] for patient, part in part_of.items()}
    return frame.with_columns(
        pl.col("patient_id").replace_strict(names, return_dtype=pl.String).alias("split")
        if names
        else pl.lit(None, pl.String).alias("split")
    )


def patient_parts(
    frame: pl.DataFrame, *, label: Label, shares: Sequence[float], seed: int, strata: pl.DataFrame | None = None
) -> dict[str, int]:
    """The part that each patient goes to; each label's patients are shared out in proportion.

    The patients of a label stand in an order that depends on the seed and their ids alone, and are cut at the shares.
    So a patient whose label changes, or who is new, moves hardly anybody else: what was trained on is not tested on
    after a correction of the tables.

    Args:
        frame: With ``patient_id`` and the label's column.
        label: What to stratify by: a patient counts once, under the worst label of all her images.
        shares: Of the parts, their sum 1.
        seed: Zero or more.
        strata: Where labels are looked up; None: in ``frame``. The part of a patient then depends on ``strata`` alone,
            or, if she is not in it, on the seed and her id: never on what else ``frame`` holds.

    Returns:
        Number of the part by patient. A part has its share of each label's patients, rounded up or down, and of all
        patients give or take one; those who are not in ``strata`` are shared out by chance.

    Raises:
        DataSettingsError: For an unknown label or a negative seed.
    """
    _check(label, seed)
    worst = _worst(frame if strata is None else strata, label)
    part_of: dict[str, int] = {}
    lacking = np.zeros(len(shares))  # patients that a part should have so far, and has not
    for _, patients in sorted(_patients(worst, "stratum"), reverse=True):
        due = np.round(np.multiply(shares, len(patients)), 9)  # rounded, for 0.7 x 10 is a little less than 7
        counts = np.floor(due).astype(np.int64)
        lacking += due - counts
        # What rounding down leaves over goes to parts with a fraction due, to those first that lack most so far.
        order = np.lexsort((-np.round(lacking, 9), due == counts))[: len(patients) - counts.sum()]
        counts[order] += 1
        lacking[order] -= 1
        parts = np.repeat(np.arange(len(shares)), counts).tolist()
        part_of.update(zip(sorted(patients, key=lambda patient: lot(seed, patient)), parts, strict=True))
    bounds = np.cumsum(shares)[:-1]
    for patient in set(frame["patient_id"]) - part_of.keys():
        draw = int.from_bytes(lot(seed, patient)[:8]) / 2**64
        part_of[patient] = int(np.searchsorted(bounds, draw, side="right"))
    return part_of


def label_fraction(frame: pl.DataFrame, *, fraction: float, label: Label, seed: int) -> pl.DataFrame:
    """The images of a share of the patients, for training with fewer labels.

    Of the patients of each label (the worst of all their images) the first in an order drawn from the seed are taken,
    so that a smaller fraction is a part of every larger one. For each class, one patient who has an image of it comes
    first: no class of the table is missing from any fraction.

    Args:
        frame: With ``patient_id`` and the label's column; training images.
        fraction: Of the patients, above 0 and up to 1; 0.01, 0.1 and 1 in the paper.
        label: What to stratify by.
        seed: Zero or more.

    Returns:
        Rows of the frame, in its order, patients whole.

    Raises:
        DataSettingsError: For an unknown label, a negative seed or a fraction out of range.
    """
    _check(label, seed)
    if not 0 < fraction <= 1:
        raise DataSettingsError(f"label_fraction is {fraction}; it is above 0 and up to 1")
    worst = _worst(frame, label)
    draws = {patient: lot(seed, f"fraction {patient}") for patient in worst["patient_id"]}
    by_class = frame.filter(pl.col(label).is_not_null()).select("patient_id", label).unique()
    witnesses = {min(patients, key=draws.__getitem__) for (_,), patients in _patients(by_class, label)}
    taken: set[str] = set()
    for _, patients in _patients(worst, "stratum"):
        order = sorted(patients, key=lambda patient: (patient not in witnesses, draws[patient]))
        first = sum(patient in witnesses for patient in patients)
        taken.update(order[: max(first, round(fraction * len(patients)))])
    return frame.filter(pl.col("patient_id").is_in(list(taken)))


def balanced_subset(frame: pl.DataFrame, *, label: Label, share: float = BALANCED_SHARE, seed: int) -> pl.DataFrame:
    """As many images of each class, together a share of the table: MaMA's balanced 10 % test set of EMBED.

    Each class gets ``share`` x labelled images / classes, or, where a class has fewer, as many as the rarest has: the
    subset is then smaller than the share, and balanced still. Of a class, every patient gives one image before any
    gives a second; patients and images come in an order drawn from the seed.

    MaMA drew its subset once, without a seed and image by image, and published no list of it; figures on it are
    comparable, not equal.

    Args:
        frame: With ``image_id``, ``patient_id`` and the label's column; test images.
        label: The classes. Images without a label are left out.
        share: Of the labelled images, above 0 and up to 1.
        seed: Zero or more.

    Returns:
        Rows of the frame, in its order.

    Raises:
        DataSettingsError: For an unknown label, a negative seed or a share out of range.
    """
    _check(label, seed)
    if not 0 < share <= 1:
        raise DataSettingsError(f"the share of a balanced subset is {share}; it is above 0 and up to 1")
    labelled = frame.select("image_id", "patient_id", label).filter(pl.col(label).is_not_null())
    if labelled.is_empty():
        return frame.clear()
    sizes = labelled[label].value_counts()["count"]
    each = min(int(sizes.min()), max(1, int(share * len(labelled) / len(sizes))))  # type: ignore[arg-type]
    ids = labelled["image_id"].to_list()
    patients = labelled["patient_id"].to_list()
    drawn = labelled.with_columns(
        pl.Series("image_draw", [lot(seed, f"image {name}") for name in ids], pl.Binary),
        pl.Series("patient_draw", [lot(seed, f"patient {name}") for name in patients], pl.Binary),
    )
    drawn = drawn.sort("image_draw").with_columns(pl.int_range(pl.len()).over("patient_id", label).alias("turn"))
    chosen = drawn.sort("turn", "patient_draw").group_by(label, maintain_order=True).head(each)
    return frame.filter(pl.col("image_id").is_in(chosen["image_id"].to_list()))


def _check(label: str, seed: int) -> None:
    if label not in LABELS:
        raise DataSettingsError(f"no splits by {label!r}; allowed are {', '.join(map(repr, LABELS))}")
    if seed < 0:
        raise DataSettingsError(f"the seed of a split is {seed}; it has to be at least 0")


def _worst(frame: pl.DataFrame, label: Label) -> pl.DataFrame:
    """``patient_id`` and ``stratum``, the patient's worst label or ``UNKNOWN``, a row per patient."""
    urgency = {name: len(CLINICAL_ORDER) - rank for rank, name in enumerate(CLINICAL_ORDER)}
    value = pl.col(label)
    if label == "birads":
        value = value.replace_strict(urgency, default=None, return_dtype=pl.Int8)
    return frame.group_by("patient_id").agg(value.max().fill_null(UNKNOWN).alias("stratum"))


def _patients(frame: pl.DataFrame, key: str) -> list[tuple[tuple[object, ...], list[str]]]:
    """Patients by the value of a column."""
    return [(name, rows["patient_id"].to_list()) for name, rows in frame.group_by(key)]
