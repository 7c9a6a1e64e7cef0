"""Small classes in the shape of a task, a model with an adapter, and a DataModule: what configurations are about."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from lightning import LightningDataModule, LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import nn

ModelFactory = Callable[[list[str], int, int], nn.Module]


class Adapter:
    def __init__(self, *, ranks: list[int], dropout: float = 0.0):
        self.ranks = ranks


class Network(nn.Module):
    def __init__(
        self, *, modalities: list[str], num_classes: int, img_size: int, width: int = 3, adapter: Adapter | None = None
    ):
        super().__init__()


class Task(LightningModule):
    def __init__(
        self,
        *,
        modalities: list[str],
        num_classes: int,
        img_size: int,
        class_names: list[str] | None = None,
        model: ModelFactory,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
        prior: dict[str, float] | None = None,
    ):
        super().__init__()


@dataclass(frozen=True)
class Group:
    pair: str = "study"
    count: int = 1


class Data(LightningDataModule):
    def __init__(
        self,
        *,
        root: str = "data",
        batch_size: int = 8,
        target: Literal["diagnosis", "diagnosis_20"] = "diagnosis",
        group: Group | None = None,
        seed: int = 0,
    ):
        super().__init__()
