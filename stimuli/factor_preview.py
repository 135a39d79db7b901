"""The contact sheet of a factor set: a walk along each factor, then some images of every split."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from samediff_stimuli.factors import FactorSpace, Levels
from samediff_stimuli.image_files import as_picture
from samediff_stimuli.table import Table
from samediff_stimuli.tasks import Split

COLUMNS = 16
_THUMB, _GAP, _MARGIN, _CAPTION = 80, 4, 14, 18  # pixels
_SPREAD = 618  # thousandths, the golden ratio: so far apart are the others' levels
_INK, _GROUND = (40, 40, 40), (236, 236, 236)

Fetch = Callable[[str, list[int]], NDArray[np.uint8]]
Tables = Callable[[str, int], Table]


def factor_sheet(
    space: FactorSpace, splits: tuple[Split, ...], fetch: Fetch, tables: Tables
) -> Image.Image:
    """The sheet of a set.

    Args:
        space: its factors.
        splits: all of its splits.
        fetch: (split, rows) -> (n, height, width, c) uint8 images.
        tables: (split, n) -> table of the first n rows.

    Returns:
        An RGB picture: a captioned line of images for each factor, if the grid is a split, and for
        each split.
    """
    lines = []
    grid = next((split.rows for split in splits if split.name == "grid"), 0)
    there = tables("grid", grid)["row"].astype(np.int64) if 0 < grid < len(space) else None
    for name in space.names if grid else ():
        shown, levels = walk(space, name) if there is None else walk_there(space, name, there)
        values = space.factor(name).values
        ends = f"{_text(values[shown[0]])} .. {_text(values[shown[-1]])}"
        rows = space.rows(levels)
        rows = rows if there is None else np.searchsorted(there, rows)
        lines.append((f"{name}: {ends}", "grid", rows.tolist()))
    for split in splits:
        caption = f"{split.name}: {split.rows:,} images; {split.about}"
        lines.append((caption, split.name, _scattered(split.rows)))
    width = 2 * _MARGIN + COLUMNS * (_THUMB + _GAP)
    band = _CAPTION + _THUMB + 2 * _GAP
    picture = Image.new("RGB", (width, 2 * _MARGIN + len(lines) * band), _GROUND)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(13)
    for number, (caption, split_name, rows) in enumerate(lines):
        top = _MARGIN + number * band
        draw.text((_MARGIN, top), _fit(caption, draw, font, width - 2 * _MARGIN), _INK, font)
        for place, image in enumerate(fetch(split_name, rows)):
            thumb = as_picture(image).resize((_THUMB, _THUMB), Image.Resampling.LANCZOS)
            picture.paste(thumb, (_MARGIN + place * (_THUMB + _GAP), top + _CAPTION))
    return picture


def walk(space: FactorSpace, name: str, most: int = COLUMNS) -> tuple[list[int], Levels]:
    """Levels of one factor, evenly spread, all others held, and the rows they make.

    Returns:
        The levels shown, and (n, n_factors) int64 levels of each image.
    """
    size = len(space.factor(name))
    shown = np.linspace(0, size - 1, min(most, size)).astype(int).tolist()
    spread = [size * ((_SPREAD * (j + 1)) % 1000) // 1000 for j, size in enumerate(space.sizes)]
    levels = np.tile(np.array(spread, dtype=np.int64), (len(shown), 1))
    levels[:, space.names.index(name)] = shown
    return shown, levels


def walk_there(space: FactorSpace, name: str, there: NDArray[np.int64]) -> tuple[list[int], Levels]:
    """As `walk`, along the first line of the grid that has most images.

    Args:
        space: the factors.
        name: of the one that changes.
        there: (n,) increasing rows of the grid that there are images of.
    """
    column = space.names.index(name)
    level = space.levels(there)[:, column]
    starts = there - level * math.prod(space.sizes[column + 1 :])
    _, line, counts = np.unique(starts, return_inverse=True, return_counts=True)
    rows = there[line == np.argmax(counts)]
    rows = rows[np.linspace(0, len(rows) - 1, min(COLUMNS, len(rows))).astype(int)]
    levels = space.levels(rows)
    return levels[:, column].tolist(), levels


def _scattered(n: int) -> list[int]:
    """Row numbers all over a split: equal steps would meet the same levels again and again."""
    return sorted({n * (618_034 * (i + 1) % 1_000_000) // 1_000_000 for i in range(COLUMNS)})


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.3g}"


def _fit(
    text: str,
    draw: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    width: int,
) -> str:
    """The text, cut to a width in pixels."""
    while draw.textlength(text, font) > width:
        text = f"{text[:-5]} ..."
    return text
