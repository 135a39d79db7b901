"""Some rows of every split, for a first look: whole matched groups, cut from the Parquet mirror."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli import rng, tasks
from samediff_stimuli.cards.parquet import ROW_GROUP, write_rows
from samediff_stimuli.manifest import Manifest
from samediff_stimuli.recipe import FORMAT_VERSION

ROWS = 384  # of a dataset, shared by its splits


def sizes(manifest: Manifest) -> dict[str, int]:
    """Stored split -> rows that are taken of it, a multiple of the task's group."""
    task = tasks.get(manifest.recipe.task)
    stored = task.stored_splits(manifest.recipe)
    share = ROWS // len(stored) // task.group * task.group
    return {split.name: min(split.rows, max(share, task.group)) for split in stored}


def chosen(manifest: Manifest, split: str) -> NDArray[np.int64]:
    """The rows that are taken of a stored split: the same for the same content.

    Args:
        manifest: of the dataset.
        split: a stored split.

    Returns:
        (n,) int64 rows of the split, increasing.
    """
    group = tasks.get(manifest.recipe.task).group
    total = sum(shard.rows for shard in manifest.of_split(split)) // group
    wanted = sizes(manifest)[split] // group
    key = rng.stream_key(FORMAT_VERSION, "mini", manifest.digest(), split)
    words = rng.blocks(key, 0, -(-total // rng.WORDS_PER_BLOCK)).reshape(-1)[:total]
    groups = np.sort(np.argsort(words, kind="stable")[:wanted])
    return (groups[:, None] * group + np.arange(group)).reshape(-1)


def cut(folder: Path, manifest: Manifest) -> Iterator[tuple[str, bytes]]:
    """Each stored split and the Parquet file of the rows that are taken of it.

    Args:
        folder: the dataset's folder, with its Parquet mirror.
        manifest: its manifest.
    """
    import pyarrow as pa

    for split in sizes(manifest):
        rows = chosen(manifest, split)
        parts: list[Any] = []
        for shard in manifest.of_split(split):
            inside = rows[(rows >= shard.start) & (rows < shard.start + shard.rows)]
            if len(inside) and shard.mirror is not None:
                parts += _taken(folder / shard.mirror.path, inside - shard.start)
        file = io.BytesIO()
        write_rows(pa.concat_tables(parts), file)
        yield split, file.getvalue()


def _taken(path: Path, rows: NDArray[np.int64]) -> Iterator[Any]:
    """Tables of some rows of a mirror, reading no row group that has none of them."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for number in np.unique(rows // ROW_GROUP).tolist():
            here = rows[rows // ROW_GROUP == number] - number * ROW_GROUP
            yield file.read_row_group(number).take(here)
