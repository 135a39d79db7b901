"""Label files of the published benchmark: its splits, row by row.

`{dataset}_{variant}_{train|test}_labels.npz` holds, under the key `arr_0`, the integer levels of
every row of one part (Schott et al. 2021, released code; the files are on Zenodo).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.lib.npyio import NpzFile

from samediff_stimuli.factors import FactorSpace, Rows
from samediff_stimuli.recipe import InputError

KEY = "arr_0"
PARTS = ("train", "test")


def file_name(space: FactorSpace, variant: str, part: str, what: str) -> str:
    """The benchmark's name of a file; `what` is "labels" or "images"."""
    return f"{space.name}_{variant}_{part}_{what}.npz"


def read(
    folder: str, space: FactorSpace, variants: Sequence[str], *, drop: bool
) -> Mapping[str, Rows]:
    """The rows of every part that a folder has label files of, as they are listed there.

    Args:
        folder: the folder.
        space: of the set.
        variants: which variants to look for; those without both files are left out.
        drop: leave out rows that show what an earlier row of the grid shows.

    Returns:
        "VARIANT_PART" -> (n,) int64 rows of the grid, in the file's order.

    Raises:
        InputError: no folder, no pair of files, or a file that is not what it should be.
    """
    path = Path(folder)
    if not path.is_dir():
        raise InputError(f"split_labels {folder!r} is not a folder; give one of label files")
    stamps = []
    for variant in variants:
        files = [path / file_name(space, variant, part, "labels") for part in PARTS]
        there = [file.is_file() for file in files]
        if any(there) and not all(there):
            lacking = files[there.index(False)].name
            raise InputError(f"split_labels {folder!r} lacks {lacking}; give both parts")
        if all(there):
            times = [file.stat().st_mtime_ns for file in files]
            stamps += [(variant, *each) for each in zip(PARTS, times, strict=True)]
    if not stamps:
        example = file_name(space, variants[0], "train", "labels")
        raise InputError(f"split_labels {folder!r} holds no label files, such as {example}")
    return _read_once(folder, space, tuple(stamps), drop)


@lru_cache(maxsize=8)
def _read_once(
    folder: str, space: FactorSpace, stamps: tuple[tuple[str, str, int], ...], drop: bool
) -> Mapping[str, Rows]:
    found = {}
    for variant, part, _ in stamps:
        path = Path(folder) / file_name(space, variant, part, "labels")
        rows = space_rows(path, space)
        if drop:
            rows = rows[~space.is_twin(space.levels(rows))]
        rows.flags.writeable = False
        found[f"{variant}_{part}"] = rows
        others = found.get(f"{variant}_{PARTS[0]}") if part == PARTS[1] else None
        if others is not None and np.isin(rows, others).any():
            raise InputError(f"{path} lists images that {PARTS[0]} has, too; they must not overlap")
    return MappingProxyType(found)


def space_rows(path: Path, space: FactorSpace) -> Rows:
    """(n,) int64 rows of the grid that one label file lists.

    Raises:
        InputError: not an npz file of such labels.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            if not isinstance(data, NpzFile):
                raise InputError(f"{path} is no npz file; give the benchmark's own")
            if KEY not in data.files:
                raise InputError(f"{path} has no key {KEY!r}; it has {', '.join(data.files)}")
            labels = data[KEY]
    except InputError:
        raise
    except Exception as error:  # zipfile, zlib and numpy raise many kinds for broken files
        raise InputError(f"{path} is no readable npz file of labels: {error}") from error
    whole = labels.dtype.kind in "iu" or (
        labels.dtype.kind == "f" and bool(np.isfinite(labels).all() and (labels % 1 == 0).all())
    )
    if not whole or labels.ndim != 2 or not len(labels):
        raise InputError(
            f"{path} must hold levels as whole numbers, one row an image, not {labels.dtype} "
            f"{labels.shape}"
        )
    try:
        rows = space.rows(labels.astype(np.int64))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    if len(np.unique(rows)) != len(rows):
        raise InputError(f"{path} lists some image twice; give the benchmark's own")
    return rows


def content(rows: Mapping[str, Rows]) -> str:
    """SHA-256 over names and rows, hex."""
    state = hashlib.sha256()
    for name, values in rows.items():
        state.update(f"{name} {len(values)}\n".encode() + values.astype("<u4").tobytes())
    return state.hexdigest()
