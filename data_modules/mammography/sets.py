"""What `prepare`, the audit and the DataModules have to know of each mammography set."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from data_modules.mammography.samples import SampleTable


@dataclass(frozen=True, slots=True)
class MammographySet:
    """One set as it is distributed."""

    name: str
    """On the command line."""
    title: str
    tables: tuple[str, ...]
    """Official tables below the root that are read; a prepared set holds copies of them under the same names."""
    read: Callable[[Path], SampleTable]
    """From a root that holds the tables to the samples whose images are prepared, which suit all rules."""
    find: Callable[[Path, str], Path | None]
    """The file of a sample's ``image`` below the raw root, or None: official name first, then as a converted PNG."""
