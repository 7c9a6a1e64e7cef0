"""What the look-alikes of the mammography sets have in common: checked numbers, and values in fair shares."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from data_modules.errors import DataSettingsError

Value = TypeVar("Value")

FEWEST_CASES = 10
SMALLEST = 48
"""Rows of a picture in which a breast still looks like one."""
DEFAULT_HEIGHT = 384
README = """A look-alike of {title}, drawn by a program for tests and trials.
No mammogram, no patient and no medical truth is in it: never mix it with the real set.
"""


def check_numbers(*, cases: int, seed: int, img_size: int) -> None:
    """Refuse numbers that are too small.

    Args:
        cases: 10 or more.
        seed: Zero or more.
        img_size: Rows of a picture, 48 or more.

    Raises:
        DataSettingsError: Naming the number.
    """
    for name, value, least in (
        ("cases", cases, FEWEST_CASES),
        ("seed", seed, 0),
        ("img_size", img_size, SMALLEST),
    ):
        if value < least:
            raise DataSettingsError(f"{name} is {value}; it has to be at least {least}")


def cycles(values: Sequence[Value], size: int, rng: np.random.Generator) -> list[Value]:
    """``size`` values: the given ones in random order, again and again, so that shares are as even as they can be.

    Args:
        values: What to draw from, each as often as it is to come.
        size: How many.
        rng: Shuffles.
    """
    rounds = -(-size // len(values))
    return [values[place] for _ in range(rounds) for place in rng.permutation(len(values)).tolist()][:size]
