"""Scenes of patch-aligned objects: what discrimination and relational match-to-sample share.

An object stands anywhere inside a box of whole patches; two boxes never share a patch (Lepori et
al. 2024, arXiv 2406.15955 and its released code).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli import matching, objects, rng
from samediff_stimuli.aligned_options import MAX_POSITIONS, GridOptions, options_of, sizes_of
from samediff_stimuli.grid import Grid
from samediff_stimuli.objects import KINDS, ObjectSet
from samediff_stimuli.recipe import InputError, Recipe
from samediff_stimuli.tasks import Split

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Pool:
    """A set of objects, and the splits that share it, each with its range of rounds.

    Attributes:
        objects: the objects.
        first_round: first round of the split in question; ranges of splits never overlap.
    """

    objects: ObjectSet
    first_round: int


def splits(recipe: Recipe, grid: Grid, group: int) -> tuple[Split, ...]:
    """The splits of a patch-aligned set.

    Args:
        recipe: what to make.
        grid: where objects may stand.
        group: rows in a matched group.

    Raises:
        InputError: sizes that are no multiples of the group, no split at all, or more stimuli
            than exist.
    """
    chosen = sizes_of(recipe)
    held_out = objects.FULL - chosen.combinations
    seen = f"the {chosen.combinations} training combinations"
    made = [
        Split(name="train", rows=chosen.train, about=f"objects are {seen}"),
        Split(name="validation", rows=chosen.validation, about=f"objects are {seen}"),
        Split(name="test", rows=chosen.test, about=f"objects are {seen}"),
    ]
    if held_out:
        about = f"both objects of every pair are among the {held_out} held-out combinations"
        made.append(Split(name="test_compositional", rows=chosen.test, about=about, held_out=True))
    for name, what in (
        ("ood_shape", "4 novel shapes in the 16 training colours"),
        ("ood_color", "the 16 training shapes in 4 novel colours"),
        ("ood_shape_color", "4 novel shapes in 4 novel colours"),
    ):
        about = f"{what}: none seen in training"
        made.append(Split(name=name, rows=chosen.ood, about=about, held_out=True))
    made = [split for split in made if split.rows]
    check_positions(chosen, grid)
    if not made:
        raise InputError("train, validation, test and ood are all 0; at least one must be larger")
    for split in made:
        if split.rows % group:
            raise InputError(
                f"{split.name.split('_')[0]} {split.rows} is not a multiple of {group}, the size "
                f"of a matched group; nearest: {max(group, split.rows // group * group)}"
            )
        _check_space(chosen, grid, pool_of(recipe, split.name, group), split, group)
    return tuple(made)


def check_positions(chosen: GridOptions, grid: Grid) -> None:
    """Raise InputError if objects have too few, or too many, places to stand."""
    positions = len(grid.positions())
    if positions < 2 or positions > MAX_POSITIONS:
        raise InputError(
            f"image_size {chosen.image_size}, patch_size {chosen.patch_size} and object_patches "
            f"{chosen.object_patches} leave {positions} positions for objects; legal: 2 .. "
            f"{MAX_POSITIONS}; choose {'smaller' if positions < 2 else 'larger'} patches, or "
            "another image_size"
        )


def _check_space(chosen: GridOptions, grid: Grid, pool: Pool, split: Split, group: int) -> None:
    """Raise InputError if the split needs more distinct stimuli than exist."""
    n = len(pool.objects)
    rounds = pool.first_round + -(-split.rows // group // n)
    exist = len(grid.pairs()) * (chosen.room + 1) ** 4
    if rounds > exist:
        raise InputError(
            f"{split.name} {split.rows} needs more unique stimuli than exist: {n} objects, "
            f"{len(grid.pairs())} position pairs and {chosen.room + 1} x {chosen.room + 1} offsets "
            f"per object make {exist * n * group}, shared by the splits; ask for fewer images, "
            "or a larger jitter or image_size"
        )


def pool_of(recipe: Recipe, split: str, group: int) -> Pool:
    """The objects of a split and its range of rounds.

    Splits of the seen objects take ranges one after the other: validation, test, and then train,
    whose range is open-ended, so that training data can grow, or stream, without end.
    """
    chosen, members = sizes_of(recipe), objects_of(recipe, split)
    before: tuple[int, ...] = ()
    if split == "test":
        before = (chosen.validation,)
    elif split == "train":
        before = (chosen.validation, chosen.test)
    taken = sum(-(-rows // group // len(members)) for rows in before)
    return Pool(objects=members, first_round=taken)


def objects_of(recipe: Recipe, split: str) -> ObjectSet:
    """The objects that a split's stimuli are made of."""
    if split in objects.OOD:
        return objects.OOD[split]
    seen, held_out = objects.ring(options_of(recipe).combinations)
    return held_out if split == "test_compositional" else seen


