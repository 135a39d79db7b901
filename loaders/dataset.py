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
from samediff_stimuli.loaders.buffers import Buffers
from samediff_stimuli.manifest import Manifest, load
from samediff_stimuli.reading import SplitReader
from samediff_stimuli.recipe import InputError
from samediff_stimuli.table import Table

Sample = tuple[Tensor, int] | dict[str, Any]
Batch = tuple[Tensor, Tensor] | dict[str, Tensor]


class StimulusDataset(Dataset[Any]):
    """One split of a dataset folder.

    An item is `(image, label)`: image (c, height, width) uint8 in channels-last memory, label int.
    With `columns` an item is a dict of "image" and those columns (tensors: int64, float64 for
    measures).

    The dataset pickles, and may be used before and after fork, spawn or forkserver: no HDF5 handle
    is ever held.

    Args:
        path: the dataset folder.
        split: split name, e.g. "train".
        columns: names of columns to return as a dict; None for `(image, label)`.
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
        self._buffers = Buffers(task.image_shape(self.recipe))
        known = [column.name for column in task.columns(self.recipe)]
        for name in columns or ():
            if name not in known:
                raise InputError(f"unknown column {name!r}; known: {', '.join(known)}")
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
        images, values = self._read(indices)
        pictures = [image if self.transform is None else self.transform(image) for image in images]
        if self.columns is None:
            return list(zip(pictures, values[self.label].tolist(), strict=True))
        return [
            {"image": picture, **{name: values[name][row] for name in self.columns}}
            for row, picture in enumerate(pictures)
        ]

    def batch(self, indices: Sequence[int]) -> Batch:
        """Several items as one batch: the fast way, no collating.

        Args:
            indices: row numbers in any order.

        Returns:
            `(images, labels)` or a dict: images (n, c, height, width) uint8, channels last in
            memory, or the stacked outputs of `transform`; labels and columns int64, or float64
            for measures.
        """
        images, values = self._read(indices)
        if self.transform is not None:
            images = torch.stack([torch.as_tensor(self.transform(image)) for image in images])
        if self.columns is None:
            return images, values[self.label]
        return {"image": images, **values}

    def instances(self, indices: Sequence[int]) -> Tensor:
        """(n, height, width) uint8 instance maps: 0 background, j for object j - 1."""
        scenes = self.table.rows(self._reader.checked(indices))
        task = tasks.get(self.recipe.task)
        return torch.from_numpy(task.instances(self.recipe, self.split, scenes))

    def maps(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """More maps of some images, by name, where the set has any; rows on axis 0.

        Those of `photoreal`: "depth" (n, height, width) float32 in dm along the camera's axis, inf
        where nothing is near; "full_masks" (n, k, height, width) bool, each object as if alone.

        Raises:
            InputError: if the set has none.
        """
        scenes = self.table.rows(self._reader.checked(indices))
        found = tasks.get(self.recipe.task).maps(self.recipe, self.split, scenes)
        if not found:
            raise InputError(f"{self.recipe.task!r} has no maps but instance maps; leave them out")
        return {name: torch.from_numpy(values) for name, values in found.items()}

    def _read(self, indices: Sequence[int]) -> tuple[Tensor, dict[str, Tensor]]:
        """Images (n, c, height, width) uint8 and the wanted columns (n, ...), int64 or float64."""
        rows = self._reader.checked(indices)
        images = self._buffers.take(len(rows))
        self._reader.read_into(rows, images.numpy())
        names = (self.label,) if self.columns is None else self.columns
        values = self._reader.values(names, rows)
        wide = {name: v.astype(np.result_type(v, np.int64)) for name, v in values.items()}
        tensors = {name: torch.from_numpy(v) for name, v in wide.items()}
        return images.permute(0, 3, 1, 2), tensors
