"""DataLoaders as every set uses them: those of training can go on within an epoch."""

import atexit
import multiprocessing
from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader

from data_modules.dataset import SampleDataset, start_worker
from data_modules.errors import DataSettingsError
from data_modules.sampling import EvaluationSampler, TrainingSampler


@atexit.register
def _end_workers() -> None:
    """End workers that are left when a run fails: they heed no SIGTERM, with which multiprocessing would, and waits."""
    for child in multiprocessing.active_children():
        if child.daemon:
            child.kill()


class ResumableLoader(DataLoader[Any]):
    """A loader that keeps how many batches of which epoch it has given, and goes on behind them.

    Batches that workers prepare ahead do not count. What comes is a function of the sampler's seed, epoch and position,
    so that nothing else has to be kept: the rest of the epoch is not even read.

    Takes what a DataLoader takes; the sampler is a TrainingSampler.
    """

    sampler: TrainingSampler
    _epoch, _given = 0, 0
    _goes_on = False

    def state_dict(self) -> dict[str, int]:
        """Epoch, batches given in it, and what the order depends on beside them."""
        return {"epoch": self._epoch, "batches": self._given, **self.sampler.identity()}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where another loader was, if the sampler comes to that epoch.

        Raises:
            DataSettingsError: If the other one was within an epoch of another order.
        """
        self._epoch, self._given, self._goes_on = state["epoch"], state["batches"], True
        mine = self.sampler.identity()
        differ = [f"{name} is {mine[name]}, was {state.get(name)}" for name in mine if mine[name] != state.get(name)]
        if differ and 0 < self._given * state["global_batch"] < state["epoch_length"]:
            raise DataSettingsError(
                f"the checkpoint was written within an epoch, and the order of cases is another now: "
                f"{'; '.join(differ)}. Give the same, or go on from a checkpoint of an epoch's end"
            )

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # torch promises its own class; all use an iterator
        """The batches of the epoch that ``set_epoch`` named before the first one is asked for."""
        within = self._goes_on and self._epoch == self.sampler.epoch and self._given < len(self)
        if not within:
            self._epoch, self._given = self.sampler.epoch, 0
        self._goes_on = False
        self.sampler.start = self._given * self.sampler.batch_size
        for batch in super().__iter__():
            self._given += 1
            yield batch


def make_loader(
    dataset: SampleDataset,
    sampler: TrainingSampler | EvaluationSampler,
    *,
    batch_size: int,
    num_workers: int,
    pin_memory: bool,
) -> DataLoader[Any]:
    """Batches of a dataset in the order of a sampler; those of training can go on within an epoch.

    Args:
        dataset: Whose samples depend on the sampler's requests alone; it says how a batch is made of them.
        sampler: Of this process.
        batch_size: Cases per batch.
        num_workers: Processes that read, kept from epoch to epoch.
        pin_memory: Whether batches are copied to memory that a GPU reads directly.
    """
    workers = num_workers > 0
    kind: type[DataLoader[Any]] = ResumableLoader if isinstance(sampler, TrainingSampler) else DataLoader
    return kind(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        collate_fn=dataset.collate,
        num_workers=num_workers,
        # A fork of a process that has used polars or run a backward pass hangs.
        multiprocessing_context="spawn" if workers else None,
        persistent_workers=workers,
        worker_init_fn=start_worker,
        pin_memory=pin_memory,
    )
