"""What every format of an export answers, and what it is given to write."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli import engine, tasks
from samediff_stimuli.cards.parquet import png_bytes
from samediff_stimuli.manifest import Manifest
from samediff_stimuli.reading import SplitReader
from samediff_stimuli.recipe import Recipe
from samediff_stimuli.table import IMAGE, Table
from samediff_stimuli.tasks import Split, Task

_BATCH = 64  # images decoded at a time
_ROWS = 6400  # of a part, for a split that has no shards of its own


@dataclass(frozen=True, kw_only=True)
class Part:
    """Rows of a split whose files are written apart from all others, perhaps elsewhere.

    Attributes:
        split: its name.
        first: the first row.
        stop: one past the last.
        of: what is written of them, for a format that has several such things.
    """

    split: str
    first: int
    stop: int
    of: str = ""


@dataclass(frozen=True, kw_only=True)
class Source:
    """What is exported.

    Attributes:
        folder: the dataset folder.
        made: its manifest.
        splits: the splits to write, in order.
        chosen: whether the user named them.
        on_rows: told the number of rows as their first images are written.
    """

    folder: Path
    made: Manifest
    splits: tuple[Split, ...]
    chosen: bool = False
    on_rows: Callable[[int], None] = lambda rows: None

    @property
    def recipe(self) -> Recipe:
        """Of the dataset."""
        return self.made.recipe

    @property
    def task(self) -> Task:
        """Of the dataset."""
        return tasks.get(self.recipe.task)

    def reader(self, split: str) -> SplitReader:
        """The rows of one split."""
        return SplitReader(self.folder, self.made, split)

    def table(self, part: Part) -> Table:
        """All columns of a part's rows, without images."""
        names = [column.name for column in self.task.columns(self.recipe)]
        return Table(self.reader(part.split).values(names, np.arange(part.first, part.stop)))

    def parts(self, split: Split, rows: int = 0) -> list[Part]:
        """A split in parts of so many rows; by default its shards, if it has some of its own."""
        shards = self.made.of_split(split.name)
        if not rows and not self.made.index_of(split.name):
            ends = [(shard.start, shard.start + shard.rows) for shard in shards]
        else:
            step = rows or _ROWS
            ends = [(n, min(n + step, split.rows)) for n in range(0, split.rows, step)]
        return [Part(split=split.name, first=first, stop=stop) for first, stop in ends]

    def batches(self, split: str, view: str = IMAGE) -> Iterator[NDArray[np.uint8]]:
        """(n, height, width, c) uint8 images of a split in order, n <= 64; told when taken."""
        reader = self.reader(split)
        for first in range(0, len(reader), _BATCH):
            rows = range(first, min(first + _BATCH, len(reader)))
            yield reader.images(rows, view)
            self._tell(len(rows), view)

    def pngs(
        self, split: str, rows: Sequence[int] | None = None, view: str = IMAGE
    ) -> Iterator[bytes]:
        """PNG files of a split's images in order, or of some rows; told in batches."""
        reader = self.reader(split)
        wanted = range(len(reader)) if rows is None else rows
        with ThreadPoolExecutor(engine.available_workers()) as pool:
            for first in range(0, len(wanted), _BATCH):
                batch = wanted[first : first + _BATCH]
                yield from pool.map(png_bytes, reader.images(batch, view))
                self._tell(len(batch), view)

    def _tell(self, rows: int, view: str) -> None:
        if view == IMAGE:
            self.on_rows(rows)


@dataclass(frozen=True, kw_only=True)
class Format(ABC):
    """A way to write a dataset for others; a subclass's fields are its options.

    Attributes:
        name: the `--format` name.
        files: what an export's files are called, relative to its folder: what `--overwrite` may
            delete.
    """

    name: ClassVar[str]
    files: ClassVar[re.Pattern[str]]

    def plan(self, source: Source) -> Source:
        """What will be written of a source, all of it by default; nothing is changed on disk.

        Raises:
            InputError: if the format is not for such a dataset, or not for such splits.
        """
        return source

    def steps(self, source: Source) -> int:
        """How many rows the writing of what was planned tells of."""
        return sum(split.rows for split in source.splits)

    @abstractmethod
    def write(self, source: Source, out: Path) -> None:
        """Write what was planned to an empty folder.

        Raises:
            DamagedError: a shard cannot be read.
            OSError: the disk is full.
        """

    @abstractmethod
    def shown(self, out: Path) -> Sequence[str]:
        """What a finished export holds, in short, for people."""

    @abstractmethod
    def then(self, out: str) -> Sequence[str]:
        """Commands to type next.

        Args:
            out: the folder as the user named it.
        """


class PartedFormat(Format):
    """A format whose files fall into parts that many processes can write."""

    @abstractmethod
    def parts(self, source: Source) -> Sequence[Part]:
        """The parts of what was planned; each has files of its own."""

    @abstractmethod
    def prepare(self, source: Source, out: Path) -> None:
        """Write to an empty folder what belongs to no part, and all folders that parts need."""

    @abstractmethod
    def write_part(self, source: Source, out: Path, part: Part) -> None:
        """Write the files of a part to a prepared folder; see `Format.write`."""

    def write(self, source: Source, out: Path) -> None:
        """Write one part after the other; see `Format.write`."""
        self.prepare(source, out)
        for part in self.parts(source):
            self.write_part(source, out, part)
