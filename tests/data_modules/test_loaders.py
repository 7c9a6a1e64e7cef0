"""A loader that goes on within an epoch gives what the unbroken one gives."""

import pytest
import torch

from data_modules.dataset import SampleDataset
from data_modules.errors import DataSettingsError
from data_modules.loaders import make_loader
from data_modules.sampling import TrainingSampler

GROUPS = [0] * 17 + [1] * 6


class Requests(SampleDataset):
    """Samples that are what was asked for; counts what was read."""

    cases = tuple(range(len(GROUPS)))

    def __init__(self):
        self.read = 0

    def __getitem__(self, request):
        self.read += 1
        return torch.tensor(request)

    @property
    def collate(self):
        return torch.stack


def loader_of(*, workers=0, batch_size=4, seed=1, world_size=1, rank=0, epoch=0):
    data = Requests()
    settings = {"batch_size": batch_size, "seed": seed, "groups": GROUPS, "world_size": world_size, "rank": rank}
    sampler = TrainingSampler(data, **settings)
    sampler.set_epoch(epoch)
    return make_loader(data, sampler, batch_size=batch_size, num_workers=workers, pin_memory=False)


def same(one, other):
    return len(one) == len(other) and all(map(torch.equal, one, other))


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("given", [1, 5, 8])
def test_it_goes_on_behind_what_was_given(given, workers):
    whole = list(loader_of(epoch=3))
    begun = loader_of(epoch=3, workers=workers)
    batches = iter(begun)
    first = [next(batches) for _ in range(given)]
    rest = loader_of(workers=workers)
    rest.load_state_dict(begun.state_dict())
    rest.sampler.set_epoch(3)  # as Lightning does, after it was made an iterator of
    assert same([*first, *rest], whole)


def test_what_was_given_is_not_read_again():
    begun = loader_of()
    batches = iter(begun)
    [next(batches) for _ in range(6)]
    rest = loader_of()
    rest.load_state_dict(begun.state_dict())
    assert len(list(rest)) == len(begun) - 6
    assert rest.dataset.read == 4 * (len(begun) - 6)


def test_each_process_goes_on_in_its_share():
    shares = [list(loader_of(world_size=2, rank=rank, batch_size=2)) for rank in range(2)]
    state = {"epoch": 0, "batches": 3, **loader_of(world_size=2, batch_size=2).sampler.identity()}
    for rank in range(2):
        rest = loader_of(world_size=2, rank=rank, batch_size=2)
        rest.load_state_dict(state)
        assert same(list(rest), shares[rank][3:])


def test_after_the_end_of_an_epoch_comes_the_whole_next_one():
    done = loader_of(epoch=2)
    assert len(list(done)) == len(done)
    rest = loader_of(epoch=3)
    rest.load_state_dict(done.state_dict())
    assert same(list(rest), list(loader_of(epoch=3)))


def test_looking_at_a_batch_moves_nothing():
    loader = loader_of()
    next(iter(loader))
    assert same(list(loader), list(loader_of()))
    assert same(list(loader), list(loader_of()))


@pytest.mark.parametrize(
    ("other", "named"), [({"seed": 2}, "seed is 2, was 1"), ({"batch_size": 2}, "global_batch is 2")]
)
def test_another_order_is_refused_within_an_epoch_alone(other, named):
    begun = loader_of()
    next(iter(begun))
    with pytest.raises(DataSettingsError, match=f"within an epoch, and the order .*{named}"):
        loader_of(**other).load_state_dict(begun.state_dict())
    list(begun)
    loader_of(**other).load_state_dict(begun.state_dict())
