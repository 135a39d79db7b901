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
from samediff_stimuli.cards.exports.format import Part, PartedFormat, Source
from samediff_stimuli.cards.parquet import ParquetMirror
from samediff_stimuli.manifest import ShardRecord
from samediff_stimuli.shards import DamagedError


@dataclass(frozen=True, kw_only=True)
class Parquet(PartedFormat):
    """The rows that are on disk, with PNG images, and a card for `load_dataset`."""

    name = "parquet"
    files = re.compile(rf"{re.escape(hub.CARD)}|data/[^/]+/\w+-\d+-of-\d+\.parquet")

    def plan(self, source: Source) -> Source:
        """Each stored image once, or the splits that were named; see `Format.plan`."""
        if source.chosen:
            return source
        return replace(source, splits=source.task.stored_splits(source.recipe))

    def parts(self, source: Source) -> Sequence[Part]:
        """The files of every split; see `PartedFormat.parts`."""
        return [part for split in source.splits for part in source.parts(split)]

    def write_part(self, source: Source, out: Path, part: Part) -> None:
        """Copy or make a file; see `PartedFormat.write_part`."""
        shards = source.made.of_split(part.split)
        if source.made.index_of(part.split) or not all(shard.mirror for shard in shards):
            _make(source, part, out / "data" / source.made.name)
        else:
            _copy(source, next(shard for shard in shards if shard.start == part.first), out)

    def prepare(self, source: Source, out: Path) -> None:
        """Write the card; see `PartedFormat.prepare`."""
        folder = out / "data" / source.made.name
        folder.mkdir(parents=True)
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


def _copy(source: Source, shard: ShardRecord, out: Path) -> None:
    """Copy a shard's mirror, and see that it is what the manifest says.

    Raises:
        DamagedError: if it is not.
    """
    assert shard.mirror is not None
    there, path = source.folder / shard.mirror.path, out / shard.mirror.path
    if not there.is_file():
        raise DamagedError(f"{there} is missing; run the command that made the dataset again")
    shutil.copyfile(there, path)
    if engine.record_of(out, path) != shard.mirror:
        raise DamagedError(f"{there} is damaged: its digest is not that of the manifest")
    source.on_rows(shard.rows)


def _make(source: Source, part: Part, folder: Path) -> None:
    """Write a file of a split that has no mirror."""
    views = [view.name for view in source.task.views]
    split = next(split for split in source.splits if split.name == part.split)
    parts = source.parts(split)
    file = ParquetMirror(source.task.columns(source.recipe), views).start(
        folder / f"{part.split}-{parts.index(part):05d}-of-{len(parts):05d}"
    )
    for view in views:
        for png in source.pngs(part.split, range(part.first, part.stop), view):
            file.add_png(png, view)
    file.finish(source.table(part))


FORMAT = Parquet
