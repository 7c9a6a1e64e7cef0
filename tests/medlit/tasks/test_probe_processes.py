"""Two processes end where there is nothing to solve; test_worlds sees that they solve what one solves."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.data_modules.trees import make_derm7pt

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_what_cannot_be_solved_stops_both(tmp_path):
    """In processes of their own: a fork after a backward pass hangs."""
    tree = make_derm7pt(tmp_path / "tree", cases=24)
    script = [sys.executable, "-m", "tests.medlit.tasks.run_probe_processes", str(tree), str(tmp_path / "runs/a")]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1
    assert "ConfigurationError: 12 training cases of 1 class" in done.stderr
