"""What a gallery tells about a dataset, as plain data: columns, splits, balance, learning curves.

The page draws this; it is the same whether the stimuli are in the page or fetched from a server.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli import tasks
from samediff_stimuli.cards import rights, validated
from samediff_stimuli.manifest import Manifest
from samediff_stimuli.reading import SplitReader
from samediff_stimuli.recipe import InputError
from samediff_stimuli.table import Column

MAX_STIMULI = 20_000  # in one page; more are served
MOST_CLASSES = 40  # of a column that a chart shows one by one
PATCHES = (14, 16, 32)  # of the usual ViTs, in pixels

Chosen = dict[str, NDArray[np.int64]]  # split -> row numbers, increasing


def about(folder: Path, made: Manifest) -> dict[str, Any]:
    """What the page says of a dataset, as data for JSON.

    Args:
        folder: the dataset folder.
        made: its manifest.

    Raises:
        DamagedError: if a shard cannot be read.
    """
    recipe = made.recipe
    task = tasks.get(recipe.task)
    height, width, _ = task.image_shape(recipe)
    columns = task.columns(recipe)
    sizes = patch_sizes(made)
    return {
        "name": made.name,
        "title": task.title,
        "summary": task.summary,
        "digest": made.digest(),
        "seed": recipe.seed,
        "license": rights.stated_license(folder, made),
        "image": {"height": height, "width": width},
        "group": task.group,
        "splits": [
            {"name": split.name, "rows": split.rows, "about": split.about}
            for split in task.splits(recipe)
        ],
        "label": task.label,
        "columns": [_column(made, column) for column in columns],
        "objects": objects_of(columns),
        "masks": has_masks(folder, made),
        "patches": sizes,
        "patch": getattr(recipe.options, "patch_size", None) or next(iter(sizes), 0),
        "balance": balance(made),
        "training": training(folder, made),
    }


def _column(made: Manifest, column: Column) -> dict[str, Any]:
    """A column as the page needs it: `classes` are what can be filtered by."""
    return {
        "name": column.name,
        "about": column.about,
        "shape": list(column.shape),
        "named": bool(column.names),
        "classes": classes_of(made, column),
    }


def classes_of(made: Manifest, column: Column) -> list[str]:
    """Names of a column's classes, or of a factor's levels; none of other numbers."""
    if column.names:
        return list(column.names)
    space = tasks.get(made.recipe.task).space(made.recipe)
    if space is None or column.name not in space.names:
        return []
    values = space.factor(column.name).values
    return [v if isinstance(v, str) else f"{v:.4g}" for v in values]


def objects_of(columns: tuple[Column, ...]) -> int:
    """How many objects an image shows, by the boxes around them; 0 if nothing is known of them."""
    boxes = (c.shape for c in columns if c.name == "box" and c.shape[1:] == (4,))
    return next((shape[0] for shape in boxes), 0)


def patch_sizes(made: Manifest) -> list[int]:
    """Sides of the patch grids that divide the images, in pixels: the set's own among them."""
    height, width, _ = tasks.get(made.recipe.task).image_shape(made.recipe)
    own = getattr(made.recipe.options, "patch_size", None)
    sizes = {*PATCHES, *([own] if own else [])}
    return sorted(size for size in sizes if height % size == width % size == 0)


def has_masks(folder: Path, made: Manifest) -> bool:
    """Whether the instance masks of a dataset can be had here; one row is tried."""
    task = tasks.get(made.recipe.task)
    split = task.splits(made.recipe)[0].name
    columns = task.columns(made.recipe)
    if not objects_of(columns):
        return False
    row = SplitReader(folder, made, split).table.rows([0])
    try:
        task.instances(made.recipe, split, row)
    except InputError:  # made from pictures that are not at hand
        return False
    return True


