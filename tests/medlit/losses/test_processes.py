"""One, two and three processes have one loss, one gradient and one set of running statistics: the global batch's."""

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from tests.medlit.losses.run_processes import DTYPES, SETTINGS, SHARES, make_batch, modules, step

ROOT = Path(__file__).parents[3]
PARTS = ("terms", "gradients", "buffers")
MOST = {"float32": 1e-6, "float64": 1e-12}
"""How far apart: by rounding alone."""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What each rank found, by number of processes; all worlds live in three processes, started once."""
    folder = tmp_path_factory.mktemp("processes")
    words = [sys.executable, "-m", "tests.medlit.losses.run_processes"]
    with ExitStack() as stack:
        started = [
            stack.enter_context(subprocess.Popen([*words, str(rank), str(folder)], cwd=ROOT, stderr=subprocess.PIPE))
            for rank in range(max(SHARES))
        ]
        try:
            errors = [process.communicate(timeout=300)[1].decode() for process in started]
        finally:
            for process in started:
                process.kill()
    assert [process.returncode for process in started] == [0] * max(SHARES), errors
    ranks = [torch.load(folder / f"rank_{rank}.pt", weights_only=True) for rank in range(max(SHARES))]
    return {world: [rank[world] for rank in ranks[:world]] for world in SHARES}


@pytest.fixture(scope="module")
def alone():
    """The whole batch in this process, without a group."""
    return {f"{name}, {of}": step(name, dtype) for name in SETTINGS for of, dtype in DTYPES.items()}


@pytest.mark.slow
@pytest.mark.parametrize("world", SHARES)
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_loss_gradients_and_running_statistics_are_one_processs(found, alone, world, setting, dtype):
    expected = alone[f"{setting}, {dtype}"]
    for rank in found[world]:
        ours = rank["steps"][f"{setting}, {dtype}"]
        for part in PARTS:
            assert ours[part].keys() == expected[part].keys()
            largest = max(float(value.abs().max()) for value in expected[part].values())
            assert largest > 0
            for name, value in expected[part].items():
                assert float((ours[part][name] - value).abs().max()) <= MOST[dtype] * largest, (part, name)


@pytest.mark.slow
def test_every_head_learns_in_the_comparison(alone):
    """Else equal gradients would be equal zeros; only a bias before a BatchNorm has none."""
    gradients = alone["all, float64"]["gradients"]
    still = {name for name, value in gradients.items() if value.abs().max() < 1e-12}
    assert still == {f"{side}.{place}.bias" for side in ("patches", "sentences") for place in (0, 3)}


@pytest.mark.slow
@pytest.mark.parametrize("world", SHARES)
def test_modules_gather_by_themselves(found, world):
    for rank in found[world]:
        for name, expected in modules().items():
            torch.testing.assert_close(rank["modules"][name], expected, rtol=0, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("world", SHARES)
def test_rows_are_gathered_in_the_order_of_ranks_with_the_sum_of_gradients(found, world):
    batch = make_batch("all", torch.float64)
    for rank, share in enumerate(SHARES[world]):
        ours, first = found[world][rank]["gathered"], sum(SHARES[world][:rank])
        assert ours["offset"] == (first, 7)
        for name in ("image", "same_breast", "caption_id"):
            assert torch.equal(ours[name], getattr(batch, name))
        weights = sum(range(1, world + 1)) * torch.arange(1, 8, dtype=torch.float64)
        assert torch.equal(ours["gradient"], weights[first : first + share, None].expand(share, 6))
