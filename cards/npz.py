"""NumPy's files, written piece by piece: flat memory, and the same bytes for the same arrays."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

Pieces = Iterable[NDArray[Any]]  # of an array, along axis 0, C-contiguous

_LEVEL = 1  # of zlib: fast
_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file can say, so that bytes do not change


class NpzFile:
    """An npz file in the making; a context manager.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        """Start without an array."""
        self._archive = zipfile.ZipFile(path, "w", compresslevel=_LEVEL)

    def __enter__(self) -> NpzFile:
        """Itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the file."""
        self._archive.close()

    def add(self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...], pieces: Pieces) -> None:
        """Write one array that comes in pieces."""
        member = zipfile.ZipInfo(f"{name}.npy", date_time=_DATE)
        member.compress_type = zipfile.ZIP_DEFLATED
        with self._archive.open(member, "w", force_zip64=True) as file:
            write_npy(file, dtype, shape, pieces)


def write_npy(
    file: IO[bytes], dtype: np.dtype[Any], shape: tuple[int, ...], pieces: Pieces
) -> None:
    """Write one array that comes in pieces to an open npy file."""
    about = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(file, about)
    for piece in pieces:
        file.write(piece.data)
