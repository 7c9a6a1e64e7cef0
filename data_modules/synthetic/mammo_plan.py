"""What the look-alikes of the mammography sets have in common: checked numbers, values in fair shares, tables."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from data_modules.errors import DataSettingsError
from data_modules.synthetic.mammo_pictures import Box

Value = TypeVar("Value")
Side = Literal["L", "R"]
SIDES: tuple[Side, ...] = ("L", "R")

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


def mirrored(boxes: Sequence[Box], side: Side, wide: int) -> tuple[Box, ...]:
    """Boxes as they lie in the stored picture: right breasts are mirrored.

    Args:
        boxes: In the picture with the chest wall at the left.
        side: Of the breast.
        wide: Columns of the picture.
    """
    if side == "L":
        return tuple(boxes)
    return tuple((wide - right, top, wide - left, bottom) for left, top, right, bottom in boxes)


def write_csv(path: Path, names: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write a table; cells that a row lacks are empty.

    Args:
        path: The file.
        names: Columns, in order.
        rows: Cells by column.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
