"""Minimal quads: one base scene, and what becomes of it when a single object is edited."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli import (
    aligned,
    aligned_options,
    objects,
    painting,
    quad_edits,
    quad_rounds,
    rng,
)
from samediff_stimuli import quad_options as options
from samediff_stimuli.aligned import Ints
from samediff_stimuli.aligned_options import image_shape
from samediff_stimuli.grid import Grid
from samediff_stimuli.quad_options import GROUP, POSITION, is_rmts
from samediff_stimuli.quad_rounds import BASE, BOTH, COLOR, SHAPE
from samediff_stimuli.quad_sections import DEPARTURES, sections
from samediff_stimuli.recipe import Recipe
from samediff_stimuli.table import Table, typed
from samediff_stimuli.tasks import Split, Task, discrimination, rmts

_CELLS = 8  # edited object x edited pair x relation of the other pair
_SHARD_ROWS = 256 * GROUP
# What the edited object shows, by variant: a column of its quad.
_OBJECT = np.array([BASE, SHAPE, COLOR, BOTH, BASE, BASE])
_RELATION = np.array([objects.SAME, objects.SHAPE, objects.COLOR, objects.BOTH])
_DISPLAY, _SAMPLE = 0, 1


def grid_of(recipe: Recipe) -> Grid:
    """The patch grid; of rmts, with the display pair's patches reserved."""
    return aligned.grid_of(recipe, reserved=is_rmts(recipe))


