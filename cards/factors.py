"""What a finished factor set has besides its shards: lists of rows, and how often pixels repeat."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli import engine, tasks
from samediff_stimuli.indices import index_digest, write_index
from samediff_stimuli.manifest import IndexRecord, ShardRecord
from samediff_stimuli.recipe import InputError, Recipe
from samediff_stimuli.shards import ImagesDigest, ShardReader

_DIGEST = 16  # bytes of XXH3-128
_BATCH = 64  # images decoded at a time


def check_lists(recipe: Recipe) -> None:
    """Raise InputError unless what lists the rows of every split is at hand."""
    task = tasks.get(recipe.task)
    for split in task.splits(recipe):
        if task.members is not None and task.members(recipe, split.name) is None:
            raise InputError(
                f"the rows of {split.name} are in label files; give --split-labels DIR"
            )


def write_indices(out: Path, recipe: Recipe) -> tuple[IndexRecord, ...]:
    """Write the list of rows of every split that is not stored by itself."""
    task, made = tasks.get(recipe.task), []
    stored = {split.name for split in task.stored_splits(recipe)}
    for split in task.splits(recipe):
        if split.name in stored:
            continue
        assert task.members is not None  # else every split is stored
        rows = task.members(recipe, split.name)
        assert rows is not None  # see `check_lists`
        path = out / "splits" / task.name_of(recipe) / f"{split.name}.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_index(path, rows)
        table = task.design(recipe, split.name, 0, split.rows)
        made.append(
            IndexRecord(
                split=split.name,
                rows=split.rows,
                file=engine.record_of(out, path),
                digest=index_digest(rows),
                counts=engine.counts_of(table, task.columns(recipe)),
            )
        )
    return tuple(made)


def repeats(out: Path, recipe: Recipe, shards: tuple[ShardRecord, ...]) -> dict[str, int]:
    """Partition -> images of its test whose pixels its train has, too; only of factor sets."""
    task = tasks.get(recipe.task)
    if task.space(recipe) is None:
        return {}
    stored: dict[str, list[NDArray[np.uint64]]] = {}
    for shard in shards:
        stored.setdefault(shard.split, []).append(_digests(out, shard))
    whole = {split: np.concatenate(parts) for split, parts in stored.items()}
    parts: dict[str, list[NDArray[np.uint64]]] = {}
    for split in task.splits(recipe):
        digests = whole.get(split.name)
        if digests is None and task.members is not None:
            (grid,) = whole.values()
            digests = grid[task.members(recipe, split.name)]
        if digests is not None:
            parts.setdefault(split.partition, []).append(digests)
    return {
        partition: int(sum(np.isin(other, first).sum() for other in others))
        for partition, (first, *others) in parts.items()
        if others  # the grid itself has no other part
    }


def _digests(out: Path, shard: ShardRecord) -> NDArray[np.uint64]:
    """Half the digest of every image of a shard: kept when it was made, else taken from it anew."""
    path = out / engine.PARTIAL / f"{Path(shard.file.path).stem}{engine.DIGESTS}"
    data = path.read_bytes() if path.is_file() else b""
    if len(data) != shard.rows * _DIGEST:
        reader, digest = ShardReader(out / shard.file.path), ImagesDigest()
        images = np.empty((_BATCH, *reader.image_shape), dtype=np.uint8)
        for first in range(0, shard.rows, _BATCH):
            rows = range(first, min(first + _BATCH, shard.rows))
            reader.read_into(rows, images[: len(rows)])
            for image in images[: len(rows)]:
                digest.update(image)
        data = bytes(digest.each)
    return np.frombuffer(data, dtype="<u8")[::2]
