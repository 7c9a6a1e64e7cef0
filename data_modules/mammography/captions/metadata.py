"""What captions need of the sample table, as integer codes: read row by row in microseconds, without polars."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data_modules.mammography.captions.words import age_word, birads_category, density_category, side_word

if TYPE_CHECKING:
    import polars as pl

COLUMNS = (
    "procedure",
    "reason",
    "race",
    "ethnicity",
    "age",
    "image_type",
    "laterality",
    "view",
    "density",
    "mass_shape",
    "mass_density",
    "calc_finding",
    "calc_distribution",
    "birads",
)
"""Columns of the sample table that enter a caption."""
REQUIRED = ("birads", "density", "procedure", "reason")
"""Without any of these an image has no caption."""

_MEANINGS: dict[str, Callable[[Any], object]] = {
    "birads": birads_category,
    "density": density_category,
    "laterality": side_word,
    "age": age_word,
}
"""Columns whose values have to mean something."""


@dataclass(frozen=True, slots=True)
class MetadataTable:
    """The columns of captions as codes into short lists of values; cheap to hand to a DataLoader's worker."""

    codes: NDArray[np.int16 | np.int32]
    """(rows, columns) positions in ``values``, C-contiguous: a row is one stretch of memory."""
    values: tuple[tuple[str | int | float | None, ...], ...]
    """Per column of ``COLUMNS`` its distinct values; ages in whole years."""

    @classmethod
    def from_frame(cls, frame: "pl.DataFrame") -> "MetadataTable":
        """Encode a sample table, and check every value that has to have a meaning.

        Args:
            frame: With the columns of ``samples.SCHEMA``.

        Raises:
            TableError: If a BI-RADS category, density, side or age is none.
        """
        columns, values = [], []
        for name in COLUMNS:
            column = frame[name].fill_nan(None).floor() if name == "age" else frame[name]
            distinct = column.unique(maintain_order=True)
            positions = np.arange(len(distinct), dtype=np.int32)
            columns.append(column.replace_strict(distinct, positions).to_numpy())
            values.append(tuple(distinct.to_list()))
        small = all(len(distinct) <= np.iinfo(np.int16).max for distinct in values)
        codes = np.stack(columns, axis=1)
        table = cls(codes.astype(np.int16) if small else codes.astype(np.int32), tuple(values))
        table._check()
        return table

    def __len__(self) -> int:
        """Rows."""
        return len(self.codes)

    def row(self, index: int) -> dict[str, str | int | float | None]:
        """One row by column, as ``Captioner.sentences`` takes it.

        Args:
            index: 0 to ``len(self) - 1``.
        """
        codes = self.codes[index].tolist()
        return {name: values[code] for name, values, code in zip(COLUMNS, self.values, codes, strict=True)}

    def _check(self) -> None:
        """Unknown codes raise here, before an epoch starts, not in a worker in the middle of it."""
        for name, values in zip(COLUMNS, self.values, strict=True):
            if name in _MEANINGS:
                for value in values:
                    if value is not None:
                        _MEANINGS[name](value)


def has_caption(frame: "pl.DataFrame") -> "pl.Series":
    """Which images have a caption: those with procedure, reason, density and BI-RADS.

    Args:
        frame: With the columns of ``REQUIRED``.

    Returns:
        Boolean, a value per row.
    """
    mask = frame[REQUIRED[0]].is_not_null()
    for name in REQUIRED[1:]:
        mask &= frame[name].is_not_null()
    return mask


def missing_for_caption(frame: "pl.DataFrame") -> dict[str, int]:
    """How many images have no caption, each counted once, by the first field of ``REQUIRED`` that is empty.

    Args:
        frame: With the columns of ``REQUIRED``.

    Returns:
        Counts above zero; their sum is the number of rows without a caption.
    """
    counts = {}
    remaining = frame
    for name in REQUIRED:
        empty = remaining[name].is_null()
        if empty.any():
            counts[f"no {name}"] = int(empty.sum())
        remaining = remaining.filter(~empty)
    return counts
