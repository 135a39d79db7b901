"""Perfect matchings of one list to another, in an order that the caller draws."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def perfect_matching(allowed: NDArray[np.bool_], order: Ints) -> Ints | None:
    """A partner of its own for every row, if there is a way at all.

    Rows come in turn, each takes its first free partner, and the shortest chain of changes makes
    room where none is free (augmenting paths).

    Args:
        allowed: (n, m) bool, m >= n: who may be whose partner.
        order: (n, m) int64: the order in which each row tries its partners, a permutation of
            0 .. m - 1.

    Returns:
        (n,) int64 distinct partners, or None if there is no such matching.
    """
    n, m = allowed.shape
    taker, partner = [-1] * m, [-1] * n
    wanted = [tried[may[tried]].tolist() for may, tried in zip(allowed, order, strict=True)]
    for row in range(n):
        if not _place(row, wanted, taker, partner):
            return None
    return np.array(partner, dtype=np.int64)


def _place(row: int, wanted: list[list[int]], taker: list[int], partner: list[int]) -> bool:
    """Give a row a partner, moving others along a shortest augmenting path; whether it went."""
    reached: dict[int, int] = {}  # partner -> the row that would take it
    waiting = [row]
    for asking in waiting:
        for free in wanted[asking]:
            if free in reached:
                continue
            reached[free] = asking
            if taker[free] >= 0:
                waiting.append(taker[free])
                continue
            while free >= 0:
                mover = reached[free]
                taker[free], partner[mover], free = mover, free, partner[mover]
            return True
    return False
