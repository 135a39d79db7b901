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
from samediff_stimuli.table import IMAGE
from samediff_stimuli.tasks import Split, Task

_BATCH = 64  # images decoded at a time


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
