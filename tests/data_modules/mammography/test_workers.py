"""Runs with no, one and three workers give identical batches and captions, epoch by epoch."""

import pytest

from data_modules.mammography import EMBEDDataModule
from data_modules.mammography.image_text import PairSettings
from tests.data_modules.contract import same
from tests.data_modules.mammography.prepared_trees import pristine

EPOCHS = (0, 1)


def run(num_workers, settings):
    """The training batches of two epochs; the workers stay from one to the next."""
    data = EMBEDDataModule(root=pristine("embed"), img_size=12, batch_size=16, num_workers=num_workers, **settings)
    data.setup("fit")
    loader = data.train_dataloader()
    batches = []
    for epoch in EPOCHS:
        loader.sampler.set_epoch(epoch)
        batches.append(list(loader))
    return batches


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This DataLoader will create 3 worker processes:UserWarning")  # of a small machine
@pytest.mark.parametrize(
    "settings",
    [{"pretraining": PairSettings()}, {"level": "breast", "target": "density", "modality_dropout": 0.3}],
    ids=["pretraining", "classification"],
)
def test_neither_workers_nor_a_second_run_change_a_batch(settings):
    first, *others = (run(workers, settings) for workers in (0, 0, 1, 3))
    for other in others:
        assert all(same(a, b) for one, two in zip(first, other, strict=True) for a, b in zip(one, two, strict=True))
    assert not any(same(a, b) for a, b in zip(*first, strict=True))
    if "pretraining" in settings:
        captions = [caption for epoch in first for batch in epoch for caption in batch["caption"]]
        assert len(set(captions)) > len(captions) / 2


@pytest.mark.slow
def test_a_worker_evaluates_alike():
    alone, helped = (
        EMBEDDataModule(root=pristine("embed"), img_size=12, num_workers=workers, pretraining=PairSettings())
        for workers in (0, 1)
    )
    for data in (alone, helped):
        data.setup("validate")
    pairs = zip(alone.val_dataloader(), helped.val_dataloader(), strict=True)
    assert all(same(one, two) for one, two in pairs)
