"""Write the splits of a factor set as the npz files that the published benchmark reads.

OUT/{dataset}_{variant}_{train|test}_images.npz and ..._labels.npz, each with the key `arr_0`:
images uint8 (N, channels, height, width), labels int64 (N, factors), levels (Schott et al. 2021,
released code). Images are streamed: memory stays flat, whatever the size of the set.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from samediff_stimuli import manifest, tasks
from samediff_stimuli.cards.exporting import chosen_splits, fresh_folder
from samediff_stimuli.factor_task import GRID
from samediff_stimuli.factors.label_files import KEY, PARTS, file_name
from samediff_stimuli.manifest import Manifest
from samediff_stimuli.reading import SplitReader
from samediff_stimuli.recipe import InputError

_BATCH = 1024  # images decoded at a time
_LEVEL = 1  # of zlib: fast
_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file can say, so that bytes do not change


def export_benchmark(
    folder: Path | str,
    out: Path | str,
    *,
    splits: Sequence[str] | None = None,
    overwrite: bool = False,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> Manifest:
    """Write train and test of every partition of a factor set as the benchmark's npz files.

    Everything is written to a hidden folder beside `out`, which is renamed at the end.

    Args:
        folder: the dataset folder.
        out: the folder to write.
        splits: which splits to write; train and test of every partition when None.
        overwrite: replace an earlier export.
        on_rows: told the number of images as they are written.

    Returns:
        The dataset's manifest.

    Raises:
        InputError: no factor set, or a folder that may not be written; nothing is changed.
        DamagedError: a shard cannot be read; nothing is left.
        OSError: if the disk is full; nothing is left.
    """
    folder = Path(folder)
    made = manifest.load(folder)
    task = tasks.get(made.recipe.task)
    space = task.space(made.recipe)
    if space is None:
        raise InputError(f"format 'benchmark-npz' is for grids of factors; {made.name} is none")
    whole = [split.name for split in chosen_splits(made, splits) if split.name == GRID]
    if splits and whole:
        raise InputError(f"split {GRID!r} has no file in the benchmark; legal: train and test")
    chosen = [split for split in chosen_splits(made, splits) if split.name not in whole]
    for partition in {split.partition for split in chosen}:
        if sum(split.partition == partition for split in chosen) != len(PARTS):
            raise InputError(
                f"one part of {partition!r} alone is not possible: the benchmark's loader "
                "downloads what it does not find; give train and test"
            )
    with fresh_folder(folder, made, Path(out), "benchmark-npz", overwrite) as fresh:
        for split in chosen:
            part = split.name.rpartition("_")[2]
            reader = SplitReader(folder, made, split.name)
            names = [
                fresh / file_name(space, split.partition, part, w) for w in ("images", "labels")
            ]
            _write_images(names[0], reader, task.image_shape(made.recipe), on_rows)
            rows = np.arange(len(reader))
            values = reader.values(space.names, rows)
            labels = np.stack([values[name] for name in space.names], axis=1).astype(np.int64)
            _write(names[1], labels.dtype, labels.shape, [labels])
    return made


def _write_images(
    path: Path,
    reader: SplitReader,
    image_shape: tuple[int, int, int],
    on_rows: Callable[[int], None],
) -> None:
    """Write the images of a split, channels first."""
    height, width, channels = image_shape

    def batches() -> Iterator[NDArray[np.uint8]]:
        for first in range(0, len(reader), _BATCH):
            rows = range(first, min(first + _BATCH, len(reader)))
            yield np.ascontiguousarray(reader.images(rows).transpose(0, 3, 1, 2))
            on_rows(len(rows))

    _write(path, np.dtype(np.uint8), (len(reader), channels, height, width), batches())


def _write(
    path: Path, dtype: np.dtype[Any], shape: tuple[int, ...], parts: Iterable[NDArray[Any]]
) -> None:
    """Write an array that comes in parts as the one member of an npz file."""
    member = zipfile.ZipInfo(f"{KEY}.npy", date_time=_DATE)
    member.compress_type = zipfile.ZIP_DEFLATED
    with (
        zipfile.ZipFile(path, "w", compresslevel=_LEVEL) as archive,
        archive.open(member, "w", force_zip64=True) as file,
    ):
        about = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        npy.write_array_header_1_0(file, about)
        for part in parts:
            file.write(part.data)
