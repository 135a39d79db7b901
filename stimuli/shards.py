"""A shard is one HDF5 file: a run of rows, images gzip-compressed one by one, ready to be sought.

Images are zlib streams stored under HDF5's ordinary gzip filter, so any HDF5 reader opens them
without a plug-in. Ours skips the HDF5 library when it reads images: it takes each
image's place in the file once, then reads those bytes and inflates them straight into the batch.
No HDF5 handle stays open, so readers pickle and survive fork, spawn and forkserver.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import resource
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_128_digest

from samediff_stimuli import codec
from samediff_stimuli.recipe import in_a_line
from samediff_stimuli.replacing import replacing
from samediff_stimuli.table import IMAGE, Column, Table

PLACES = "places"  # attribute of the images of a long shard: each one's offset and size
INFLATES = 1100  # more than the bytes that a byte of a deflated stream can stand for
LIBVER = ("v110", "v110")  # pinned: the same bytes from every HDF5 library that can write it
_MAX_PIXELS = 1 << 26
_NOT_DAMAGE = (errno.EMFILE, errno.ENFILE, errno.EACCES, errno.ENOMEM)
_LONG = 2000  # rows above which a shard lists the places of its images: HDF5 is slow to say
_GROWTH = 1 << 24  # bytes by which a file in the making grows


_Found = TypeVar("_Found")


class DamagedError(Exception):
    """A file is not what its manifest, or its format, says."""


@dataclass(frozen=True)
class Written:
    """What a finished shard file holds.

    Attributes:
        n_bytes: file size.
        sha256: of the file, hex.
        arrays: name of a column, or of a row's image -> digest of the decoded array, hex; see
            `array_digest`, `ImagesDigest`.
        images: XXH3-128 of the first image of each row in order, 16 bytes each.
    """

    n_bytes: int
    sha256: str
    arrays: dict[str, str]
    images: bytes


class ImagesDigest:
    """SHA-256 over the XXH3-128 digests of images in order: fast, and free of the codec."""

    def __init__(self) -> None:
        """Start with no image."""
        self.each = bytearray()

    def update(self, image: NDArray[np.uint8]) -> None:
        """Add one (height, width, c) uint8 image."""
        self.each += image_digest(image)

    def hexdigest(self) -> str:
        """64 hex digits."""
        return hashlib.sha256(self.each).hexdigest()


def image_digest(image: NDArray[np.uint8]) -> bytes:
    """XXH3-128 of an image's bytes in C order."""
    return bytes(xxh3_128_digest(image.data))


def array_digest(values: NDArray[Any]) -> str:
    """SHA-256 of an array's little-endian bytes in C order, hex."""
    plain = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    return hashlib.sha256(plain.data).hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_shard(
    path: Path,
    table: Table,
    columns: Sequence[Column],
    images: Mapping[str, Iterable[NDArray[np.uint8]]],
    image_shape: tuple[int, int, int],
    about: dict[str, Any],
) -> Written:
    """Write one shard under a temporary name, then rename it.

    Args:
        path: where the shard goes; its folder exists.
        table: all columns but the images.
        columns: their declarations, for the class names.
        images: by name, the first of them "image": (height, width, c) uint8 images, one for each
            row of the table; each is used up before the next is asked for.
        image_shape: (height, width, c).
        about: file attributes: recipe, split, first row.

    Returns:
        Size and digests.

    Raises:
        OSError: if the disk is full or the folder cannot be written; no partial file is left.
    """
    data, digests = _file_image(table, columns, images, image_shape, about)
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    arrays = {name: array_digest(values) for name, values in table.items()}
    arrays |= {name: digest.hexdigest() for name, digest in digests.items()}
    firsts = bytes(digests[IMAGE].each)
    return Written(len(data), hashlib.sha256(data).hexdigest(), arrays, firsts)


def _file_image(
    table: Table,
    columns: Sequence[Column],
    images: Mapping[str, Iterable[NDArray[np.uint8]]],
    image_shape: tuple[int, int, int],
    about: dict[str, Any],
) -> tuple[bytes, dict[str, ImagesDigest]]:
    """The bytes of the HDF5 file, made in memory, and the digests of the images by name."""
    memory = {"driver": "core", "backing_store": False, "block_size": _GROWTH}
    with h5py.File("shard", "w", libver=LIBVER, **memory) as file:
        file.attrs["about"] = json.dumps(about, sort_keys=True)
        digests = {
            name: _write_images(file, name, each, (table.n_rows, *image_shape))
            for name, each in images.items()
        }
        for column in columns:
            values = file.create_dataset(column.name, data=table[column.name], track_times=False)
            values.attrs["about"] = column.about
            if column.names:
                values.attrs["names"] = json.dumps(column.names)
        file.flush()
        return file.id.get_file_image(), digests


