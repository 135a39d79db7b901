"""A contact sheet: a few stimuli of every split and label, with their labels written beside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from samediff_stimuli import tasks
from samediff_stimuli.factor_preview import factor_sheet
from samediff_stimuli.manifest import Manifest
from samediff_stimuli.reading import SplitReader
from samediff_stimuli.recipe import InputError, Recipe
from samediff_stimuli.replacing import replacing
from samediff_stimuli.table import IMAGE, Table

THUMB = 150  # pixels
PER_ROW = 8
MAX_LABELS = 16  # the first ones, if a dataset has more
_GAP, _MARGIN, _CAPTION = 6, 14, 18
_INK, _GROUND, _FRAME = (40, 40, 40), (236, 236, 236), (180, 180, 180)

Fetch = Callable[[str, list[int], str], NDArray[np.uint8]]


def sheet(recipe: Recipe, fetch: Fetch, tables: Callable[[str, int], Table]) -> Image.Image:
    """The contact sheet of a dataset.

    Args:
        recipe: the dataset's recipe.
        fetch: (split, rows, view) -> (n, height, width, c) uint8 images.
        tables: (split, n) -> table of the first n rows.

    Returns:
        An RGB picture: a band per split, stimuli of each label side by side, further images of a
        row under its first; of a set that is a grid of factors, a walk along each of them, too.
    """
    task = tasks.get(recipe.task)
    splits, space = task.splits(recipe), task.space(recipe)
    if space is not None:
        return factor_sheet(space, splits, lambda split, rows: fetch(split, rows, IMAGE), tables)
    labels = task.label_column(recipe).names[:MAX_LABELS]
    per_label = max(1, PER_ROW // len(labels))
    width = 2 * _MARGIN + len(labels) * (per_label * (THUMB + _GAP) + _MARGIN)
    band = 2 * _CAPTION + len(task.views) * (THUMB + _GAP)
    picture = Image.new("RGB", (width, 2 * _MARGIN + len(splits) * band), _GROUND)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(13)
    for number, split in enumerate(splits):
        top = _MARGIN + number * band
        what = "rows" if task.more_views else "images"
        caption = f"{split.name}: {split.rows:,} {what}; {split.about}"
        draw.text((_MARGIN, top), caption, _INK, font)
        table = tables(split.name, min(split.rows, 8 * PER_ROW))
        for side, label in enumerate(labels):
            left = _MARGIN + side * (per_label * (THUMB + _GAP) + _MARGIN)
            draw.text((left, top + _CAPTION), label, _INK, font)
            found = np.flatnonzero(table[task.label] == side)
            rows = found[:: max(1, len(found) // per_label)][:per_label].tolist()
            for depth, view in enumerate(task.views):
                corner = (left, top + 2 * _CAPTION + depth * (THUMB + _GAP))
                _row(picture, corner, fetch(split.name, rows, view.name))
    return picture


def _row(picture: Image.Image, corner: tuple[int, int], images: NDArray[np.uint8]) -> None:
    """Paste thumbnails side by side, each in a frame."""
    draw, (left, top) = ImageDraw.Draw(picture), corner
    for place, image in enumerate(images):
        thumb = Image.fromarray(image).resize((THUMB, THUMB), Image.Resampling.LANCZOS)
        x = left + place * (THUMB + _GAP)
        picture.paste(thumb, (x, top))
        draw.rectangle([x - 1, top - 1, x + THUMB, top + THUMB], outline=_FRAME)


def sheet_of_folder(folder: Path, manifest: Manifest) -> Image.Image:
    """The contact sheet of a dataset folder, read from its shards."""
    task = tasks.get(manifest.recipe.task)
    names = [split.name for split in task.splits(manifest.recipe)]
    splits = {name: SplitReader(folder, manifest, name) for name in names}
    return sheet(
        manifest.recipe,
        lambda split, rows, view: splits[split].images(rows, view),
        lambda split, n: splits[split].rows(np.arange(min(n, len(splits[split])))),
    )


def save(picture: Image.Image, path: Path) -> None:
    """Write a picture as PNG, under a temporary name first."""
    if path.is_dir() or not path.name:
        raise InputError(f"{path} is a folder; give a file name for the picture")
    with replacing(path) as temporary:
        picture.save(temporary, format="PNG")
