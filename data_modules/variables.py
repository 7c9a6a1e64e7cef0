"""Clinical variables: cells of a table as numbers that a model can take, by a description that no statistics enter.

Mean, deviation and categories are written down, not computed: a validation or test case, another table, a single
patient are encoded as the training cases were.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias, TypedDict

from data_modules.errors import DataSettingsError, TableError, nearest
from data_modules.table import Table


class Standard(TypedDict):
    """A number x enters as (x - mean) / std."""

    mean: float
    """Roughly the mean, in the unit of the table."""
    std: float
    """Roughly the standard deviation, above zero."""


Description: TypeAlias = dict[str, Standard | list[str]]
"""By column of the table: how a number is standardised, or the categories there are."""


class Variables:
    """Encodes columns of a table as V features.

    A number is standardised; a category becomes one feature per known value, 1 where it is that value and 0 elsewhere.
    An empty cell is unknown: NaN in all its features.

    Args:
        description: Columns in the order of their features.
        name: The set's name, for errors.

    Raises:
        DataSettingsError: If there is no column, a standard deviation is not above zero, or categories are missing or
            repeated.
    """

    def __init__(self, description: Mapping[str, Standard | Sequence[str]], *, name: str) -> None:
        if not description:
            raise DataSettingsError(f"{name}: variables are empty; describe at least one column, or leave them out")
        for column, values in description.items():
            _check(values, f"{name}: variables: {column}")
        self.description = dict(description)

    @property
    def columns(self) -> list[str]:
        """The columns that are read."""
        return list(self.description)

    @property
    def names(self) -> list[str]:
        """Of the V features: a number's column, a category's ``column=value``."""
        return [
            name
            for column, values in self.description.items()
            for name in ([column] if isinstance(values, Mapping) else [f"{column}={value}" for value in values])
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
            cells = {column: table.columns[column][row] for column in self.description}
            features = [number for column, cell in cells.items() for number in self._features(column, cell)]
            rows.append(tuple(features) if any(cell is not None for cell in cells.values()) else None)
        return rows

    def faults(self, table: Table) -> Iterator[TableError]:
        """Cells that cannot be encoded; columns that the table lacks are not looked at."""
        for column, values in self.description.items():
            for row, cell in enumerate(table.columns.get(column, ())):
                if cell is None:
                    continue
                if not isinstance(values, Mapping):
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
        for column, known in self.description.items():
            if isinstance(known, Mapping):
                number = next(values) * known["std"] + known["mean"]
                lines.append(f"{column} {'unknown' if math.isnan(number) else format(number, '.4g')}")
            else:
                hot = dict(zip(known, values, strict=False))
                lines.append(f"{column} {next((name for name in known if hot[name] == 1), 'unknown')}")
        return lines

    def _features(self, column: str, cell: str | None) -> list[float]:
        values = self.description[column]
        if isinstance(values, Mapping):
            number = math.nan if cell is None else _number(cell)
            return [math.nan if number is None else (number - values["mean"]) / values["std"]]
        return [math.nan if cell is None else float(cell == value) for value in values]


def _number(cell: str) -> float | None:
    """A finite number, else None; Python alone takes underscores for digits."""
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in cell else None


def _check(values: Standard | Sequence[str], where: str) -> None:
    if isinstance(values, Mapping):
        if not math.isfinite(values["mean"]) or not math.isfinite(values["std"]) or values["std"] <= 0:
            raise DataSettingsError(
                f"{where} has mean {values['mean']}, std {values['std']}; both are finite, std above zero"
            )
    elif not values or len(set(values)) < len(values) or not all(map(str.strip, values)):
        raise DataSettingsError(f"{where} has the categories {list(values)}; name one or more, each once")
