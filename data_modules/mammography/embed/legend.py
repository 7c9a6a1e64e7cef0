"""EMBED's legend: what the letters of a column mean, and the translation of cells into words."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from data_modules.errors import DatasetNotFoundError, TableError
from data_modules.table import read_table

LEGEND = "tables/AWS_Open_Data_Clinical_Legend.csv"
HEADER, CODE, MEANING = "Header in export", "Code", "Meaning"
WORDED = {
    "massshape": "mass_shape",
    "massdens": "mass_density",
    "calcfind": "calc_finding",
    "calcdistri": "calc_distribution",
}
"""Columns that the legend is needed for, and what the sample table calls them."""
SPELLING = {
    "asymmectric": "asymmetric",
    "asymetry": "asymmetry",
    "asymmestry": "asymmetry",
    "lumph": "lymph",
    "course": "coarse",
}
"""Slips of the official legend; a text encoder knows the right words."""

Legend = Mapping[str, Mapping[str, str]]
"""Words by code by column."""


def read_legend(root: Path, *, advice: str) -> Legend:
    """Read what the codes of the findings' columns mean.

    Args:
        root: Folder of the data set.
        advice: What to do where there is no legend.

    Returns:
        For each column of ``WORDED`` the words of each code: lower case, single spaces, slips of the pen corrected.

    Raises:
        DatasetNotFoundError: If there is no legend.
        UnreadableFileError: If it cannot be read.
        TableError: If it lacks a column, or gives a code two meanings.
    """
    try:
        table = read_table(root, LEGEND, needed=(HEADER, CODE, MEANING), source="EMBED")
    except DatasetNotFoundError as error:
        raise DatasetNotFoundError(f"EMBED not found: no {LEGEND} below {root}. {advice}") from error
    words: dict[str, dict[str, str]] = {column: {} for column in WORDED}
    cells = zip(table.columns[HEADER], table.columns[CODE], table.columns[MEANING], strict=True)
    for row, (column, code, meaning) in enumerate(cells):
        if column in words and code and meaning:
            text = _words(meaning)
            if words[column].setdefault(code, text) != text:
                raise TableError(
                    f"{table.place(row)}: code {code!r} of {column} means {meaning!r} here and "
                    f"{words[column][code]!r} above; remove one of the rows"
                )
    return words


def _words(meaning: str) -> str:
    return " ".join(SPELLING.get(word, word) for word in meaning.casefold().split())


def translate(
    cells: Iterable[str], *, words: Mapping[str, str], unknown: Collection[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Words of every cell that has one code or several.

    Args:
        cells: Distinct cells of a column, such as ``A`` or ``A,G``.
        words: By code.
        unknown: Codes to pass over.

    Returns:
        By cell the words of its codes, joined by "and", where it has any to tell of; and by cell the first code that
        has no meaning, where it has one.
    """
    told: dict[str, str] = {}
    strange: dict[str, str] = {}
    for cell in cells:
        codes = [code for code in codes_of(cell) if code not in unknown]
        for code in codes:
            if code not in words:
                strange.setdefault(cell, code)
        if codes and cell not in strange:
            told[cell] = " and ".join(dict.fromkeys(words[code] for code in codes))
    return told, strange


def codes_of(cell: str) -> list[str]:
    """The codes that a cell lists, each once; the cell itself where there is nothing between its commas."""
    return list(dict.fromkeys(code.strip() for code in cell.split(",") if code.strip())) or [cell]
