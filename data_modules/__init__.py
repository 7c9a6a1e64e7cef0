"""From what is learned: data sets as Lightning DataModules. Knows nothing of medlit."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from data_modules.tabular import TableDataModule

__all__ = ["TableDataModule"]

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # otherwise importing albumentations asks the network for news


def __getattr__(name: str) -> type:
    """``TableDataModule``, imported when it is first asked for: torch and Lightning take seconds."""
    if name == "TableDataModule":
        from data_modules.tabular import TableDataModule

        return TableDataModule
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
