"""Character strings: rows of letters and digits drawn with strokes of our own.

String number n is n written in base 36, its first character the most significant.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from samediff_stimuli import fixed, strokes
from samediff_stimuli.families import Sprite, inked
from samediff_stimuli.fixed import HALF, Ints
from samediff_stimuli.glyphs import GLYPHS, HEIGHT, WIDTH

CHARACTERS = tuple(sorted(GLYPHS))  # 0 .. 9, A .. Z
MAX_LENGTH = 6
PEN = 8  # parts of a character's share of the square that a line is wide: 2.5 pixels of 64 / 3
_FILL = 70  # per cent of a character's cell that it is wide


@dataclass(frozen=True)
class Strings:
    """All strings of one length; see `samediff_stimuli.families.Family`.

    Attributes:
        length: characters in a string, 1 .. 6.
    """

    length: int
    looks: None = None

    @property
    def count(self) -> int:
        """36 to the power of the length."""
        return int(len(CHARACTERS) ** self.length)

    def attributes(self, numbers: Ints) -> dict[str, Ints]:
        """The characters of each string: (..., length)."""
        powers = len(CHARACTERS) ** np.arange(self.length - 1, -1, -1)
        return {"character": numbers[..., None] // powers % len(CHARACTERS)}

    def ink(self, numbers: Ints) -> Ints:
        """The lengths of the strokes of each string."""
        return np.asarray(_lengths()[self.attributes(numbers)["character"]].sum(axis=-1))

    def draw(self, number: int, size: int, angle: int, scale: int) -> Sprite:
        """Black lines, 1/8 of a character's share of the square wide, whatever the scale."""
        width = size * strokes.FINE // (PEN * max(2, self.length))
        span = size * strokes.FINE - width - 2
        string = self.attributes(np.array(number))["character"].tolist()
        lines = [
            fixed.placed(line, span, angle, scale)
            for cell, character in enumerate(string)
            for line in _glyph(character, cell, self.length)
        ]
        return inked(strokes.stroke(lines, size, width), strokes.FINE**2)


@lru_cache(maxsize=512)
def _glyph(character: int, cell: int, length: int) -> tuple[Ints, ...]:
    """The strokes of a character in its cell of the row, in [-HALF, HALF]."""
    pitch = 2 * HALF * 100 // (100 * length - (100 - _FILL))  # the outermost touch the square
    wide = pitch * _FILL // 100
    high = min(wide * HEIGHT // WIDTH * 6 // 5, 2 * HALF)
    made = []
    for line in GLYPHS[CHARACTERS[character]]:
        points = np.array(line, dtype=np.int64)
        x = -HALF + cell * pitch + points[:, 0] * wide // WIDTH
        y = points[:, 1] * high // HEIGHT - high // 2
        made.append(np.stack([x, y], axis=1))
    return tuple(made)


@lru_cache(maxsize=1)
def _lengths() -> Ints:
    """(36,) int64: length of all strokes of each character."""
    lines = [[np.array(line) for line in GLYPHS[character]] for character in CHARACTERS]
    return np.array([sum(fixed.perimeter(p, closed=False) for p in glyph) for glyph in lines])
