"""The published archives of factor sets: what each one is, whether a file is one, and its images.

Nothing here unpickles, and no more than a slice of an archive is ever in memory. The MD5 hashes
were found in loaders of other projects: the owners of the sets give none.
"""

from __future__ import annotations

import hashlib
import math
import os
import struct
import warnings
import weakref
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from samediff_stimuli.factors import FactorSpace
from samediff_stimuli.recipe import InputError

OnBytes = Callable[[int], None]

_BLOCK = 1 << 20  # bytes read at a time
_ROWS = 256  # of a slice of an HDF5 file, if its chunks have fewer
_SLICE = 1 << 28  # most bytes of a slice; h5py's own chunks for Shapes3D would have 15,000 rows
_TOLERANCE = 1e-6  # of labels that are numbers
_MAGIC = {"npz": b"PK\x03\x04", "HDF5": b"\x89HDF\r\n\x1a\n"}


@dataclass(frozen=True, kw_only=True)
class Published:
    """One published archive of a factor set, its rows in grid order.

    Attributes:
        name: e.g. "mpi3d_toy".
        file: its usual file name; the suffix says whether it is .npz or HDF5.
        urls: mirrors, best first.
        n_bytes: its size, if known.
        md5: of the file, hex.
        key: name of the images: uint8, (rows, height, width), then 3 if in colour.
        channels: 1 or 3.
        scale: what pixel values are multiplied by, so that white is 255.
        labels: name of the labels, (rows, factors) or after a constant column, if there are any:
            integer levels, or the numbers that levels stand for.
        license: as the Hub spells it.
        cite: where it comes from, in a line.
    """

    name: str
    file: str
    urls: tuple[str, ...]
    n_bytes: int | None = None
    md5: str
    key: str
    channels: int = 3
    scale: int = 1
    labels: str | None = None
    license: str
    cite: str

    @property
    def kind(self) -> str:
        """Either "npz" or "HDF5"."""
        return "HDF5" if self.file.endswith((".h5", ".hdf5")) else "npz"


_GOOGLE = "https://storage.googleapis.com"
_DSPRITES = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"


def _mpi3d(part: str, md5: str, file_at_second: str) -> Published:
    """One of the three archives of MPI3D."""
    first = "https://huggingface.co/datasets/waleedgondal/mpi3d/resolve/main"
    second = f"{_GOOGLE}/mpi3d_disentanglement_dataset/data"
    return Published(
        name=f"mpi3d_{part}",
        file=f"mpi3d_{part}.npz",
        urls=(f"{first}/mpi3d_{part}.npz", f"{second}/{file_at_second}"),
        md5=md5,
        key="images",
        license="cc-by-4.0",
        cite="Gondal et al. 2019, MPI3D (arXiv:1906.03292)",
    )


_SPRITES = Published(
    name="dsprites",
    file=_DSPRITES,
    urls=(
        f"https://github.com/google-deepmind/dsprites-dataset/raw/master/{_DSPRITES}",
        f"https://raw.githubusercontent.com/google-deepmind/dsprites-dataset/master/{_DSPRITES}",
    ),
    md5="7da33b31b13a06f4b04a70402ce90c2e",
    key="imgs",
    channels=1,
    scale=255,
    labels="latents_classes",
    license="apache-2.0",
    cite="Matthey et al. 2017, dSprites (github.com/google-deepmind/dsprites-dataset)",
)
_SHAPES = Published(
    name="shapes3d",
    file="3dshapes.h5",
    urls=(
        f"{_GOOGLE}/3d-shapes/3dshapes.h5",
        f"{_GOOGLE}/storage/v1/b/3d-shapes/o/3dshapes.h5?alt=media",
    ),
    n_bytes=267_573_662,
    md5="099a2078d58cec4daad0702c55d06868",
    key="images",
    labels="labels",
    license="apache-2.0",
    cite="Burgess & Kim 2018, 3D Shapes (github.com/google-deepmind/3d-shapes)",
)
PUBLISHED: dict[str, tuple[Published, ...]] = {
    "dsprites": (_SPRITES,),
    "shapes3d": (_SHAPES,),
    "mpi3d": (
        _mpi3d("toy", "55889cb7c7dfc655d6e0277beee88868", "mpi3d_toy.npz"),
        _mpi3d("realistic", "59a6225b88b635365f70c91b3e52f70f", "mpi3d_realistic.npz"),
        _mpi3d("real", "0f33f609918fb5c97996692f91129802", "real.npz"),
    ),
}


