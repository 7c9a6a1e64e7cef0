"""What a run shows of itself."""

from medlit.report.questions import question_tables
from medlit.report.table import COLUMNS, figure_table, markdown_table, result_table

__all__ = ["COLUMNS", "figure_table", "markdown_table", "question_tables", "result_table"]
