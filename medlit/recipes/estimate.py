"""How many steps the stages of a recipe take at most, from their configurations and the tables of the data."""

import math
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import yaml

from data_modules.errors import DataError
from medlit.errors import ConfigurationError
from medlit.recipes.plan import Job

HEAD = "# lightning.pytorch=="
"""What a printed configuration begins with."""


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Optimizer steps of one training at most: it may be stopped early.

    Args:
        each_epoch: Steps of an epoch; None where the data could not be read.
        epochs: How many at most.
        problem: Why the data could not be read.
    """

    each_epoch: int | None
    epochs: int
    problem: str = ""

    @property
    def most(self) -> int | None:
        """The upper bound."""
        return None if self.each_epoch is None else self.each_epoch * self.epochs


def estimate(job: Job) -> Steps:
    """Steps of a training, counted by its own DataModule.

    Args:
        job: The training; its configuration is parsed as ``medlit fit`` would.

    Raises:
        ConfigurationError: If its configuration is not valid.
    """
    config = configuration(job)
    trainer = config["trainer"]
    epochs = int(trainer.get("max_epochs") or 0)
    try:
        batches = _batches(config["data"])
    except DataError as error:
        return Steps(each_epoch=None, epochs=epochs, problem=" ".join(str(error).split()))
    devices = trainer.get("devices")
    share = devices if isinstance(devices, int) and devices > 1 else 1
    accumulated = int(trainer.get("accumulate_grad_batches") or 1)
    return Steps(each_epoch=math.ceil(batches / share / accumulated), epochs=epochs)


def configuration(job: Job) -> dict[str, Any]:
    """What ``medlit fit`` makes of a training's words, every default filled in.

    Raises:
        ConfigurationError: With what it said instead.
    """
    command = [sys.executable, "-m", "medlit.cli", "fit", *job.words, "--print_config"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise ConfigurationError(f"{job.title}: {said.removeprefix('medlit: error: ')}")
    said = done.stdout
    config: dict[str, Any] = yaml.safe_load(said[max(0, said.find(HEAD)) :])  # warnings may stand before it
    return config


def _batches(data: dict[str, Any]) -> int:
    """Batches of an epoch on one device."""
    from jsonargparse import ArgumentParser
    from lightning import LightningDataModule

    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--data", type=LightningDataModule)
    module = parser.instantiate_classes(parser.parse_object({"data": data})).data
    module.setup("fit")
    return len(module.train_dataloader())
