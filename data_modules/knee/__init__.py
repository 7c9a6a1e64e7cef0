"""Knee: MRNet."""

from data_modules.knee.datamodule import MRNetDataModule

__all__ = ["MRNetDataModule"]
