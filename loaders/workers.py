"""Batches decoded ahead by a torch DataLoader's processes, into memory shared once and for all.

What a DataLoader's worker returns goes through fresh shared memory, which costs several times what
decoding does: the system maps and clears its pages twice over. Here the processes get a few slots
of shared memory when they start, each for the images of a batch; a slot is used again as soon as
nothing refers to it. Only columns are returned in the ordinary way.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from samediff_stimuli.loaders import tensors
from samediff_stimuli.loaders.buffers import is_idle, shared
from samediff_stimuli.loaders.dataset import Batch, StimulusDataset
from samediff_stimuli.loaders.factors import FactorDataset

if TYPE_CHECKING:
    from samediff_stimuli.loaders.loader import ShuffledBatches

_AHEAD = 2  # batches that each process works on or has done
_HELD = 2  # batches that whoever iterates has in hand at a time, as a rule
_Job = tuple[int | None, list[int]]  # number of a slot, or None if all are in use; rows
_Done = tuple[int | None, int, "dict[str, NDArray[Any]] | Batch"]


class WorkerBatches:
    """A dataset's batches in a sampler's order, read by processes that start with the first pass.

    Images go through the slots unless the dataset transforms them, or all slots are in use. It may
    be pickled, and used in a fork: each process that iterates has slots and workers of its own. But
    a batch in hand when this process forks is safe in the fork only for as long as it is held here.

    Args:
        dataset: what is read.
        sampler: the rows of each batch.
        workers: how many processes.
        context: "fork", "spawn" or "forkserver"; the platform's when None.
        pin_memory: put batches in page-locked memory.
    """

    def __init__(
        self,
        dataset: StimulusDataset,
        sampler: ShuffledBatches,
        workers: int,
        context: str | None,
        pin_memory: bool,
    ) -> None:
        """Start nothing yet."""
        self._dataset, self._sampler, self._workers = dataset, sampler, workers
        self._context, self._pin_memory = context, pin_memory
        self._started: _Started | None = None
        self._passes = 0

    def __getstate__(self) -> dict[str, Any]:
        """Pickle nothing that was started."""
        return self.__dict__ | {"_started": None}

    def __iter__(self) -> Iterator[Batch]:
        """The batches of the sampler's next pass.

        Raises:
            RuntimeError: if a later pass has begun meanwhile.
        """
        self._passes += 1
        this, started = self._passes, self._start()
        for number, n, found in started.done:
            yield self._batch(started.slots, number, n, found)
            if this != self._passes:
                raise RuntimeError(
                    "a later pass over this loader has begun, and worker processes are in one pass "
                    "at a time; make a loader for each, or one with num_workers=0"
                )

    def _start(self) -> _Started:
        """The workers of this process, for the dataset as it is now."""
        started, dataset = self._started, self._dataset
        if started is not None and started.process != os.getpid():
            _INHERITED.append(started)  # its end would wait for processes of another
            started = None
        if started is not None and started.transform is dataset.transform:
            return started
        plain = type(dataset).batch in (StimulusDataset.batch, FactorDataset.batch)
        count = _AHEAD * self._workers + _HELD if plain and dataset.transform is None else 0
        memory = _shared((len(dataset.views), self._sampler.most, *dataset.image_shape), count)
        slots = _Slots([each.numpy() for each in memory], self._sampler)
        done: DataLoader[Any] = DataLoader(
            _Reading(dataset, memory),
            batch_size=None,
            sampler=slots,
            num_workers=self._workers,
            prefetch_factor=_AHEAD,
            multiprocessing_context=self._context,
            persistent_workers=True,
            collate_fn=_unchanged,
        )
        self._started = _Started(os.getpid(), dataset.transform, slots, done)
        return self._started

    def _batch(self, slots: _Slots, number: int | None, n: int, found: Any) -> Batch:
        batch: Batch = found
        if number is not None:
            views = zip(self._dataset.views, slots.given_back(number), strict=True)
            images = {v: torch.from_numpy(each[:n]).permute(0, 3, 1, 2) for v, each in views}
            values = {name: torch.from_numpy(each) for name, each in found.items()}
            batch = self._dataset.composed(images, values)
        return tensors.pinned(batch) if self._pin_memory else batch


class _Started(NamedTuple):
    """What a process has started."""

    process: int
    transform: Callable[[Tensor], Any] | None  # of the dataset, as the workers have it
    slots: _Slots
    done: DataLoader[Any]


_INHERITED: list[_Started] = []  # from the process that this one is a fork of


def _shared(shape: tuple[int, ...], count: int) -> list[Tensor]:
    """Shared memory for that many uint8 arrays, or for fewer if there is no more."""
    memory: list[Tensor] = []
    for _ in range(count):
        try:
            memory.append(shared(shape))
        except RuntimeError:  # e.g. the small /dev/shm of a container is full
            break
    return memory


class _Slots(Sampler[_Job]):
    """Gives each batch of a sampler a slot, when a process is about to be asked for it.

    Args:
        arrays: memory of each slot: (views, batch_size, height, width, c) uint8.
        sampler: the rows of each batch.
    """

    def __init__(self, arrays: list[NDArray[np.uint8]], sampler: ShuffledBatches) -> None:
        self._arrays, self._sampler = arrays, sampler
        self._taken: set[int] = set()  # by processes

    def __iter__(self) -> Iterator[_Job]:
        self._taken.clear()  # the DataLoader has waited for what was left of an earlier pass
        for rows in self._sampler:
            free = (n for n in range(len(self._arrays)) if n not in self._taken)
            number = next((n for n in free if is_idle(self._arrays, n)), None)
            if number is not None:
                self._taken.add(number)
            yield number, rows

    def given_back(self, number: int) -> NDArray[np.uint8]:
        """A slot that is filled; it is used again when nothing refers to it any more."""
        self._taken.discard(number)
        return self._arrays[number]


class _Reading(Dataset[_Done]):
    """In a process: reads the images of a batch into a slot, and returns the rest of it.

    Args:
        dataset: what is read.
        memory: of each slot: (views, batch_size, height, width, c) uint8, shared.
    """

    def __init__(self, dataset: StimulusDataset, memory: list[Tensor]) -> None:
        self._dataset, self._memory = dataset, memory

    def __getitem__(self, job: _Job) -> _Done:
        number, rows = job
        if number is None:
            return number, len(rows), self._dataset.batch(rows)
        views = iter(self._memory[number])
        _, values = self._dataset.read(rows, lambda n: next(views)[:n])
        return number, len(rows), {name: each.numpy() for name, each in values.items()}


def _unchanged(done: Any) -> Any:
    return done
