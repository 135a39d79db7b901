"""Audit of a dataset folder: images that occur twice, and what tells the label without looking.

Everything is measured on the decoded images (and on the places of objects, where they are known),
never taken from the design.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from samediff_stimuli import tasks
from samediff_stimuli.manifest import Manifest, load
from samediff_stimuli.markdown import markdown_table
from samediff_stimuli.palette import luma
from samediff_stimuli.reading import SplitReader
from samediff_stimuli.recipe import InputError
from samediff_stimuli.shards import image_digest
from samediff_stimuli.table import Column, Table

BATCH = 32  # images decoded at a time
WHITE = 255
# Not judged: objects of different colours may differ in brightness, which is what is asked for.
SHOWN_ONLY = ("contrast",)
BOUND = 4.0  # standard errors from chance beyond which a statistic is said to tell the label

FEATURES: dict[str, str] = {
    "ink": "pixels that are not white",
    "luminance": "mean luma (Rec. 601, whole numbers) of the image",
    "contrast": "standard deviation of luma over the ink",
    "box_width": "width of the box around all ink",
    "box_height": "height of the box around all ink",
    "centroid_x": "mean x of the ink",
    "centroid_y": "mean y of the ink",
    "distance": "mean distance between the centres of objects' squares",
}
Features = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Confound:
    """How well one statistic tells one label.

    Attributes:
        split: split name.
        target: the label's column.
        feature: a key of FEATURES, or a column of the task's measures.
        auc: area under the ROC curve; 0.5 is chance.
        spread: the same for the distance from the median, whichever label is further; not judged,
            because "same" shows one object twice: its sums are twice one, not one and another.
        error: standard error of both at chance.
    """

    split: str
    target: str
    feature: str
    auc: float
    spread: float
    error: float

    @property
    def tells(self) -> bool:
        """Whether a judged statistic's area is further from chance than luck explains."""
        far = abs(self.auc - 0.5) > BOUND * self.error
        return far and self.feature not in SHOWN_ONLY


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What an audit found.

    Attributes:
        name: the dataset's name.
        digest: its content digest.
        rows: images looked at.
        repeats: (split, other split) -> images of the first that occur again in the second, or
            again in the first when both are the same.
        confounds: every statistic of every split and label.
    """

    name: str
    digest: str
    rows: int
    repeats: dict[tuple[str, str], int]
    confounds: tuple[Confound, ...]

    def problems(self) -> list[str]:
        """One line for each thing that must not be; empty if all is well."""
        found = [
            f"{count} images of {first} occur again in {second}"
            for (first, second), count in self.repeats.items()
            if count
        ]
        return found + [
            f"{c.split}: {c.feature} tells {c.target}: area {c.auc:.3f}, chance is 0.5 within "
            f"{BOUND * c.error:.3f}"
            for c in self.confounds
            if c.tells
        ]

    def markdown(self) -> str:
        """The report as Markdown: a row for each statistic, a column for each split and label."""
        heads = list(dict.fromkeys((c.split, c.target) for c in self.confounds))
        by_key = {(c.split, c.target, c.feature): c for c in self.confounds}
        leaks = sum(self.repeats.values())
        lines = [
            f"{self.name}: {self.rows:,} images, {leaks} of them occur again "
            f"(within or across {len(self.repeats)} pairs of splits).",
            "",
            "Area under the ROC curve for the label (in brackets: for the distance from the "
            "median); chance is 0.5. Judged is the area of each statistic but "
            f"{', '.join(SHOWN_ONLY)}; that, and what is in brackets, is shown only: it tells in "
            "part what objects look like, and same stimuli show one object twice.",
            "",
        ]
        several = len({target for _, target in heads}) > 1
        names = [f"{s} {t}" if several else s for s, t in heads]
        rows = []
        for feature in dict.fromkeys(c.feature for c in self.confounds):
            cells = [by_key.get((*head, feature)) for head in heads]
            rows.append([feature, *(f"{c.auc:.3f} ({c.spread:.3f})" if c else "" for c in cells)])
        lines.append(markdown_table(["statistic", *names], rows))
        errors = sorted(c.error for c in self.confounds)
        if errors:
            lines += ["", f"Standard error at chance: {errors[0]:.4f} to {errors[-1]:.4f}."]
        return "\n".join(lines)


def audit(folder: Path, on_rows: Callable[[int], None] = lambda rows: None) -> Audit:
    """Look at every image of a dataset folder.

    Args:
        folder: the dataset folder.
        on_rows: told the number of images of each batch as it is looked at.

    Raises:
        InputError: if the folder is no dataset, or a grid of factors.
        DamagedError: if it is damaged.
    """
    manifest = load(folder)
    task = tasks.get(manifest.recipe.task)
    if task.space(manifest.recipe) is not None:
        raise InputError(
            f"{folder} is a grid of factors, each of which an image is to tell; its card says how "
            "many test images have the pixels of a training image"
        )
    seen: dict[str, Counter[bytes]] = {}
    confounds: list[Confound] = []
    for split in task.splits(manifest.recipe):
        reader = SplitReader(folder, manifest, split.name)
        digests: list[bytes] = []
        features: list[Features] = []
        for images in _batches(reader):
            digests += [image_digest(image) for image in images]
            features += [features_of(image) for image in images]
            on_rows(len(images))
        seen[split.name] = Counter(digests)
        table = reader.table
        measured = dict(zip(FEATURES, np.array(features).T, strict=False))
        if "box" in table:
            measured["distance"] = distances(table["box"])
        for name in task.measures:
            measured[name] = table[name].reshape(table.n_rows, -1).mean(axis=1)
        confounds += _confounds(split.name, manifest, table, measured)
    return Audit(
        name=manifest.name,
        digest=manifest.digest(),
        rows=sum(sum(counter.values()) for counter in seen.values()),
        repeats=_repeats(seen),
        confounds=tuple(confounds),
    )


def _batches(reader: SplitReader) -> Iterator[NDArray[np.uint8]]:
    for first in range(0, len(reader), BATCH):
        yield reader.images(range(first, min(first + BATCH, len(reader))))


def features_of(image: NDArray[np.uint8]) -> Features:
    """(7,) float64: every feature but the last, of a (height, width, 3) uint8 image.

    A blank image has zero for all that is said of ink.
    """
    ink = (image[..., 0] & image[..., 1] & image[..., 2]) != WHITE
    rows, cols = ink.sum(axis=1), ink.sum(axis=0)
    n = int(rows.sum())
    paint = luma(image[ink])
    luminance = (paint.sum() + WHITE * (ink.size - n)) / ink.size
    if n == 0:
        return np.array([0, luminance, 0, 0, 0, 0, 0])
    ys, xs = np.flatnonzero(rows), np.flatnonzero(cols)
    x = cols @ np.arange(len(cols)) / n
    y = rows @ np.arange(len(rows)) / n
    width, height = xs[-1] - xs[0] + 1, ys[-1] - ys[0] + 1
    return np.array([n, luminance, paint.std(), width, height, x, y])


def distances(boxes: NDArray[np.integer]) -> Features:
    """(n,) float64: mean distance between the centres of all pairs of (n, k, 4) boxes."""
    centres = (boxes[..., :2].astype(np.float64) + boxes[..., 2:]) / 2
    i, j = np.triu_indices(boxes.shape[1], k=1)
    apart = np.sqrt(((centres[:, i] - centres[:, j]) ** 2).sum(axis=-1))
    return np.asarray(apart.mean(axis=1))


def _repeats(seen: dict[str, Counter[bytes]]) -> dict[tuple[str, str], int]:
    names = list(seen)
    found = {}
    for i, first in enumerate(names):
        found[first, first] = sum(count - 1 for count in seen[first].values())
        for second in names[i + 1 :]:
            shared = seen[first].keys() & seen[second].keys()
            found[first, second] = sum(seen[first][digest] for digest in shared)
    return found


def _confounds(
    split: str, manifest: Manifest, table: Table, measured: dict[str, Features]
) -> Iterator[Confound]:
    for target, label in _targets(manifest, table):
        n, m = int(label.sum()), int((~label).sum())
        if not n or not m:
            continue
        error = math.sqrt((n + m + 1) / (12 * n * m))
        for feature, values in measured.items():
            off = np.abs(values - np.median(values))
            yield Confound(
                split=split,
                target=target,
                feature=feature,
                auc=area(values, label),
                spread=area(off, label),
                error=error,
            )


def _targets(manifest: Manifest, table: Table) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Every label of two classes; if there is none, each class of the label against the rest.

    Where a row has several images, other columns than the label are not about the first.
    """
    task = tasks.get(manifest.recipe.task)
    columns = task.columns(manifest.recipe)
    if task.more_views:
        columns = (task.label_column(manifest.recipe),)
    found = [column for column in columns if is_target(column)]
    yield from ((column.name, table[column.name].astype(bool)) for column in found)
    if not found:
        label = tasks.get(manifest.recipe.task).label_column(manifest.recipe)
        classes = enumerate(label.names)
        yield from ((name, table[label.name] == number) for number, name in classes)


def is_target(column: Column) -> bool:
    """Whether a column is a label of two classes for the whole stimulus."""
    return len(column.names) == 2 and column.shape == ()


def area(values: Features, label: NDArray[np.bool_]) -> float:
    """The area under the ROC curve of values as scores for a label; ties count half."""
    n, m = int(label.sum()), int((~label).sum())
    ranks = stats.rankdata(values)
    return float((ranks[label].sum() - n * (n + 1) / 2) / (n * m))
