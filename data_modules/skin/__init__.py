"""Skin: Derm7pt."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from data_modules.skin.datamodule import Derm7ptDataModule

__all__ = ["Derm7ptDataModule"]


def __getattr__(name: str) -> type:
    """``Derm7ptDataModule``, imported when it is first asked for: torch and Lightning take seconds."""
    if name == "Derm7ptDataModule":
        from data_modules.skin.datamodule import Derm7ptDataModule

        return Derm7ptDataModule
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
