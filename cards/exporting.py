"""Write a dataset as folders of PNG files, one for each class, with tables of the columns beside.

OUT/SPLIT/CLASS/0000012.png, OUT/SPLIT.csv, OUT/SPLIT.jsonl, and OUT/export.json, which says what
this is. `samediff-stimuli import OUT` takes it back.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli import engine, locks, manifest, tasks
from samediff_stimuli.cards.parquet import png_bytes
from samediff_stimuli.manifest import Manifest
from samediff_stimuli.reading import SplitReader
from samediff_stimuli.recipe import InputError
from samediff_stimuli.table import Column, Table

MARKER = "export.json"
_KIND = "samediff-stimuli export"
_BATCH = 64  # images decoded at a time


def export_png(
    folder: Path | str,
    out: Path | str,
    *,
    splits: Sequence[str] | None = None,
    overwrite: bool = False,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> Manifest:
    """Write every image of a dataset as a PNG file, and its columns as CSV and JSON lines.

    Everything is written to a hidden folder beside `out`, which is renamed at the end.

    Args:
        folder: the dataset folder.
        out: the folder to write.
        splits: which splits to write; all when None.
        overwrite: replace an earlier export.
        on_rows: told the number of images as they are written.

    Returns:
        The dataset's manifest.

    Raises:
        InputError: no dataset, no such split, or a folder that may not be written; nothing is
            changed.
        DamagedError: a shard cannot be read; nothing is left.
        OSError: if the disk is full; nothing is left.
    """
    folder = Path(folder)
    made = manifest.load(folder)
    chosen = chosen_splits(made, splits)
    with fresh_folder(folder, made, Path(out), "png", overwrite) as fresh:
        for split in chosen:
            write_split(folder, made, split.name, fresh, on_rows)
    return made


def chosen_splits(made: Manifest, names: Sequence[str] | None) -> list[tasks.Split]:
    """Some splits of a dataset by name; all of them for None.

    Raises:
        InputError: if there is no such split.
    """
    every = tasks.get(made.recipe.task).splits(made.recipe)
    return list(every) if names is None else [tasks.split_of(made.recipe, name) for name in names]


@contextlib.contextmanager
def fresh_folder(
    folder: Path, made: Manifest, out: Path, kind: str, overwrite: bool
) -> Iterator[Path]:
    """A hidden folder beside `out` to write an export to; it becomes `out` if nothing fails.

    Args:
        folder: the dataset folder.
        made: its manifest.
        out: the folder of the export.
        kind: its format, for the marker.
        overwrite: replace an earlier export.

    Raises:
        InputError: if `out` may not be written, or is being written by another process; nothing
            is changed.
    """
    check(folder, out, overwrite)
    out = out.resolve()
    fresh, old = (out.with_name(f".{out.name}.{what}.tmp") for what in ("export", "old"))
    with locks.held(out.with_name(f".{out.name}{locks.NAME}"), f"--out {out}"):
        check(folder, out, overwrite)  # from here on nobody else changes it
        try:
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir()
            yield fresh
            about = {"export": _KIND, "format": kind, "name": made.name, "digest": made.digest()}
            manifest.write_atomically(fresh / MARKER, json.dumps(about, indent=1) + "\n")
            shutil.rmtree(old, ignore_errors=True)
            if out.exists():
                out.rename(old)
            fresh.rename(out)
            shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


def check(folder: Path, out: Path, overwrite: bool) -> None:
    """Raise InputError unless an export of `folder` may be written to `out`; change nothing."""
    there, here = folder.resolve(), out.resolve()
    if here.is_relative_to(there) or there.is_relative_to(here):
        raise InputError(f"--out {out} and the dataset {folder} overlap; give another folder")
    above = next(path for path in here.parents if path.exists())
    if not above.is_dir() or (here.exists() and not here.is_dir()):
        raise InputError(f"--out {out} is not possible: there is a file; give a folder")
    if not os.access(above, os.W_OK | os.X_OK):
        raise InputError(f"--out {out} cannot be written: no permission for {above}")
    if not here.exists() or not any(here.iterdir()):
        return
    if not is_export(here):
        raise InputError(f"--out {out} is not empty and no export of ours; give a new folder")
    if not overwrite:
        raise InputError(f"--out {out} holds an export; give another folder, or --overwrite")
    stranger = next(_strangers(here), None)
    if stranger is not None:
        raise InputError(
            f"--overwrite will not touch {out}: it also holds '{stranger}'; move that away"
        )


def is_export(out: Path) -> bool:
    """Whether a folder says that it is a finished export."""
    try:
        about = json.loads((out / MARKER).read_text(encoding="utf-8"))
        return isinstance(about, dict) and about.get("export") == _KIND
    except (OSError, ValueError):
        return False


_OURS = re.compile(
    r"(images/)?\w+\.(csv|jsonl|npz)|((images|depth)/)?\w+/[^/]+/\d{7,}\.png|"
    r"annotations/\w+\.json|" + re.escape(MARKER)
)


def _strangers(out: Path) -> Iterator[Path]:
    """What a finished export holds that we did not write, relative to it."""
    for path in sorted(out.rglob("*")):
        if path.is_symlink() or not path.is_dir():
            inner = path.relative_to(out)
            if path.is_symlink() or not _OURS.fullmatch(inner.as_posix()):
                yield inner


def files_of(made: Manifest, split: str, table: Table) -> list[str]:
    """The image file of each row of a split's table: SPLIT/CLASS/0000012.png."""
    task = tasks.get(made.recipe.task)
    names = task.label_column(made.recipe).names
    pairs = zip(table[task.label].tolist(), table["index"].tolist(), strict=True)
    return [f"{split}/{names[label]}/{index:07d}.png" for label, index in pairs]


