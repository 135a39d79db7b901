"""Families of objects: what can be drawn in an object's square, by number.

A family is a frozen dataclass; it hashes, so that what it draws can be kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli.fixed import Ints

WHITE = 255


class Sprite(NamedTuple):
    """An object drawn in its square.

    Attributes:
        pixels: (size, size, 3) uint8 RGB, 255 outside the object.
        mask: (size, size) bool, True on the object.
    """

    pixels: NDArray[np.uint8]
    mask: NDArray[np.bool_]


class Family(Protocol):
    """A set of distinct objects."""

    def __hash__(self) -> int:
        """Families are keys of what was drawn."""

    @property
    def count(self) -> int | None:
        """Number of objects; None if there is no end of them."""

    @property
    def looks(self) -> int | None:
        """How many objects look different, if fewer than there are; None if all do."""

    def attributes(self, numbers: Ints) -> Mapping[str, Ints]:
        """The family's columns for objects of any shape of `numbers`."""

    def ink(self, numbers: Ints) -> Ints:
        """A measure of the ink of each of (n,) objects, up to a factor; for `pools.alike`."""

    def draw(self, number: int, size: int, angle: int, scale: int) -> Sprite:
        """Draw an object; the same sprite on every machine.

        Args:
            number: which object, >= 0.
            size: side of its square in pixels.
            angle: turned clockwise by whole degrees in [0, 360), shrunk until it fits.
            scale: thousandths of the size that would fit, in [1, 1000].
        """


@lru_cache(maxsize=2048)
def drawn(family: Family, number: int, size: int, angle: int, scale: int) -> Sprite:
    """What `family.draw` draws, kept for the next time; read-only."""
    sprite = family.draw(number, size, angle, scale)
    for array in sprite:
        array.flags.writeable = False
    return sprite


def inked(coverage: NDArray[np.uint8], full: int, rgb: tuple[int, int, int] = (0, 0, 0)) -> Sprite:
    """A sprite in one colour on white, blended by coverage in [0, full], rounded."""
    share = np.arange(full + 1)[:, None]
    shades = WHITE - (2 * share * (WHITE - np.array(rgb)) + full) // (2 * full)
    return Sprite(shades.astype(np.uint8)[coverage], coverage > 0)
