"""Rounds of quads: an object, and what it becomes when its shape, its colour or both change.

A *round* over n objects is n quads in which each object is the base once and the end of a double
change once, so that old and new shapes and colours are all used equally often.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli import rng
from samediff_stimuli.bipartite import perfect_matching
from samediff_stimuli.objects import ObjectSet

Ints = NDArray[np.int64]
BASE, SHAPE, COLOR, BOTH = range(4)  # columns of a quad
_MAX_TRIES = 256
_KINDS = 64  # above every shape and colour index


@lru_cache(maxsize=256)
def round_of_quads(objects: ObjectSet, key: int, number: int) -> Ints:
    """The quads of one round.

    The base is (s, c), the others are (t, c), (s, d) and (t, d) for a shape t and a colour d of
    the objects. In a set in which no two shapes share two colours (a ring of 32 combinations) the
    last takes a shape and a colour of its own.

    Args:
        objects: n objects.
        key: Philox key of the stream of rounds.
        number: which round, >= 0.

    Returns:
        (n, 4) int64 indices into the set, read-only: base, other shape, other colour, both other.
        Column 0 is a permutation of the objects, and so is column 3.
    """
    n = len(objects)
    key = rng.stream_key(key, number)
    base = rng.order(rng.mix(key, n + np.arange(n)))
    order = rng.order(rng.mix(key, np.arange(n)[:, None], np.arange(n)))
    shapes, colors = objects.arrays()
    both = perfect_matching(_closed(objects)[base], order)
    if both is None:
        both = perfect_matching(_differ(objects)[base], order)
    assert both is not None  # as many objects differ from any one as from any other
    found = _index(objects)
    shape, color = found[shapes[both], colors[base]], found[shapes[base], colors[both]]
    other = order != base[:, None]
    shape = np.where(
        shape < 0, _first(order, other & (colors[order] == colors[base][:, None])), shape
    )
    color = np.where(
        color < 0, _first(order, other & (shapes[order] == shapes[base][:, None])), color
    )
    quads = np.stack([base, shape, color, both], axis=1)
    quads.flags.writeable = False
    return quads


def _first(order: Ints, good: NDArray[np.bool_]) -> Ints:
    """(n,) int64: the first good one in each row of an order."""
    first: Ints = order[np.arange(len(order)), good.argmax(axis=1)]
    return first


@lru_cache(maxsize=16)
def _index(objects: ObjectSet) -> Ints:
    """(64, 64) int64: the number of the object of each shape and colour, -1 if there is none."""
    found = np.full((_KINDS, _KINDS), -1, dtype=np.int64)
    found[objects.arrays()] = np.arange(len(objects))
    return found


@lru_cache(maxsize=16)
def _differ(objects: ObjectSet) -> NDArray[np.bool_]:
    """(n, n) bool: which objects differ in shape and in colour."""
    shapes, colors = objects.arrays()
    return np.asarray((shapes[:, None] != shapes) & (colors[:, None] != colors))


@lru_cache(maxsize=16)
def _closed(objects: ObjectSet) -> NDArray[np.bool_]:
    """(n, n) bool: which objects differ in both, and by way of objects of the set either way."""
    shapes, colors = objects.arrays()
    across = _index(objects)[shapes[:, None], colors] >= 0  # shape of the row, colour of the column
    return np.asarray(_differ(objects) & across & across.T)


@lru_cache(maxsize=256)
def round_of_displays(objects: ObjectSet, key: int, number: int, sample_key: int) -> Ints:
    """The quads of one round, in an order in which none shares an object with the other stream's.

    Args:
        objects: n objects.
        key: Philox key of the stream of these rounds.
        number: which round, >= 0.
        sample_key: Philox key of the other stream of rounds.

    Returns:
        (n, 4) int64 indices into the set, read-only, columns as in `round_of_quads`.

    Raises:
        RuntimeError: if there is no such order in 256 tries.
    """
    n = len(objects)
    samples = round_of_quads(objects, sample_key, number)
    for attempt in range(_MAX_TRIES):
        tried = rng.stream_key(key, attempt)
        quads = round_of_quads(objects, tried, number)
        apart = ~(samples[:, None, :, None] == quads[:, None, :]).any(axis=(2, 3))
        order = rng.order(rng.mix(tried, number, np.arange(n)[:, None], np.arange(n)))
        chosen = perfect_matching(apart, order)
        if chosen is not None:
            displays: Ints = quads[chosen]
            displays.flags.writeable = False
            return displays
    raise RuntimeError(f"no displays for round {number} of {objects.name!r} in {_MAX_TRIES} tries")
