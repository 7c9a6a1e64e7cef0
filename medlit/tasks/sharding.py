"""Strategies that deal out a model's weights to processes: what a task does under the one it knows, and who refuses."""

from typing import Any

from lightning.pytorch import LightningModule
from lightning.pytorch.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy, Strategy

from medlit.errors import ConfigurationError
from medlit.models.mama.model import MaMAModel
from medlit.models.mama.sharding import shard

OTHERS = (FSDPStrategy, DeepSpeedStrategy)
"""Strategies that wrap a model from outside, of which this project's checkpoints know nothing."""


def refuse_sharding(task: LightningModule) -> None:
    """Refuse every strategy that deals out weights, for a task whose model fits on one device.

    Raises:
        ConfigurationError: Saying which strategy to take.
    """
    strategy = task.trainer.strategy
    if isinstance(strategy, (ModelParallelStrategy, *OTHERS)):
        raise ConfigurationError(
            f"{type(task).__name__} keeps its model whole on each device, {type(strategy).__name__} does not; "
            "set trainer.strategy to ddp"
        )


def deal_out(task: LightningModule, model: MaMAModel) -> None:
    """Shard a task's model where the strategy is Lightning's ``ModelParallelStrategy``; under others leave it whole.

    Args:
        task: Being set up by a Trainer.
        model: The task's.

    Raises:
        ConfigurationError: If the strategy is another that deals out weights, or set to what does not work.
    """
    strategy = task.trainer.strategy
    if isinstance(strategy, OTHERS):
        raise ConfigurationError(
            f"{type(task).__name__} knows no {type(strategy).__name__}; set trainer.strategy to ddp, or for a text "
            "tower too large for one device take experiments/overlays/mama_fsdp2.yaml"
        )
    if task.device_mesh is None:
        return
    _check_settings(strategy, tensor_parallel_size=task.device_mesh["tensor_parallel"].size())
    shard(model, task.device_mesh["data_parallel"])


def number_by_place(task: LightningModule, checkpoint: dict[str, Any]) -> None:
    """Number the states of the optimizers by their parameters' places among all of a task.

    ``ModelParallelStrategy`` takes the numbers for those; torch numbers the trained parameters alone, and when it loads
    heeds nothing but their order. So numbered, a checkpoint of one process goes on under either.

    Args:
        task: Whose optimizers those are; of :func:`deal_out`.
        checkpoint: As Lightning made it, with or without states of optimizers; changed in place.
    """
    if task._trainer is None or isinstance(task.trainer.strategy, ModelParallelStrategy):
        return  # there are none, or they are numbered so
    place = {id(parameter): index for index, parameter in enumerate(task.parameters())}
    states = checkpoint.get("optimizer_states", [])
    for index, (optimizer, state) in enumerate(zip(task.trainer.optimizers, states, strict=True)):
        numbers = [place[id(parameter)] for group in optimizer.param_groups for parameter in group["params"]]
        groups = [{**group, "params": [numbers[key] for key in group["params"]]} for group in state["param_groups"]]
        states[index] = {
            "state": {numbers[key]: value for key, value in state["state"].items()},
            "param_groups": groups,
        }


def _check_settings(strategy: Strategy, *, tensor_parallel_size: int) -> None:
    """Refuse settings of ``ModelParallelStrategy`` that do not work here; two of them are its defaults.

    Raises:
        ConfigurationError: Naming the first one.
    """
    if tensor_parallel_size != 1:
        raise ConfigurationError(
            f"ModelParallelStrategy: tensor_parallel_size is {tensor_parallel_size}, but each process has pairs of its "
            "own; set it to 1 and data_parallel_size to the number of processes"
        )
    if getattr(strategy, "_save_distributed_checkpoint", False):
        raise ConfigurationError(
            "ModelParallelStrategy: save_distributed_checkpoint is true, but a checkpoint is one file here; set it to "
            "false"
        )
