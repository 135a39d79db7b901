"""Matched pairs of objects whose vectors make novel content: what to add, interpolate or sample.

If a model compares objects by content in a subspace (of shape, or of colour), it should call two
objects the same that both have content it never saw. Lepori et al. 2024 (arXiv 2406.15955) make
such content from the vectors that known objects have in the subspace: their sum, their mean, or a
draw from their distribution. Nobody has published which objects to take; the lists here are our
own.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli import aligned, objects, palette, rng, silhouettes, tasks
from samediff_stimuli.aligned import Ints
from samediff_stimuli.bipartite import perfect_matching
from samediff_stimuli.objects import COLOR, SAME, SHAPE
from samediff_stimuli.placed_options import choose
from samediff_stimuli.recipe import InputError, Recipe
from samediff_stimuli.table import Column, Table, typed

SPLIT = "validation"
TASKS = ("discrimination", "rmts")
_ANSWERS = ("different", "same")
_SHAPES = tuple(shape.name for shape in silhouettes.SILHOUETTES)
_DIFFERS = {"shape": SHAPE, "color": COLOR}  # relation of a pair that differs in a property alone

COLUMNS = (
    Column(name="base", dtype="int64", about="validation row whose objects get the content"),
    Column(
        name="base_objects", dtype="uint8", shape=(2,), about="numbers of the pair's two objects"
    ),
    Column(
        name="planted",
        dtype="uint8",
        shape=(2,),
        about="1 for each of the two that gets the content, the same one if both do",
    ),
    Column(name="label", dtype="uint8", names=_ANSWERS, about="label of the base"),
    Column(
        name="target",
        dtype="uint8",
        names=_ANSWERS,
        about="answer of a model that compares the content: its label once it is planted",
    ),
    Column(
        name="source", dtype="int64", shape=(2,), about="validation rows that show the two sources"
    ),
    Column(
        name="source_object",
        dtype="uint8",
        shape=(2,),
        about="which object of its row each source is",
    ),
    Column(
        name="source_shape", dtype="uint8", shape=(2,), names=_SHAPES, about="shape of each source"
    ),
    Column(
        name="source_color",
        dtype="uint8",
        shape=(2,),
        names=palette.NAMES,
        about="colour of each source",
    ),
)


def novel_pairs(
    recipe: Recipe,
    n: int,
    seed: int,
    *,
    property: Literal["shape", "color"] = "shape",
    share: Literal["nothing", "shape", "color"] = "nothing",
    plant: Literal["both", "one"] = "both",
) -> Table:
    """Pairs of validation objects to make novel content of, and bases to plant it in.

    Sources are balanced: the objects of the split come as first and as second source equally
    often, to within one, so that shapes and colours do. The two differ in the property, and in
    the other one unless they share it. No source has a value of the property that an object of
    its base has.

    With v1 and v2 the vectors of the two sources in the property's subspace, content is v1 + v2,
    (v1 + v2) / 2, or a draw from the normal distribution with the mean and the standard deviation,
    by dimension, of the vectors of all sources of the list. It takes the place of the vector of
    each planted object.

    Args:
        recipe: of a discrimination or rmts set, whose validation split is looked at.
        n: how many; no pair of objects of a base is used twice.
        seed: integer >= 0; another one gives other pairs.
        property: whose subspace is meant.
        share: what the two sources have in common, "nothing" or the other property.
        plant: "both": into both objects of a pair that differs in the property alone, so that it
            becomes the same; "one": the control, into one of two same objects, so that the pair
            becomes different and novelty alone does not explain an answer.

    Returns:
        n rows with the columns of `COLUMNS`; as a mapping of arrays, `numpy.savez` takes it.

    Raises:
        InputError: another task, words or numbers out of range, or a split with too few stimuli.
    """
    _check(recipe, n, seed, property, share, plant)
    key = rng.stream_key(recipe.key(SPLIT, "novel_pairs"), seed, property, share, plant)
    table = tasks.design(recipe, SPLIT, slice(None))
    sources = _sources(recipe, n, rng.stream_key(key, "sources"), property, share)
    shapes, colors = aligned.objects_of(recipe, SPLIT).arrays()
    pairs = table["relation"].reshape(table.n_rows, -1)
    row, pair = np.nonzero(pairs == (_DIFFERS[property] if plant == "both" else SAME))
    numbers = 2 * pair[:, None] + np.arange(2)
    values = table[property][row[:, None], numbers].astype(np.int64)
    wanted = {"shape": shapes, "color": colors}[property][sources]
    chosen = _bases(values, wanted, rng.stream_key(key, "bases"))
    row, pair = row[chosen], pair[chosen]
    side = rng.order(rng.mix(rng.stream_key(key, "planted"), np.arange(n)))[:, None] % 2
    planted = np.arange(2) == side if plant == "one" else np.ones((n, 2), dtype=bool)
    after = np.full(n, plant == "both")
    if pairs.shape[1] == 2:  # same if the pair becomes what the other pair is
        after = after == (pairs[row, 1 - pair] == SAME)
    shown, number = _shown(recipe, table, sources, rng.stream_key(key, "shown"))
    made = {
        "base": row,
        "base_objects": numbers[chosen],
        "planted": planted,
        "label": table["label"][row],
        "target": after,
        "source": shown,
        "source_object": number,
        "source_shape": shapes[sources],
        "source_color": colors[sources],
    }
    return typed(made, COLUMNS)


def _check(recipe: Recipe, n: int, seed: int, property: str, share: str, plant: str) -> None:
    if recipe.task not in TASKS:
        raise InputError(f"task {recipe.task!r} has no novel pairs; legal: {', '.join(TASKS)}")
    choose("property", property, tuple(_DIFFERS))
    (other,) = set(_DIFFERS) - {property}
    choose("share", share, ("nothing", other))
    choose("plant", plant, ("both", "one"))
    for name, value, low in (("n", n, 1), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise InputError(f"{name} {value!r} is not legal; legal: an integer from {low}")
    tasks.split_of(recipe, SPLIT)


def _sources(recipe: Recipe, n: int, key: int, property: str, share: str) -> Ints:
    """(n, 2) object indices: in rounds, in which each object is first once and second once."""
    shapes, colors = aligned.objects_of(recipe, SPLIT).arrays()
    size = len(shapes)
    alike = {"shape": shapes[:, None] == shapes, "color": colors[:, None] == colors}
    (other,) = set(_DIFFERS) - {property}
    allowed = ~alike[property] & (alike[other] if share == other else ~alike[other])
    rounds = []
    for number in range(-(-n // size)):
        first = rng.order(rng.mix(key, number, np.arange(size)))
        order = rng.order(rng.mix(key, number, np.arange(size)[:, None], np.arange(size)))
        second = perfect_matching(allowed[first], order)
        assert second is not None  # as many objects may follow any one as may come before it
        rounds.append(np.stack([first, second], axis=1))
    return np.concatenate(rounds)[:n]


def _bases(values: Ints, wanted: Ints, key: int) -> Ints:
    """(n,) int64 distinct bases in random order, with no value in common with their sources.

    Where one has, it changes places with the next one that fits.

    Args:
        values: (m, 2) values of the property that a base's objects have.
        wanted: (n, 2) values that the sources have.
        key: of the order.
    """
    n, m = len(wanted), len(values)
    if n > m:
        raise InputError(
            f"n {n} is more than the {m} base pairs of the validation split; legal: "
            f"1 .. {m}, or make a larger split"
        )
    order = rng.order(rng.mix(key, np.arange(m)))
    for i in range(n):
        if not _clash(values[order[i]], wanted[i]).any():
            continue
        fits = ~_clash(values[order], wanted[i])
        fits[:n] &= ~_clash(values[order[i]], wanted)
        if not fits.any():
            raise InputError(
                f"n {n}: the validation split has no base for pair {i} that shares "
                f"no value with its sources; make a larger split"
            )
        j = (np.flatnonzero(np.roll(fits, -i))[0] + i) % m
        order[[i, j]] = order[[j, i]]
    return order[:n]


def _clash(one: Ints, other: Ints) -> NDArray[np.bool_]:
    """Whether two values and two others have one in common, row by row."""
    return np.asarray((one[..., :, None] == other[..., None, :]).any(axis=(-2, -1)))


def _shown(recipe: Recipe, table: Table, sources: Ints, key: int) -> tuple[Ints, Ints]:
    """A random row that shows each source, and which of its objects it is: twice (n, 2)."""
    members = aligned.objects_of(recipe, SPLIT)
    wide = 2 * max(objects.N, len(palette.NAMES))
    seen = (table["shape"].astype(np.int64) * wide + table["color"]).reshape(-1)
    by_object = np.argsort(seen, kind="stable")
    shapes, colors = members.arrays()
    code = shapes[sources] * wide + colors[sources]
    first = np.searchsorted(seen[by_object], code)
    count = np.searchsorted(seen[by_object], code, side="right") - first
    if not count.all():
        raise InputError(
            f"the validation split of {table.n_rows} images does not show every object; make a "
            "larger one"
        )
    words = rng.mix(key, np.arange(len(sources))[:, None], np.arange(2))
    place = by_object[first + rng.below(words, 2**31) % count]
    found: tuple[Ints, Ints] = np.divmod(place, table["shape"].shape[1])
    return found
