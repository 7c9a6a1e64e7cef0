"""Skin: Derm7pt."""

from data_modules.skin.datamodule import Derm7ptDataModule

__all__ = ["Derm7ptDataModule"]
