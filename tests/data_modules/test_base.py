"""The DataModule inside Lightning's Trainer: its sampler stays, epochs differ, prediction keeps the order."""

import albumentations as A
import pytest
import torch
from jsonargparse import ArgumentParser
from lightning.pytorch import LightningModule, Trainer

from data_modules.skin import Derm7ptDataModule
from tests.data_modules.trees import make_derm7pt


class Recorder(LightningModule):
    """Notes the cases it is shown."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.epochs: dict[int, list[str]] = {}

    def training_step(self, batch, batch_idx):
        self.epochs.setdefault(self.current_epoch, []).extend(batch["case_id"])
        return self.weight * batch["images"]["derm"].mean()

    def validation_step(self, batch, batch_idx):
        pass

    def predict_step(self, batch, batch_idx):
        return batch["case_id"]

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.fixture
def data(tmp_path):
    return Derm7ptDataModule(root=make_derm7pt(tmp_path / "tree"), img_size=8, batch_size=4, seed=5)


@pytest.fixture
def trainer(tmp_path):
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return Trainer(max_epochs=2, accelerator="cpu", default_root_dir=tmp_path, limit_val_batches=0, **quiet)


def test_every_epoch_has_its_own_order_in_full_batches(data, trainer):
    recorder = Recorder()
    trainer.fit(recorder, data)
    first, second = recorder.epochs.values()
    assert first != second
    assert len(first) == len(second)
    assert len(first) % 4 == 0
    sampler = data.train_dataloader().sampler
    cases = data.splits["train"]
    for epoch, ids in recorder.epochs.items():
        sampler.set_epoch(epoch)
        assert [cases[index].case_id for index, _ in sampler] == ids


def test_prediction_takes_every_case_in_order(data, trainer):
    batches = trainer.predict(Recorder(), data)
    assert [case for batch in batches for case in batch] == [case.case_id for case in data.splits["test"]]


def test_nested_transforms_are_read_from_a_configuration():
    one_of = {
        "class_path": "albumentations.OneOf",
        "init_args": {"transforms": [{"class_path": "albumentations.HorizontalFlip", "init_args": {"p": 1.0}}], "p": 1},
    }
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Derm7ptDataModule, "data")
    settings = {"img_size": 16, "train_transform": [one_of, {"class_path": "albumentations.VerticalFlip"}]}
    parsed = parser.parse_object({"data": {"class_path": "data_modules.skin.Derm7ptDataModule", "init_args": settings}})
    data = parser.instantiate_classes(parsed).data
    steps = data._train_transform.pipeline.transforms
    assert [type(step) for step in steps] == [A.OneOf, A.VerticalFlip]
    assert isinstance(steps[0].transforms[0], A.HorizontalFlip)
