"""Discrimination: are the two objects the same in shape and colour?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from samediff_stimuli import aligned, aligned_options, objects, painting, rng
from samediff_stimuli.grid import Grid
from samediff_stimuli.recipe import Recipe
from samediff_stimuli.table import Column, Table, typed
from samediff_stimuli.tasks import Split, Task

GROUP = 2  # a different stimulus and the same stimulus that doubles one of its objects

COLUMNS = (
    aligned_options.INDEX,
    aligned_options.LABEL,
    Column(
        name="relation",
        dtype="uint8",
        names=objects.RELATIONS,
        about="how the two objects relate",
    ),
    aligned_options.PAIR_ID,
    *aligned_options.object_columns(2),
)


def grid_of(recipe: Recipe) -> Grid:
    """The patch grid, with no reserved patches."""
    return aligned.grid_of(recipe, reserved=False)


def splits(recipe: Recipe) -> tuple[Split, ...]:
    """The splits; see `aligned.splits`."""
    return aligned.splits(recipe, grid_of(recipe), GROUP)


def design(recipe: Recipe, split: str, start: int, stop: int) -> Table:
    """Rows [start, stop): matched pairs of stimuli, the order inside each pair random.

    Both stimuli of a matched pair have the same positions and offsets; the same stimulus doubles
    the object that stands first in the group. Which object is called the first of the pair in a
    different stimulus is random.
    """
    index = np.arange(start, stop)
    first = start // GROUP
    made = aligned.groups(recipe, grid_of(recipe), split, GROUP, first, -(-stop // GROUP))
    row = index // GROUP - first
    number = made.number[row]
    coins = rng.mix(recipe.key(split, "order"), number)
    same = (index % GROUP) == (coins & np.uint64(1)).astype(np.int64)
    swap = (coins & np.uint64(2)).astype(bool)[:, None]
    pair = np.where(same[:, None], made.pairs[row][:, :1], made.pairs[row])
    patch, jitter = made.patch[row], made.jitter[row]
    pair = np.where(swap, pair[:, ::-1], pair)
    patch = np.where(swap, patch[:, ::-1], patch)
    jitter = np.where(swap[:, :, None], jitter[:, ::-1], jitter)
    shapes, colors = aligned.objects_of(recipe, split).arrays()
    table = {
        "index": index,
        "label": same,
        "relation": np.where(same, objects.SAME, aligned.kind_of(number)),
        "pair_id": number,
        "shape": shapes[pair],
        "color": colors[pair],
        **aligned.scene_columns(recipe, grid_of(recipe), patch, jitter),
    }
    return typed(table, COLUMNS)


def oracle(recipe: Recipe, row: Mapping[str, Any]) -> int:
    """1 if the two objects of the scene have the same shape and the same colour."""
    (shape1, shape2), (color1, color2) = row["shape"], row["color"]
    return int(shape1 == shape2 and color1 == color2)


TASK = Task(
    name="discrimination",
    title="Same-different discrimination",
    summary="Two patch-aligned objects: the same in shape and colour, or not?",
    source="lepori2024",
    options=aligned_options.AlignedOptions,
    columns=lambda recipe: COLUMNS,
    group=GROUP,
    variants=aligned_options.VARIANTS,
    name_of=aligned_options.name_of,
    image_shape=aligned_options.image_shape,
    splits=splits,
    design=design,
    paint=painting.paint,
    instances=painting.instances,
    oracle=oracle,
    contains=aligned.admits,
    stimulus=aligned.stimulus,
    departures=aligned_options.DEPARTURES,
    limits=aligned_options.LIMITS,
)