def grid_of(recipe: Recipe, *, reserved: bool) -> Grid:
    """The recipe's patch grid, with or without patches reserved for a display pair."""
    chosen = options_of(recipe)
    side = chosen.image_size // chosen.patch_size
    span = int(chosen.object_patches or 0)
    return Grid(side=side, patch=chosen.patch_size, span=span, reserved=reserved)


@dataclass(frozen=True, kw_only=True)
class Groups:
    """The matched groups of a run of rows: one different pair each, and where it stands.

    Attributes:
        number: (g,) int64 group numbers within the split.
        pairs: (g, 2) int64 objects of the different pair; column 0 is the one that the group's
            same pair doubles.
        patch: (g, 2) int64 positions of the pair's two objects.
        jitter: (g, 2, 2) int64 offsets (x, y) of the two objects inside their boxes, in pixels.
    """

    number: Ints
    pairs: Ints
    patch: Ints
    jitter: Ints


def kind_of(group: Ints) -> Ints:
    """How the different pair of each group differs: the three kinds in turn."""
    return np.asarray(KINDS)[group % 3]


def pairs_of(pool: Pool, key: int, kind: Ints, start: int, stop: int) -> Ints:
    """(stop - start, 2) int64 object indices of the different pairs of groups [start, stop).

    Args:
        pool: the objects.
        key: Philox key of this stream of pairs.
        kind: kind of difference of each group of the rounds that hold [start, stop).
        start: first group.
        stop: one past the last group.
    """
    n = len(pool.objects)
    first = start // n
    rounds = [
        matching.round_of_pairs(pool.objects, key, first + r, tuple(chunk.tolist()))
        for r, chunk in enumerate(kind.reshape(-1, n))
    ]
    return np.concatenate(rounds)[start - first * n : stop - first * n]


