"""Images of the published archives by row, for the sets that are read from them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli.factors import FactorSpace
from samediff_stimuli.factors.archives import PUBLISHED, Archive, Published, identify
from samediff_stimuli.recipe import InputError


def published(of: str, name: str) -> Published:
    """A published archive of a set by name.

    Raises:
        InputError: if there is none.
    """
    known = {archive.name: archive for archive in PUBLISHED.get(of, ())}
    if name not in known:
        raise InputError(f"unknown archive {name!r} of {of}; known: {', '.join(known) or 'none'}")
    return known[name]


def identify_once(path: Path, space: FactorSpace) -> Published:
    """Which published archive a file is; hashed once as long as it does not change.

    Raises:
        InputError: if it is none.
    """
    try:
        state = path.stat()
    except OSError as error:
        raise InputError(f"archive {path} cannot be read: {error.strerror}") from error
    return _identified(path, state.st_size, state.st_mtime_ns, space)


@lru_cache(maxsize=8)
def _identified(path: Path, n_bytes: int, changed: int, space: FactorSpace) -> Published:
    return identify(path, space)


def images(
    path: str, of: Published, space: FactorSpace, rows: NDArray[Any]
) -> Iterator[NDArray[np.uint8]]:
    """The images of some rows, in any order; flat in memory if they increase.

    Args:
        path: the archive.
        of: which one it is.
        space: its factors.
        rows: (n,) rows of the grid.

    Yields:
        (height, width, c) uint8, good until the next is asked for.

    Raises:
        InputError: if the archive is broken.
    """
    archive, wanted = _opened(path, of, space), rows.astype(np.int64)
    if (np.diff(wanted) > 0).all():
        yield from _increasing(archive, wanted)
        return
    unique, places = np.unique(wanted, return_inverse=True)  # going back would decode all again
    found = list(_increasing(archive, unique))
    for place in places.tolist():
        yield found[place]


def _increasing(archive: Archive, rows: NDArray[np.int64]) -> Iterator[NDArray[np.uint8]]:
    for run in np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1):
        if len(run):
            yield from archive.images(int(run[0]), int(run[-1]) + 1)


@lru_cache(maxsize=2)
def _opened(path: str, of: Published, space: FactorSpace) -> Archive:
    """An archive that stays open, so that a stream goes on from where it stands."""
    return Archive(Path(path), of, space)
