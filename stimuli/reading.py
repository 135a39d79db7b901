"""Random access to one split of a dataset folder, over all its shards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli.manifest import Manifest
from samediff_stimuli.shards import ShardReader
from samediff_stimuli.table import Table


class SplitReader:
    """Rows of one split by number. Pickles; survives fork, spawn and forkserver.

    Args:
        folder: the dataset folder.
        manifest: its manifest.
        split: split name.

    Raises:
        InputError: if there is no such split.
        DamagedError: from every method, if a shard is not readable.
    """

    def __init__(self, folder: Path, manifest: Manifest, split: str) -> None:
        """Open nothing yet."""
        shards = manifest.of_split(split)
        self._readers = [ShardReader(folder / shard.file.path) for shard in shards]
        self._stops = np.cumsum([shard.rows for shard in shards])
        self._starts = self._stops - [shard.rows for shard in shards]
        self._columns: dict[str, NDArray[Any]] = {}
        self._loaded = np.zeros(len(shards), dtype=bool)

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the columns."""
        return self.__dict__ | {"_columns": {}, "_loaded": np.zeros_like(self._loaded)}

    def __len__(self) -> int:
        """Number of rows."""
        return int(self._stops[-1])

    @property
    def table(self) -> Table:
        """All columns of all rows, without images."""
        for shard in np.flatnonzero(~self._loaded).tolist():
            self._load(shard)
        columns = {name: values.view() for name, values in self._columns.items()}
        for values in columns.values():
            values.flags.writeable = False
        return Table(columns)

    def checked(self, indices: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
        """Row numbers in [0, n), negative ones counted from the end.

        Raises:
            IndexError: out of range, or not integers.
        """
        given = np.asarray(indices)
        if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
            raise IndexError(f"rows must be a list of integers, not {given.dtype} {given.shape}")
        if given.dtype == np.uint64 and given.size and int(given.max()) > np.iinfo(np.int64).max:
            raise IndexError(f"index out of range; the split has rows 0 .. {len(self) - 1}")
        rows = given.astype(np.int64)
        rows = np.where(rows < 0, rows + len(self), rows)
        if rows.size and (rows.min() < 0 or rows.max() >= len(self)):
            raise IndexError(f"index out of range; the split has rows 0 .. {len(self) - 1}")
        return rows

    def images(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """(n, height, width, 3) uint8 images of some rows."""
        rows = self.checked(indices)
        out = np.empty((len(rows), *self._readers[0].image_shape), dtype=np.uint8)
        self.read_into(rows, out)
        return out

    def read_into(self, rows: NDArray[np.int64], out: NDArray[np.uint8]) -> None:
        """Decode the images of some rows.

        Args:
            rows: (n,) from `checked`.
            out: (n, height, width, 3) uint8, C-contiguous.
        """
        which, local = self._locate(rows)
        flat = out.reshape(len(out), int(np.prod(out.shape[1:])))
        for shard, row, target in zip(which.tolist(), local.tolist(), flat, strict=True):
            self._readers[shard].read_one(row, target)

    def values(self, names: Sequence[str], rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Some columns of some rows, loading only the shards that hold them."""
        which, _ = self._locate(rows)
        if not self._loaded[which].all():
            for shard in np.unique(which[~self._loaded[which]]).tolist():
                self._load(shard)
        return {name: self._columns[name][rows] for name in names}

    def _load(self, shard: int) -> None:
        """Copy a shard's columns to where all rows' are."""
        table = self._readers[shard].table
        for name, values in table.items():
            if name not in self._columns:
                whole = np.empty((len(self), *values.shape[1:]), dtype=values.dtype)
                self._columns.setdefault(name, whole)  # atomic: all threads fill one array
            self._columns[name][self._starts[shard] : self._stops[shard]] = values
        self._loaded[shard] = True

    def _locate(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        which = np.searchsorted(self._stops, rows, side="right")
        return which, rows - self._starts[which]
