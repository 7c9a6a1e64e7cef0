"""From stored values to gray: padding aside, modality, values of interest, inversion; one table for all values.

A stored value has 16 bits at most, so every step is done once on the 65,536 values there can be, in float64, and a
pixel costs one look-up. Source of the steps: DICOM PS3.3, C.7.5.1.1.2 (padding), C.11.1 (modality LUT), C.11.2 (VOI
LUT), C.11.6 (presentation LUT shape).
"""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from data_modules.mammography.dicom.attributes import Refused
from data_modules.mammography.dicom.decode import Values
from data_modules.mammography.dicom.mammogram import Gray

Floats = NDArray[np.float64]
Function = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]

FULL_SCALE = 65535
PERCENTILES = (0.1, 99.9)
"""Where no values of interest are stated: wide, for calcifications and the skin line are rare and at the ends."""
INDEXED_BY_OPENCV = int(cv2.__version__.split(".")[0]) >= 5  # its LUT takes 16-bit indices since 5.0, 5 x faster


@dataclass(frozen=True, slots=True)
class Table:
    """A look-up table as DICOM stores it: entry 0 belongs to ``first``, values beyond its ends take its end entries."""

    first: int
    entries: NDArray[np.uint16]
    bits: int
    """Of an entry: its full scale is ``2**bits - 1``."""

    def __call__(self, values: Floats) -> Floats:
        """Entries for values, rounded to the nearest whole number."""
        first = self.first
        if first >= 2**15 and values.size and values.min() < 0:
            first -= 2**16  # written unsigned where the values are signed
        place = np.clip(np.rint(values) - first, 0, len(self.entries) - 1).astype(np.intp)
        return np.asarray(self.entries[place], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Window:
    """Centre and width of the values of interest, in the units after the modality step."""

    center: float
    width: float


@dataclass(frozen=True, slots=True)
class Tone:
    """All that a file says about the meaning of its stored values."""

    signed: bool
    invert: bool
    """Low values are bright."""
    padding: tuple[int, int] | None = None
    """Least and greatest stored value that is no part of the image, both inclusive."""
    slope: float = 1.0
    intercept: float = 0.0
    modality: Table | None = None
    """Goes before slope and intercept."""
    voi: Table | Window | None = None
    """None: percentiles."""
    function: Function = "LINEAR"
    words: str | None = None
    """Description of the values of interest, in place of that of the window."""


@dataclass(frozen=True, slots=True)
class Tables:
    """From a stored value's 16-bit pattern to gray, (65536,) each; padding gives 0."""

    gray: Gray
    """By the values of interest."""
    plain: Gray
    """Between the percentiles, whatever window the file asks for, so that the breast is found alike under each."""
    window: str
    """Description of the values of interest."""
    dark_padding: bool
    """Padding would be black also if it were not set aside (or there is none): it may blend with what is beside it."""
    flags: tuple[str, ...]


def window_curve(values: Floats, window: Window, function: Function) -> Floats:
    """The part of full scale, 0 to 1, that a window gives to values (PS3.3 C.11.2.1.2 and C.11.2.1.3).

    Args:
        values: In the window's units.
        window: Width at least 1 for LINEAR, more than 0 for the others.
        function: LINEAR is the one with the half-unit shifts.
    """
    center, width = window.center, window.width
    if function == "SIGMOID":
        return np.asarray(1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -700, 700))))
    if function == "LINEAR":
        center, width = center - 0.5, width - 1
    if width == 0:  # LINEAR of width 1: a step
        return (values > center).astype(np.float64)
    return np.clip((values - center) / width + 0.5, 0, 1)


def stored_values(*, signed: bool) -> Floats:
    """(65536,): the value that each 16-bit pattern stands for."""
    patterns = np.arange(2**16, dtype=np.uint16)
    return (patterns.view(np.int16) if signed else patterns).astype(np.float64)


def is_padding(stored: Floats, padding: tuple[int, int] | None) -> NDArray[np.bool_]:
    """Which stored values are no part of the image."""
    if padding is None:
        return np.zeros(stored.shape, dtype=bool)
    return np.asarray((stored >= padding[0]) & (stored <= padding[1]))


def modality_values(stored: Floats, tone: Tone) -> Floats:
    """Stored values in the modality's units."""
    return tone.modality(stored) if tone.modality is not None else stored * tone.slope + tone.intercept


