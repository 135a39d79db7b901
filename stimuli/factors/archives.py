"""The published archives of factor sets: what each one is, whether a file is one, and its images.

Nothing here unpickles, and no more than a slice of an archive is ever in memory. The MD5 hashes
were found in loaders of other projects: the owners of the sets give none.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli.factors import FactorSpace
from samediff_stimuli.factors.containers import READERS, Reader, kind_of, readable
from samediff_stimuli.recipe import InputError

OnBytes = Callable[[int], None]

_BLOCK = 1 << 20  # bytes hashed at a time
_TOLERANCE = 1e-6  # of labels that are numbers
_ADVICE = "; download it again (see 'samediff-stimuli download')"


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
    with readable(path, _ADVICE):
        sign = md5_of(path, on_bytes) if digest else path.name
    for published in fits:
        names = (published.file, *(url.split("/")[-1] for url in published.urls))
        if sign == published.md5 if digest else (sign in names or len(fits) == 1):
            return published
    if digest:
        raise _bad(path, f"has MD5 {sign}, not {' or '.join(f'{p.md5} ({p.name})' for p in fits)}")
    raise InputError(f"{path} may be {' or '.join(p.file for p in fits)}: its MD5 would tell")


def _bad(path: Path, what: str) -> InputError:
    return InputError(f"{path} {what}{_ADVICE}")


def _check(path: Path, published: Published, space: FactorSpace) -> None:
    """Raise InputError unless a file looks like an archive; all but the MD5."""
    with readable(path, _ADVICE):
        size, kind = path.stat().st_size, kind_of(path)
        if kind != published.kind:
            what = (kind or "neither .npz nor HDF5") if size else "empty"
            raise _bad(path, f"is {what}, but {published.file} is {published.kind}")
        _open(path, published, space).close()
        if published.n_bytes not in (None, size):
            raise _bad(path, f"has {size} bytes, but {published.file} has {published.n_bytes}")
        if published.labels is not None:
            _check_labels(path, published, published.labels, space)


def _check_labels(path: Path, published: Published, key: str, space: FactorSpace) -> None:
    """Raise InputError unless the labels are the grid in row-major order."""
    row, rows, width = 0, len(space), len(space.names)
    with closing(READERS[published.kind](path, key)) as source:
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


def _open(path: Path, published: Published, space: FactorSpace) -> Reader:
    """The images of an archive, if their type and shape are right."""
    source, key, name = READERS[published.kind](path, published.key), published.key, published.name
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
        self._opened: tuple[int, Reader] | None = None

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
        with readable(self.path, _ADVICE):
            if opened is None or opened[0] != pid:  # a fork's two sides share a place in the file
                opened = None
                opened = (pid, _open(self.path, self.published, self.space))
            block: NDArray[np.uint8] = opened[1].read(row, count)
        self._opened = opened
        if white < 255 and int(block.max()) > white:
            raise _bad(self.path, f"has pixels of {block.max()}, not 0 .. {white}")
        return block
