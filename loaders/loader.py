"""Batches of a dataset, in an order that depends on the seed and the epoch alone."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch.utils.data import Sampler

from samediff_stimuli import rng
from samediff_stimuli.engine import available_workers
from samediff_stimuli.loaders import tensors
from samediff_stimuli.loaders.ahead import ahead
from samediff_stimuli.loaders.dataset import Batch, StimulusDataset
from samediff_stimuli.loaders.workers import WorkerBatches
from samediff_stimuli.recipe import InputError

State = dict[str, Any]


class ShuffledBatches(Sampler[list[int]]):
    """Lists of row numbers, one list a batch.

    Each pass over the sampler is the next epoch; `set_epoch` says which comes next. The order
    follows from (seed, epoch) alone, not from the number of workers or ranks. A pass can be left
    and gone on with later: see `state_dict`.

    Args:
        n: number of rows.
        batch_size: rows in a batch, over all ranks.
        shuffle: False for the order on disk.
        seed: of the shuffle.
        drop_last: leave out a last, smaller batch.
        rank: of this process among those that share each batch.
        world: number of such processes; each takes every world-th row of each batch, so that they
            cover an epoch exactly. All have as many batches: where a last batch has fewer rows
            than there are processes, it is empty for some; `drop_last` leaves it out.

    Raises:
        InputError: if batch_size is below 1 or below world, or there is no such rank.
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
        if batch_size < world:
            raise InputError(
                f"batch_size {batch_size} leaves some of {world} ranks without a row; it is of the "
                f"batch that they share; legal: {world} or more"
            )
        self.n, self.batch_size, self.shuffle, self.seed = n, batch_size, shuffle, seed
        self.drop_last, self.rank, self.world = drop_last, rank, world
        self.epoch = self.done = 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next pass is. It begins at its first batch, unless a state was loaded
        that is of this very epoch."""
        self.epoch, self.done = epoch, self.done if epoch == self.epoch else 0

    def state_dict(self) -> State:
        """Where the next pass begins, and what the order follows from, as plain numbers."""
        return self.state_at(self.epoch, self.done)

    def state_at(self, epoch: int, done: int) -> State:
        """The state after `done` batches of an epoch; after the last, the next epoch's begin."""
        epoch, done = (epoch + 1, 0) if done >= len(self) else (epoch, done)
        return {"epoch": epoch, "done": done, **self._order()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Have the next pass begin where a state says; ranks may have become more or fewer.

        Raises:
            InputError: if the state is of other batches.
        """
        for name, value in self._order().items():
            if state.get(name) != value:
                raise InputError(
                    f"the state is of batches with {name} {state.get(name)!r}, these have "
                    f"{value!r}; make the loader as it was when the state was taken"
                )
        epoch, done = state.get("epoch"), state.get("done")
        if not all(isinstance(number, int) and number >= 0 for number in (epoch, done)):
            raise InputError(f"epoch {epoch!r} and done {done!r} of the state are no places")
        self.epoch, self.done = int(state["epoch"]), int(state["done"])

    def _order(self) -> State:
        """What the batches follow from."""
        names = "n", "batch_size", "shuffle", "seed", "drop_last"
        return {name: getattr(self, name) for name in names}

    @property
    def most(self) -> int:
        """The most rows of a batch that this rank has."""
        return -(-min(self.batch_size, self.n) // self.world)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self.n // self.batch_size if self.drop_last else -(-self.n // self.batch_size)

    def rows_of(self, epoch: int) -> Iterator[list[int]]:
        """This rank's rows of each batch of an epoch."""
        order = np.arange(self.n)
        if self.shuffle:
            key = rng.stream_key("shuffle", self.seed, epoch)
            order = rng.order(rng.blocks(key, 0, -(-self.n // 4)).reshape(-1)[: self.n])
        for batch in range(len(self)):
            rows = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            yield rows[self.rank :: self.world].tolist()

    def __iter__(self) -> Pass:
        """The batches of the next epoch, or what is left of the one that a state was of."""
        return Pass(self)


class Pass(Iterator[list[int]]):
    """The batches of one epoch in turn. It knows its place, as torchdata's loaders ask of it.

    Which epoch it is, is settled when the first batch is asked for: torch's DataLoader begins its
    first pass twice.
    """

    def __init__(self, sampler: ShuffledBatches) -> None:
        """Settle nothing yet."""
        self._sampler = sampler
        self._place: tuple[int, int] | None = None

    def __next__(self) -> list[int]:
        """The rows of the next batch."""
        if self._place is None:
            epoch, done = self._place = self._sampler.epoch, self._sampler.done
            self._rows = itertools.islice(self._sampler.rows_of(epoch), done, None)
            self._sampler.set_epoch(epoch + 1)
        rows = next(self._rows)
        self._place = self._place[0], self._place[1] + 1
        return rows

    def state_dict(self) -> State:
        """The place, as `ShuffledBatches.state_dict` gives it."""
        return self._sampler.state_at(*(self._place or (self._sampler.epoch, self._sampler.done)))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to a place; see `ShuffledBatches.load_state_dict`."""
        self._sampler.load_state_dict(state)
        self._place = None


class BatchLoader:
    """Batches of a dataset, and the place where it is in them, so that training can go on there.

    Its state is small plain data; `load_state_dict` of a fresh loader over the same dataset, with
    whatever number of workers or ranks, goes on with the very batches that would have come next:
    the protocol of torchdata's StatefulDataLoader.

    Args:
        batches: what reads them, in the sampler's order.
        sampler: the rows of each batch; `loader.sampler.set_epoch(e)` sets the epoch.
    """

    def __init__(self, batches: Iterable[Any], sampler: ShuffledBatches) -> None:
        """Start nothing yet."""
        self._batches, self.sampler = batches, sampler
        self._place: tuple[int, int] | None = None  # in the pass that was begun last

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self.sampler)

    def __iter__(self) -> Iterator[Any]:
        """The batches of the next epoch, in the sampler's order: what `dataset.batch` returns."""
        epoch, done = self._place = self.sampler.epoch, self.sampler.done
        for number, batch in enumerate(self._batches, done + 1):
            self._place = epoch, number
            yield batch
        self._place = None

    def state_dict(self) -> State:
        """After the last batch that was handed out: epoch, batches done, and what orders them."""
        if self._place is None:
            return self.sampler.state_dict()
        return self.sampler.state_at(*self._place)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Have the next pass go on where a state was taken.

        Raises:
            InputError: if the state is of other batches.
        """
        self.sampler.load_state_dict(state)
        self._place = None


class _Ahead:
    """Batches decoded ahead by threads: decoding runs outside the interpreter's lock."""

    def __init__(
        self, dataset: StimulusDataset, sampler: ShuffledBatches, threads: int, pin_memory: bool
    ) -> None:
        self.dataset, self.sampler = dataset, sampler
        self.threads, self.pin_memory = threads, pin_memory

    def __iter__(self) -> Iterator[Any]:
        return ahead(self._read, iter(self.sampler), self.threads)

    def _read(self, indices: list[int]) -> Batch:
        batch = self.dataset.batch(indices)
        return tensors.pinned(batch) if self.pin_memory else batch


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
) -> BatchLoader:
    """A loader that reads whole batches.

    With `num_workers=0` as many threads as there are processors decode ahead, from the first moment
    on. Worker processes take a moment to start, and are faster from then on: they do not contend
    for the interpreter's lock. They also pay off when `transform` is slow.

    Args:
        dataset: what to read.
        batch_size: rows in a batch, over all processes.
        shuffle: a new order each epoch, from `seed` and the epoch alone.
        seed: of the shuffle.
        drop_last: leave out a last, smaller batch.
        num_workers: worker processes; 0 for threads.
        pin_memory: put batches in page-locked memory, for copies to a GPU; without one they are
            left where they are, with a warning.
        multiprocessing_context: "fork", "spawn" or "forkserver"; the platform's when None.
        rank: of this process among those that share each batch, as in distributed training.
        world: number of such processes: each reads every world-th row of each batch, so that they
            cover an epoch exactly, no row twice. Where a last batch has fewer rows than there are
            processes, it has no rows for some, whose mean is NaN: train with `drop_last`.

    Returns:
        An iterable, with a length, of what `dataset.batch` returns; `loader.sampler.set_epoch(e)`
        sets the epoch of the next pass; `loader.state_dict()` says where it is, in the middle of
        an epoch too, and `load_state_dict` goes on from there.

    Raises:
        InputError: if batch_size is below 1 or below world, or there is no such rank.
    """
    sampler = ShuffledBatches(len(dataset), batch_size, shuffle, seed, drop_last, rank, world)
    if pin_memory and not torch.cuda.is_available():  # as a DataLoader has it
        warnings.warn("pin_memory is True, but there is no GPU; it is left out", stacklevel=2)
        pin_memory = False
    if num_workers == 0:
        return BatchLoader(_Ahead(dataset, sampler, available_workers(), pin_memory), sampler)
    context = multiprocessing_context
    batches = WorkerBatches(dataset, sampler, num_workers, context, pin_memory)
    return BatchLoader(batches, sampler)
