"""A split of a factor set as a PyTorch dataset: images, and the level of every factor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samediff_stimuli import tasks
from samediff_stimuli.factor_options import SplitOptions
from samediff_stimuli.factor_task import GRID
from samediff_stimuli.factors import Levels, Rows
from samediff_stimuli.loaders.dataset import Sample, StimulusDataset
from samediff_stimuli.manifest import Manifest, load
from samediff_stimuli.recipe import InputError, Recipe
from samediff_stimuli.table import IMAGE

_PARTS = ("train", "test")
_DERIVED = ("grid", "levels", "_places")  # made again where they are asked for


class FactorDataset(StimulusDataset):
    """One split of a factor set.

    An item is `(image, targets)`: image (c, height, width) uint8 in channels-last memory, targets
    (n_factors,) float32 in [0, 1], each level over the largest one (Schott et al. 2021). `batch`
    gives images (m, c, height, width) and targets (m, n_factors), for positions such as those of
    `factor_samplers`; `labels` and `table` hold what they do for any dataset.

    The dataset pickles, and may be used before and after fork, spawn or forkserver, like its base.

    Args:
        path: the dataset folder.
        split: split name, e.g. "extrapolation_train"; "train" or "test" with `hold_out`.
        hold_out: a split of one's own, e.g. "scale>=4 & shape=='heart'": what is true of test and
            false of train. Images that show the same are dropped, merged or kept as the dataset's
            recipe says, so that it is the split that `generate --hold-out` makes.
        transform: applied to each image tensor.

    Attributes:
        space: the factors, in the order of the targets.
        grid: (n,) int64: the row of the grid that each item shows.
        levels: (n, n_factors) int64 levels of all items.

    Raises:
        InputError: no dataset there, one without factors, no such split, or an expression that is
            not legal, or leaves a part empty.
        DamagedError: the manifest, or later a shard, is damaged.
    """

    def __init__(
        self,
        path: Path | str,
        split: str,
        *,
        hold_out: str | None = None,
        transform: Callable[[Tensor], Any] | None = None,
        _manifest: Manifest | None = None,  # of the folder, if it has been read
    ) -> None:
        """Read the manifest, and find the rows that are held out."""
        manifest = load(Path(path)) if _manifest is None else _manifest
        recipe, task = manifest.recipe, tasks.get(manifest.recipe.task)
        space = task.space(recipe)
        if space is None:
            raise InputError(f"{path} holds {recipe.task!r}, without factors; use StimulusDataset")
        if hold_out is None:
            super().__init__(path, split, transform=transform, _manifest=manifest)
        else:
            if split not in _PARTS:
                raise InputError(f"split {split!r} is not legal with hold_out; legal: train, test")
            if not _stores_grid(task, recipe):
                raise InputError(
                    f"hold_out is not possible: {path} stores train and test by themselves, not "
                    "the whole grid; generate it without --materialize"
                )
            super().__init__(path, GRID, transform=transform, _manifest=manifest)
            self._reader.keep(_members(task, recipe, split, hold_out))
        self.space = space

    def __getstate__(self) -> dict[str, Any]:
        """Pickle nothing that follows from the rest."""
        return {name: value for name, value in self.__dict__.items() if name not in _DERIVED}

    @cached_property
    def grid(self) -> Rows:
        """See the class; made when first asked for."""
        (first, *_) = tasks.get(self.recipe.task).stored_splits(self.recipe)
        if first.name == GRID and first.rows == len(self.space):
            return self._reader.stored
        places = np.arange(len(self))  # train and test by themselves, or a grid with gaps
        return self._reader.values(("row",), places)["row"].astype(np.int64)

    @cached_property
    def levels(self) -> Levels:
        """See the class; made when first asked for."""
        return self.space.levels(self.grid)

    def batch(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Several items as one batch: the fast way, no collating.

        Args:
            indices: positions in any order.

        Returns:
            Images (m, c, height, width) uint8, or the stacked outputs of `transform`, and targets
            (m, n_factors) float32.

        Raises:
            IndexError: out of range; -1 is what `rows_of` and `traversals` give for an image that
                the split does not hold.
        """
        if len(indices) and min(indices) < 0:
            raise IndexError("position -1: the split does not hold that image; leave it out")
        images, targets = cast("tuple[Tensor, Tensor]", super().batch(indices))
        return images, targets

    def rows_of(self, grid_rows: Sequence[int] | Rows) -> NDArray[np.int64]:
        """Where this split shows some rows of the grid.

        Args:
            grid_rows: (m,) rows of the grid.

        Returns:
            (m,) int64 positions in this split, -1 for what it does not hold.

        Raises:
            InputError: a row outside the grid.
        """
        rows = np.asarray(grid_rows, dtype=np.int64)
        if rows.size and not 0 <= int(rows.min()) <= int(rows.max()) < len(self.space):
            raise InputError(f"grid_rows out of range; legal: 0 .. {len(self.space) - 1}")
        return self._places[rows]

    def __getitems__(self, indices: Sequence[int]) -> list[Sample]:
        """Several items at once; the images are views of one batch."""
        found, values = self.read(indices, self._buffers.take)
        images = found[IMAGE]
        pictures = [image if self.transform is None else self.transform(image) for image in images]
        return list(zip(pictures, values[self.label], strict=True))

    @cached_property
    def _places(self) -> NDArray[np.int64]:
        """(len(space),) int64: the position of each row of the grid, or -1."""
        places = np.full(len(self.space), -1, dtype=np.int64)
        places[self.grid] = np.arange(len(self.grid))
        return places

    def read(
        self, indices: Sequence[int], take: Callable[[int], Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """As `StimulusDataset.read`, but the values are targets (m, n_factors) float32."""
        rows = self._reader.checked(indices)
        images = take(len(rows))
        self._reader.read_into(rows, images.numpy())
        targets = self.space.normalised(self.space.levels(self.grid[rows]))
        found = {IMAGE: images.permute(0, 3, 1, 2)}
        return found, {self.label: torch.from_numpy(targets).float()}


def _stores_grid(task: tasks.Task, recipe: Recipe) -> bool:
    return task.stored_splits(recipe)[0].name == GRID


def _members(task: tasks.Task, recipe: Recipe, split: str, text: str) -> Rows:
    """(n,) int64 places in the stored grid of what a part of a split of one's own consists of."""
    assert isinstance(recipe.options, SplitOptions)  # as of every set with factors
    options = recipe.options.held_out(text)
    own = tasks.make_recipe(task.name, recipe.seed, options)  # refuses empty parts
    members = None if task.members is None else task.members(own, split)
    assert members is not None  # only label files can be missing, and these are left out
    return members
