"""Pools: which objects each split draws on, and how a round pairs them.

A *round* uses each object of a split once as the one that is repeated and once as the odd one, so
every object occurs equally often in same and in different stimuli.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from samediff_stimuli import placed_options, rng
from samediff_stimuli.families import Family
from samediff_stimuli.fixed import Ints
from samediff_stimuli.placed_options import FiniteOptions, PlacedOptions
from samediff_stimuli.recipe import InputError, Recipe
from samediff_stimuli.tasks import Split

GROUP = 2
_SPLITS = ("train", "validation", "test")
_FEW = 64

# (family, members, Philox key, round) -> (n, 2) members: the repeated object and the odd one
Pairing = Callable[[Family, Ints, int], Ints]


@dataclass(frozen=True, kw_only=True)
class Pool:
    """The objects of a split.

    Attributes:
        name: names the pool in streams that splits with the same objects share.
        members: (n,) int64 object numbers.
        first_round: first round of the split; splits with the same objects take disjoint ranges.
    """

    name: str
    members: Ints
    first_round: int


def _options(recipe: Recipe) -> PlacedOptions:
    assert isinstance(recipe.options, PlacedOptions)  # make_recipe has checked it
    return recipe.options


def default_splits(
    recipe: Recipe, family: Family, pairing: Pairing | None = None
) -> tuple[Split, ...]:
    """Train, validation and test: disjoint objects, or all objects but a held-out number.

    Raises:
        InputError: sizes that are no multiples of a group, no split at all, too few objects.
    """
    chosen = _options(recipe)
    holdout = chosen.holdout if isinstance(chosen, FiniteOptions) else None
    made = []
    if family.count is not None:
        _check_count(chosen, family.count, holdout)
    for name in _SPLITS:
        rows = getattr(chosen, name)
        n, shared = _size(chosen, family.count, holdout, name)
        about = f"{n:,} objects, in no other split"
        if family.looks is not None:
            about += f", though as shown there are {family.looks} different looks in all"
        if shared:
            about = f"{n:,} objects, the same in {' and '.join(shared)}"
        held_out = not shared and name != "train"
        made.append(Split(name=name, rows=rows, about=about, held_out=held_out))
    found = checked_splits(recipe, made, GROUP)
    for split in found:
        members = pool_of(recipe, family, split.name).members
        if pairing is not None and len(members) <= _FEW:
            pairing(family, members, 0)  # few objects may not go together at all
    _check_room(recipe, family, found)
    return found


def _check_room(recipe: Recipe, family: Family, found: tuple[Split, ...]) -> None:
    """Raise InputError if there are more stimuli to make than look different."""
    exist, total = placed_options.arena_of(recipe).pairs(), groups_in_all(recipe)
    if total <= exist:
        return  # no two groups share their places
    if family.looks is not None:
        raise InputError(
            f"{family.looks} different looks on {exist} pairs of places do not make "
            f"{total * GROUP} unique stimuli; ask for {exist * GROUP} images in all at most, or a "
            "larger image_size"
        )
    for split in found:
        pool = pool_of(recipe, family, split.name)
        n = len(pool.members)
        if pool.first_round + -(-split.rows // GROUP // n) > exist:
            raise InputError(
                f"{split.name} {split.rows} needs more unique stimuli than exist: each of its {n} "
                f"objects has {exist} pairs of places; ask for fewer images, or more "
                f"{split.name}_objects, a larger image_size or smaller patches"
            )


def groups_in_all(recipe: Recipe) -> int:
    """Matched groups of all splits."""
    chosen = _options(recipe)
    return sum(int(getattr(chosen, name)) for name in _SPLITS) // GROUP


def groups_before(recipe: Recipe, split: str) -> int:
    """Matched groups of the splits that come before: train is last, so that it can go on."""
    return sum(int(getattr(_options(recipe), name)) // GROUP for name in _before(split))


def _before(split: str) -> tuple[str, ...]:
    order = ("validation", "test", "train")
    return order[: order.index(split)]


def checked_splits(recipe: Recipe, made: list[Split], group: int) -> tuple[Split, ...]:
    """The splits that have rows, once their sizes are found legal.

    Raises:
        InputError: sizes that are no multiples of a group, no rows at all, or no places.
    """
    made = [split for split in made if split.rows]
    if not made:
        raise InputError("train, validation and test are all 0; at least one must be larger")
    for split in made:
        if split.rows % group:
            raise InputError(
                f"{split.name} {split.rows} is not a multiple of {group}, the size of a matched "
                f"group; nearest: {max(group, split.rows // group * group)}"
            )
    if placed_options.arena_of(recipe).pairs() < 1:
        raise InputError(
            "there is no room for two objects; choose a smaller object_size or a larger image_size"
        )
    return tuple(made)


def _size(
    chosen: PlacedOptions, count: int | None, holdout: int | None, split: str
) -> tuple[int, tuple[str, ...]]:
    """Number of a split's objects, and the splits that share them, if any."""
    if holdout is None or count is None:
        return int(getattr(chosen, f"{split}_objects")), ()
    if holdout == 0:
        return count, _SPLITS
    return (holdout, ()) if split == "test" else (count - holdout, ("train", "validation"))


