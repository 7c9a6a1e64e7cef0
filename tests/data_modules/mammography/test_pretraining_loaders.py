"""Batches of pretraining: always full in training, whole batches in evaluation, the same of any number of processes."""

from types import SimpleNamespace

import pytest
import torch

from data_modules.mammography import EMBEDDataModule
from data_modules.mammography.image_text import PairSettings
from tests.data_modules.mammography.prepared_trees import pristine


def loaders(world_size, *, batch_size, pretraining=True):
    """Training and validation loaders of each process."""
    found = []
    for rank in range(world_size):
        settings = {"pretraining": PairSettings() if pretraining else None, "img_size": 8, "batch_size": batch_size}
        data = EMBEDDataModule(root=pristine("embed"), **settings)
        strategy = SimpleNamespace(root_device=torch.device("cpu"))
        data.trainer = SimpleNamespace(world_size=world_size, global_rank=rank, strategy=strategy)
        data.setup("fit")
        found.append((data.train_dataloader(), data.val_dataloader()))
    return zip(*found, strict=True)


def cases(loader):
    """Case ids by batch, without reading an image."""
    ids, requests = loader.dataset.cases.ids, [index for index, _ in loader.sampler]
    size = loader.batch_size
    return [tuple(ids[index] for index in requests[at : at + size]) for at in range(0, len(requests), size)]


@pytest.mark.parametrize("world_size", [2])
def test_processes_train_on_the_global_batches_of_one_and_all_are_full(world_size):
    [[alone], _] = loaders(1, batch_size=4 * world_size)
    shares, _ = loaders(world_size, batch_size=4)
    together = [sum(batches, ()) for batches in zip(*map(cases, shares), strict=True)]
    assert together == cases(alone)
    assert {len(batch) for share in shares for batch in cases(share)} == {4}


@pytest.mark.parametrize("world_size", [3])
def test_processes_evaluate_whole_batches_of_one(world_size):
    [_, [alone]] = loaders(1, batch_size=5)
    _, shares = loaders(world_size, batch_size=5)
    dealt = [batch for turn in zip(*map(cases, shares), strict=True) for batch in turn]
    assert dealt[: len(cases(alone))] == cases(alone)
    assert set(dealt) == set(cases(alone))
    batch = next(iter(shares[1]))
    assert tuple(batch["case_id"]) == cases(alone)[1]


def test_classification_still_deals_out_single_cases():
    _, shares = loaders(2, batch_size=4, pretraining=False)
    ids = shares[0].dataset.cases.ids
    assert [case for batch in cases(shares[1]) for case in batch][:3] == [ids[1], ids[3], ids[5]]
