"""Scenes of counterfactual sets: base images, and what their counterfactuals show.

p pairs of objects stand in an image: one (discrimination), or a display and a sample pair (rmts).
Object o is object o % 2 of pair o // 2; looks are (shape, colour), so that a property indexes them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli import aligned, das_options, partners, rng
from samediff_stimuli.das_options import FACTORS, GROUP, options_of
from samediff_stimuli.objects import COLOR, KINDS, SAME, SHAPE, N, ObjectSet
from samediff_stimuli.recipe import Recipe
from samediff_stimuli.rng import Words

Ints = NDArray[np.int64]
_MAX_TRIES = 64  # draws of a display pair
_ALONE = np.array([{"shape": SHAPE, "color": COLOR}[name] for name in FACTORS])


@dataclass(frozen=True, kw_only=True)
class Bases:
    """The base images of some rows, or of some matched groups.

    Attributes:
        number: (n,) group numbers within the split.
        factor: (n,) the property that is interchanged, an index of FACTORS.
        pair: (n,) which pair is edited.
        looks: (n, p, 2, 2) shape and colour of each object.
        patch: (n, p, 2) patches.
        jitter: (n, p, 2, 2) offsets (x, y) inside the boxes, in pixels.
    """

    number: Ints
    factor: Ints
    pair: Ints
    looks: Ints
    patch: Ints
    jitter: Ints


@dataclass(frozen=True, kw_only=True)
class Others:
    """The counterfactual images of some rows.

    Attributes:
        edited: (n,) the object of the base that is edited.
        source: (n,) the object of the counterfactual whose property it takes.
        looks: (n, p, 2, 2) shape and colour of each object.
        patch: (n, p, 2) patches.
        jitter: (n, p, 2, 2) offsets (x, y) inside the boxes, in pixels.
    """

    edited: Ints
    source: Ints
    looks: Ints
    patch: Ints
    jitter: Ints


def groups(recipe: Recipe, split: str, start: int, stop: int) -> Bases:
    """The groups [start, stop) of a split, the edited pair different in the property alone.

    The first object of that pair is the one that the group's same pair doubles. Properties take
    turns. In rmts the edited pair alternates between display and sample, and the other pair between
    same and different, whose three kinds come in turn.
    """
    chosen, grid = options_of(recipe), das_options.grid_of(recipe)
    members, n_factors = das_options.objects_of(recipe, split), len(chosen.factors)
    number = np.arange(start, stop)
    which, nth = number % n_factors, number // n_factors  # nth group of its property
    factor = np.array([FACTORS.index(name) for name in chosen.factors])[which]
    last = chosen.n_pairs - 1  # the pair that stands anywhere
    pair = nth % chosen.n_pairs
    other = np.where(nth // 2 % 2 == 0, SAME, np.asarray(KINDS)[nth // 4 % 3])
    turn = nth // len(members) * n_factors + which
    first = partners.first_of(len(members), recipe.key(split, "pairs"), turn, nth % len(members))
    kind = np.where(pair == last, _ALONE[factor], other)
    second = partners.partner_of(members, recipe.key(split, "partners"), kind, turn, first)
    looks = _looks(members)[np.stack([first, second], axis=-1)][:, None]
    turn = turn + das_options.first_turn(recipe, split)
    patch, jitter = aligned.places(recipe, grid, members.name, first, turn)
    patch, jitter = patch[:, None], jitter[:, None]
    if last:
        kind = np.where(pair == last, other, _ALONE[factor])
        display = _displays(recipe, split, number, kind, factor, looks[:, 0])
        looks = np.concatenate([display[:, None], looks], axis=1)
        patch = np.concatenate([np.broadcast_to(grid.display(), patch.shape), patch], axis=1)
        offsets = _offsets(recipe, split, "display_jitter", number, 1)
        jitter = np.concatenate([offsets, jitter], axis=1)
    return Bases(number=number, factor=factor, pair=pair, looks=looks, patch=patch, jitter=jitter)


def _looks(members: ObjectSet) -> Ints:
    """(objects, 2) shape and colour."""
    return np.stack(members.arrays(), axis=-1)


def _displays(
    recipe: Recipe, split: str, number: Ints, kind: Ints, factor: Ints, sample: Ints
) -> Ints:
    """(g, 2, 2) looks of display objects; none has a sample object's value of the property.

    So they share no object, and an edit always shows. Each group tries the objects in an order of
    its own until that holds.
    """
    members = das_options.objects_of(recipe, split)
    key, display = recipe.key(split, "display"), np.zeros_like(sample)
    todo = np.arange(len(number))
    for attempt in range(min(_MAX_TRIES, len(members))):
        first = rng.permute(key, np.full(len(todo), attempt), len(members), number[todo])
        tries = rng.stream_key(key, attempt)
        turn = number[todo] // len(members)
        second = partners.partner_of(members, tries, kind[todo], turn, first)
        display[todo] = _looks(members)[np.stack([first, second], axis=-1)]
        at = factor[todo, None, None]
        here, there = (np.take_along_axis(of[todo], at, axis=2) for of in (display, sample))
        todo = todo[(here == there[:, None, :, 0]).any(axis=(1, 2))]
        if not len(todo):
            return display
    raise RuntimeError(f"no display pair for group {number[todo[0]]} of {split}")


def _offsets(recipe: Recipe, split: str, purpose: str, number: Ints, p: int) -> Ints:
    """(n, p, 2, 2) offsets (x, y) of objects inside their boxes, in pixels."""
    words = rng.mix(recipe.key(split, purpose), number[:, None], np.arange(4 * p))
    return rng.below(words, options_of(recipe).room + 1).reshape(-1, p, 2, 2)


def bases(recipe: Recipe, split: str, index: Ints) -> tuple[Bases, Ints]:
    """The base images of a run of rows, and where the edited pair is the same: (n,) bool.

    Args:
        recipe: what to make.
        split: of the rows.
        index: (n,) the rows, one after the other.
    """
    start = int(index[0]) // GROUP
    made = groups(recipe, split, start, int(index[-1]) // GROUP + 1)
    row, at = index // GROUP - start, np.arange(len(index))
    coins = rng.mix(recipe.key(split, "order"), made.number[row])
    same = (index % GROUP) == (coins & np.uint64(1)).astype(np.int64)
    looks, patch, jitter = made.looks[row], made.patch[row], made.jitter[row]
    pair = made.pair[row]
    looks[at, pair, 1] = np.where(same[:, None], looks[at, pair, 0], looks[at, pair, 1])
    # Which object is called the first of a pair is random; display objects move with their names.
    for each in range(looks.shape[1]):
        swap = np.flatnonzero((coins >> np.uint64(1 + each)) & np.uint64(1))
        looks[swap, each] = looks[swap, each][:, ::-1]
    patch[swap, -1] = patch[swap, -1][:, ::-1]
    jitter[swap, -1] = jitter[swap, -1][:, ::-1]
    found = Bases(
        number=made.number[row],
        factor=made.factor[row],
        pair=pair,
        looks=looks,
        patch=patch,
        jitter=jitter,
    )
    return found, same


def others(recipe: Recipe, split: str, index: Ints, base: Bases, same: Ints) -> Others:
    """The counterfactual images of some rows.

    Args:
        recipe: what to make.
        split: of the rows.
        index: (n,) the rows.
        base: their base images.
        same: (n,) bool: whether the edited pair is the same.
    """
    words = rng.mix(recipe.key(split, "edit"), index[:, None], np.arange(8))
    mine, theirs = rng.below(words[:, :2], 2).T  # which object of the pair is edited, and is source
    at, draws = np.arange(len(index)), words[:, 2:]
    if base.looks.shape[1] == 1:
        looks = _fresh_pair(base, same, at, mine, theirs, draws)
        patch, pair = _fresh_places(recipe, draws[:, 4:]), base.pair
    else:
        looks, patch, pair = base.looks.copy(), base.patch, 1 - base.pair
        value = base.looks[at, base.pair, :, base.factor]
        own = looks[at, pair, theirs, base.factor]
        free = _other(draws[:, 0], value[at, mine], own)
        looks[at, pair, theirs, base.factor] = np.where(same, free, value[at, 1 - mine])
    return Others(
        edited=2 * base.pair + mine,
        source=2 * pair + theirs,
        looks=looks,
        patch=patch,
        jitter=_offsets(recipe, split, "counterfactual_jitter", index, looks.shape[1]),
    )


def _fresh_pair(base: Bases, same: Ints, at: Ints, mine: Ints, theirs: Ints, draws: Words) -> Ints:
    """(n, 1, 2, 2) looks of the two objects of a discrimination counterfactual.

    To make a different pair the same, the source has the other object's value of the property and
    another value of the rest; the second object has neither value of the base's, nor the source's
    rest. To make a same pair different, both objects are one that shares nothing with the base's.
    """
    rest = 1 - base.factor
    value = base.looks[at, 0, :, base.factor]
    mate, kept = value[at, 1 - mine], base.looks[at, 0, 0, rest]
    looks = np.empty_like(base.looks)
    looks[at, 0, theirs, base.factor] = np.where(same, _other(draws[:, 0], mate), mate)
    looks[at, 0, theirs, rest] = source_rest = _other(draws[:, 1], kept)
    away = _other(draws[:, 2], mate, value[at, mine]), _other(draws[:, 3], kept, source_rest)
    for one, found in zip((base.factor, rest), away, strict=True):
        looks[at, 0, 1 - theirs, one] = np.where(same, looks[at, 0, theirs, one], found)
    return looks


def _fresh_places(recipe: Recipe, draws: Words) -> Ints:
    """(n, 1, 2) patches of two objects that stand anywhere."""
    pairs = das_options.grid_of(recipe).pairs()
    patch = pairs[rng.below(draws[:, 0], len(pairs))]
    flip = rng.below(draws[:, 1], 2)[:, None] > 0
    return np.where(flip, patch[:, ::-1], patch)[:, None]


def _other(draws: Words, *taken: Ints) -> Ints:
    """(n,) a value below 16 that is none of the taken ones, which may be equal."""
    free = np.ones((len(draws), N), dtype=bool)
    for values in taken:
        free[np.arange(len(draws)), values] = False
    nth = (draws >> np.uint64(32)) * free.sum(axis=1).astype(np.uint64) >> np.uint64(32)
    return np.asarray((free.cumsum(axis=1) > nth[:, None].astype(np.int64)).argmax(axis=1))