def md5_of(path: Path, on_bytes: OnBytes = lambda n: None) -> str:
    """The MD5 of a file, hex; `on_bytes` is told the size of each block as it is read."""
    state = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            state.update(block)
            on_bytes(len(block))
    return state.hexdigest()


def identify(
    path: Path,
    space: FactorSpace,
    digest: bool = True,
    candidates: Sequence[Published] | None = None,
    on_bytes: OnBytes = lambda n: None,
) -> Published:
    """Which published archive a file is.

    Args:
        path: the file, under any name.
        space: the grid whose images it should hold.
        digest: whether to check its MD5; if not, archives alike are told apart by the file's name.
        candidates: archives that it may be, in place of `PUBLISHED`.
        on_bytes: told the number of bytes of each block that the MD5 is made of.

    Raises:
        InputError: if it is none of them.
    """
    wanted = PUBLISHED.get(space.name, ()) if candidates is None else candidates
    if not wanted:
        raise InputError(f"no archive of {space.name!r} is known; known: {', '.join(PUBLISHED)}")
    fits, refused = [], []
    for published in wanted:
        try:
            _check(path, published, space)
            fits.append(published)
        except InputError as error:
            refused.append(error)
    if not fits:
        raise refused[0]
    with _told(path):
        sign = md5_of(path, on_bytes) if digest else path.name
    for published in fits:
        names = (published.file, *(url.split("/")[-1] for url in published.urls))
        if sign == published.md5 if digest else (sign in names or len(fits) == 1):
            return published
    if digest:
        raise _bad(path, f"has MD5 {sign}, not {' or '.join(f'{p.md5} ({p.name})' for p in fits)}")
    raise InputError(f"{path} may be {' or '.join(p.file for p in fits)}: its MD5 would tell")


def _bad(path: Path, what: str) -> InputError:
    return InputError(f"{path} {what}; download it again (see 'samediff-stimuli download')")


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turns what the libraries say of a broken file into one line."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:  # zipfile, zlib, numpy and h5py raise many kinds for broken files
        if isinstance(error, OSError) and error.errno is not None:  # h5py's have none
            raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        cut = isinstance(error, EOFError) or "not a zip" in reason or "truncated" in reason.lower()
        raise _bad(path, "is cut off" if cut else f"is broken: {reason}") from error


def _check(path: Path, published: Published, space: FactorSpace) -> None:
    """Raise InputError unless a file looks like an archive; all but the MD5."""
    with _told(path):
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
        kind = next((k for k, magic in _MAGIC.items() if start.startswith(magic)), None)
        if kind != published.kind:
            what = (kind or "neither .npz nor HDF5") if start else "empty"
            raise _bad(path, f"is {what}, but {published.file} is {published.kind}")
        _open(path, published, space).close()
        if published.n_bytes not in (None, size):
            raise _bad(path, f"has {size} bytes, but {published.file} has {published.n_bytes}")
        if published.labels is not None:
            _check_labels(path, published, published.labels, space)


def _check_labels(path: Path, published: Published, key: str, space: FactorSpace) -> None:
    """Raise InputError unless the labels are the grid in row-major order."""
    row, rows, width = 0, len(space), len(space.names)
    with closing(_SOURCES[published.kind](path, key)) as source:
        lead, exact = math.prod(source.shape[1:]) - width, source.dtype.kind in "iu"
        if source.shape not in ((rows, width), (rows, width + 1)) or source.dtype.kind not in "iuf":
            raise _bad(path, f"has {source.dtype} {source.shape} in '{key}', not {rows} x {width}")
        first = source.read(0, 1)[0, :lead]
        tables = [np.array(range(len(f)) if exact or f.names else f.values) for f in space.factors]
        while row < rows:
            found = source.read(row, rows - row)
            levels = space.levels(np.arange(row, row + len(found)))
            want = np.stack([t[level] for t, level in zip(tables, levels.T, strict=True)], axis=1)
            near = abs(found[:, lead:] - want) <= (0 if exact else _TOLERANCE)
            right = near.all(axis=1) & (found[:, :lead] == first).all(axis=1)
            if not right.all():
                at = int(np.argmin(right))
                what = f"has {found[at].tolist()} in row {row + at} of '{key}', not that of levels"
                raise _bad(path, f"{what} {levels[at].tolist()}: its rows are not in grid order")
            row += len(found)


