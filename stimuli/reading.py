"""Random access to one split of a dataset folder, over all its shards."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli.engine import available_workers
from samediff_stimuli.manifest import Manifest
from samediff_stimuli.shards import ShardReader
from samediff_stimuli.table import Table, concatenate

_PER_THREAD = 8  # images; below this another thread costs more than it gives


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
        self._pool: tuple[int, ThreadPoolExecutor] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the threads and the cached table."""
        state = self.__dict__ | {"_pool": None}
        state.pop("table", None)
        return state

    def __len__(self) -> int:
        """Number of rows."""
        return int(self._stops[-1])

    @cached_property
    def table(self) -> Table:
        """All columns of all rows, without images."""
        return concatenate([reader.table for reader in self._readers])

    def checked(self, indices: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
        """Row numbers in [0, n), negative ones counted from the end.

        Raises:
            IndexError: out of range.
        """
        rows = np.asarray(indices, dtype=np.int64)
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

    def read_into(
        self, rows: NDArray[np.int64], out: NDArray[np.uint8], threads: int | None = None
    ) -> None:
        """Decode the images of some rows.

        Args:
            rows: (n,) from `checked`.
            out: (n, height, width, 3) uint8, C-contiguous.
            threads: decoders at work; as many as there are processors when None.
        """
        which, local = self._locate(rows)
        places = list(zip(which.tolist(), local.tolist(), out.reshape(len(out), -1), strict=True))
        wanted = available_workers() if threads is None else threads
        wanted = min(wanted, len(places) // _PER_THREAD)
        if wanted > 1:
            list(self._threads().map(self._decode, [places[i::wanted] for i in range(wanted)]))
        else:
            self._decode(places)

    def values(self, names: Sequence[str], rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Some columns of some rows, loading only the shards that hold them."""
        which, local = self._locate(rows)
        tables = {shard: self._readers[shard].table for shard in np.unique(which).tolist()}
        values = {}
        for name in names:
            like = self._readers[0].table[name]
            out = np.empty((len(rows), *like.shape[1:]), dtype=like.dtype)
            for shard, table in tables.items():
                mine = which == shard
                out[mine] = table[name][local[mine]]
            values[name] = out
        return values

    def _locate(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        which = np.searchsorted(self._stops, rows, side="right")
        return which, rows - self._starts[which]

    def _decode(self, places: list[tuple[int, int, NDArray[np.uint8]]]) -> None:
        for shard, row, out in places:
            self._readers[shard].read_one(row, out)

    def _threads(self) -> ThreadPoolExecutor:
        """Threads of this process; a forked child makes its own."""
        if self._pool is None or self._pool[0] != os.getpid():
            self._pool = (os.getpid(), ThreadPoolExecutor(available_workers()))
        return self._pool[1]
