"""Contours: the ten conditions of Puebla & Bowers 2022 as families of twin outlines.

Objects 2 m and 2 m + 1 are twins: the two sides of a "different" stimulus. Twins are matched as far
as their condition allows: the same length of line (the same area where they are filled), the same
colour, and in `scrambled`, `lines` and `arrows` the same parts. Each twin stands in same stimuli
just as often, so one object alone says nothing about the label.

What the conditions are follows the paper's released code; outlines and numbers are ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np

from samediff_stimuli import fixed, rng, strokes
from samediff_stimuli.families import Sprite, inked
from samediff_stimuli.families.squiggles import outline as squiggle
from samediff_stimuli.fixed import HALF, UNIT, Ints

Condition = Literal[
    "original",
    "irregular",
    "regular",
    "open",
    "wider_line",
    "scrambled",
    "random_color",
    "filled",
    "lines",
    "arrows",
]
CONDITIONS: tuple[Condition, ...] = get_args(Condition)
ABOUT: dict[Condition, str] = {
    "original": "closed curves as in SVRT problem 1",
    "irregular": "irregular polygons of 3 to 7 sides",
    "regular": "regular polygons of 3 to 7 sides",
    "open": "irregular polygons that lack a side",
    "wider_line": "irregular polygons drawn with a line twice as wide",
    "scrambled": "a regular polygon, and the same with its quarters pushed apart",
    "random_color": "irregular polygons, both in one random colour",
    "filled": "irregular polygons filled with black",
    "lines": "two open boxes joined into an S, and its mirror image",
    "arrows": "a line with triangles at one or both ends, and the same with them turned round",
}
# Distinct objects of the conditions that have not very many: two of them differ by half a pixel or
# more at the smallest scale.
FINITE = {"regular": 2192, "scrambled": 2192, "lines": 2 * 8**6 * 2, "arrows": 2 * 720 * 8}

PEN = 48  # parts of the square's side that a line is wide: 2 of 96 pixels
_TABLE = 2520  # angles of the circle: a multiple of 4 and of 3 to 7
_DARKEST = 200  # channels of random colours stay below it, so that lines are seen on white


@dataclass(frozen=True)
class Contours:
    """The outlines of one condition; see `samediff_stimuli.families.Family`.

    Attributes:
        condition: which of the ten.
        key: Philox key of the families, from the seed.
    """

    condition: Condition
    key: int
    count: None = None
    looks: None = None

    def attributes(self, numbers: Ints) -> dict[str, Ints]:
        """The condition, one for each row of `numbers`."""
        return {"condition": np.full(len(numbers), CONDITIONS.index(self.condition))}

    def ink(self, numbers: Ints) -> Ints:
        """Twins are matched one by one."""
        return np.zeros_like(numbers)

    def draw(self, number: int, size: int, angle: int, scale: int) -> Sprite:
        """A line of 1/48 of the square's side (or twice that, or a fill), whatever the scale."""
        width = size * strokes.FINE // PEN * (2 if self.condition == "wider_line" else 1)
        span = size * strokes.FINE - width - 2
        lines = [fixed.placed(line, span, angle, scale) for line in lines_of(self, number)]
        if self.condition == "filled":
            coverage = strokes.fill(lines[0][:-1], size)
        else:
            points = np.concatenate([strokes.dense(line) for line in lines])
            if self.condition == "scrambled" and number % 2:
                # Without what the pen's round ends add, the four parts have the ink of one.
                points = points[np.abs(points).min(axis=1) >= 3 * width // 8]
                quarter = 2 * (points[:, 1] >= 0) + (points[:, 0] >= 0)
                points = points + self._pushes(number, span * scale // fixed.FULL_SCALE)[quarter]
            coverage = strokes.stamp(points, size, width)
        return inked(coverage, strokes.FINE**2, self._color(number))

    def _color(self, number: int) -> tuple[int, int, int]:
        if self.condition != "random_color":
            return 0, 0, 0
        words = rng.mix(self.key, number // 2, np.arange(3), _COLOR)
        red, green, blue = rng.below(words, _DARKEST).tolist()
        return red, green, blue

    def _pushes(self, number: int, span: int) -> Ints:
        """(4, 2) steps by which the quarters move outwards: 1/24 to 1/8 of the span each way."""
        words = rng.mix(self.key, number // 2, np.arange(8), _PUSH).reshape(4, 2)
        steps = span // 24 + rng.below(words, max(1, span // 12))
        return np.asarray(steps * np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]]))


_COLOR, _PUSH, _SIDES, _CORNERS, _PARTS = range(1, 6)


@lru_cache(maxsize=8192)
def lines_of(family: Contours, number: int) -> tuple[Ints, ...]:
    """The polylines of an object, (n, 2) int64 in [-HALF, HALF]; closed ones repeat their start."""
    condition, pair, twin = family.condition, number // 2, number % 2
    if condition == "lines":
        return _bracket(family.key, pair, twin)
    if condition == "arrows":
        return _arrow(family.key, pair, twin)
    if condition == "scrambled":
        look = _shuffled(family.key, pair, len(_looks()) // 2)  # the larger half
        return (_regular(*_looks()[look]) * 3 // 4,)
    if condition == "regular":
        return (_regular(*_regular_twins(family.key, pair)[twin]),)
    one, other = _outline(family, pair, 0), _outline(family, pair, 1)
    measure = _root_area if condition == "filled" else _length
    return (_matched(one, other, measure)[twin],)


def _outline(family: Contours, pair: int, twin: int) -> Ints:
    """The curve or irregular polygon of a twin, before both are matched."""
    if family.condition == "original":
        curve = squiggle(family.key, 2 * pair + twin)
        return np.concatenate([curve, curve[:1]])
    polygon = _polygon(family.key, pair, twin, _sides(family.key, pair)[twin])
    return polygon[:-1] if family.condition == "open" else polygon


def _regular_twins(key: int, pair: int) -> tuple[_Look, _Look]:
    """Two looks of one size and of different numbers of sides; every look has one twin.

    Looks of one size are ordered by sides, none of which has half of them: so the look half a
    list away has other sides.
    """
    half = _PER_SIZE // 2
    level, place = divmod(_shuffled(key, pair, _SIZES * half), half)
    first = level * _PER_SIZE + place
    return _looks()[first], _looks()[first + half]


def _matched(one: Ints, other: Ints, measure: Callable[[Ints], int]) -> tuple[Ints, Ints]:
    """Two outlines, the larger one shrunk to the measure of the smaller one."""
    first, second = measure(one), measure(other)
    least = min(first, second)
    return one * least // first, other * least // second


def _shuffled(key: int, number: int, count: int) -> int:
    """Where a keyed permutation of [0, count) sends a number, counted anew beyond the end."""
    sent = rng.permute(key, np.array([number % count]), count, np.array([_PARTS]))
    return int(sent[0])


_Look = tuple[int, int, int]  # of a regular polygon: size level, sides, start
_SIZES = 8
_STARTS = {3: 84, 4: 63, 5: 50, 6: 42, 7: 35}  # turns of each polygon, a degree and a half apart
_PER_SIZE = sum(_STARTS.values())


@lru_cache(maxsize=1)
def _looks() -> list[_Look]:
    """Size level, sides and start of every regular polygon, by size, then sides, then start."""
    turns = [
        (sides, i * (_TABLE // sides) // count)
        for sides, count in _STARTS.items()
        for i in range(count)
    ]
    return [(level, sides, start) for level in range(_SIZES) for sides, start in turns]


def _regular(level: int, sides: int, start: int) -> Ints:
    """A closed regular polygon; at one level all have the perimeter of a triangle.

    The triangle's radius is 100 % of HALF at level 0, and 5 less at each.
    """
    sine = fixed.circle(_TABLE)[:, 1]
    mine, triangles = int(sine[_TABLE // (2 * sides)]), int(sine[_TABLE // 6])
    radius = 3 * triangles * HALF * (20 - level) // (20 * sides * mine)
    angle = start + _TABLE // sides * np.arange(sides)
    corners = fixed.circle(_TABLE)[angle % _TABLE] * radius // UNIT
    return np.concatenate([corners, corners[:1]])


def _length(line: Ints) -> int:
    return fixed.perimeter(line, closed=False)


def _root_area(line: Ints) -> int:
    x, y = line[:, 0], line[:, 1]
    area = abs(int((x[:-1] * y[1:] - x[1:] * y[:-1]).sum())) // 2
    return int(fixed.integer_sqrt(np.array([area]))[0])


def _sides(key: int, pair: int) -> tuple[int, int]:
    """Two different numbers of sides, 3 to 7."""
    words = rng.mix(key, pair, np.arange(2), _SIDES)
    first = int(rng.below(words[0], 5))
    return 3 + first, 3 + (first + 1 + int(rng.below(words[1], 4))) % 5


def _polygon(key: int, pair: int, twin: int, sides: int) -> Ints:
    """A closed irregular polygon around a point that sees all of it: it never crosses itself."""
    words = rng.mix(key, 2 * pair + twin, np.arange(2 * sides + 1), _CORNERS)
    step = _TABLE // sides
    angle = rng.below(words[-1], _TABLE) + step * np.arange(sides)
    angle = angle + rng.below(words[:sides], 2 * step // 5 + 1) - step // 5
    least = UNIT * 35 // 100
    radius = least + rng.below(words[sides : 2 * sides], UNIT - least + 1)
    corners = fixed.centred(fixed.circle(_TABLE)[angle % _TABLE] * radius[:, None])
    return np.concatenate([corners, corners[:1]])


def _bracket(key: int, pair: int, twin: int) -> tuple[Ints, ...]:
    """An S of two open boxes that share a side, upright or lying; the twin is mirrored.

    The boxes have widths, heights and free arms of their own, eight lengths each.
    """
    number = _shuffled(key, pair, FINITE["lines"] // 2)
    levels = [8 + number // 8**i % 8 for i in range(6)]
    w1, h1, w2, h2 = (level * HALF // 16 for level in levels[:4])
    a1, a2 = h1 * levels[4] // 16, h2 * levels[5] // 16
    points = np.array(
        [[-w1, a1 - h1], [-w1, -h1], [0, -h1], [0, 0], [0, h2], [w2, h2], [w2, h2 - a2]]
    )
    points = points * [1, -1] if twin else points
    return (points[:, ::-1] if number >= 8**6 else points,)


def _arrow(key: int, pair: int, twin: int) -> tuple[Ints, ...]:
    """A shaft with a triangle at one or both ends; the twin's triangles point the other way."""
    number = _shuffled(key, pair, FINITE["arrows"] // 2)
    shaft, turn = HALF * (5 + number // 720) // 24, number % 720
    heads = (1, -1) if turn < 180 else (1, 1) if turn < 360 else (1, 0)  # 1 outwards, -1 inwards
    lines = [np.array([[0, -shaft], [0, shaft]])]
    tall = 2 * HALF // 5
    for end, head in zip((-1, 1), heads, strict=True):
        if head:
            inner, outer = end * shaft, end * (shaft + tall)
            base, tip = (inner, outer) if (head > 0) != bool(twin) else (outer, inner)
            half = tall * 577 // 1000  # equilateral
            lines.append(np.array([[-half, base], [0, tip], [half, base], [-half, base]]))
    long = math.isqrt((shaft + tall) ** 2 + (tall * 577 // 1000) ** 2) + 8
    return tuple(fixed.turned(line * HALF // long, turn % 360) // UNIT for line in lines)
