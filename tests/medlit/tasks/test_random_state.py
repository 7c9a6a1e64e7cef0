"""What a training step draws is a function of seed, epoch, batch and process, whatever was drawn before."""

import itertools

import pytest
import torch
from lightning.pytorch import LightningModule
from torch.utils.data import DataLoader

from medlit.tasks.random_state import reseed, step_seed
from tests.medlit.tasks.tiny import trainer


def test_no_two_steps_share_a_seed_and_each_keeps_its_own():
    places = list(itertools.product(range(3), range(4), range(5), range(3)))
    names = ("seed", "epoch", "batch", "rank")
    seeds = [step_seed(**dict(zip(names, place, strict=True))) for place in places]
    assert len(set(seeds)) == len(places)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert seeds == [step_seed(**dict(zip(names, place, strict=True))) for place in places]


class Draws(LightningModule):
    """Trains one number, and keeps what each step draws."""

    def __init__(self, *, drawn_before: int):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.drawn_before = drawn_before
        self.drawn = []

    def training_step(self, batch, batch_idx):
        torch.rand(self.drawn_before)
        reseed(self, batch_idx)
        self.drawn.append(torch.rand(2).tolist())
        return self.weight.sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def draws(folder, *, drawn_before=0):
    task = Draws(drawn_before=drawn_before)
    trainer(folder, max_epochs=2).fit(task, DataLoader(torch.zeros(3, 1)))
    return task.drawn


def test_what_was_drawn_before_a_step_does_not_matter(tmp_path):
    found = draws(tmp_path)
    assert len({tuple(pair) for pair in found}) == 6
    assert draws(tmp_path, drawn_before=7) == found


@pytest.mark.parametrize("seed", ["0", "5"])
def test_the_seed_of_the_run_counts(seed, tmp_path, monkeypatch):
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)  # Lightning leaves it behind wherever a run was seeded
    without = draws(tmp_path)  # of no seed, and of data without one: 0
    monkeypatch.setenv("PL_GLOBAL_SEED", seed)
    assert (draws(tmp_path) == without) is (seed == "0")