def percentile_window(values: Floats, counts: NDArray[np.int64]) -> Window:
    """The window between the ``PERCENTILES`` of a histogram; between its ends where the percentiles are the same.

    Args:
        values: In the modality's units, any order; two different ones at least.
        counts: How many pixels hold each, at least one.
    """
    order = np.argsort(values, kind="stable")
    ordered, cumulative = values[order], np.cumsum(counts[order])
    low, high = (ordered[np.searchsorted(cumulative, percent / 100 * cumulative[-1])] for percent in PERCENTILES)
    if low == high:  # nearly all pixels hold one value
        low, high = ordered[0], ordered[-1]
    return Window(float(low + high) / 2, float(high - low))


def tone_tables(tone: Tone, sample: Values) -> Tables:
    """Work out the tables of an image.

    Args:
        tone: What the file says.
        sample: (h, w) stored values, a smaller copy of the image: percentiles are taken from it.

    Raises:
        Refused: If all of the sample is padding, or holds one value only.
    """
    stored = stored_values(signed=tone.signed)
    padding = is_padding(stored, tone.padding)
    counts = np.bincount(sample.view(np.uint16).ravel(), minlength=2**16)
    held = np.flatnonzero((counts > 0) & ~padding)
    if not len(held):
        raise Refused("all pixels are padding")
    if len(held) == 1:
        raise Refused(f"every pixel holds {stored[held[0]]:g}: there is nothing on it; leave it out")
    values = modality_values(stored, tone)
    if values[held].min() == values[held].max():
        raise Refused(f"every pixel comes out as {values[held[0]]:g}: there is nothing on it; leave it out")
    percentiles = percentile_window(values[held], counts[held])
    plain = window_curve(values, percentiles, "LINEAR_EXACT")
    curve, words = plain, _percentile_words(percentiles)
    flags: tuple[str, ...] = ()
    if tone.voi is not None:
        asked, asked_words = _asked(tone, tone.voi, values)
        if _shows_nothing(asked, values, percentiles):
            flags = (f"{asked_words} shows nothing of the image: percentiles taken",)
        else:
            curve, words = asked, tone.words or asked_words
    plain_gray, gray = _to_gray(plain, tone), _to_gray(curve, tone)
    dark = not (plain_gray[padding].any() or gray[padding].any())
    return Tables(np.where(padding, 0, gray), np.where(padding, 0, plain_gray), words, dark, flags)


def _to_gray(curve: Floats, tone: Tone) -> Gray:
    return np.rint((1 - curve if tone.invert else curve) * FULL_SCALE).astype(np.uint16)


def _asked(tone: Tone, voi: Table | Window, values: Floats) -> tuple[Floats, str]:
    """The curve that the file asks for, and its description."""
    if isinstance(voi, Table):
        return np.minimum(voi(values) / (2**voi.bits - 1), 1), "LUT"
    return window_curve(values, voi, tone.function), f"WINDOW {tone.function} {voi.center:g}/{voi.width:g}"


def _percentile_words(window: Window) -> str:
    return f"PERCENTILES {window.center - window.width / 2:g}/{window.center + window.width / 2:g}"


def _shows_nothing(curve: Floats, values: Floats, percentiles: Window) -> bool:
    """Whether the darkest and the brightest of the image come out the same."""
    ends = (percentiles.center - percentiles.width / 2, percentiles.center + percentiles.width / 2)
    low, high = (curve[np.argmin(np.abs(values - end))] for end in ends)
    return bool(round(low * FULL_SCALE) == round(high * FULL_SCALE))


def look_up(values: Values, table: Gray) -> Gray:
    """The table's entry for each value.

    Args:
        values: (H, W) 16-bit, signed or not; may be a view.
        table: (65536,) by the value's 16-bit pattern.

    Returns:
        (H, W), own memory.
    """
    patterns = values.view(np.uint16)
    if INDEXED_BY_OPENCV:
        return np.asarray(cv2.LUT(np.ascontiguousarray(patterns), table), dtype=np.uint16)
    return look_up_by_rows(patterns, table)


def look_up_by_rows(patterns: NDArray[np.uint16], table: Gray, *, rows: int = 256) -> Gray:
    """The same without OpenCV's: numpy widens every index to 64 bits, so only some rows at a time."""
    result = np.empty(patterns.shape, dtype=np.uint16)
    for start in range(0, len(patterns), rows):
        result[start : start + rows] = table[patterns[start : start + rows]]
    return result
