"""The patch grid of a vision transformer, and where objects may stand on it.

A *position* is the patch at an object box's top-left corner; boxes are squares of m x m patches.
Patches are numbered row by row from the top left, without a class token.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A square image cut into square patches, with object boxes of m x m patches.

    Attributes:
        side: patches along the image's side.
        patch: patch side in pixels.
        span: m, patches along a box's side.
        reserved: whether the two boxes side by side at the top left are kept for a display pair.
    """

    side: int
    patch: int
    span: int
    reserved: bool = False

    def positions(self) -> Ints:
        """(n,) int64 patch numbers at which a box fits and does not touch a reserved patch."""
        last = self.side - self.span
        row, col = np.divmod(np.arange(self.side**2), self.side)
        free = (row <= last) & (col <= last)
        if self.reserved:
            free &= (row >= self.span) | (col >= 2 * self.span)
        return np.flatnonzero(free)

    def pairs(self) -> Ints:
        """(n, 2) int64: all unordered pairs of positions whose boxes share no patch, i < j."""
        return _pairs(self)

    def display(self) -> Ints:
        """(2,) int64: the two reserved positions, left and right."""
        return np.array([0, self.span])

    def corner(self, patch: Ints) -> Ints:
        """(..., 2) int64: x and y in pixels of patches' top-left corners."""
        row, col = np.divmod(patch, self.side)
        return np.stack([col, row], axis=-1) * self.patch

    def tokens(self, patch: Ints) -> Ints:
        """(..., m * m) int64: the patches of the boxes at these positions, row by row."""
        steps = np.arange(self.span)
        offsets = (steps[:, None] * self.side + steps).reshape(-1)
        return np.asarray(patch)[..., None] + offsets


@lru_cache(maxsize=8)
def _pairs(grid: Grid) -> Ints:
    positions = grid.positions()
    i, j = np.triu_indices(len(positions), k=1)
    first, second = positions[i], positions[j]
    rows = np.abs(first // grid.side - second // grid.side)
    cols = np.abs(first % grid.side - second % grid.side)
    apart = np.maximum(rows, cols) >= grid.span
    return np.stack([first[apart], second[apart]], axis=1)
