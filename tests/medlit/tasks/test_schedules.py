"""The paper's schedule is CyclicLR with a decaying amplitude, and outlives a checkpoint."""

import io

import pytest
import torch
from lightning.pytorch.cli import ReduceLROnPlateau
from torch.optim.lr_scheduler import CyclicLR, StepLR

from medlit.errors import ConfigurationError
from medlit.tasks import PaperCyclicLR
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