def whole_rounds(n: int, start: int, stop: int) -> Ints:
    """All group numbers of the rounds of n groups that [start, stop) touches."""
    return np.arange(start // n * n, -(-stop // n) * n)


def groups(recipe: Recipe, grid: Grid, split: str, group: int, start: int, stop: int) -> Groups:
    """The groups [start, stop) of a split: objects, positions and offsets."""
    pool = pool_of(recipe, split, group)
    number = np.arange(start, stop)
    everywhere = whole_rounds(len(pool.objects), start, stop)
    key = recipe.key(split, "pairs")
    pairs = pairs_of(pool, key, kind_of(everywhere), start, stop)
    patch, jitter = group_places(recipe, grid, split, group, number, pairs[:, 0])
    return Groups(number=number, pairs=pairs, patch=patch, jitter=jitter)


def group_places(
    recipe: Recipe, grid: Grid, split: str, group: int, number: Ints, doubled: Ints
) -> tuple[Ints, Ints]:
    """Where the pairs of a run of groups stand: patches (g, 2) and offsets (g, 2, 2).

    No stimulus occurs twice, by construction: see `places`. Splits that share objects own disjoint
    ranges of turns.

    Args:
        recipe: what to make.
        grid: where objects may stand.
        split: split name.
        group: rows in a matched group.
        number: (g,) numbers of the groups, increasing; each object is doubled once a round.
        doubled: (g,) the object that each group's same pair doubles.
    """
    pool = pool_of(recipe, split, group)
    turn = pool.first_round + number // len(pool.objects)
    if int(turn[-1]) >= turns(recipe, grid):
        last = (int(number[-1]) + 1) * group
        raise InputError(f"{split}: all unique stimuli are used up before row {last}")
    return places(recipe, grid, pool.objects.name, doubled, turn)


def turns(recipe: Recipe, grid: Grid) -> int:
    """How many times an object can be doubled before positions and offsets come back."""
    return len(grid.pairs()) * (options_of(recipe).room + 1) ** 4


def places(recipe: Recipe, grid: Grid, shared: str, doubled: Ints, turn: Ints) -> tuple[Ints, Ints]:
    """Where groups stand: patches (g, 2) and offsets (g, 2, 2) of their pairs' two objects.

    The n-th time that an object is doubled it takes the n-th entry of a keyed permutation of all
    position pairs (its own permutation), so (object, positions) never repeats among same stimuli;
    which of the two positions the doubled object takes depends on the positions alone, so a
    different stimulus cannot be reached from either of its two objects; and when the position
    pairs are used up, their next turn takes the next entry of a keyed permutation of all offsets.

    Args:
        recipe: what to make.
        grid: where objects may stand.
        shared: name of the set of objects: all splits that share it draw from one permutation.
        doubled: (g,) the object that each group's same stimulus doubles; it stands first.
        turn: (g,) how often that object was doubled before, in [0, turns).
    """
    all_pairs, offsets = grid.pairs(), (options_of(recipe).room + 1) ** 4
    key = recipe.key(shared, "positions")
    where = rng.permute(key, turn % len(all_pairs), len(all_pairs), doubled)
    cycle = turn // len(all_pairs)
    tweak = doubled * len(all_pairs) + where
    jitter = rng.permute(recipe.key(shared, "jitter"), cycle, offsets, tweak)
    flip = rng.mix(recipe.key(shared, "sides"), where) >> np.uint64(63)
    patch = np.where(flip[:, None] > 0, all_pairs[where][:, ::-1], all_pairs[where])
    return patch, unravel(recipe, jitter)


def unravel(recipe: Recipe, index: Ints) -> Ints:
    """(g, 2, 2) int64 offsets (object, (x, y)) from numbers below (jitter + 1)**4."""
    base = options_of(recipe).room + 1
    digits = [(index // base**power) % base for power in range(4)]
    return np.stack(digits, axis=-1).reshape(-1, 2, 2)


def scene_columns(recipe: Recipe, grid: Grid, patch: Ints, jitter: Ints) -> dict[str, Ints]:
    """Position columns of k objects: patch (n, k), jitter (n, k, 2) and box (n, k, 4)."""
    corner = grid.corner(patch) + jitter
    box = np.concatenate([corner, corner + options_of(recipe).drawn], axis=-1)
    return {"patch": patch, "jitter": jitter, "box": box}


def admits(recipe: Recipe, split: str, row: Mapping[str, Any]) -> bool:
    """The split's predicate: every object is of the split's set, and they stand as they may."""
    members = objects_of(recipe, split)
    known = all(members.contains(s, c) for s, c in zip(row["shape"], row["color"], strict=True))
    return known and stands(recipe, row)


def stands(recipe: Recipe, row: Mapping[str, Any]) -> bool:
    """Whether every object is whole inside its box of patches, and no two boxes share a patch."""
    chosen, grid = options_of(recipe), grid_of(recipe, reserved=False)
    known = True
    seen: set[int] = set()
    for patch, (x0, y0, x1, y1) in zip(row["patch"], row["box"], strict=True):
        left, top = grid.corner(np.array(patch)).tolist()
        box = chosen.box_size
        known &= left <= x0 and top <= y0 and x1 <= left + box and y1 <= top + box
        known &= left + box <= chosen.image_size and top + box <= chosen.image_size
        tokens = set(grid.tokens(np.array(patch)).tolist())
        known &= not tokens & seen
        seen |= tokens
    return known


def stimulus(recipe: Recipe, row: Mapping[str, Any]) -> tuple[object, ...]:
    """The identity of a scene: which object stands on which patches, in no particular order."""
    return tuple(sorted(zip(row["patch"], row["shape"], row["color"], strict=True)))
