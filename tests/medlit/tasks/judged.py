"""Cases whose scores are given, and a task that answers with them, for tests of what figures are made of."""

from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from data_modules.batch import ClassificationBatch
from data_modules.dataset import collate
from medlit.tasks import CaseResults, EvaluationTask
from medlit.tasks.results import rows_of

CANCER = ["no cancer", "cancer"]
BIRADS = [f"BI-RADS {number}" for number in range(7)]


class GivenTask(EvaluationTask):
    """Takes the images for logits; a second head sees them twice as large."""

    def rows(self, batch: ClassificationBatch) -> CaseResults:
        logits = batch["images"]["mammogram"].flatten(1)
        return rows_of(batch, {"mammogram": logits, "other": 2 * logits}, gate=None, present=None)


class GivenData(LightningDataModule):
    """Cases of a validation and a test; what the data say of judging them is set as attributes.

    Args:
        cases: By stage (val, test), rows of logits (C,), label or None, and what else a sample holds.
    """

    def __init__(self, cases: dict[str, list[dict[str, Any]]], **said: Any) -> None:
        super().__init__()
        self.cases = cases
        self.batch_size = 4
        for name, value in said.items():
            setattr(self, name, value)

    @property
    def names(self) -> list[str]:
        """Of the classes that the logits are about."""
        first = next(iter(self.cases.values()))[0]
        return BIRADS if first["images"]["mammogram"].numel() == len(BIRADS) else CANCER

    def loader(self, stage: str) -> DataLoader[Any]:
        return DataLoader(self.cases[stage], batch_size=self.batch_size, collate_fn=collate)

    def val_dataloader(self) -> DataLoader[Any]:
        return self.loader("val")

    def test_dataloader(self) -> DataLoader[Any]:
        return self.loader("test")


def case(index: int, logits: list[float], label: int | None, **more: Any) -> dict[str, Any]:
    """A sample whose image holds logits."""
    image = torch.tensor(logits, dtype=torch.float32).reshape(1, 1, 1, -1)
    sample = {"images": {"mammogram": image}, "case_id": f"c{index}", "group_id": f"g{index}", **more}
    return sample if label is None else {**sample, "label": torch.tensor(label)}


def cancers(scores: list[float], labels: list[int | None], **more: list[Any]) -> list[dict[str, Any]]:
    """Cases of two classes from their log-odds; ``more`` has a value per case."""
    return [
        case(row, [0.0, score], label, **{name: values[row] for name, values in more.items()})
        for row, (score, label) in enumerate(zip(scores, labels, strict=True))
    ]


def task(class_names: list[str]) -> GivenTask:
    return GivenTask(modalities=["mammogram"], num_classes=len(class_names), class_names=class_names)
