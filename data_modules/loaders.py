"""DataLoaders as every set uses them."""

from typing import Any

from torch.utils.data import DataLoader

from data_modules.dataset import SampleDataset, start_worker
from data_modules.sampling import EvaluationSampler, TrainingSampler


def make_loader(
    dataset: SampleDataset,
    sampler: TrainingSampler | EvaluationSampler,
    *,
    batch_size: int,
    num_workers: int,
    pin_memory: bool,
) -> DataLoader[Any]:
    """Batches of a dataset in the order of a sampler.

    Args:
        dataset: Whose samples depend on the sampler's requests alone; it says how a batch is made of them.
        sampler: Of this process.
        batch_size: Cases per batch.
        num_workers: Processes that read, kept from epoch to epoch.
        pin_memory: Whether batches are copied to memory that a GPU reads directly.
    """
    workers = num_workers > 0
    return DataLoader(
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
