"""Recomputed parts under DistributedDataParallel."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.medlit.models.mama.run_processes import PAIRS, Step, gradients

ROOT = Path(__file__).parents[4]
SECONDS = 240
"""After which a run counts as hanging; it takes about ten."""


@pytest.mark.slow
def test_two_processes_in_parts_have_the_gradients_of_one_in_one(tmp_path):
    script = [sys.executable, "-m", "tests.medlit.models.mama.run_processes"]
    started = [subprocess.Popen([*script, str(rank), str(tmp_path)], cwd=ROOT) for rank in range(2)]
    try:
        assert [process.wait(timeout=SECONDS) for process in started] == [0, 0]
    finally:
        for process in started:
            process.kill()
    found = torch.load(tmp_path / "gradients.pt", weights_only=True)
    expected = gradients(Step(micro_batch_size=None), range(PAIRS))
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(
            found[name], gradient, rtol=1e-8, atol=1e-10, msg=lambda text, name=name: name + text
        )
