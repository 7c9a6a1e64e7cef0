"""EMBED's legend: what the letters of a column mean, and the translation of cells into words."""

from collections.abc import Iterable, Mapping
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


def translations(cells: Iterable[str], *, words: Mapping[str, str]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Words of every cell that has one code or several.

    Args:
        cells: Distinct cells of a column, such as ``A`` or ``A,G``.
        words: By code.

    Returns:
        The words of each cell whose codes are all known, joined by "and"; the unknown codes of each other cell.
    """
    known: dict[str, str] = {}
    strange: dict[str, list[str]] = {}
    for cell in cells:
        codes = list(dict.fromkeys(code.strip() for code in cell.split(",") if code.strip())) or [cell]
        unknown = [code for code in codes if code not in words]
        if unknown:
            strange[cell] = unknown
        else:
            known[cell] = " and ".join(dict.fromkeys(words[code] for code in codes))
    return known, strange