def balance(made: Manifest) -> list[dict[str, Any]]:
    """How often each class of each class column occurs in each split, by the manifest.

    Returns:
        For each column: its name, names of classes, and for each split a count of each; of columns
        with many classes the most frequent, and all others in one.
    """
    task = tasks.get(made.recipe.task)
    splits = [split.name for split in task.splits(made.recipe)]
    by_split = {split: made.counts(split) for split in splits}
    found = []
    for column in task.columns(made.recipe):
        if not column.names or not all(column.name in counts for counts in by_split.values()):
            continue
        counts = np.array([by_split[split][column.name] for split in splits])
        names = list(column.names)
        if len(names) > MOST_CLASSES:
            order = np.argsort(-counts.sum(axis=0), kind="stable")
            first, rest = np.sort(order[: MOST_CLASSES - 1]), order[MOST_CLASSES - 1 :]
            names = [*(names[i] for i in first.tolist()), f"{len(rest):,} others"]
            counts = np.column_stack([counts[:, first], counts[:, rest].sum(axis=1)])
        found.append({"column": column.name, "classes": names, "counts": counts.tolist()})
    return found


def training(folder: Path, made: Manifest) -> list[dict[str, Any]]:
    """Learning curves and results of each run of the folder's validation; empty without one."""
    report = validated.read(folder, made.digest())
    if report is None:
        return []
    return [
        _run(f"{recipe}/{name}", run)
        for recipe, found in report["recipes"].items()
        for name, run in found["runs"].items()
    ]


def _run(name: str, run: Mapping[str, Any]) -> dict[str, Any]:
    """A run's curves, and what it reached on each split with its 95 % interval."""
    by_loss = any("partition" in line for line in run["curve"])  # of grids of factors
    series: dict[str, list[tuple[float, float]]] = {}
    for part, x, y in _points(run["curve"], by_loss):
        if y is not None and math.isfinite(y):  # a run may have come to grief
            series.setdefault(part, []).append((x, y))
    return {
        "name": name,
        "measure": run["measure"],
        "x": "step" if by_loss else "epoch",
        "y": "loss" if by_loss else "accuracy",
        "series": [{"name": part, "points": points} for part, points in series.items()],
        "reached": [
            {"split": split, **{key: found[key] for key in ("n", "value", "low", "high")}}
            for split, found in run["splits"].items()
        ],
    }


def _points(
    curve: Sequence[Mapping[str, Any]], by_loss: bool
) -> Iterator[tuple[str, float, float | None]]:
    """(curve, x, y) of each point of a run's curves; y may be no number."""
    for line in curve:
        if by_loss:
            yield line["partition"], line["step"], line["loss"]
        else:
            yield "validation", line["epoch"] + 1, line["validation"]
            yield "train", line["epoch"] + 1, line["train"]


def choose(made: Manifest, limit: int) -> Chosen:
    """Which stimuli to show: as many of each split as there are, whole matched groups, all over it.

    Args:
        made: the manifest.
        limit: stimuli in all; of every split one group is taken even if these are more.

    Raises:
        InputError: if the limit is out of range.
    """
    if not 1 <= limit <= MAX_STIMULI:
        raise InputError(
            f"limit {limit} is out of range; legal: 1 .. {MAX_STIMULI}; "
            "'samediff-stimuli serve' shows all of any dataset"
        )
    task = tasks.get(made.recipe.task)
    splits = sorted(task.splits(made.recipe), key=lambda split: split.rows)
    taken: dict[str, int] = {}
    for number, split in enumerate(splits):  # what small splits leave over, larger ones take
        share = (limit - sum(taken.values())) // (len(splits) - number)
        groups = min(split.rows, max(share, task.group)) // task.group
        taken[split.name] = groups * task.group
    return {
        split.name: _scattered(split.rows, taken[split.name], task.group)
        for split in task.splits(made.recipe)
    }


def _scattered(rows: int, wanted: int, group: int) -> NDArray[np.int64]:
    """Rows of whole groups all over a split, increasing.

    Steps are of the golden ratio: equal ones would meet the same levels of a grid again and again.
    """
    groups = rows // group
    step = max(1, round(groups * 0.6180339887))
    while math.gcd(step, groups) != 1:
        step += 1
    found = np.sort(np.arange(wanted // group) * step % groups)
    return (found[:, None] * group + np.arange(group)).reshape(-1).astype(np.int64)
