"""The words of captions: what categories mean, and what stands where a table has nothing to say."""

import functools
import math
import re
from typing import NamedTuple

from data_modules.errors import TableError

UNKNOWN = "unknown"
"""Stands for what is masked, empty, or said to be unknown."""
OLDEST = 120
"""Years. No documented human life was much longer; a table with more has another unit or a typing error."""


class Category(NamedTuple):
    """A BI-RADS category."""

    meaning: str
    advice: str


class Density(NamedTuple):
    """A category of breast composition."""

    letter: str
    composition: str
    sensitivity: str
    """What it does to the sensitivity of mammography; empty where there is nothing to note."""


BIRADS = {
    0: Category("incomplete", "more imaging or a look at earlier images"),
    1: Category("negative", "routine screening, nothing to describe"),
    2: Category("benign", "routine screening, the finding is harmless"),
    3: Category("probably benign", "follow-up after a short interval"),
    4: Category("suspicious", "consideration of a biopsy"),
    5: Category("highly suggestive of malignancy", "biopsy and action as for cancer"),
    6: Category("malignancy proven by biopsy", "treatment as planned"),
}
"""By number. Meanings after the ACR BI-RADS atlas, 5th edition; the words on what follows are ours."""
DENSITIES = {
    1: Density("A", "almost entirely fatty", ""),
    2: Density("B", "scattered fibroglandular", ""),
    3: Density("C", "heterogeneously dense", "may hide small masses"),
    4: Density("D", "extremely dense", "lowers the sensitivity of mammography"),
}
"""By number. Categories a to d of the ACR BI-RADS atlas, 5th edition, with its notes on sensitivity for c and d."""

_SIDES = {"L": "left", "R": "right"}
_SIDE_WORDS = re.compile(r"\b(left|right|lt|rt|l|r)\b\.?", re.IGNORECASE)
_NO_ANSWER = ("unknown", "unavailable", "unreported", "not reported", "not recorded", "declined", "none given")


def birads_category(number: int) -> Category:
    """The words of a BI-RADS category.

    Args:
        number: 0 to 6.

    Raises:
        TableError: If there is no such category.
    """
    if number not in BIRADS:
        raise TableError(f"birads: no category {number!r}; expected 0 to 6, or nothing where there is no assessment")
    return BIRADS[number]


def density_category(number: int) -> Density:
    """The words of a category of breast composition.

    Args:
        number: 1 to 4 (A to D).

    Raises:
        TableError: If there is no such category.
    """
    if number not in DENSITIES:
        raise TableError(f"density: no category {number!r}; expected 1 to 4 (A to D), or nothing where it is unknown")
    return DENSITIES[number]


@functools.lru_cache(maxsize=1 << 16)
def known(text: str | None) -> str:
    """A cell's text on one line; ``unknown`` where it is empty or says that it does not know.

    Args:
        text: As the table has it.
    """
    words = " ".join((text or "").split())
    return UNKNOWN if not words or words.casefold().startswith(_NO_ANSWER) else words


@functools.lru_cache(maxsize=1 << 16)
def without_side(text: str) -> str:
    """A procedure's name without the words left and right, which a flipped image makes untrue.

    Args:
        text: Such as ``MG Diagnostic Left w/ CAD``; the side is replaced by ``one side``.
    """
    return _SIDE_WORDS.sub("one side", text)


def age_word(age: float | None) -> str:
    """Whole years, or ``unknown``.

    Args:
        age: Years, 0 to 120; None or NaN where it is unknown.

    Raises:
        TableError: If it is no age.
    """
    if age is None or math.isnan(age):
        return UNKNOWN
    if not 0 <= age <= OLDEST:
        raise TableError(f"age: {age!r} is no age in years; expected 0 to {OLDEST}, or nothing where it is unknown")
    return str(int(age))


def side_word(laterality: str | None) -> str:
    """``left``, ``right`` or ``unknown``.

    Args:
        laterality: L, R or None.

    Raises:
        TableError: If it is anything else.
    """
    if laterality is None:
        return UNKNOWN
    if laterality not in _SIDES:
        raise TableError(f"laterality: {laterality!r} is no side; expected L, R or nothing")
    return _SIDES[laterality]