def write_split(
    folder: Path, made: Manifest, split: str, out: Path, on_rows: Callable[[int], None]
) -> None:
    """Write the images and tables of one split.

    Args:
        folder: the dataset folder.
        made: its manifest.
        split: name of the split.
        out: an existing folder.
        on_rows: told the number of images as they are written.
    """
    reader = SplitReader(folder, made, split)
    task = tasks.get(made.recipe.task)
    columns, names = task.columns(made.recipe), task.label_column(made.recipe).names
    table = reader.table
    for name in names:
        (out / split / name).mkdir(parents=True)
    files = files_of(made, split, table)

    def write(row: int, image: NDArray[np.uint8]) -> None:
        (out / files[row]).write_bytes(png_bytes(image))

    with ThreadPoolExecutor(engine.available_workers()) as pool:
        for first in range(0, len(files), _BATCH):
            rows = range(first, min(first + _BATCH, len(files)))
            list(pool.map(write, rows, reader.images(rows)))
            on_rows(len(rows))
    write_csv(out / f"{split}.csv", files, table, columns)
    write_json_lines(out / f"{split}.jsonl", files, table, columns)


def _plain(table: Table, column: Column) -> NDArray[Any]:
    """A column's values, class numbers as names."""
    values = table[column.name]
    return np.array(column.names, dtype=object)[values] if column.names else values


def write_csv(path: Path, files: list[str], table: Table, columns: tuple[Column, ...]) -> None:
    """A line for each row: its file, then every value; "box_0_1" is the value [0][1] of "box"."""
    heads, values = ["file"], [files]
    for column in columns:
        flat = _plain(table, column).reshape(table.n_rows, -1)
        for number, place in enumerate(product(*map(range, column.shape))):
            heads.append("_".join([column.name, *map(str, place)]))
            values.append(flat[:, number].tolist())
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(heads)
        writer.writerows(zip(*values, strict=True))


def write_json_lines(
    path: Path, files: list[str], table: Table, columns: tuple[Column, ...]
) -> None:
    """A JSON object for each row: its file, then every column, nested ones as lists."""
    values = [_plain(table, column).tolist() for column in columns]
    heads = ["file", *(column.name for column in columns)]
    with path.open("w", encoding="utf-8") as lines:
        for row in zip(files, *values, strict=True):
            line = json.dumps(dict(zip(heads, row, strict=True)), ensure_ascii=False)
            lines.write(line + "\n")
