"""Arrays of .npz and HDF5 files that somebody brought: labels at once, images row by row.

Nothing here unpickles, and no more than a slice of the images is ever in memory.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli.factors import Rows
from samediff_stimuli.factors.containers import (
    READERS,
    NpzArray,
    Reader,
    UnreadableError,
    kind_of,
    readable,
)
from samediff_stimuli.image_files import MAX_SIDE
from samediff_stimuli.recipe import InputError


@dataclass(frozen=True, kw_only=True)
class ArrayImages:
    """Images that are an array of a file, in an order of their own. Pickles.

    Attributes:
        path: the file, absolute.
        key: of the images in it.
        shape: (height, width, channels) of an image.
        state: size and time of change of the file when it was looked at.
        order: (n,) int64: the row of the array that each image is; None if they are in order.
        unpacked: a file of the images' bytes and nothing else, in the order of the array, that is
            read in place of `path`; None if there is no such file.
        unpacked_state: as `state`, of that file.
    """

    path: Path
    key: str
    shape: tuple[int, int, int]
    state: tuple[int, int]
    order: Rows | None = field(default=None, repr=False)
    unpacked: Path | None = None
    unpacked_state: tuple[int, int] | None = None

    def images(self, places: Rows) -> Iterator[NDArray[np.uint8]]:
        """The images at (n,) places, in any order; fast if the rows of the array increase.

        Yields:
            (height, width, channels) uint8, good until the next is asked for.

        Raises:
            InputError: if the file is gone, broken, or not as it was when it was looked at.
        """
        rows = places if self.order is None else self.order[places]
        try:
            with readable(self.path):
                self._check()
                yield from self._images(rows)
                self._check()
        except Exception:
            close()  # a stream that failed is not used again
            raise

    def _images(self, rows: Rows) -> Iterator[NDArray[np.uint8]]:
        path, raw = self.unpacked or self.path, None if self.unpacked is None else self.shape
        reader = _opened(path, state_of(path), os.getpid(), self.key, raw)
        for run in np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1) if len(rows) else ():
            row, stop = int(run[0]), int(run[-1]) + 1
            while row < stop:
                for image in reader.read(row, stop - row):
                    yield image.reshape(self.shape)
                    row += 1

    def _check(self) -> None:
        for path, state in ((self.path, self.state), (self.unpacked, self.unpacked_state)):
            if path is not None and state_of(path) != state:
                raise InputError(f"{path} changed while it was imported; import it again")


class _Unpacked:
    """Images whose bytes are a file's."""

    def __init__(self, path: Path, shape: tuple[int, int, int]) -> None:
        self._data = np.memmap(path, dtype=np.uint8, mode="r").reshape(-1, *shape)
        self.shape: tuple[int, ...] = self._data.shape
        self.dtype: np.dtype[Any] = self._data.dtype

    def read(self, row: int, count: int) -> NDArray[np.uint8]:
        return np.asarray(self._data[row : row + count])


@lru_cache(maxsize=2)
def _opened(
    path: Path, state: tuple[int, int], pid: int, key: str, shape: tuple[int, int, int] | None
) -> Reader | _Unpacked:
    """A reader that stays open, so that a stream goes on from where it stands.

    Args:
        path: the file.
        state: its own; of another state it is another file.
        pid: of this process: two sides of a fork share a place in the file.
        key: of the array in it.
        shape: of an image, if the file is nothing but images.
    """
    return _reader_of(path)(path, key) if shape is None else _Unpacked(path, shape)


def close() -> None:
    """Close what this process holds open; it opens again when asked."""
    _opened.cache_clear()


def state_of(path: Path) -> tuple[int, int]:
    """Size in bytes and time of change of a file."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _reader_of(path: Path) -> type[Reader]:
    """What reads the arrays of a file.

    Raises:
        InputError: if it is neither .npz nor HDF5.
        OSError: if it cannot be read.
    """
    kind = kind_of(path)
    if kind is None:
        raise InputError(
            f"{path} is neither .npz nor HDF5; give such a file, or a folder of images"
        )
    return READERS[kind]


def find(path: Path, keys: Sequence[str], option: str) -> tuple[str, tuple[int, ...], Any]:
    """The first of some arrays that a file has: its key, shape and dtype.

    Args:
        path: the file.
        keys: names, the likeliest first.
        option: of the command line that says the name.

    Raises:
        InputError: if it has none of them, or one of Python objects; if it cannot be read.
    """
    with readable(path):
        reader, refused = _reader_of(path), []
        for key in keys:
            try:
                with closing(reader(path, key)) as found:
                    shape, dtype = found.shape, found.dtype
            except UnreadableError as error:
                refused.append(error)
                continue
            if dtype.hasobject:
                raise InputError(f"{path} has Python objects in {key!r}, which are never unpickled")
            return key, shape, dtype
        raise InputError(f"{refused[0]}; give --{option} NAME")


def image_shape(path: Path, key: str, shape: tuple[int, ...], dtype: Any) -> tuple[int, int, int]:
    """(height, width, channels) of an array of images.

    Raises:
        InputError: if it holds no images, or too large ones.
    """
    if dtype != np.uint8:
        raise InputError(f"{path} has {dtype} in {key!r}; images must be uint8, 0 .. 255")
    if len(shape) not in (3, 4) or shape[3:] not in ((), (1,), (3,)) or min(shape) < 1:
        raise InputError(
            f"{path} has shape {shape} in {key!r}; images must be (n, height, width), or "
            "(n, height, width, 1 or 3)"
        )
    if max(shape[1:3]) > MAX_SIDE:
        raise InputError(f"{path} has images of {shape[2]} x {shape[1]}; legal: up to {MAX_SIDE}")
    return shape[1], shape[2], (*shape[3:], 1)[0]


def whole(path: Path, key: str) -> NDArray[Any]:
    """All of an array of one row or more.

    Raises:
        InputError: if it cannot be read.
    """
    with readable(path), closing(_reader_of(path)(path, key)) as reader:
        parts, row = [], 0
        while row < reader.shape[0]:
            parts.append(reader.read(row, reader.shape[0] - row))
            row += len(parts[-1])
        return np.concatenate(parts)


def is_sought(path: Path, key: str) -> bool:
    """Whether rows are found without decoding those before them: an .npz that is not deflated."""
    if _reader_of(path) is not NpzArray:
        return False
    with zipfile.ZipFile(path) as archive:
        return archive.getinfo(f"{key}.npy").compress_type == zipfile.ZIP_STORED
