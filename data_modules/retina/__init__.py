"""Retina: MMC-AMD."""

from data_modules.retina.datamodule import MMCAMDDataModule

__all__ = ["MMCAMDDataModule"]
