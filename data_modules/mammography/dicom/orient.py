"""On which side of the picture the breast is, and on which the header says it should be."""

import numpy as np

from data_modules.mammography.dicom.crop import Breast
from data_modules.mammography.dicom.header import MammogramHeader
from data_modules.mammography.dicom.mammogram import Gray, LateralityCheck, Side

MIN_LEAN = 0.05
"""Difference of the halves, as part of their sum, below which the pixels do not say a side."""


def side_of_breast(small: Gray, breast: Breast) -> Side | None:
    """The side at which the breast is attached: it is broad there, and tapers off to the nipple.

    Args:
        small: (h, w) gray, tissue bright.
        breast: Found on it. Where it was not found, brightness takes the place of the mask.

    Returns:
        None where the halves of the box hold about the same.
    """
    top, left, bottom, right = breast.box
    weight = (small if breast.method == "whole" else breast.mask)[top:bottom, left:right]
    columns = weight.sum(axis=0, dtype=np.float64)
    half = len(columns) // 2
    first, last = columns[:half].sum(), columns[len(columns) - half :].sum()
    if first + last == 0 or abs(first - last) < MIN_LEAN * (first + last):
        return None
    return "L" if first > last else "R"


def sides_by_header(header: MammogramHeader) -> dict[str, Side]:
    """The side that each statement of a header demands, by the statement.

    A left breast is attached at the left edge of its picture, and the rows run from there towards anterior; a right one
    the other way round (DICOM PS3.3 C.8.11.7, the hanging of mammography).
    """
    sides: dict[str, Side] = {}
    if header.laterality in ("L", "R"):
        sides[f"laterality {header.laterality}"] = header.laterality
    row = header.patient_orientation[0] if header.patient_orientation else ""
    if row.startswith(("A", "P")):
        sides[f"patient orientation {row}"] = "L" if row.startswith("A") else "R"
    return sides


def check_laterality(side: Side | None, header: MammogramHeader) -> tuple[LateralityCheck, list[str]]:
    """Compare the pixels with the header; the pixels win, whatever comes out.

    Args:
        side: What the pixels show.
        header: Facts of the file.

    Returns:
        ``contradicts`` where any statement of the header does, with words for each that does; ``unknown`` where pixels
        or header say nothing.
    """
    sides = sides_by_header(header)
    if side is None or not sides:
        return "unknown", []
    word = "left" if side == "L" else "right"
    flags = [f"{statement}, but the breast is on the {word}" for statement, said in sides.items() if said != side]
    return ("contradicts" if flags else "agrees"), flags


def is_flipped(side: Side | None, header: MammogramHeader) -> bool:
    """Whether to mirror the image so that the breast is on the left: by the pixels, else by the header's first word."""
    decided = side or next(iter(sides_by_header(header).values()), "L")
    return decided == "R"
