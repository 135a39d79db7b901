"""Arrays of .npz and HDF5 files, read by rows; and in a line, what is wrong with such a file.

Nothing here unpickles, and no more than a slice of an array is ever in memory.
"""

from __future__ import annotations

import math
import struct
import warnings
import weakref
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from samediff_stimuli.recipe import InputError, in_a_line

_BLOCK = 1 << 20  # bytes read at a time
_ROWS = 256  # of a slice of an HDF5 file, if its chunks have fewer
_SLICE = 1 << 28  # most bytes of a slice; h5py's own chunks for Shapes3D would have 15,000 rows
_MAGIC = {"npz": b"PK\x03\x04", "HDF5": b"\x89HDF\r\n\x1a\n"}


class UnreadableError(InputError):
    """A file from which an array cannot be read; says what is wrong, and no way out."""


@contextmanager
def readable(path: Path, advice: str = "") -> Iterator[None]:
    """Turns what readers and their libraries say of a broken file into one line.

    Args:
        path: the file.
        advice: the end of the line; not of a file that the system cannot read.

    Raises:
        InputError: in place of whatever was raised inside, but for a lack of memory.
    """
    try:
        yield
    except UnreadableError as error:
        raise InputError(f"{error}{advice}") from error
    except (InputError, MemoryError):
        raise
    except Exception as error:  # zipfile, zlib, numpy and h5py raise many kinds for broken files
        if isinstance(error, OSError) and error.errno is not None:  # h5py's have none
            raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
        reason = in_a_line(error)
        cut = isinstance(error, EOFError) or "not a zip" in reason or "truncated" in reason.lower()
        what = "cut off" if cut else f"broken: {reason}"
        raise InputError(f"{path} is {what}{advice}") from error


def kind_of(path: Path) -> str | None:
    """Either "npz" or "HDF5", by the file's first bytes; None if it is neither.

    Raises:
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(8)
    return next((kind for kind, magic in _MAGIC.items() if start.startswith(magic)), None)


class NpzArray:
    """An array of an .npz: a deflated one is decoded forwards, in a stored one rows are sought.

    Attributes:
        shape: of the array.
        dtype: of the array.
        close: closes the file; it does not open again.

    Raises:
        UnreadableError: no such array, or one that cannot be read by rows; `readable` is for all
            else that is raised here and by `read`.
    """

    def __init__(self, path: Path, key: str) -> None:
        """Read the array's header."""
        raw = path.open("rb")
        self.close = weakref.finalize(self, raw.close)  # at the latest when this goes
        self._zip = zipfile.ZipFile(raw)
        names = [name.removesuffix(".npy") for name in self._zip.namelist()]
        if key not in names:
            raise _absent(path, key, names)
        info = self._zip.getinfo(f"{key}.npy")
        self._file: IO[bytes] = self._zip.open(info)
        npy.read_magic(self._file)  # 1.0, as for all but long headers
        with warnings.catch_warnings():  # dSprites was written by Python 2, which NumPy warns of
            warnings.simplefilter("ignore", UserWarning)
            self.shape, self._fortran, self.dtype = npy.read_array_header_1_0(self._file)
        self._first = self._file.tell()  # byte at which the rows begin
        self._at = 0  # byte of the rows at which the stream stands
        self._n_bytes = math.prod(self.shape) * self.dtype.itemsize
        if info.file_size != self._first + self._n_bytes and not self.dtype.hasobject:
            raise EOFError
        if self._fortran and len(self.shape) > 2:
            raise UnreadableError(f"{path} has '{key}' in Fortran order, not image by image")
        self._stored = info.compress_type == zipfile.ZIP_STORED
        if self._stored:
            raw.seek(info.header_offset + 26)  # lengths of the entry's name and extras
            name, extra = struct.unpack("<HH", raw.read(4))
            self._file = raw
            self._first += info.header_offset + 30 + name + extra

    def read(self, row: int, count: int) -> NDArray[Any]:
        """At least one row, and at most `count`, from `row` on."""
        size = self._n_bytes // self.shape[0]
        if self._fortran:
            row, count, size = 0, 1, self._n_bytes
        if self._stored or row * size < self._at:
            self._at = row * size if self._stored else 0
            self._file.seek(self._first + self._at)
        while self._at < row * size:
            self._take(min(_BLOCK, row * size - self._at))
        count = min(count, max(1, _BLOCK // size))
        rows = np.frombuffer(self._take(count * size), dtype=self.dtype)
        if self._fortran:
            return rows.reshape(self.shape, order="F")
        return rows.reshape(count, *self.shape[1:])

    def _take(self, n: int) -> bytes:
        data = self._file.read(n)  # raises at the end of a deflated array if its CRC is wrong
        if len(data) != n:
            raise EOFError
        self._at += n
        return data


class Hdf5Array:
    """A dataset of an HDF5 file, read in slices of whole chunks; the last slice is kept.

    Attributes:
        shape: of the array.
        dtype: of the array.
        close: closes the file; it does not open again.

    Raises:
        UnreadableError: no such dataset; `readable` is for all else that is raised here and by
            `read`.
    """

    def __init__(self, path: Path, key: str) -> None:
        """Open the file, and keep it open."""
        import h5py  # slow to import

        from samediff_stimuli.shards import INFLATES, own_dataset

        file = h5py.File(path, "r")
        self.close = file.close
        try:
            if key not in file and file.get(key, getlink=True) is None:
                raise _absent(path, key, list(file))
            try:
                self._data = own_dataset(file, key)
            except ValueError as error:
                raise UnreadableError(f"{path} cannot be used: {error}") from error
            if self._data.size * self._data.dtype.itemsize > INFLATES * path.stat().st_size:
                raise EOFError
        except BaseException:
            self.close()
            raise
        self.shape, self.dtype = tuple(self._data.shape), self._data.dtype
        self._size = max(1, math.prod(self.shape[1:]) * self.dtype.itemsize)
        (chunk, *_) = self._data.chunks or (1,)
        self._rows = min(chunk * max(1, _ROWS // chunk), max(1, _SLICE // self._size))
        self._first, self._kept = 0, np.empty(0, dtype=self.dtype)

    def read(self, row: int, count: int) -> NDArray[Any]:
        """At least one row, and at most `count`, from `row` on."""
        if not self._first <= row < self._first + len(self._kept):
            self._first, self._kept = row - row % self._rows, self._kept[:0].copy()  # frees it
            self._kept = self._data[self._first : self._first + self._rows]
        at, count = row - self._first, min(count, max(1, _BLOCK // self._size))
        return self._kept[at : at + count].copy()


Reader = NpzArray | Hdf5Array

READERS: dict[str, type[Reader]] = {"npz": NpzArray, "HDF5": Hdf5Array}


def _absent(path: Path, key: str, names: list[str]) -> UnreadableError:
    return UnreadableError(f"{path} has no array '{key}', but {', '.join(names) or 'nothing'}")
