"""A split of a dataset folder as a map-style PyTorch dataset, read from its HDF5 shards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from samediff_stimuli import tasks
from samediff_stimuli.loaders import tensors
from samediff_stimuli.loaders.buffers import Buffers
from samediff_stimuli.manifest import Manifest, load
from samediff_stimuli.reading import SplitReader
from samediff_stimuli.recipe import InputError, Recipe
from samediff_stimuli.table import IMAGE, Table

Sample = tuple[Tensor, int] | dict[str, Any]
Batch = tuple[Tensor, Tensor] | dict[str, Tensor]


class StimulusDataset(Dataset[Any]):
    """One split of a dataset folder.

    An item is `(image, label)`: image (c, height, width) uint8 in channels-last memory, label int.
    With `columns` an item is a dict of "image" and those columns (tensors: int64, float64 for
    measures). Where a row has further images, their names are columns too: e.g. "counterfactual",
    an image like "image".

    The dataset pickles, and may be used before and after fork, spawn or forkserver: no HDF5 handle
    is ever held.

    Args:
        path: the dataset folder.
        split: split name, e.g. "train".
        columns: names of columns, or further images, to return as a dict; None for
            `(image, label)`.
        transform: applied to each image tensor.

    Raises:
        InputError: no dataset there, no such split, or no such column.
        DamagedError: the manifest, or later a shard, is damaged.
    """

    def __init__(
        self,
        path: Path | str,
        split: str,
        *,
        columns: Sequence[str] | None = None,
        transform: Callable[[Tensor], Any] | None = None,
        _manifest: Manifest | None = None,  # of the folder, if it has been read
    ) -> None:
        """Read the manifest."""
        self.path = Path(path)
        self.split = split
        self.manifest = load(self.path) if _manifest is None else _manifest
        self.recipe = self.manifest.recipe
        self.transform = transform
        self._reader = SplitReader(self.path, self.manifest, split)
        task = tasks.get(self.recipe.task)
        self.label = task.label
        self.image_shape = task.image_shape(self.recipe)
        self._buffers = Buffers(self.image_shape)
        self._names, self.views = chosen_columns(self.recipe, columns)
        self.columns = None if columns is None else tuple(columns)

    def __len__(self) -> int:
        """Number of stimuli."""
        return len(self._reader)

    @property
    def table(self) -> Table:
        """All columns of all rows, without images; loaded once."""
        return self._reader.table

    @property
    def labels(self) -> Tensor:
        """(n,) int64 labels."""
        return torch.from_numpy(self.table[self.label].astype(np.int64))

    def __getitem__(self, index: int) -> Sample:
        """One item; negative indices count from the end.

        Raises:
            IndexError: out of range.
        """
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Sample]:
        """Several items at once; the images are views of one batch."""
        images, values = self.read(indices, self._buffers.take)
        pictures = {
            view: [each if self.transform is None else self.transform(each) for each in batch]
            for view, batch in images.items()
        }
        if self.columns is None:
            return list(zip(pictures[IMAGE], values[self.label].tolist(), strict=True))
        whole: dict[str, Any] = {**pictures, **values}
        return [{name: each[row] for name, each in whole.items()} for row in range(len(indices))]

    def batch(self, indices: Sequence[int]) -> Batch:
        """Several items as one batch: the fast way, no collating.

        Args:
            indices: row numbers in any order.

        Returns:
            `(images, labels)` or a dict: images (n, c, height, width) uint8, channels last in
            memory, or the stacked outputs of `transform`; labels and columns int64, or float64
            for measures.
        """
        images, values = self.read(indices, self._buffers.take)
        if self.transform is not None:
            for view, batch in images.items():
                images[view] = tensors.transformed(batch, self.transform)
        return self.composed(images, values)

    def composed(self, images: dict[str, Tensor], values: dict[str, Tensor]) -> Batch:
        """What `batch` returns, of the parts that `read` gives."""
        if self.columns is None:
            return images[IMAGE], values[self.label]
        return {**images, **values}

    def instances(self, indices: Sequence[int], view: str = IMAGE) -> Tensor:
        """(n, height, width) uint8 instance maps: 0 background, j for object j - 1.

        Args:
            indices: row numbers in any order.
            view: which image of each row, where rows have several.
        """
        scenes = self._reader.rows(self._reader.checked(indices))
        instances = tasks.get(self.recipe.task).view(view).instances
        return torch.from_numpy(instances(self.recipe, self.split, scenes))

    def maps(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """More maps of some images, by name, where the set has any; rows on axis 0.

        Those of `photoreal`: "depth" (n, height, width) float32 in dm along the camera's axis, inf
        where nothing is near; "full_masks" (n, k, height, width) bool, each object as if alone.

        Raises:
            InputError: if the set has none.
        """
        scenes = self._reader.rows(self._reader.checked(indices))
        found = tasks.get(self.recipe.task).maps(self.recipe, self.split, scenes)
        if not found:
            raise InputError(f"{self.recipe.task!r} has no maps but instance maps; leave them out")
        return {name: torch.from_numpy(values) for name, values in found.items()}

    def read(
        self, indices: Sequence[int], take: Callable[[int], Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The parts of a batch, for what puts them together itself; see `composed`.

        Args:
            indices: n row numbers in any order.
            take: asked for memory for n images, (n, height, width, c) uint8, once for each view.

        Returns:
            Images (n, c, height, width) uint8 by view; the wanted columns (n, ...), int64 or
            float64.
        """
        rows = self._reader.checked(indices)
        images = {}
        for view in self.views:
            taken = take(len(rows))
            self._reader.read_into(rows, taken.numpy(), view)
            images[view] = taken.permute(0, 3, 1, 2)
        values = self._reader.values(self._names, rows)
        return images, {name: tensors.column(each) for name, each in values.items()}


def chosen_columns(
    recipe: Recipe, columns: Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns proper, and the images of a row, that a choice of columns means.

    Args:
        recipe: of the dataset.
        columns: names of columns and of further images; None for the label.

    Returns:
        Names of columns; names of images, the first of a row always among them.

    Raises:
        InputError: if there is no such column.
    """
    task = tasks.get(recipe.task)
    known = [column.name for column in task.columns(recipe)]
    views = [view.name for view in task.views]
    for name in columns or ():
        if name not in known and name not in views:
            more = [view.name for view in task.more_views]
            raise InputError(f"unknown column {name!r}; known: {', '.join(known + more)}")
    wanted = (task.label,) if columns is None else columns
    names = tuple(name for name in wanted if name in known)
    return names, tuple(view for view in views if view == IMAGE or view in wanted)
