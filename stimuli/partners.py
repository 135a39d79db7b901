"""Partners of objects that differ from them in one attribute or in both, by keyed derangements.

In a round every object has one partner and is one object's partner, so each stands first once and
second once. A round is drawn whole, without a search.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli import rng
from samediff_stimuli.objects import BOTH, COLOR, SAME, SHAPE, ObjectSet

Ints = NDArray[np.int64]


def partner_of(objects: ObjectSet, key: int, kind: Ints, number: Ints, first: Ints) -> Ints:
    """The partner of an object in a round of each kind of difference.

    Args:
        objects: each shape in as many colours as every other, and each colour in as many shapes,
            two or more.
        key: of the stream of rounds.
        kind: (g,) SAME, SHAPE, COLOR or BOTH: how the partner differs.
        number: (g,) which round.
        first: (g,) index of the object.

    Returns:
        (g,) int64 indices of the partners; of SAME, the object itself.
    """
    rounds, which = np.unique(number, return_inverse=True)
    shape = _round(objects.arrays()[1], rng.stream_key(key, "shape"), rounds)
    color = _round(objects.arrays()[0], rng.stream_key(key, "color"), rounds)
    to_shape, to_color = shape[which, first], color[which, first]
    return np.select(
        [kind == SAME, kind == SHAPE, kind == COLOR, kind == BOTH],
        [first, to_shape, to_color, color[which, to_shape]],
    )


def first_of(n: int, key: int, number: Ints, place: Ints) -> Ints:
    """(g,) int64: the object at a place in [0, n) of the order of a round, which has each once."""
    rounds, which = np.unique(number, return_inverse=True)
    order = rng.order(rng.mix(key, rounds[:, None], np.arange(n)))
    return order[which, place]


def _round(shared: Ints, key: int, rounds: Ints) -> Ints:
    """(r, n) int64: each object's partner in some rounds; the two share an attribute.

    Objects that share it stand in a circle in random order; all look as many places ahead.

    Args:
        shared: (n,) the attribute.
        key: of the stream.
        rounds: (r,) numbers.
    """
    n, n_values = len(shared), len(np.unique(shared))
    alike = np.argsort(shared, kind="stable").reshape(n_values, -1)
    size = alike.shape[1]
    order = rng.order(rng.mix(key, rounds[:, None, None], alike))
    circle = np.take_along_axis(np.broadcast_to(alike, order.shape), order, axis=2)
    words = rng.mix(key, rounds[:, None], np.arange(n, n + n_values))
    ahead = np.arange(size) + 1 + rng.below(words, size - 1)[..., None]
    partners = np.empty((len(rounds), n), dtype=np.int64)
    seen = np.take_along_axis(circle, ahead % size, axis=2).reshape(len(rounds), n)
    np.put_along_axis(partners, circle.reshape(len(rounds), n), seen, axis=1)
    return partners
