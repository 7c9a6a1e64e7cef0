"""A run that fails ends, workers and all."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.data_modules.mammography.prepared_trees import pristine

SCRIPT = """
from data_modules.mammography import EMBEDDataModule

if __name__ == "__main__":
    data = EMBEDDataModule(root={root!r}, img_size=12, num_workers=1)
    data.setup("fit")
    loader = data.train_dataloader()
    for batch in loader:
        raise ValueError("a training that fails")
"""


@pytest.mark.slow
def test_a_script_that_fails_within_an_epoch_ends(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(root=str(pristine("embed"))))
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, script], cwd=root, capture_output=True, text=True, timeout=120, check=False)
    assert done.stderr.splitlines()[-1] == "ValueError: a training that fails"
    assert done.returncode == 1
