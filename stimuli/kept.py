"""Images that take seconds each are kept as they are made, until their shard is finished.

A kept image is a file: its digest, then its deflated pixels. One that is cut short, or another
recipe's, is made anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_128_digest

from samediff_stimuli import codec, tasks
from samediff_stimuli.recipe import Recipe
from samediff_stimuli.replacing import replacing
from samediff_stimuli.shards import image_digest
from samediff_stimuli.table import Table

FOLDER = "images"  # in the folder of an unfinished dataset
_DIGEST = 16  # bytes


def painted(recipe: Recipe, split: str, table: Table, folder: Path) -> Iterator[NDArray[np.uint8]]:
    """Each image in turn: what is kept is read, the rest is painted and kept.

    Args:
        recipe: what to make.
        split: of the rows.
        table: the rows.
        folder: where images are kept; made if missing.
    """
    task = tasks.get(recipe.task)
    shape = task.image_shape(recipe)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(table.n_rows):
        row = table.rows([number])
        path, scene = _path(folder, split, row), _scene(recipe, row)
        image = _read(path, scene, shape)
        if image is None:
            image = next(iter(task.paint(recipe, split, row)))
            _write(path, scene, image)
        yield image


def forget(split: str, table: Table, folder: Path) -> None:
    """Drop what is kept of some rows."""
    for number in range(table.n_rows):
        _path(folder, split, table.rows([number])).unlink(missing_ok=True)


def _path(folder: Path, split: str, row: Table) -> Path:
    return folder / f"{split}-{int(row['index'][0]):07d}.bin"


def _scene(recipe: Recipe, row: Table) -> bytes:
    """What identifies a row's image: the recipe, and all columns."""
    values = b"".join(np.ascontiguousarray(column).tobytes() for column in row.values())
    return recipe.digest().encode() + values


def _read(path: Path, scene: bytes, shape: tuple[int, int, int]) -> NDArray[np.uint8] | None:
    """A kept image, or None."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    image = np.empty(shape, dtype=np.uint8)
    whole = codec.inflate_all([data[_DIGEST:]], image.reshape(1, -1)) is None
    return image if whole and data[:_DIGEST] == _digest(scene, image) else None


def _write(path: Path, scene: bytes, image: NDArray[np.uint8]) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(_digest(scene, image) + codec.deflate(image))


def _digest(scene: bytes, image: NDArray[np.uint8]) -> bytes:
    return bytes(xxh3_128_digest(scene + image_digest(image)))
