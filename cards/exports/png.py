"""Folders of PNG files, one for each class, with tables of the columns beside.

OUT/SPLIT/CLASS/0000012.png, OUT/SPLIT.csv, OUT/SPLIT.jsonl; `samediff-stimuli import OUT` takes it
back. Further images of a row go to folders of their own, OUT/SPLIT_VIEW/CLASS, by their own labels.
"""

from __future__ import annotations

import csv
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli import tasks
from samediff_stimuli.cards.exports.format import Part, PartedFormat, Source
from samediff_stimuli.manifest import Manifest
from samediff_stimuli.table import IMAGE, Column, Table

FILES = r"\w+\.(csv|jsonl)|\w+/[^/]+/\d{7,}\.png"


@dataclass(frozen=True, kw_only=True)
class Png(PartedFormat):
    """Every image as a PNG file, and its columns as CSV and JSON lines."""

    name = "png"
    files = re.compile(FILES)

    def parts(self, source: Source) -> Sequence[Part]:
        """The images of each shard; see `PartedFormat.parts`."""
        return [part for split in source.splits for part in source.parts(split)]

    def prepare(self, source: Source, out: Path) -> None:
        """Write the tables; see `PartedFormat.prepare`."""
        for split in source.splits:
            prepare_split(source, split.name, out)

    def write_part(self, source: Source, out: Path, part: Part) -> None:
        """Write images; see `PartedFormat.write_part`."""
        write_images(source, part, out)

    def shown(self, out: Path) -> Sequence[str]:
        """Folders and tables; see `Format.shown`."""
        return [
            path.name + ("/CLASS/*.png" if path.is_dir() else "") for path in sorted(out.iterdir())
        ]

    def then(self, out: str) -> Sequence[str]:
        """The way back; see `Format.then`."""
        return [import_again(out, out)]


def import_again(images: str, out: str) -> str:
    """The command that makes a dataset of exported PNG files."""
    return f"samediff-stimuli import {shlex.quote(images)} --out {shlex.quote(f'{out}-again')}"


def files_of(made: Manifest, split: str, table: Table, view: str = IMAGE) -> list[str]:
    """An image file of each row of a split's table: SPLIT/CLASS/0000012.png."""
    task = tasks.get(made.recipe.task)
    names = task.label_column(made.recipe).names
    labels = task.view(view).scene(table)[task.label].tolist()
    top = split if view == IMAGE else f"{split}_{view}"
    pairs = zip(labels, table["index"].tolist(), strict=True)
    return [f"{top}/{names[label]}/{index:07d}.png" for label, index in pairs]


def prepare_split(source: Source, split: str, out: Path) -> None:
    """Write the tables of one split, and the folders of its images, to an existing folder."""
    table, columns = source.reader(split).table, source.task.columns(source.recipe)
    heads = {}
    for view in (view.name for view in source.task.views):
        files = files_of(source.made, split, table, view)
        top = files[0].split("/")[0]
        for name in source.task.label_column(source.recipe).names:
            (out / top / name).mkdir(parents=True)
        heads["file" if view == IMAGE else f"{view}_file"] = files
    write_csv(out / f"{split}.csv", heads, table, columns)
    write_json_lines(out / f"{split}.jsonl", heads, table, columns)


def write_images(source: Source, part: Part, out: Path) -> None:
    """Write the images of a part of a split to a folder that was prepared for it."""
    table, rows = source.table(part), range(part.first, part.stop)
    for view in (view.name for view in source.task.views):
        files = files_of(source.made, part.split, table, view)
        for file, png in zip(files, source.pngs(part.split, rows, view), strict=True):
            (out / file).write_bytes(png)


def plain(table: Table, column: Column) -> NDArray[Any]:
    """A column's values, class numbers as names."""
    values = table[column.name]
    return np.array(column.names, dtype=object)[values] if column.names else values


def write_csv(
    path: Path, files: Mapping[str, list[str]], table: Table, columns: tuple[Column, ...]
) -> None:
    """A line for each row: its files, then every value; "box_0_1" is the value [0][1] of "box"."""
    heads, values = list(files), list(files.values())
    for column in columns:
        flat = plain(table, column).reshape(table.n_rows, -1)
        for number, place in enumerate(product(*map(range, column.shape))):
            heads.append("_".join([column.name, *map(str, place)]))
            values.append(flat[:, number].tolist())
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(heads)
        writer.writerows(zip(*values, strict=True))


def write_json_lines(
    path: Path, files: Mapping[str, list[str]], table: Table, columns: tuple[Column, ...]
) -> None:
    """A JSON object for each row: its files, then every column, nested ones as lists."""
    values = [plain(table, column).tolist() for column in columns]
    heads = [*files, *(column.name for column in columns)]
    with path.open("w", encoding="utf-8") as lines:
        for row in zip(*files.values(), *values, strict=True):
            line = json.dumps(dict(zip(heads, row, strict=True)), ensure_ascii=False)
            lines.write(line + "\n")


FORMAT = Png
