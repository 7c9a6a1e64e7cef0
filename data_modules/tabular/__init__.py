"""People's own tables: a row per case, columns with image paths."""

from data_modules.tabular.datamodule import TableDataModule

__all__ = ["TableDataModule"]
