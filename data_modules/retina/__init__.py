"""Retina: MMC-AMD."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from data_modules.retina.datamodule import MMCAMDDataModule

__all__ = ["MMCAMDDataModule"]


def __getattr__(name: str) -> type:
    """``MMCAMDDataModule``, imported when it is first asked for: torch and Lightning take seconds."""
    if name == "MMCAMDDataModule":
        from data_modules.retina.datamodule import MMCAMDDataModule

        return MMCAMDDataModule
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