def _check_count(chosen: PlacedOptions, count: int, holdout: int | None) -> None:
    wanted = [getattr(chosen, f"{name}_objects") for name in _SPLITS]
    if holdout is None and sum(wanted) > count:
        raise InputError(
            f"train_objects {wanted[0]}, validation_objects {wanted[1]} and test_objects "
            f"{wanted[2]} are more than the {count} objects there are; ask for fewer, or give "
            "--holdout"
        )
    usual = [type(chosen).__dataclass_fields__[f"{name}_objects"].default for name in _SPLITS]
    if holdout is not None and wanted != usual:
        raise InputError(
            f"holdout {holdout} uses all objects; leave out train_objects, validation_objects and "
            "test_objects"
        )
    if holdout is not None and (holdout == 1 or holdout > count - 2):
        raise InputError(f"holdout {holdout} is out of range; legal: 0, or 2 .. {count - 2}")


@lru_cache(maxsize=64)
def _pool(recipe: Recipe, count: int | None, split: str) -> Pool:
    chosen = _options(recipe)
    holdout = chosen.holdout if isinstance(chosen, FiniteOptions) else None
    sizes = {name: _size(chosen, count, holdout, name) for name in _SPLITS}
    n, shared = sizes[split]
    starts = {"train": 0, "validation": sizes["train"][0]}
    starts["test"] = starts["validation"] + sizes["validation"][0]
    if shared:
        starts = {"train": 0, "validation": 0, "test": 0}
    elif holdout is not None and count is not None:
        starts["test"] = count - holdout
    members = starts[split] + np.arange(n)
    if count is not None:
        members = rng.permute(recipe.key("objects", "order"), members, count, 0 * members)
    before = [name for name in _before(split) if name in shared]
    taken = sum(-(-getattr(chosen, name) // GROUP // n) for name in before)
    members.flags.writeable = False
    return Pool(name="+".join(shared) or split, members=members, first_round=taken)


def pool_of(recipe: Recipe, family: Family, split: str) -> Pool:
    """The objects of a split."""
    return _pool(recipe, family.count, split)


def chain(family: Family, members: Ints, key: int) -> Ints:
    """A round: all objects in random order, each followed by its odd partner, the next.

    Returns:
        (n, 2) members: column 0 is a permutation of all, and so is column 1.
    """
    order = members[rng.order(rng.mix(key, np.arange(len(members))))]
    return np.stack([order, np.roll(order, -1)], axis=1)


def alike(family: Family, members: Ints, key: int) -> Ints:
    """A round in which partners have about the same ink, so that total ink tells no relation.

    Objects in the order of their ink, shuffled a little, are joined into a ring, up over the even
    and down over the odd places; each is followed by its odd partner.

    Returns:
        (n, 2) members: column 0 is a permutation of all, and so is column 1.
    """
    n = len(members)
    rank = np.empty(n, dtype=np.int64)
    rank[np.argsort(family.ink(members), kind="stable")] = np.arange(n)
    words = rng.mix(key, np.arange(n))
    near = max(2, n // _NEIGHBOURS)
    place = (rank << 10) + rng.below(words, near << 10)
    order = members[np.argsort(place, kind="stable")]
    ring = np.concatenate([order[::2], order[1::2][::-1]])
    return np.stack([ring, np.roll(ring, -1)], axis=1)


_NEIGHBOURS = 40  # an object moves past one in forty of the others at most


def twins(family: Family, members: Ints, key: int) -> Ints:
    """A round: each object with its twin; objects 2 m and 2 m + 1 are twins, pools hold both."""
    order = members[rng.order(rng.mix(key, np.arange(len(members))))]
    return np.stack([order, order ^ 1], axis=1)


@lru_cache(maxsize=32)
def _round(pairing: Pairing, family: Family, recipe: Recipe, split: str, number: int) -> Ints:
    members = pool_of(recipe, family, split).members
    key = rng.stream_key(recipe.key(split, "pairs"), number)
    pairs = pairing(family, members, key)
    return pairs[rng.order(rng.mix(key, np.arange(len(pairs)), _ROWS))]


_ROWS = 1  # tells the order of a round's rows from the order of its objects


def pairs_of(
    pairing: Pairing, family: Family, recipe: Recipe, split: str, start: int, stop: int
) -> Ints:
    """(stop - start, 2) members: the repeated and the odd object of groups [start, stop)."""
    n = len(pool_of(recipe, family, split).members)
    first = start // n
    rounds = [_round(pairing, family, recipe, split, r) for r in range(first, -(-stop // n))]
    return np.concatenate(rounds)[start - first * n : stop - first * n]
