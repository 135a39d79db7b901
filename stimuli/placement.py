"""Where objects may stand: anywhere in the image, or each on whole patches of its own.

A *place* is the top-left corner of an object's square. Places of pairs are numbered, so that a
keyed permutation can deal them out without a repeat.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli import fixed, rng
from samediff_stimuli.fixed import Ints
from samediff_stimuli.grid import Grid
from samediff_stimuli.recipe import InputError

_TRIES = 64  # candidates for each object when more than two are placed
_STARTS = 256  # times that all of them are placed anew


class Arena(Protocol):
    """The legal places of objects in an image."""

    def pairs(self) -> int:
        """Number of unordered pairs of places that go together."""

    def pair(self, number: Ints) -> Ints:
        """(..., 2, 2) int64 corners (x, y) of both places of pairs in [0, pairs())."""

    def spot(self, words: rng.Words) -> Ints:
        """(..., 2) int64 corners of uniformly random places."""

    def apart(self, first: Ints, second: Ints) -> NDArray[np.bool_]:
        """Whether objects at two places (..., 2) may stand in one image."""


@dataclass(frozen=True, kw_only=True)
class Free:
    """Any pixel, objects at least a pixel apart (Tartaglini et al. 2023, released code).

    Attributes:
        image: image side in pixels.
        size: side of an object's square in pixels.
        reach: largest difference of two objects' x, and of their y, in pixels.
    """

    image: int
    size: int
    reach: int

    def pairs(self) -> int:
        """Number of unordered pairs of places."""
        ends = _free_steps(self)[1]
        return int(ends[-1]) if len(ends) else 0

    def pair(self, number: Ints) -> Ints:
        """Corners of both places, the upper (or left) one first; all pairs are equally likely."""
        steps, ends = _free_steps(self)
        which = np.searchsorted(ends, number, side="right")
        step = steps[which]
        within = number - np.where(which > 0, ends[which - 1], 0)
        room = self.image - self.size + 1
        y, x = np.divmod(within, room - np.abs(step[..., 0]))
        x = x + np.maximum(-step[..., 0], 0)
        first = np.stack([x, y], axis=-1)
        return np.stack([first, first + step], axis=-2)

    def spot(self, words: rng.Words) -> Ints:
        """Any place in the image."""
        room = self.image - self.size + 1
        y, x = np.divmod(rng.below(words, room * room), room)
        return np.stack([x, y], axis=-1)

    def apart(self, first: Ints, second: Ints) -> NDArray[np.bool_]:
        """Whether there is a pixel between the squares, and they are within reach."""
        far = np.abs(first - second).max(axis=-1)
        return np.asarray((far > self.size) & (far <= self.reach))


@lru_cache(maxsize=8)
def _free_steps(arena: Free) -> tuple[Ints, Ints]:
    """Steps (x, y) from the first place to the second, and how many pairs lie before each end."""
    most = min(arena.reach, arena.image - arena.size)
    x, y = np.meshgrid(np.arange(-most, most + 1), np.arange(most + 1))
    steps = np.stack([x.reshape(-1), y.reshape(-1)], axis=1).astype(np.int64)
    below = (steps[:, 1] > 0) | (steps[:, 0] > 0)
    steps = steps[below & (np.abs(steps).max(axis=1) > arena.size)]
    room = arena.image - arena.size + 1
    counts = (room - np.abs(steps)).prod(axis=1)
    return steps, np.cumsum(counts)


@dataclass(frozen=True, kw_only=True)
class Patches:
    """Each object anywhere inside a square of whole patches; no patch is shared.

    Attributes:
        grid: the patch grid.
        size: side of an object's square in pixels; less than a patch smaller than its patches.
    """

    grid: Grid
    size: int

    def _room(self) -> int:
        return self.grid.span * self.grid.patch - self.size + 1

    def pairs(self) -> int:
        """Number of unordered pairs of places."""
        return len(self.grid.pairs()) * self._room() ** 4

    def pair(self, number: Ints) -> Ints:
        """Corners of both places; all pairs of patches come before the next offsets."""
        patches = self.grid.pairs()
        turn, which = np.divmod(number, len(patches))
        room = self._room()
        digits = [(turn // room**power) % room for power in range(4)]
        offsets = np.stack(digits, axis=-1).reshape(*number.shape, 2, 2)
        return np.asarray(self.grid.corner(patches[which]) + offsets)

    def spot(self, words: rng.Words) -> Ints:
        """Any place on whole patches."""
        positions, room = self.grid.positions(), self._room()
        turn, which = np.divmod(rng.below(words, len(positions) * room**2), len(positions))
        offset = np.stack([turn % room, turn // room], axis=-1)
        return np.asarray(self.grid.corner(positions[which]) + offset)

    def apart(self, first: Ints, second: Ints) -> NDArray[np.bool_]:
        """Whether the objects share no patch."""
        steps = np.abs(first // self.grid.patch - second // self.grid.patch)
        return np.asarray(steps.max(axis=-1) >= self.grid.span)


def crowd(arena: Arena, key: int, pairs: Ints, state: Ints, items: int) -> Ints:
    """Places of `items` objects, the first two given.

    Args:
        arena: the legal places.
        key: Philox key of this stream of places.
        pairs: (n, 2, 2) int64 corners of the first two objects.
        state: (n,) int64 number of each row in the stream.
        items: objects in all, >= 2.

    Returns:
        (n, items, 2) int64 corners.

    Raises:
        InputError: if they are not placed in 256 starts.
    """
    corners = np.full((len(pairs), items, 2), -1, dtype=np.int64)
    corners[:, :2] = pairs
    todo = np.arange(len(pairs))
    for start in range(_STARTS):
        for item in range(2, items):
            tries = (start * _TRIES) + np.arange(_TRIES)
            spots = arena.spot(rng.mix(key, state[todo, None], item, tries))
            before = corners[todo][:, None, :item]
            fits = np.asarray(arena.apart(spots[:, :, None], before).all(axis=-1))
            rows = np.arange(len(todo))
            corners[todo, item] = np.where(
                np.any(fits, axis=1)[:, None], spots[rows, fits.argmax(axis=1)], -1
            )
            todo = todo[corners[todo, item, 0] >= 0]  # the others start anew
        todo = np.flatnonzero((corners[:, :, 0] < 0).any(axis=1))
        if not len(todo):
            return corners
    raise InputError(
        f"items {items} do not fit: no room is left for all of them; choose fewer items, a "
        "smaller object_size or a lower density"
    )


def region(items: int, size: int, density: int) -> int:
    """Side in pixels of the square of which the items' squares cover `density` per cent."""
    area = np.array([items * size * size * 100 // density])
    return int(fixed.integer_sqrt(area)[0])
