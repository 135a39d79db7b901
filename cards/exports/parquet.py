"""The Parquet mirror alone, as `load_dataset` reads it: a folder to put on the Hub.

OUT/data/NAME/SPLIT-00000-of-00003.parquet are copies of the dataset's own mirror, or are made, with
the same bytes, for a dataset that has none.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from samediff_stimuli import engine
from samediff_stimuli.cards.exports import hub
from samediff_stimuli.cards.exports.format import Format, Source
from samediff_stimuli.cards.parquet import ParquetMirror
from samediff_stimuli.manifest import ShardRecord
from samediff_stimuli.shards import DamagedError
from samediff_stimuli.tasks import Split

_ROWS = 6400  # of a file, for a split that has no shards of its own


@dataclass(frozen=True, kw_only=True)
class Parquet(Format):
    """The rows that are on disk, with PNG images, and a card for `load_dataset`."""

    name = "parquet"
    files = re.compile(rf"{re.escape(hub.CARD)}|data/[^/]+/\w+-\d+-of-\d+\.parquet")

    def plan(self, source: Source) -> Source:
        """Each stored image once, or the splits that were named; see `Format.plan`."""
        if source.chosen:
            return source
        return replace(source, splits=source.task.stored_splits(source.recipe))

    def write(self, source: Source, out: Path) -> None:
        """Copy or make every file; see `Format.write`."""
        folder = out / "data" / source.made.name
        folder.mkdir(parents=True)
        for split in source.splits:
            shards = source.made.of_split(split.name)
            if source.made.index_of(split.name):
                _make(source, split, _equal_parts(split), folder)
            elif all(shard.mirror for shard in shards):
                for shard in shards:
                    _copy(source, shard, out)
            else:
                _make(source, split, [(s.start, s.start + s.rows) for s in shards], folder)
        names = [
            (split.name, f"data/{folder.name}/{split.name}-*.parquet") for split in source.splits
        ]
        hub.write_card(source, out, names)

    def shown(self, out: Path) -> Sequence[str]:
        """Card and folder; see `Format.shown`."""
        return [hub.CARD, "data/*/*.parquet"]

    def then(self, out: str) -> Sequence[str]:
        """How to load it; see `Format.then`."""
        return [hub.loading(out)]


def _equal_parts(split: Split) -> list[tuple[int, int]]:
    """First row, and one past the last, of each file of a split without shards."""
    return [(n, min(n + _ROWS, split.rows)) for n in range(0, split.rows, _ROWS)]


def _copy(source: Source, shard: ShardRecord, out: Path) -> None:
    """Copy a shard's mirror, and see that it is what the manifest says.

    Raises:
        DamagedError: if it is not.
    """
    assert shard.mirror is not None
    there, path = source.folder / shard.mirror.path, out / shard.mirror.path
    if not there.is_file():
        raise DamagedError(f"{there} is missing; run the command that made the dataset again")
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(there, path)
    if engine.record_of(out, path) != shard.mirror:
        raise DamagedError(f"{there} is damaged: its digest is not that of the manifest")
    source.on_rows(shard.rows)


def _make(source: Source, split: Split, parts: Sequence[tuple[int, int]], folder: Path) -> None:
    """Write the files of a split that has no mirror."""
    views = [view.name for view in source.task.views]
    mirror = ParquetMirror(source.task.columns(source.recipe), views)
    table = source.reader(split.name).table
    for number, (first, stop) in enumerate(parts):
        file = mirror.start(folder / f"{split.name}-{number:05d}-of-{len(parts):05d}")
        for view in views:
            for png in source.pngs(split.name, range(first, stop), view):
                file.add_png(png, view)
        file.finish(table.rows(slice(first, stop)))


FORMAT = Parquet
