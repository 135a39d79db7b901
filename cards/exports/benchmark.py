"""The npz files that the published benchmark reads, of the splits of a grid of factors.

OUT/{dataset}_{variant}_{train|test}_images.npz and ..._labels.npz, each with the key `arr_0`:
images uint8 (N, channels, height, width), labels int64 (N, factors), levels (Schott et al. 2021,
released code). Images are streamed: memory stays flat, whatever the size of the set.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli.cards.exports.format import Format, Source
from samediff_stimuli.cards.npz import NpzFile
from samediff_stimuli.factor_task import GRID
from samediff_stimuli.factors.label_files import KEY, PARTS, file_name
from samediff_stimuli.recipe import InputError
from samediff_stimuli.tasks import Split


@dataclass(frozen=True, kw_only=True)
class BenchmarkNpz(Format):
    """Train and test of every partition of a grid of factors as the benchmark's npz files."""

    name = "benchmark-npz"
    files = re.compile(r"\w+\.npz")

    def plan(self, source: Source) -> Source:
        """Train and test of every partition, or of some; see `Format.plan`."""
        if source.task.space(source.recipe) is None:
            raise InputError(
                f"format {self.name!r} is for grids of factors; {source.made.name} is none"
            )
        chosen = tuple(split for split in source.splits if split.name != GRID)
        if source.chosen and chosen != source.splits:
            raise InputError(f"split {GRID!r} has no file in the benchmark; legal: train and test")
        for partition in {split.partition for split in chosen}:
            if sum(split.partition == partition for split in chosen) != len(PARTS):
                raise InputError(
                    f"one part of {partition!r} alone is not possible: the benchmark's loader "
                    "downloads what it does not find; give train and test"
                )
        return replace(source, splits=chosen)

    def write(self, source: Source, out: Path) -> None:
        """Write images and labels of every split; see `Format.write`."""
        for split in source.splits:
            _write_images(source, split, out)
            _write_labels(source, split, out)

    def shown(self, out: Path) -> Sequence[str]:
        """The files; see `Format.shown`."""
        return sorted(path.name for path in out.iterdir())

    def then(self, out: str) -> Sequence[str]:
        """Nothing: the benchmark is a program of others; see `Format.then`."""
        return ()


def _path(source: Source, split: Split, what: str, out: Path) -> Path:
    """The file of a split's images or labels."""
    space, part = source.task.space(source.recipe), split.name.rpartition("_")[2]
    assert space is not None  # it was planned
    return out / file_name(space, split.partition, part, what)


def _write_images(source: Source, split: Split, out: Path) -> None:
    """Write the images of a split, channels first."""
    height, width, channels = source.task.image_shape(source.recipe)

    def batches() -> Iterator[NDArray[np.uint8]]:
        for images in source.batches(split.name):
            yield np.ascontiguousarray(images.transpose(0, 3, 1, 2))

    with NpzFile(_path(source, split, "images", out)) as file:
        file.add(KEY, np.dtype(np.uint8), (split.rows, channels, height, width), batches())


def _write_labels(source: Source, split: Split, out: Path) -> None:
    """Write the levels of a split."""
    space, reader = source.task.space(source.recipe), source.reader(split.name)
    assert space is not None  # it was planned
    values = reader.values(space.names, np.arange(len(reader)))
    labels = np.stack([values[name] for name in space.names], axis=1).astype(np.int64)
    with NpzFile(_path(source, split, "labels", out)) as file:
        file.add(KEY, labels.dtype, labels.shape, [labels])


FORMAT = BenchmarkNpz
