"""Knee: MRNet."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from data_modules.knee.datamodule import MRNetDataModule

__all__ = ["MRNetDataModule"]


def __getattr__(name: str) -> type:
    """``MRNetDataModule``, imported when it is first asked for: torch and Lightning take seconds."""
    if name == "MRNetDataModule":
        from data_modules.knee.datamodule import MRNetDataModule

        return MRNetDataModule
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
