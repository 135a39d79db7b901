"""An endless stream of stimuli, rendered on the fly: what `generate` would have written."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import IterableDataset, get_worker_info

from samediff_stimuli import tasks
from samediff_stimuli.loaders import tensors
from samediff_stimuli.loaders.buffers import Buffers
from samediff_stimuli.loaders.dataset import Batch, chosen_columns
from samediff_stimuli.recipe import InputError, Recipe
from samediff_stimuli.table import IMAGE


class StimulusStream(IterableDataset[Batch]):
    """Batches of a recipe's split, in order, without a dataset on disk.

    Batch b holds rows [b * batch_size, (b + 1) * batch_size), the very bytes that `generate`
    writes. The train split goes on past its size, never repeating a stimulus nor meeting one of
    another split, until every stimulus that exists has been shown (4 thousand million images at the
    paper's options; InputError then); other splits, and grids of factors, end where their rows end.

    Batches are dealt in turn to distributed ranks and, within a rank, to DataLoader workers. Use
    `DataLoader(stream, batch_size=None, num_workers=...)`, or iterate over it directly: one process
    renders faster than two hand over, unless what else it does takes its time.

    Args:
        recipe: what to make, from `make_recipe`.
        split: split name.
        batch_size: rows in a batch.
        columns: names of columns, or further images, to return as a dict; None for
            `(images, labels)`.
        rank: this process among `world_size`; taken from torch.distributed when it is initialised.
        world_size: number of processes.
        start: batch to start from.

    Raises:
        InputError: no such split or column, or a number out of range.
    """

    def __init__(
        self,
        recipe: Recipe,
        split: str = "train",
        *,
        batch_size: int = 64,
        columns: Sequence[str] | None = None,
        rank: int | None = None,
        world_size: int | None = None,
        start: int = 0,
    ) -> None:
        """Check the arguments."""
        for name, value, least in (("batch_size", batch_size, 1), ("start", start, 0)):
            if not isinstance(value, int) or value < least:
                raise InputError(f"{name} {value!r} is out of range; legal: {least} or more")
        self.task = tasks.get(recipe.task)
        rows = tasks.split_of(recipe, split).rows
        endless = split == "train" and self.task.space(recipe) is None
        self.n_batches = None if endless else -(-rows // batch_size)
        self.n_rows = None if endless else rows
        self._names, self._views = chosen_columns(recipe, columns)
        if (rank is None) != (world_size is None):
            raise InputError("give rank and world_size together, or neither")
        if rank is not None and world_size is not None and not 0 <= rank < world_size:
            raise InputError(f"rank {rank} is out of range; legal: 0 .. {world_size - 1}")
        self.recipe, self.split, self.batch_size = recipe, split, batch_size
        self.columns, self.start = columns, start
        self.rank, self.world_size = rank, world_size
        self._buffers = Buffers(self.task.image_shape(recipe))

    def __getstate__(self) -> dict[str, object]:
        """Everything but the task, which holds functions."""
        return {name: value for name, value in self.__dict__.items() if name != "task"}

    def __setstate__(self, state: dict[str, object]) -> None:
        """Look the task up again."""
        self.__dict__.update(state)
        self.task = tasks.get(self.recipe.task)

    def __iter__(self) -> Iterator[Batch]:
        """This rank's and worker's batches."""
        rank, world = self._place()
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        numbers: Iterator[int] = itertools.count(
            self.start + rank + worker * world, world * workers
        )
        if self.n_batches is not None:
            last = self.n_batches
            numbers = itertools.takewhile(lambda number: number < last, numbers)
        return map(self.batch, numbers)

    def batch(self, number: int) -> Batch:
        """Batch `number`: images (n, 3, height, width) uint8 and labels, or a dict of columns.

        Labels and columns are int64, or float64 for measures.

        Raises:
            InputError: if there is no such batch.
        """
        if number < 0 or (self.n_batches is not None and number >= self.n_batches):
            raise InputError(f"batch {number} is out of range; {self.split} has {self.n_batches}")
        first = number * self.batch_size
        stop = first + self.batch_size
        stop = stop if self.n_rows is None else min(stop, self.n_rows)
        table = self.task.design(self.recipe, self.split, first, stop)
        images = {}
        for view in self._views:
            taken = self._buffers.take(table.n_rows)
            self.task.render(self.recipe, self.split, table, out=taken.numpy(), view=view)
            images[view] = taken.permute(0, 3, 1, 2)
        values = {name: tensors.column(table[name]) for name in self._names}
        if self.columns is None:
            return images[IMAGE], values[self.task.label]
        return {**images, **values}

    def _place(self) -> tuple[int, int]:
        if self.rank is not None and self.world_size is not None:
            return self.rank, self.world_size
        distributed = torch.distributed
        if distributed.is_available() and distributed.is_initialized():
            return distributed.get_rank(), distributed.get_world_size()
        return 0, 1
