"""Batches decoded ahead by a torch DataLoader's processes, into memory shared once and for all.

What a DataLoader's worker returns goes through fresh shared memory, which costs several times what
decoding does: the system maps and clears its pages twice over. Here the processes get a few slots
of shared memory when they start, each for the images of a batch; a slot is used again as soon as
nothing refers to it. Only columns are returned in the ordinary way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from samediff_stimuli.loaders import tensors
from samediff_stimuli.loaders.buffers import is_idle

if TYPE_CHECKING:
    from samediff_stimuli.loaders.dataset import Batch, StimulusDataset

_AHEAD = 2  # batches that each process works on or has done
_HELD = 2  # batches that whoever iterates has in hand at a time, as a rule
_Job = tuple[int | None, list[int]]  # number of a slot, or None if all are in use; rows
_Done = tuple[int | None, int, "dict[str, NDArray[Any]] | Batch"]


class SharedBatches:
    """A dataset's batches in a sampler's order, read by processes that start with the first pass.

    Args:
        dataset: what is read; it has no transform.
        sampler: the rows of each batch.
        batch_size: the most rows in a batch.
        workers: how many processes.
        context: "fork", "spawn" or "forkserver"; the platform's when None.
        pin_memory: put batches in page-locked memory.
    """

    def __init__(
        self,
        dataset: StimulusDataset,
        sampler: Sampler[list[int]],
        batch_size: int,
        workers: int,
        context: str | None,
        pin_memory: bool,
    ) -> None:
        """Start nothing yet."""
        shape = len(dataset.views), batch_size, *dataset.image_shape
        count = _AHEAD * workers + _HELD
        memory = [torch.empty(shape, dtype=torch.uint8) for _ in range(count)]
        for each in memory:
            each.share_memory_()  # type: ignore[no-untyped-call]  # torch has no types for it
        self._dataset, self._pin_memory = dataset, pin_memory
        self._slots = _Slots([each.numpy() for each in memory], sampler)
        self._done: DataLoader[Any] = DataLoader(
            _Reading(dataset, memory),
            batch_size=None,
            sampler=self._slots,
            num_workers=workers,
            prefetch_factor=_AHEAD,
            multiprocessing_context=context,
            persistent_workers=True,
            collate_fn=_unchanged,
        )

    def __iter__(self) -> Iterator[Batch]:
        """The batches of the sampler's next pass."""
        for number, n, found in self._done:
            batch = found if number is None else self._batch(number, n, found)
            yield tensors.pinned(batch) if self._pin_memory else batch

    def _batch(self, number: int, n: int, found: dict[str, NDArray[Any]]) -> Batch:
        images = {
            view: torch.from_numpy(each[:n]).permute(0, 3, 1, 2)
            for view, each in zip(self._dataset.views, self._slots.given_back(number), strict=True)
        }
        values = {name: torch.from_numpy(each) for name, each in found.items()}
        return self._dataset.composed(images, values)


class _Slots(Sampler[_Job]):
    """Gives each batch of a sampler a slot, when a process is about to be asked for it.

    Args:
        arrays: memory of each slot: (views, batch_size, height, width, c) uint8.
        sampler: the rows of each batch.
    """

    def __init__(self, arrays: list[NDArray[np.uint8]], sampler: Sampler[list[int]]) -> None:
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