class _Member:
    """An array of an .npz: a deflated one is decoded forwards, in a stored one rows are sought."""

    def __init__(self, path: Path, key: str) -> None:
        raw = path.open("rb")
        self.close = weakref.finalize(self, raw.close)  # at the latest when this goes
        self._zip = zipfile.ZipFile(raw)
        names = [name.removesuffix(".npy") for name in self._zip.namelist()]
        if key not in names:
            raise _bad(path, f"has no array '{key}', but {', '.join(names) or 'nothing'}")
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
            raise _bad(path, f"has '{key}' in Fortran order, not image by image")
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


class _Slices:
    """A dataset of an HDF5 file, read in slices of whole chunks; the last slice is kept."""

    def __init__(self, path: Path, key: str) -> None:
        import h5py  # slow to import

        file = h5py.File(path, "r")
        self.close, self._data, names = file.close, file.get(key), list(file)
        if not isinstance(self._data, h5py.Dataset):
            self.close()
            raise _bad(path, f"has no array '{key}', but {', '.join(names) or 'nothing'}")
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


_SOURCES: dict[str, type[_Member] | type[_Slices]] = {"npz": _Member, "HDF5": _Slices}


def _open(path: Path, published: Published, space: FactorSpace) -> _Member | _Slices:
    """The images of an archive, if their type and shape are right."""
    source, key, name = _SOURCES[published.kind](path, published.key), published.key, published.name
    dtype, shape, colour = source.dtype, source.shape, (3,) * (published.channels == 3)
    with ExitStack() as stack:
        stack.callback(source.close)
        if dtype.hasobject:
            raise _bad(path, f"has Python objects in '{key}', which are never unpickled")
        if dtype != np.uint8:
            raise _bad(path, f"has {dtype} in '{key}', but {name} has uint8")
        if len(shape) < 3 or shape[0] != len(space) or shape[3:] != colour or min(shape) < 1:
            wanted = ", ".join(map(str, (len(space), "height", "width", *colour)))
            raise _bad(path, f"has shape {shape} in '{key}', but {name} has ({wanted})")
        stack.pop_all()
    return source


class Archive:
    """Images of a published archive by row. Pickles; survives fork, spawn and forkserver.

    It opens the file when first asked, and is for one thread at a time. Rows in increasing order
    are read once; going back in a deflated .npz decodes it again from its start.
    """

    def __init__(self, path: Path, published: Published, space: FactorSpace) -> None:
        """Open nothing yet."""
        self.path = path.absolute()
        self.published = published
        self.space = space
        self._opened: tuple[int, _Member | _Slices] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Everything but what is open."""
        return self.__dict__ | {"_opened": None}

    def close(self) -> None:
        """Close the file; it opens again when asked."""
        opened, self._opened = self._opened, None
        if opened is not None and opened[0] == os.getpid():
            opened[1].close()

    def images(self, start: int, stop: int) -> Iterator[NDArray[np.uint8]]:
        """The images of rows [start, stop) in order, each an array of its own.

        Returns:
            (height, width, channels) uint8 in [0, 255], C-contiguous, one by one.

        Raises:
            InputError: rows outside the grid; later, a file that is gone, cut off or broken.
        """
        if not 0 <= start <= stop <= len(self.space):
            raise InputError(f"rows {start} .. {stop} are not within 0 .. {len(self.space)}")
        return self._images(start, stop)

    def _images(self, row: int, stop: int) -> Iterator[NDArray[np.uint8]]:
        scale, channels = np.uint8(self.published.scale), self.published.channels
        while row < stop:
            for image in self._block(row, stop - row):
                yield (image * scale).reshape(*image.shape[:2], channels)
                row += 1

    def _block(self, row: int, count: int) -> NDArray[np.uint8]:
        """Some rows as they are stored; a stream that failed is not used again."""
        pid, white = os.getpid(), 255 // self.published.scale
        opened, self._opened = self._opened, None
        with _told(self.path):
            if opened is None or opened[0] != pid:  # a fork's two sides share a place in the file
                opened = None
                opened = (pid, _open(self.path, self.published, self.space))
            block: NDArray[np.uint8] = opened[1].read(row, count)
        self._opened = opened
        if white < 255 and int(block.max()) > white:
            raise _bad(self.path, f"has pixels of {block.max()}, not 0 .. {white}")
        return block
