"""Batches of a dataset, in an order that depends on the seed and the epoch alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset, Sampler

from samediff_stimuli import rng
from samediff_stimuli.engine import available_workers
from samediff_stimuli.loaders.ahead import ahead
from samediff_stimuli.loaders.dataset import Batch, StimulusDataset
from samediff_stimuli.recipe import InputError


class ShuffledBatches(Sampler[list[int]]):
    """Lists of row numbers, one list a batch.

    Each pass over the sampler is the next epoch; `set_epoch` says which comes next. The order
    follows from (seed, epoch) alone, not from the number of workers.

    Args:
        n: number of rows.
        batch_size: rows in a batch.
        shuffle: False for the order on disk.
        seed: of the shuffle.
        drop_last: leave out a last, smaller batch.
        rank: of this process among those that share each batch.
        world: number of such processes; each takes every world-th row of each batch.

    Raises:
        InputError: if batch_size is below 1, or there is no such rank.
    """

    def __init__(
        self,
        n: int,
        batch_size: int,
        shuffle: bool,
        seed: int,
        drop_last: bool,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        """Start at epoch 0."""
        if batch_size < 1:
            raise InputError(f"batch_size {batch_size} is out of range; legal: 1 or more")
        if not 0 <= rank < world:
            raise InputError(f"rank {rank} is out of range; legal: 0 .. {world - 1}")
        self.n, self.batch_size, self.shuffle, self.seed = n, batch_size, shuffle, seed
        self.drop_last, self.rank, self.world = drop_last, rank, world
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next pass is."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self.n // self.batch_size if self.drop_last else -(-self.n // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        """The batches of the next epoch."""
        epoch, self.epoch = self.epoch, self.epoch + 1
        order = np.arange(self.n)
        if self.shuffle:
            key = rng.stream_key("shuffle", self.seed, epoch)
            order = rng.order(rng.blocks(key, 0, -(-self.n // 4)).reshape(-1)[: self.n])
        for batch in range(len(self)):
            rows = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            yield rows[self.rank :: self.world].tolist()


class _Batches(Dataset[Batch]):
    """A dataset whose items are batches, asked for by lists of rows."""

    def __init__(self, dataset: StimulusDataset) -> None:
        self.dataset = dataset

    def __getitem__(self, indices: list[int]) -> Batch:
        return self.dataset.batch(indices)


class BatchLoader:
    """Batches decoded ahead by threads: decoding runs outside the interpreter's lock.

    Args:
        dataset: what to read.
        sampler: the rows of each batch; `loader.sampler.set_epoch(e)` sets the epoch.
        threads: batches decoded at a time.
        pin_memory: put batches in page-locked memory, for copies to a GPU.
    """

    def __init__(
        self, dataset: StimulusDataset, sampler: ShuffledBatches, threads: int, pin_memory: bool
    ) -> None:
        """Start nothing yet."""
        self.dataset, self.sampler = dataset, sampler
        self.threads, self.pin_memory = threads, pin_memory

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self.sampler)

    def __iter__(self) -> Iterator[Any]:
        """The batches of the next epoch, in the sampler's order: what `dataset.batch` returns."""
        return ahead(self._read, iter(self.sampler), self.threads)

    def _read(self, indices: list[int]) -> Batch:
        batch = self.dataset.batch(indices)
        if not self.pin_memory:
            return batch
        if isinstance(batch, dict):
            return {name: values.pin_memory() for name, values in batch.items()}
        return batch[0].pin_memory(), batch[1].pin_memory()


def make_loader(
    dataset: StimulusDataset,
    batch_size: int,
    *,
    shuffle: bool = False,
    seed: int = 0,
    drop_last: bool = False,
    num_workers: int = 0,
    pin_memory: bool = False,
    multiprocessing_context: str | None = None,
    rank: int = 0,
    world: int = 1,
) -> BatchLoader | DataLoader[Any]:
    """A loader that reads whole batches.

    With `num_workers=0` as many threads as there are processors decode ahead, which is usually
    fastest; worker processes pay off when `transform` is slow.

    Args:
        dataset: what to read.
        batch_size: rows in a batch.
        shuffle: a new order each epoch, from `seed` and the epoch alone.
        seed: of the shuffle.
        drop_last: leave out a last, smaller batch.
        num_workers: worker processes, of a torch DataLoader; 0 for threads.
        pin_memory: put batches in page-locked memory, for copies to a GPU.
        multiprocessing_context: "fork", "spawn" or "forkserver"; the platform's when None.
        rank: of this process among those that share each batch, as in distributed training.
        world: number of such processes: each reads every world-th row of each batch.

    Returns:
        An iterable, with a length, of what `dataset.batch` returns; `loader.sampler.set_epoch(e)`
        sets the epoch of the next pass.

    Raises:
        InputError: if batch_size is below 1, or there is no such rank.
    """
    sampler = ShuffledBatches(len(dataset), batch_size, shuffle, seed, drop_last, rank, world)
    if num_workers == 0:
        return BatchLoader(dataset, sampler, available_workers(), pin_memory)
    return DataLoader(
        _Batches(dataset),
        batch_size=None,
        sampler=sampler,
        num_workers=num_workers,
        pin_memory=pin_memory,
        multiprocessing_context=multiprocessing_context,
        persistent_workers=True,
    )
