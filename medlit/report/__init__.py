"""What a run shows of itself."""

from medlit.report.table import COLUMNS, markdown_table, result_table

__all__ = ["COLUMNS", "markdown_table", "result_table"]
