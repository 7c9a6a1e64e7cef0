"""How many steps the stages of a recipe take at most, from their configurations and the tables of the data."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data_modules.errors import DataError
from medlit.code_paths import known_code_alone
from medlit.recipes.plan import Job


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Optimizer steps of one training at most: it may be stopped early.

    Args:
        each_epoch: Steps of an epoch; None where they could not be counted.
        epochs: How many at most; None: nothing bounds them.
        limit: How many steps the configuration allows; None: as many as the epochs have.
        problem: Why the steps could not be counted.
    """

    each_epoch: int | None
    epochs: int | None
    limit: int | None = None
    problem: str = ""

    @property
    def most(self) -> int | None:
        """The upper bound; None where there is none."""
        whole = None if self.each_epoch is None or self.epochs is None else self.each_epoch * self.epochs
        bounds = [bound for bound in (whole, self.limit) if bound is not None]
        return min(bounds, default=None)

    @property
    def told(self) -> str:
        """The bound, and how it comes about."""
        if self.most is None:
            return f"steps unknown, {self.problem}"
        if self.limit is not None and (self.each_epoch is None or self.epochs is None or self.most == self.limit):
            return f"{self.limit} steps"
        return f"{self.each_epoch} steps an epoch x {self.epochs} epochs = {self.most} steps"


def estimate(jobs: Sequence[Job], config: Mapping[str, Any]) -> Steps:
    """Steps of a training of a stage, counted by its own DataModule.

    Args:
        jobs: Trainings of one stage, which differ in seed and fold alone; the fold with the most steps counts.
        config: Of the first, every default filled in, see `medlit.recipes.ask.configurations`.
    """
    trainer = config["trainer"]
    epochs, limit = (_bound(trainer.get(name)) for name in ("max_epochs", "max_steps"))
    if epochs is None:
        return Steps(each_epoch=None, epochs=None, limit=limit, problem="trainer.max_epochs sets no bound")
    try:
        with known_code_alone(unless=jobs[0].allow_code):
            batches = max(_batches(config["data"], fold=fold) for fold in sorted({job.fold for job in jobs}, key=str))
    except DataError as error:
        return Steps(each_epoch=None, epochs=epochs, limit=limit, problem=" ".join(str(error).split()))
    devices = trainer.get("devices")
    share = devices if isinstance(devices, int) and devices > 1 else 1
    batches = _limited(math.ceil(batches / share), trainer.get("limit_train_batches"))
    accumulated = int(trainer.get("accumulate_grad_batches") or 1)
    return Steps(each_epoch=math.ceil(batches / accumulated), epochs=epochs, limit=limit)


def _limited(batches: int, limit: float | None) -> int:
    """Batches of an epoch under the Trainer's limit, a number or a share of them."""
    if limit is None:
        return batches
    return min(batches, limit) if isinstance(limit, int) else int(batches * limit)


def _bound(value: int | None) -> int | None:
    """A limit of the Trainer; None where it is none."""
    return None if value is None or value < 0 else int(value)


def _batches(data: dict[str, Any], *, fold: int | None) -> int:
    """Batches of an epoch on one device."""
    from jsonargparse import ArgumentParser
    from lightning import LightningDataModule

    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--data", type=LightningDataModule)
    settings = data["init_args"] if fold is None else {**data["init_args"], "fold": fold}
    module = parser.instantiate_classes(parser.parse_object({"data": {**data, "init_args": settings}})).data
    module.setup("fit")
    return len(module.train_dataloader())
