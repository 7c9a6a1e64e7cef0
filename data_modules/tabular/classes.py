"""Cells of a user's table as class ids."""

import re
from collections.abc import Mapping, Sequence

from data_modules.errors import DataSettingsError, TableError, nearest
from data_modules.table import Table

ZERO_ONE = {"0": 0, "0.0": 0, "1": 1, "1.0": 1}


class ClassColumn:
    """One column, a class in each cell: its name, or its id where no class is called like a number.

    Args:
        column: The column.
        class_names: Classes in the order of their ids.
        class_map: Class names by what the table says instead of them.

    Raises:
        DataSettingsError: If the map names no class.
    """

    def __init__(self, column: str, *, class_names: Sequence[str], class_map: Mapping[str, str]) -> None:
        self.columns = [column]
        self.class_names = list(class_names)
        self.class_map = {str(name): target for name, target in class_map.items()}  # YAML reads 0 as a number
        self.ids = not any(re.fullmatch(r"[0-9]+", name) for name in class_names)
        for name, target in class_map.items():
            if target not in self.class_names:
                raise DataSettingsError(
                    f"class_map: {name!r} becomes {target!r}, which is no class; {nearest(target, self.class_names)}"
                )

    def label(self, table: Table, row: int) -> int | None:
        """The class of a row, None where the cell is empty.

        Raises:
            TableError: If the cell names no class.
        """
        cell = table.columns[self.columns[0]][row]
        if cell is None:
            return None
        name = self.class_map.get(cell, cell)
        if name in self.class_names:
            return self.class_names.index(name)
        if self.ids and re.fullmatch(r"[0-9]{1,9}(\.0)?", name) and int(float(name)) < len(self.class_names):
            return int(float(name))
        where = table.place(row, self.columns[0])
        raise TableError(
            f"{where}: unknown class {cell!r}; {nearest(name, self.class_names)}; or say in class_map which class it is"
        )


class LabelColumns:
    """A column per label, 0 or 1 in each cell.

    Args:
        columns: In the order of the labels.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = list(columns)

    def label(self, table: Table, row: int) -> tuple[int, ...] | None:
        """Zeros and ones of a row, None where all its cells are empty.

        Raises:
            TableError: If a cell is neither 0 nor 1, or some are empty.
        """
        cells = {column: table.columns[column][row] for column in self.columns}
        if all(cell is None for cell in cells.values()):
            return None
        for column, cell in cells.items():
            if cell not in ZERO_ONE:
                found = "empty, where other labels of the row are not" if cell is None else repr(cell)
                raise TableError(f"{table.place(row, column)}: {found}; write 0 or 1")
        return tuple(ZERO_ONE[cell] for cell in cells.values() if cell is not None)
