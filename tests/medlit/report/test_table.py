import io

from rich.console import Console

from medlit.report import markdown_table, result_table

ROWS = {"EI": {"map": 0.76712, "auroc": 0.9, "loss": 3.0}, "clinic/auxiliary": {"map": 0.5, "accuracy": float("nan")}}


def test_terminal_table_has_a_row_per_model_and_a_column_per_metric():
    text = io.StringIO()
    Console(file=text, width=80).print(result_table(ROWS, title="test"))
    assert "0.767" in text.getvalue()
    assert "balanced" in text.getvalue()
    assert "…" not in text.getvalue()
    assert "loss" not in text.getvalue()


def test_terminal_table_keeps_its_numbers_whole_beside_long_names():
    text = io.StringIO()
    names = {name: {"map": 0.767, "accuracy": 0.125} for name in ("by breast, class_captions_with_metadata", "EI")}
    Console(file=text, width=80).print(result_table(names, title="test", cases=dict.fromkeys(names, 12345)))
    assert "…" not in text.getvalue()
    for number in ("0.767", "0.125", "12345"):
        assert text.getvalue().count(number) == 2


def test_markdown_has_a_dash_for_what_is_undefined():
    head, rule, ei, clinic = markdown_table(ROWS).splitlines()
    assert head.count("|") == rule.count("|") == ei.count("|") == clinic.count("|") == 9
    assert ei == "| EI | 0.767 | 0.900 | - | - | - | - | - |"
    assert clinic.endswith("| - |")