def _write_images(
    file: h5py.File, name: str, images: Iterable[NDArray[np.uint8]], shape: tuple[int, ...]
) -> ImagesDigest:
    """Write a dataset of images one by one, each its own chunk; return their digest."""
    digest = ImagesDigest()
    data = file.create_dataset(
        name,
        shape=shape,
        dtype="uint8",
        chunks=(1, *shape[1:]),
        compression="gzip",
        compression_opts=codec.LEVEL,
        track_times=False,
    )
    for row, image in enumerate(images):
        digest.update(image)
        data.id.write_direct_chunk((row, 0, 0, 0), codec.deflate(image))
    if shape[0] > _LONG:
        data.attrs[PLACES] = _places(data)
    return digest


def _places(images: h5py.Dataset) -> NDArray[np.int64]:
    """(n, 2) int64 offset and size of each image's bytes in the file."""
    places = np.zeros((len(images), 2), dtype=np.int64)

    def note(chunk: Any) -> None:
        places[chunk.chunk_offset[0]] = chunk.byte_offset, chunk.size

    images.id.chunk_iter(note)
    return places


class _Opened(NamedTuple):
    """What a reader knows of its file once it is open."""

    places: dict[str, NDArray[np.int64]]  # image: (n, 2) offset and size of each one's bytes
    image_shape: tuple[int, int, int]
    file: int  # its descriptor, or -1


class ShardReader:
    """Random access to one shard, from any thread. Opens the file when first asked.

    Args:
        path: the shard file.
        views: names of the images of a row.

    Every method raises DamagedError, naming the file, if it is not a readable shard.
    """

    def __init__(self, path: Path, views: Sequence[str] = (IMAGE,)) -> None:
        """Remember the path."""
        self.path, self.views = path, tuple(views)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the path and nothing that is open."""
        return {"path": self.path, "views": self.views}

    def __del__(self) -> None:
        """Close the file."""
        if "_opened" in self.__dict__:
            _let_go(self.__dict__.pop("_opened").file)

    @property
    def table(self) -> Table:
        """All columns but the images."""
        if "_table" not in self.__dict__:
            self._open()
            self.__dict__["_table"] = self._read(self._columns)
        table: Table = self.__dict__["_table"]
        return table

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self._open().places[self.views[0]])

    def columns(self, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Some columns, without the others."""
        return self._read(lambda file: {name: _column(file, name) for name in names})

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, c)."""
        return self._open().image_shape

    def places(self, view: str = IMAGE) -> NDArray[np.int64]:
        """(n, 2) int64 offset and size of each image's zlib stream in the file."""
        return self._open().places[view]

    @property
    def file(self) -> int:
        """A descriptor of the file; -1 if it is opened for each reading."""
        return self._open().file

    def stream(self, offset: int, size: int) -> bytes:
        """The bytes at a place in the file."""
        kept = self.file
        file = os.open(self.path, os.O_RDONLY) if kept < 0 else kept
        try:
            return os.pread(file, size, offset)
        finally:
            if kept < 0:
                os.close(file)

    def read_into(self, rows: Sequence[int], out: NDArray[np.uint8], view: str = IMAGE) -> None:
        """Decode the images of some rows into out[0], out[1], ...

        Args:
            rows: row numbers within the shard.
            out: (n, height, width, c) uint8, C-contiguous.
            view: which image of each row.
        """
        places = self.places(view)
        if rows and max(rows) >= len(places):
            raise DamagedError(f"{self.path} has {len(places)} rows, and no row {max(rows)}")
        streams = [self.stream(*place) for place in places[list(rows)].tolist()]
        damaged = codec.inflate_all(streams, out.reshape(len(out), math.prod(out.shape[1:])))
        if damaged is not None:
            raise DamagedError(f"{self.path}: the {view} of row {rows[damaged]} is damaged")

    def _open(self) -> _Opened:
        """Load everything but images, unless that is done."""
        opened: _Opened | None = self.__dict__.get("_opened")
        if opened is not None:
            return opened
        found = self._read(self._load)
        opened = self.__dict__.setdefault("_opened", found)  # atomic: another thread may be first
        if opened is not found:
            _let_go(found.file)
        return opened

    def _read(self, what: Callable[[h5py.File], _Found]) -> _Found:
        """What a function finds in the file."""
        try:
            with open_file(self.path) as file:
                return what(file)
        except Exception as error:  # h5py raises many kinds for broken files
            if isinstance(error, MemoryError) or getattr(error, "errno", None) in _NOT_DAMAGE:
                raise
            raise DamagedError(
                f"{self.path} is not a readable shard: {in_a_line(error)}"
            ) from error

    def _columns(self, file: h5py.File) -> Table:
        return Table({name: _column(file, name) for name in file if name not in self.views})

    def _load(self, file: h5py.File) -> _Opened:
        """Take the places of the images; refuse what no shard of ours looks like."""
        images = [own_dataset(file, name) for name in self.views]
        places = {
            name: _checked(data, self.path) for name, data in zip(self.views, images, strict=True)
        }
        if len({data.shape for data in images}) > 1:
            raise ValueError("the images of its rows differ in number or size")
        _, height, width, channels = images[0].shape
        return _Opened(places, (height, width, channels), _keep(self.path))


