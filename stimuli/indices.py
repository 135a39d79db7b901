"""Index files: a split as a list of rows of the stored grid, in one small HDF5 dataset."""

from __future__ import annotations

import hashlib
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from samediff_stimuli.recipe import in_a_line
from samediff_stimuli.replacing import replacing
from samediff_stimuli.shards import INFLATES, LIBVER, DamagedError, open_file, own_dataset

ROW = "row"
_CHUNK = 1 << 16


def write_index(path: Path, rows: NDArray[np.int64]) -> None:
    """Write a list of rows under a temporary name, then rename it.

    Args:
        path: where the file goes; its folder exists.
        rows: (n,) rows of the stored split, n >= 1.
    """
    with replacing(path) as temporary, h5py.File(temporary, "w", libver=LIBVER) as file:
        file.create_dataset(
            ROW,
            data=rows.astype("<u4"),
            chunks=(min(len(rows), _CHUNK),),
            compression="gzip",
            shuffle=True,
            track_times=False,
        )


def read_index(path: Path, rows: int) -> NDArray[np.int64]:
    """(n,) int64 rows of the stored split.

    Args:
        path: the file.
        rows: how many it must hold.

    Raises:
        DamagedError: if it is not such a file.
    """
    try:
        with open_file(path) as file:
            data = own_dataset(file, ROW)
            if data.shape != (rows,) or data.dtype != np.uint32:
                raise ValueError(f"it holds {data.dtype} {data.shape}, not {rows} rows")
            if data.size * data.dtype.itemsize > INFLATES * path.stat().st_size:
                raise ValueError("it is cut short")
            return np.asarray(data[()], dtype=np.int64)
    except Exception as error:  # h5py raises many kinds for broken files
        if isinstance(error, MemoryError):
            raise
        raise DamagedError(f"{path} is not a readable index: {in_a_line(error)}") from error


def index_digest(rows: NDArray[np.int64]) -> str:
    """SHA-256 of the rows as little-endian uint32, hex."""
    return hashlib.sha256(rows.astype("<u4").tobytes()).hexdigest()
