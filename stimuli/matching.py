"""Rounds of different pairs in which every object is used equally often.

A *round* over n objects is n pairs, cut into two halves of n / 2. Each half is a perfect matching
of all objects, so each object occurs once per half; an object that stands first in one half stands
second in the other. Any number of rounds, and any prefix of a round, therefore uses each object
equally often to within one: as first object, as second object, and in all. The kinds of
difference are given row by row, so thirds come out exact as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli import rng
from samediff_stimuli.objects import BOTH, COLOR, SHAPE, ObjectSet

_MAX_TRIES = 4096
_Pair = tuple[int, int]


@lru_cache(maxsize=256)
def round_of_pairs(
    objects: ObjectSet, key: int, number: int, kinds: tuple[int, ...]
) -> NDArray[np.int64]:
    """The pairs of one round.

    Args:
        objects: n objects, n even.
        key: Philox key of the stream of rounds.
        number: which round, >= 0.
        kinds: how the pair of each of the n rows differs: BOTH, SHAPE or COLOR.

    Returns:
        (n, 2) int64 indices into the set, read-only. Column 0 is a permutation of the objects,
        and so is column 1.

    Raises:
        RuntimeError: if no matching is found within 4,096 tries.
    """
    n = len(objects)
    blocks_per_try = 2 * n  # 8 n words: two halves, each with at most four orders of n / 2
    for attempt in range(_MAX_TRIES):
        start = (number * _MAX_TRIES + attempt) * blocks_per_try
        words = rng.blocks(key, start, blocks_per_try).reshape(-1)
        order = rng.order(words[:n]).tolist()
        firsts, seconds = order[: n // 2], order[n // 2 :]
        chunks = iter(words[n:].reshape(-1, n // 2))
        upper = _matching(objects, firsts, seconds, kinds[: n // 2], chunks)
        lower = upper and _matching(objects, seconds, firsts, kinds[n // 2 :], chunks)
        if upper and lower:
            pairs = np.array(upper + lower, dtype=np.int64)
            pairs.flags.writeable = False
            return pairs
    raise RuntimeError(
        f"no round {number} over the {n} objects of {objects.name!r} in {_MAX_TRIES} tries"
    )


def _matching(
    objects: ObjectSet,
    firsts: list[int],
    seconds: list[int],
    kinds: tuple[int, ...],
    chunks: Iterator[NDArray[np.uint64]],
) -> list[_Pair] | None:
    """A perfect matching of firsts to seconds with the given kinds in order, or None."""
    shapes, colors = objects.shapes, objects.colors
    left = [firsts[i] for i in rng.order(next(chunks))]
    right = [seconds[i] for i in rng.order(next(chunks))]
    coins = (next(chunks) >> np.uint64(63)).tolist()
    need = {SHAPE: kinds.count(SHAPE), COLOR: kinds.count(COLOR)}
    found: dict[int, list[_Pair]] = {SHAPE: [], COLOR: [], BOTH: []}
    by_shape: dict[int, list[int]] = {}
    by_color: dict[int, list[int]] = {}
    for b in right:
        by_shape.setdefault(shapes[b], []).append(b)
        by_color.setdefault(colors[b], []).append(b)
    used: set[int] = set()
    rest: list[int] = []
    for a, coin in zip(left, coins, strict=True):
        for kind in (SHAPE, COLOR) if coin else (COLOR, SHAPE):
            if len(found[kind]) == need[kind]:
                continue
            partners = by_color.get(colors[a], []) if kind == SHAPE else by_shape.get(shapes[a], [])
            b = next((b for b in partners if b not in used), -1)
            if b >= 0:
                used.add(b)
                found[kind].append((a, b))
                break
        else:
            rest.append(a)
    if any(len(found[kind]) < need[kind] for kind in need):
        return None
    both = _both(objects, rest, [b for b in right if b not in used])
    if both is None:
        return None
    found[BOTH] = [both[i] for i in rng.order(next(chunks)[: len(both)])]
    # Pairs come out in random order: `left` is shuffled.
    taken = {kind: iter(pairs) for kind, pairs in found.items()}
    return [next(taken[kind]) for kind in kinds]


def _both(objects: ObjectSet, left: list[int], right: list[int]) -> list[_Pair] | None:
    """Match left to right so that every pair differs in shape and colour; swap to mend clashes."""
    shapes, colors = objects.shapes, objects.colors

    def clash(a: int, b: int) -> bool:
        return shapes[a] == shapes[b] or colors[a] == colors[b]

    for i in range(len(left)):
        if not clash(left[i], right[i]):
            continue
        for step in range(1, len(left)):
            j = (i + step) % len(left)
            if not clash(left[i], right[j]) and not clash(left[j], right[i]):
                right[i], right[j] = right[j], right[i]
                break
        else:
            return None
    return list(zip(left, right, strict=True))
