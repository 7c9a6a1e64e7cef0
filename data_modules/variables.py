"""Clinical variables: cells of a table as numbers that a model can take, by a description that no statistics enter.

Mean, deviation and categories are written down, not computed: a validation or test case, another table, a single
patient are encoded as the training cases were.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from data_modules.errors import DataSettingsError, TableError, nearest
from data_modules.table import Table

Description: TypeAlias = dict[str, dict[str, float] | list[str | int]]
"""By column of the table: ``mean`` and ``std`` of a number, or the categories there are."""


@dataclass(frozen=True, slots=True)
class Standard:
    """A number x enters as (x - mean) / std."""

    mean: float
    """Roughly the mean, in the unit of the table."""
    std: float
    """Roughly the standard deviation, above zero."""


class Variables:
    """Encodes columns of a table as V features.

    A number is standardised; a category becomes one feature per known value, 1 where it is that value and 0 elsewhere.
    An empty cell is unknown: NaN in all its features.

    Args:
        description: Columns in the order of their features.
        name: The set's name, for errors.

    Raises:
        DataSettingsError: If there is no column, mean or std is missing, std is not above zero, or categories are
            missing or repeated.
    """

    def __init__(self, description: Mapping[str, Mapping[str, float] | Sequence[str | int]], *, name: str) -> None:
        if not description:
            raise DataSettingsError(f"{name}: variables are empty; describe at least one column, or leave them out")
        self.known: dict[str, Standard | list[str]] = {
            column: _standard(values, f"{name}: variables: {column}")
            if isinstance(values, Mapping)
            else _categories(values, f"{name}: variables: {column}")
            for column, values in description.items()
        }

    @property
    def columns(self) -> list[str]:
        """The columns that are read."""
        return list(self.known)

    @property
    def names(self) -> list[str]:
        """Of the V features: a number's column, a category's ``column=value``."""
        return [
            name
            for column, values in self.known.items()
            for name in ([column] if isinstance(values, Standard) else [f"{column}={value}" for value in values])
        ]

    def encode(self, table: Table) -> list[tuple[float, ...] | None]:
        """The V features of each row; None where all its cells are empty.

        Args:
            table: With all ``columns``.

        Raises:
            TableError: Naming the cell that is no number or no known category.
        """
        for fault in self.faults(table):
            raise fault
        rows: list[tuple[float, ...] | None] = []
        for row in range(len(table)):
            cells = {column: table.columns[column][row] for column in self.known}
            features = [number for column, cell in cells.items() for number in self._features(column, cell)]
            rows.append(tuple(features) if any(cell is not None for cell in cells.values()) else None)
        return rows

    def faults(self, table: Table) -> Iterator[TableError]:
        """Cells that cannot be encoded; columns that the table lacks are not looked at."""
        for column, values in self.known.items():
            for row, cell in enumerate(table.columns.get(column, ())):
                if cell is None:
                    continue
                if not isinstance(values, Standard):
                    if cell not in values:
                        where = table.place(row, column)
                        yield TableError(f"{where}: unknown value {cell!r}; {nearest(cell, values)}")
                elif _number(cell) is None:
                    where = table.place(row, column)
                    yield TableError(f"{where}: {cell!r} is no number; correct it, or leave it empty where unknown")

    def describe(self, features: Sequence[float]) -> list[str]:
        """The V features of a case in words, one line per column."""
        values = iter(features)
        lines = []
        for column, known in self.known.items():
            if isinstance(known, Standard):
                number = next(values) * known.std + known.mean
                lines.append(f"{column} {'unknown' if math.isnan(number) else format(number, '.4g')}")
            else:
                hot = dict(zip(known, values, strict=False))
                lines.append(f"{column} {next((name for name in known if hot[name] == 1), 'unknown')}")
        return lines

    def _features(self, column: str, cell: str | None) -> list[float]:
        values = self.known[column]
        if isinstance(values, Standard):
            number = None if cell is None else _number(cell)
            return [math.nan if number is None else (number - values.mean) / values.std]
        return [math.nan if cell is None else float(cell == value) for value in values]


def _number(cell: str) -> float | None:
    """A finite number, else None; Python alone takes underscores for digits."""
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in cell else None


def _standard(values: Mapping[str, float], where: str) -> Standard:
    if set(values) != {"mean", "std"}:
        raise DataSettingsError(f"{where} has {', '.join(values) or 'nothing'}; a number has mean and std")
    standard = Standard(**values)
    if not math.isfinite(standard.mean) or not math.isfinite(standard.std) or standard.std <= 0:
        raise DataSettingsError(
            f"{where} has mean {standard.mean}, std {standard.std}; both are finite, std above zero"
        )
    return standard


def _categories(values: Sequence[str | int], where: str) -> list[str]:
    """YAML reads the categories 0 and 1 as numbers: they stand for the text of the table."""
    names = [str(value).strip() for value in values]
    if not names or len(set(names)) < len(names) or not all(names):
        raise DataSettingsError(f"{where} has the categories {list(values)}; name one or more, each once")
    return names
