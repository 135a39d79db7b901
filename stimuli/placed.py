"""Scenes of free-standing objects of one family: what the sets of object pairs share.

A *group* is a different stimulus and the same stimulus that repeats one of its objects, at the same
places, turns and scales.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli import placed_options, placement, pools, rng
from samediff_stimuli.families import WHITE, Family, Sprite, drawn
from samediff_stimuli.fixed import FULL_SCALE, Ints
from samediff_stimuli.placed_options import scene_of
from samediff_stimuli.pools import GROUP, Pairing
from samediff_stimuli.recipe import InputError, Recipe

# Thousandths: U(0.45, 0.9) (Tartaglini et al. 2023, released code).
SCALE_LOW, SCALE_HIGH = 450, 900


@dataclass(frozen=True, kw_only=True)
class Groups:
    """The matched groups of a run of rows.

    Attributes:
        number: (g,) int64 group numbers within the split.
        pairs: (g, 2) int64 the repeated object and the odd one.
        corners: (g, k, 2) int64 places; in a different stimulus the odd object takes the second.
        angle: (g, k) int64 degrees.
        scale: (g, k) int64 thousandths.
    """

    number: Ints
    pairs: Ints
    corners: Ints
    angle: Ints
    scale: Ints


def groups(
    pairing: Pairing, family: Family, recipe: Recipe, split: str, start: int, stop: int
) -> Groups:
    """The groups [start, stop) of a split.

    No stimulus of two objects occurs twice, by construction; see `places`.
    """
    pool = pools.pool_of(recipe, family, split)
    number = np.arange(start, stop)
    pairs = pools.pairs_of(pairing, family, recipe, split, start, stop)
    turn = pool.first_round + number // len(pool.members)
    total = pools.groups_in_all(recipe)
    ordinal = pools.groups_before(recipe, split) + number
    corners = places(recipe, pool.name, pairs[:, 0], turn, ordinal, total)
    angle, scale = transforms(recipe, split, number)
    return Groups(number=number, pairs=pairs, corners=corners, angle=angle, scale=scale)


def places(recipe: Recipe, pool: str, doubled: Ints, turn: Ints, ordinal: Ints, total: int) -> Ints:
    """Places (g, k, 2) of the objects of groups; the odd object takes the second.

    While there are places enough, no two groups of a dataset share a pair of places: group i takes
    the i-th entry of a keyed permutation of all pairs. Where there are fewer (on patches), each
    object has a permutation of its own and takes the n-th entry the n-th time that it is repeated;
    which of the two places it takes depends on the places alone, so that a different stimulus
    cannot be reached from either of its two objects.

    Args:
        recipe: what to make.
        pool: names the objects that `turn` counts.
        doubled: (g,) the repeated objects.
        turn: (g,) how often each was repeated before.
        ordinal: (g,) number of each group in the whole dataset.
        total: groups of the whole dataset.

    Raises:
        InputError: if all pairs of places were taken.
    """
    chosen, arena = scene_of(recipe), placed_options.arena_of(recipe)
    count = arena.pairs()
    once = total <= count
    name, index, tweak = ("all", ordinal, 0 * doubled) if once else (pool, turn, doubled)
    if len(index) and int(index.max()) >= count:
        whose = "" if once else " for each object"
        raise InputError(
            f"all unique stimuli are used up: there are {count} pairs of places{whose}; "
            "ask for fewer images, more objects or a larger image_size"
        )
    where = rng.permute(recipe.key(name, "places"), index, count, tweak)
    corners = arena.pair(where)
    flip = rng.mix(recipe.key(name, "sides"), where) >> np.uint64(63) > 0
    corners = np.where(flip[:, None, None], corners[:, ::-1], corners)
    if chosen.items == 2:
        return corners
    state = rng.mix(0, doubled, turn).view(np.int64)
    corners = placement.crowd(arena, recipe.key(name, "crowd"), corners, state, chosen.items)
    words = rng.mix(recipe.key(name, "slots"), state[:, None], np.arange(chosen.items))
    return np.take_along_axis(corners, rng.order(words)[..., None], axis=1)


def transforms(recipe: Recipe, split: str, number: Ints) -> tuple[Ints, Ints]:
    """Angles and scales (g, k) of the objects of groups: shared, or each its own."""
    chosen = scene_of(recipe)
    shape = (len(number), chosen.items)
    slots = np.arange(chosen.items) if chosen.independent else np.zeros(1, dtype=np.int64)

    def uniform(purpose: str, low: int, high: int) -> Ints:
        words = rng.mix(recipe.key(split, purpose), number[:, None], slots)
        return np.broadcast_to(low + rng.below(words, high - low + 1), shape)

    angle = uniform("angle", 0, 359) if chosen.turns else np.zeros(shape, dtype=np.int64)
    scale = (
        uniform("scale", SCALE_LOW, SCALE_HIGH)
        if chosen.scales
        else np.full(shape, FULL_SCALE, dtype=np.int64)
    )
    return angle, scale


def design(
    pairing: Pairing, family: Family, recipe: Recipe, split: str, start: int, stop: int
) -> dict[str, NDArray[Any]]:
    """The columns of rows [start, stop), the family's attributes apart.

    The order inside each group is random, and so are the numbers that its objects go by.
    """
    index = np.arange(start, stop)
    first = start // GROUP
    made = groups(pairing, family, recipe, split, first, -(-stop // GROUP))
    row, k = index // GROUP - first, scene_of(recipe).items
    coins = rng.mix(recipe.key(split, "order"), made.number)[row]
    same = (index % GROUP) == (coins & np.uint64(1)).astype(np.int64)
    things = np.repeat(made.pairs[row][:, :1], k, axis=1)
    things[:, 1] = np.where(same, things[:, 1], made.pairs[row][:, 1])
    words = rng.mix(recipe.key(split, "naming"), made.number[:, None], np.arange(k))
    names = rng.order(words)[row]
    corners = np.take_along_axis(made.corners[row], names[..., None], axis=1)
    size = scene_of(recipe).object_size
    return {
        "index": index,
        "label": same,
        "pair_id": made.number[row],
        "object": np.take_along_axis(things, names, axis=1),
        "odd": np.where(same, k, (names == 1).argmax(axis=1)),
        "angle": np.take_along_axis(made.angle[row], names, axis=1),
        "scale": np.take_along_axis(made.scale[row], names, axis=1),
        "box": np.concatenate([corners, corners + size], axis=-1),
    }


def sprites(
    family: Family, recipe: Recipe, scenes: Mapping[str, NDArray[Any]]
) -> Iterator[list[tuple[int, int, Sprite]]]:
    """The objects of each scene: x, y of the square's corner, and what is drawn in it."""
    size = scene_of(recipe).object_size
    columns = [scenes[name].tolist() for name in ("object", "angle", "scale", "box")]
    for numbers, angles, scales, boxes in zip(*columns, strict=True):
        things = zip(numbers, angles, scales, boxes, strict=True)
        yield [(x, y, drawn(family, n, size, a, s)) for n, a, s, (x, y, _, _) in things]


