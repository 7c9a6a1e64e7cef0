"""Schedules of the papers: cycles with a decaying amplitude, a warm-up before a cosine; both outlive a checkpoint."""

import io
import math

import pytest
import torch
from lightning.pytorch.cli import ReduceLROnPlateau
from torch.optim.lr_scheduler import CyclicLR, StepLR

from medlit.errors import ConfigurationError
from medlit.tasks import PaperCyclicLR, WarmupCosineLR
from medlit.tasks.schedules import scheduler_config


def sgd() -> torch.optim.SGD:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.95)


def trace(scheduler, steps: int) -> list[tuple[float, float]]:
    """Learning rate and momentum, step by step."""
    found = []
    for _ in range(steps):
        scheduler.optimizer.step()
        scheduler.step()
        group = scheduler.optimizer.param_groups[0]
        found.append((group["lr"], group["momentum"]))
    return found


@pytest.mark.parametrize("cycle_momentum", [False, True])
@pytest.mark.parametrize("down", [None, 3])
def test_equals_cyclic_lr_with_a_scale_function(down, cycle_momentum):
    settings = {"base_lr": 1e-5, "max_lr": 1e-3, "step_size_up": 5, "step_size_down": down}
    reference = CyclicLR(sgd(), **settings, scale_fn=lambda cycle: 0.8 ** (cycle - 1), cycle_momentum=cycle_momentum)
    paper = PaperCyclicLR(sgd(), **settings, cycle_momentum=cycle_momentum)
    assert trace(paper, 40) == trace(reference, 40)


def test_peaks_shrink_by_the_decay_and_the_momentum_stays():
    steps = trace(PaperCyclicLR(sgd(), step_size_up=4, base_lr=0.0, max_lr=1.0), 16)
    assert [lr for lr, _ in steps][3::8] == pytest.approx([1.0, 0.8])
    assert {momentum for _, momentum in steps} == {0.95}


def test_goes_on_from_a_checkpoint_of_plain_types():
    unbroken = trace(PaperCyclicLR(sgd(), step_size_up=4, amplitude_decay=0.5), 30)
    first = PaperCyclicLR(sgd(), step_size_up=4, amplitude_decay=0.5)
    trace(first, 11)
    file = io.BytesIO()
    torch.save({"scheduler": first.state_dict(), "optimizer": first.optimizer.state_dict()}, file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    second = PaperCyclicLR(sgd(), step_size_up=4, amplitude_decay=0.5)
    second.optimizer.load_state_dict(state["optimizer"])
    second.load_state_dict(state["scheduler"])
    assert trace(second, 19) == unbroken[11:]


@pytest.mark.parametrize("wrong", [{"step_size_up": 0}, {"step_size_up": 4, "amplitude_decay": 1.5}])
def test_numbers_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigurationError, match=r"step_size_up|amplitude_decay"):
        PaperCyclicLR(sgd(), **wrong)


def test_a_schedule_steps_as_asked():
    assert scheduler_config(StepLR(sgd(), 1), interval="epoch")["interval"] == "epoch"
    assert scheduler_config(StepLR(sgd(), 1), interval="step")["interval"] == "step"


def test_a_plateau_has_to_say_what_it_watches():
    config = scheduler_config(ReduceLROnPlateau(sgd(), monitor="val/map"), interval="step")
    assert (config["interval"], config["monitor"]) == ("epoch", "val/map")
    with pytest.raises(ConfigurationError, match=r"lightning\.pytorch\.cli\.ReduceLROnPlateau"):
        scheduler_config(torch.optim.lr_scheduler.ReduceLROnPlateau(sgd()), interval="step")


def test_a_plateau_cannot_watch_what_comes_after_its_step():
    with pytest.raises(ConfigurationError, match=r"cannot watch train/loss, .* let it watch a figure of validation"):
        scheduler_config(ReduceLROnPlateau(sgd(), monitor="train/loss"), interval="step")


def rates(scheduler, steps: int) -> list[float]:
    """The learning rates that the steps are taken with."""
    found = []
    for _ in range(steps):
        found.append(scheduler.get_last_lr()[0])
        scheduler.optimizer.step()
        scheduler.step()
    return found


def test_warm_up_and_cosine_are_exact_at_their_ends():
    found = rates(WarmupCosineLR(sgd(), warmup_steps=4, total_steps=10, min_lr=1e-8), 14)
    assert found[0] == 1e-8
    assert found[4] == 0.1
    assert found[7] == pytest.approx((0.1 + 1e-8) / 2)
    assert found[10:] == [1e-8] * 4


def test_warm_up_rises_evenly_and_the_cosine_falls():
    found = rates(WarmupCosineLR(sgd(), warmup_steps=5, total_steps=25), 25)
    assert found[:6] == pytest.approx([0.1 * step / 5 for step in range(6)])
    assert found[5:] == pytest.approx([0.05 * (1 + math.cos(math.pi * step / 20)) for step in range(20)])


def test_without_warm_up_the_first_step_has_the_whole_learning_rate():
    assert rates(WarmupCosineLR(sgd(), warmup_steps=0, total_steps=3), 1) == [0.1]


def test_each_parameter_group_keeps_its_own_learning_rate():
    optimizer = sgd()
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.01})
    scheduler = WarmupCosineLR(optimizer, warmup_steps=2, total_steps=6)
    rates(scheduler, 2)
    assert scheduler.get_last_lr() == [0.1, 0.01]


@pytest.mark.parametrize("stop", [2, 7])
def test_warm_up_and_cosine_go_on_after_a_checkpoint(stop):
    settings = {"warmup_steps": 4, "total_steps": 10, "min_lr": 1e-3}
    whole = rates(WarmupCosineLR(sgd(), **settings), 10)
    first = WarmupCosineLR(sgd(), **settings)
    before, file = rates(first, stop), io.BytesIO()
    torch.save({"optimizer": first.optimizer.state_dict(), "scheduler": first.state_dict()}, file)
    file.seek(0)
    kept, second = torch.load(file, weights_only=True), WarmupCosineLR(sgd(), **settings)
    second.optimizer.load_state_dict(kept["optimizer"])
    second.load_state_dict(kept["scheduler"])
    assert before + rates(second, 10 - stop) == whole


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"warmup_steps": 10, "total_steps": 10}, "warmup_steps is 10 of total_steps 10"),
        ({"warmup_steps": -1, "total_steps": 10}, "warmup_steps is -1 of total_steps 10"),
        ({"warmup_steps": 0, "total_steps": 10, "min_lr": 0.2}, "min_lr is 0.2; .* learning rate, 0.1"),
        ({"warmup_steps": 0, "total_steps": 10, "min_lr": -1e-8}, "min_lr is -1e-08"),
    ],
)
def test_a_warm_up_that_cannot_be_is_refused(settings, words):
    with pytest.raises(ConfigurationError, match=words):
        WarmupCosineLR(sgd(), **settings)