def splits(recipe: Recipe) -> tuple[Split, ...]:
    """The splits; see `aligned.splits`."""
    return aligned.splits(recipe, grid_of(recipe), GROUP)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is edited in each of g groups, of p pairs of objects.

    Attributes:
        pair: (g,) int64 number of the edited pair.
        other: (g,) int64 column of its quad that the second object of the other pair shows.
        swap: (g, p) bool: whether the second object of a pair, the one that may be edited, is
            listed first.
    """

    pair: Ints
    other: Ints
    swap: NDArray[np.bool_]


def plan(recipe: Recipe, split: str, number: Ints) -> Plan:
    """The edits of some groups: each run of eight groups crosses all there is, in random order."""
    cells = rng.mix(recipe.key(split, "cells"), number[:, None] // _CELLS, np.arange(_CELLS))
    cell = rng.order(cells)[np.arange(len(number)), number % _CELLS]
    first = (cell & 1).astype(bool)[:, None]
    if not is_rmts(recipe):
        return Plan(pair=0 * number, other=0 * number, swap=first)
    pair, different = cell >> 1 & 1, cell >> 2
    coin = rng.mix(recipe.key(split, "naming"), number)[:, None] >> np.uint64(63) > 0
    return Plan(
        pair=pair,
        other=np.where(different, np.array([SHAPE, COLOR, BOTH])[number // _CELLS % 3], BASE),
        swap=np.where(np.arange(2) == pair[:, None], first, coin),
    )


def _quads(recipe: Recipe, split: str, number: Ints) -> Ints:
    """(g, p, 4) object indices: the quads of every pair of some groups."""
    pool = aligned.objects_of(recipe, split)
    n, key = len(pool), recipe.key(split, "pairs")
    first = int(number[0]) // n
    rounds = range(first, int(number[-1]) // n + 1)
    streams = [[quad_rounds.round_of_quads(pool, key, r) for r in rounds]]
    if is_rmts(recipe):
        shown = recipe.key(split, "display")
        streams.insert(0, [quad_rounds.round_of_displays(pool, shown, r, key) for r in rounds])
    found = np.stack([np.concatenate(stream) for stream in streams], axis=1)
    return np.asarray(found[number - first * n])


def _places(
    recipe: Recipe, split: str, number: Ints, doubled: Ints, swap: NDArray[np.bool_]
) -> tuple[Ints, Ints]:
    """Patches (g, k) and offsets (g, k, 2) of the objects of the bases."""
    grid = grid_of(recipe)
    patch, jitter = aligned.group_places(recipe, grid, split, GROUP, number, doubled)
    named = swap[:, -1:]
    patch = np.where(named, patch[:, ::-1], patch)
    jitter = np.where(named[:, :, None], jitter[:, ::-1], jitter)
    if not is_rmts(recipe):
        return patch, jitter
    words = rng.mix(recipe.key(split, "display_jitter"), number[:, None], np.arange(4))
    shown = rng.below(words, options.options_of(recipe).room + 1).reshape(-1, 2, 2)
    display = np.broadcast_to(grid.display(), patch.shape)
    return np.concatenate([display, patch], axis=1), np.concatenate([shown, jitter], axis=1)


def _moved(recipe: Recipe, split: str, number: Ints, jitter: Ints) -> Ints:
    """(g, 2) other offsets than those given, all others equally likely."""
    base = options.options_of(recipe).room + 1
    words = rng.mix(recipe.key(split, "move"), number)
    place = (jitter @ [1, base] + 1 + rng.below(words, base * base - 1)) % (base * base)
    return np.stack([place % base, place // base], axis=1)


def design(recipe: Recipe, split: str, start: int, stop: int) -> Table:
    """Rows [start, stop): groups of six, always in the order of the variants.

    The base of a group is its row `same`: the edited pair shows one object twice. In the other
    rows one of the two, the edited object, has another shape, another colour, both, another place
    inside its box of patches, or other noise, and all else is the base's, noise included.
    """
    first, last = start // GROUP, -(-stop // GROUP)
    number = np.arange(first, last)
    made = _scenes(recipe, split, number)
    made["changed_box"], made["changed_tokens"] = quad_edits.changes(
        recipe, grid_of(recipe), split, made
    )
    rows = slice(start - first * GROUP, stop - first * GROUP)
    return typed({name: v[rows] for name, v in made.items()}, options.columns(recipe))


def _scenes(recipe: Recipe, split: str, number: Ints) -> dict[str, NDArray[Any]]:
    """Whole groups: every column but what the pixels say."""
    todo, quads = plan(recipe, split, number), _quads(recipe, split, number)
    g, p, _ = quads.shape
    group, every = np.arange(g), np.arange(p)
    column = np.where(todo.pair[:, None] == every, _OBJECT[:, None, None], todo.other[:, None])
    column = column.transpose(1, 0, 2)  # (g, 6, p)
    second = np.take_along_axis(quads[:, None], column[..., None], axis=3)
    pairs = np.concatenate([np.broadcast_to(quads[:, None, :, :1], second.shape), second], axis=3)
    pairs = np.where(todo.swap[:, None, :, None], pairs[..., ::-1], pairs).reshape(-1, 2 * p)
    edited = 2 * todo.pair + 1 - todo.swap[group, todo.pair]
    patch, jitter = _places(recipe, split, number, quads[:, -1, 0], todo.swap)
    jitter = np.repeat(jitter[:, None], GROUP, axis=1)
    still = jitter[group, 0, edited]
    jitter[group, POSITION, edited] = _moved(recipe, split, number, still)
    jitter, patch = jitter.reshape(-1, 2 * p, 2), np.repeat(patch, GROUP, axis=0)
    shapes, colors = aligned.objects_of(recipe, split).arrays()
    variant, edited = np.tile(np.arange(GROUP), g), np.repeat(edited, GROUP)
    relation = _RELATION[column].reshape(-1, p)
    alike = relation == objects.SAME
    scene = {
        "index": (number[:, None] * GROUP + np.arange(GROUP)).reshape(-1),
        "label": alike[:, 0] == alike[:, 1] if p == 2 else alike[:, 0],
        "variant": variant,
        "relation": relation if p == 2 else relation[:, 0],
        "pair_id": np.repeat(number, GROUP),
        "role": np.broadcast_to([_DISPLAY, _DISPLAY, _SAMPLE, _SAMPLE], (len(variant), 4)),
        "shape": shapes[pairs],
        "color": colors[pairs],
        **aligned.scene_columns(recipe, grid_of(recipe), patch, jitter),
        "edited": edited,
        "factors": _FACTORS[variant],
    }
    row = np.arange(len(variant))
    for name in ("shape", "color", "jitter"):
        scene[f"new_{name}"] = scene[name][row, edited]
        scene[f"old_{name}"] = scene[name][row // GROUP * GROUP, edited]
    return scene


_FACTORS = np.array(
    [[factor in changed for factor in options.FACTORS] for changed in options.CHANGES]
)


def oracle(recipe: Recipe, row: Mapping[str, Any]) -> int:
    """What the base's own oracle says of the scene."""
    answer = rmts.oracle if is_rmts(recipe) else discrimination.oracle
    return answer(recipe, row)


def contains(recipe: Recipe, split: str, row: Mapping[str, Any]) -> bool:
    """The base's own predicate."""
    admits = rmts.contains if is_rmts(recipe) else aligned.admits
    return admits(recipe, split, row)


def stimulus(recipe: Recipe, row: Mapping[str, Any]) -> tuple[object, ...]:
    """Which object stands on which patches; the two controls show those of their base anew."""
    control = row["variant"] if row["variant"] >= POSITION else options.SAME
    return (*aligned.stimulus(recipe, row), control)


TASK = Task(
    name="quads",
    title="Minimal quads: one scene, one object edited",
    summary="Same scenes but for one object's shape, colour, both, place or noise: same, or not?",
    source="lepori2024",
    options=options.QuadOptions,
    columns=options.columns,
    group=GROUP,
    variants=options.CASES,
    name_of=options.name_of,
    image_shape=image_shape,
    splits=splits,
    design=design,
    paint=lambda recipe, split, scenes: painting.paint(recipe, split, scenes, quad_edits.noise),
    instances=painting.instances,
    oracle=oracle,
    contains=contains,
    stimulus=stimulus,
    departures=DEPARTURES,
    limits=aligned_options.LIMITS,
    shard_rows=lambda recipe: _SHARD_ROWS,
    sections=sections,
)
