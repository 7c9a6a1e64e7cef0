"""Every notebook runs from top to bottom, and says what its text pair says."""

from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


ROW = {"density_from_mama": "| fine-tuning, MaMA |", "finetune_derm7pt": "| fused |", "missing_modalities": "| fused |"}
"""What each prints a row of."""


def test_there_are_notebooks():
    assert [path.stem for path in NOTEBOOKS] == list(ROW)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_equals_its_pair_and_holds_no_outputs(path):
    notebook, pair = nbformat.read(path, as_version=4), jupytext.read(path.with_suffix(".py"))
    cells = [(cell.cell_type, cell.source) for cell in notebook.cells]
    assert cells == [(cell.cell_type, cell.source) for cell in pair.cells]
    assert not any(cell.get("outputs") for cell in notebook.cells)


@pytest.mark.slow
@pytest.mark.timeout(300)  # the whole notebook, on a busy machine
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_from_top_to_bottom(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, resources={"metadata": {"path": tmp_path}}).execute()
    outputs = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    assert ROW[path.stem] in outputs
    assert any("image/png" in output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", []))