_KEPT: set[int] = set()  # descriptors of shards that this process keeps


def _keep(path: Path) -> int:
    """A descriptor of a file, or -1 if half of all that a process may have are kept already."""
    if 2 * len(_KEPT) >= resource.getrlimit(resource.RLIMIT_NOFILE)[0]:
        return -1
    file = os.open(path, os.O_RDONLY)
    _KEPT.add(file)
    return file


def _let_go(file: int) -> None:
    if file >= 0:
        _KEPT.discard(file)
        os.close(file)


def open_file(path: Path) -> h5py.File:
    """An HDF5 file that is a file: a pipe or a device would never end."""
    if path.exists() and not path.is_file():
        raise ValueError("it is no regular file")
    return h5py.File(path, "r")


def own_dataset(file: h5py.File, name: str) -> h5py.Dataset:
    """A dataset whose values lie in this file and nowhere else.

    Raises:
        ValueError: if it is anything else: HDF5 also has links to other files, and values that lie
            in them.
    """
    parts = name.strip("/").split("/")
    for end in range(1, len(parts) + 1):
        if not isinstance(file.get("/".join(parts[:end]), getlink=True), h5py.HardLink):
            raise ValueError(f"{name!r} is a link")
    data = file[name]
    if not isinstance(data, h5py.Dataset) or data.is_virtual or data.external:
        raise ValueError(f"{name!r} is no dataset of this file")
    return data


def _column(file: h5py.File, name: str) -> NDArray[Any]:
    """A column; it is stored as it is, so that it takes no more memory than it has bytes."""
    data = own_dataset(file, name)
    if data.dtype.kind not in "iuf" or data.ndim < 1:
        raise ValueError(f"column {name!r} is {data.dtype} {data.shape}, no rows of numbers")
    if data.chunks is not None or data.id.get_storage_size() != data.size * data.dtype.itemsize:
        raise ValueError(f"column {name!r} is not stored plainly and in full")
    return np.asarray(data[()])


def _checked(images: h5py.Dataset, path: Path) -> NDArray[np.int64]:
    """The places of a dataset of images; ValueError if no shard of ours has such a dataset."""
    n_bytes = os.path.getsize(path)
    n, *shape = images.shape
    one_each = images.chunks == (1, *shape) and images.dtype == np.uint8 and len(shape) == 3
    if not one_each or images.compression != "gzip" or not 0 < math.prod(shape) <= _MAX_PIXELS:
        raise ValueError("its image dataset is not uint8, gzip, one image a chunk")
    if n > n_bytes:
        raise ValueError("it is cut short")
    places: NDArray[np.int64] = images.attrs[PLACES] if PLACES in images.attrs else _places(images)
    if places.shape != (n, 2) or places.dtype != np.int64:
        raise ValueError(f"its attribute {PLACES!r} does not fit its images")
    first, size = places[:, 0], places[:, 1]
    if (first < 0).any() or (size <= 0).any() or (size > n_bytes).any():
        raise ValueError("it is cut short")
    if (first > n_bytes - size).any():
        raise ValueError("it is cut short")
    return places