def paint(
    family: Family, recipe: Recipe, scenes: Mapping[str, NDArray[Any]]
) -> Iterator[NDArray[np.uint8]]:
    """Paint scenes on white: one canvas, wiped and painted anew for the next image."""
    canvas = np.full(placed_options.image_shape(recipe), WHITE, dtype=np.uint8)
    size = scene_of(recipe).object_size
    for objects in sprites(family, recipe, scenes):
        for x, y, sprite in objects:
            canvas[y : y + size, x : x + size] = sprite.pixels
        yield canvas
        for x, y, _ in objects:
            canvas[y : y + size, x : x + size] = WHITE


def instances(
    family: Family, recipe: Recipe, scenes: Mapping[str, NDArray[Any]]
) -> NDArray[np.uint8]:
    """(n, height, width) uint8 instance maps: 0 background, j for object j - 1."""
    height, width, _ = placed_options.image_shape(recipe)
    size = scene_of(recipe).object_size
    maps = np.zeros((len(scenes["index"]), height, width), dtype=np.uint8)
    for image, objects in zip(maps, sprites(family, recipe, scenes), strict=True):
        for number, (x, y, sprite) in enumerate(objects, 1):
            image[y : y + size, x : x + size][sprite.mask] = number
    return maps


def oracle(recipe: Recipe, row: Mapping[str, Any]) -> int:
    """1 if all objects of the scene are one and the same."""
    return int(len(set(row["object"])) == 1)


def stands(recipe: Recipe, row: Mapping[str, Any]) -> bool:
    """Whether every square is whole inside the image and apart from all others."""
    chosen, arena = scene_of(recipe), placed_options.arena_of(recipe)
    boxes = np.array(row["box"], dtype=np.int64)
    inside = bool((boxes >= 0).all() and (boxes <= chosen.image_size).all())
    inside &= bool((boxes[:, 2:] - boxes[:, :2] == chosen.object_size).all())
    i, j = np.triu_indices(len(boxes), k=1)
    return inside and bool(arena.apart(boxes[i, :2], boxes[j, :2]).all())


def scene(row: Mapping[str, Any]) -> tuple[object, ...]:
    """The identity of a scene: which object stands where, how, in no particular order."""
    boxes = [tuple(box[:2]) for box in row["box"]]
    return tuple(sorted(zip(boxes, row["object"], row["angle"], row["scale"], strict=True)))
