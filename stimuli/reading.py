"""Random access to one split of a dataset folder, over all its shards."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli import codec, tasks
from samediff_stimuli.indices import read_index
from samediff_stimuli.manifest import Manifest
from samediff_stimuli.shards import DamagedError, ShardReader
from samediff_stimuli.table import IMAGE, Column, Table


class SplitReader:
    """Rows of one split by number. Pickles; survives fork, spawn and forkserver.

    A split that is a list of rows of the stored one is read through that list.

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
        task = tasks.get(manifest.recipe.task)
        views = [view.name for view in task.views]
        self._readers = [ShardReader(folder / shard.file.path, views) for shard in shards]
        self._stops = np.cumsum([shard.rows for shard in shards])
        self._starts = self._stops - [shard.rows for shard in shards]
        self._declared = task.columns(manifest.recipe)
        self._names = tuple(column.name for column in self._declared)
        self._columns: dict[str, NDArray[Any]] = {}
        self._loaded = np.zeros((len(shards), len(self._names)), dtype=bool)
        self._places: dict[str, NDArray[np.int64]] = {}
        self._files = np.full(len(shards), -1)
        self._opened = np.zeros(len(shards), dtype=bool)
        self._index = manifest.index_of(split)
        self._index_path = folder / self._index.file.path if self._index else None
        self._members: NDArray[np.int64] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Everything but what was read."""
        fresh = {"_columns": {}, "_loaded": np.zeros_like(self._loaded), "_places": {}}
        fresh |= {"_files": np.full_like(self._files, -1), "_opened": np.zeros_like(self._opened)}
        return self.__dict__ | fresh | ({"_members": None} if self._index else {})

    def __len__(self) -> int:
        """Number of rows."""
        if self._index is not None:
            return self._index.rows
        return self._n_stored if self._members is None else len(self._members)

    @property
    def _n_stored(self) -> int:
        return int(self._stops[-1])

    @property
    def stored(self) -> NDArray[np.int64]:
        """(n,) int64: for each row of the split, the row of the stored split that it is."""
        if self._members is None and self._index is not None and self._index_path is not None:
            members = read_index(self._index_path, self._index.rows)
            if members.min() < 0 or members.max() >= self._n_stored:
                raise DamagedError(f"{self._index_path}: a row that the dataset does not have")
            self._members = members
        return np.arange(self._n_stored) if self._members is None else self._members

    def keep(self, members: NDArray[np.int64]) -> None:
        """Read the split through a list of its own rows from now on.

        Args:
            members: (n,) int64 rows of the split as it is now.
        """
        self._members = self.stored[members]
        self._index = None

    @property
    def table(self) -> Table:
        """All columns of all rows, without images."""
        for shard in np.flatnonzero(~self._loaded.all(axis=1)).tolist():
            self._load(shard, self._names)
        columns = {name: self._columns[name].view() for name in self._names}
        if self._index is not None or self._members is not None:
            columns = {name: values[self.stored] for name, values in columns.items()}
            columns["index"] = np.arange(len(self), dtype=columns["index"].dtype)
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

    def images(self, indices: Sequence[int], view: str = IMAGE) -> NDArray[np.uint8]:
        """(n, height, width, c) uint8 images of some rows, one of each row's."""
        rows = self.checked(indices)
        out = np.empty((len(rows), *self._readers[0].image_shape), dtype=np.uint8)
        self.read_into(rows, out, view)
        return out

    def read_into(self, rows: NDArray[np.int64], out: NDArray[np.uint8], view: str = IMAGE) -> None:
        """Decode the images of some rows.

        Args:
            rows: (n,) from `checked`.
            out: (n, height, width, c) uint8, C-contiguous.
            view: which image of each row.
        """
        stored, which = self._locate(rows)
        streams = self._streams(stored, which, view)
        damaged = codec.inflate_all(streams, out.reshape(len(out), math.prod(out.shape[1:])))
        if damaged is not None:
            shard, row = which[damaged], stored[damaged] - self._starts[which[damaged]]
            raise DamagedError(f"{self._readers[shard].path}: the {view} of row {row} is damaged")

    def _streams(
        self, stored: NDArray[np.int64], which: NDArray[np.int64], view: str
    ) -> list[bytes]:
        """The zlib streams of some stored rows, given the shards that they are in."""
        for shard in np.unique(which[~self._opened[which]]).tolist():
            self._open(shard)
        if not len(stored):
            return []
        places, files = self._places[view][stored], self._files[which]
        if (files >= 0).all():
            return list(map(os.pread, files.tolist(), places[:, 1].tolist(), places[:, 0].tolist()))
        return [
            os.pread(file, size, offset) if file >= 0 else self._readers[shard].stream(offset, size)
            for file, shard, (offset, size) in zip(
                files.tolist(), which.tolist(), places.tolist(), strict=True
            )
        ]

    def _open(self, shard: int) -> None:
        """Copy the places of a shard's images to where all rows' are."""
        reader, rows = self._readers[shard], self._stops[shard] - self._starts[shard]
        for view in reader.views:
            places = reader.places(view)
            if len(places) != rows:
                raise DamagedError(f"{reader.path} has {len(places)} rows, not {rows}")
            if view not in self._places:
                whole = np.zeros((self._n_stored, 2), dtype=np.int64)
                self._places.setdefault(view, whole)  # atomic: all threads fill one array
            self._places[view][self._starts[shard] : self._stops[shard]] = places
        self._files[shard] = reader.file
        self._opened[shard] = True

    def rows(self, rows: NDArray[np.int64]) -> Table:
        """All columns of some rows, from `checked`, loading only the shards that hold them."""
        return Table(self.values(self._names, rows))

    def values(self, names: Sequence[str], rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Some columns of some rows, loading only the shards that hold them."""
        stored, which = self._locate(rows)
        numbers = [self._names.index(name) for name in names]
        loaded = np.asarray(self._loaded[:, numbers].all(axis=1))
        lacking = ~loaded[which]
        for shard in np.unique(which[lacking]).tolist():
            self._load(shard, names)
        if not len(rows):
            declared = {column.name: column for column in self._declared}
            return {n: np.empty((0, *declared[n].shape), declared[n].dtype) for n in names}
        values = {name: self._columns[name][stored] for name in names}
        if "index" in values:
            values["index"] = rows.astype(values["index"].dtype)
        return values

    def _load(self, shard: int, names: Sequence[str]) -> None:
        """Copy some columns of a shard to where all rows' are."""
        for name, values in self._readers[shard].columns(names).items():
            rows = self._stops[shard] - self._starts[shard]
            column = self._declared[self._names.index(name)]
            _check_column(column, values, rows, self._readers[shard].path)
            if name not in self._columns:
                whole = np.empty((self._n_stored, *values.shape[1:]), dtype=values.dtype)
                self._columns.setdefault(name, whole)  # atomic: all threads fill one array
            self._columns[name][self._starts[shard] : self._stops[shard]] = values
            self._loaded[shard, self._names.index(name)] = True

    def _at(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The stored rows that rows of the split are."""
        direct = self._index is None and self._members is None
        return rows if direct else self.stored[rows]

    def _locate(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(n,) each: the stored rows that rows of the split are, and the shards they are in."""
        stored = self._at(rows)
        return stored, np.searchsorted(self._stops, stored, side="right")


def _check_column(column: Column, values: NDArray[Any], rows: int, path: Path) -> None:
    """Raise DamagedError unless a column of a shard is as it is declared."""
    if values.dtype != column.dtype or values.shape != (rows, *column.shape):
        raise DamagedError(
            f"{path}: column {column.name!r} is {values.dtype} {values.shape}, not "
            f"{column.dtype} {(int(rows), *column.shape)}"
        )
    if column.names and values.size and not 0 <= values.min() <= values.max() < len(column.names):
        raise DamagedError(f"{path}: column {column.name!r} has a class without a name")
