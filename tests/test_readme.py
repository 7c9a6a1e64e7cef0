"""The README's Python runs, and its figures say what its text says; tests/test_docs.py reads its commands and links."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_table_of_seeds_shows_what_the_text_says():
    rows = re.findall(r"^\| \d \| (.*) \|$", README, flags=re.MULTILINE)
    assert len(rows) == 5
    for row in rows:
        fused, mean, clinic, derm, swapped = map(float, row.split("|"))
        better = max(clinic, derm)
        assert fused >= 0.88
        assert fused >= better + 0.40
        assert fused >= mean + 0.20
        assert swapped <= better + 0.05


def test_python_runs(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    assert "trainable params" in capsys.readouterr().out
