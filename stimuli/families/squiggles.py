"""Squiggles: an endless family of smooth closed curves that never cross themselves.

In the manner of the contours of SVRT problem 1 (Fleuret et al. 2011): closed, irregular, unfilled.
A curve is a circle whose radius carries random harmonics, then twisted about its centre and
sheared; neither can make it cross itself. Curves that nearly touch themselves are drawn again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from samediff_stimuli import fixed, rng, strokes
from samediff_stimuli.families import Sprite, inked
from samediff_stimuli.fixed import Ints

POINTS = 160  # corners of the polyline
HARMONICS = 8  # the second to this are random
_TABLE = 2560  # angles of the circle
_SPREAD = 32  # per cent of the radius: standard deviation of the harmonics' sum
_TWIST = 400  # largest twist at the mean radius, in angles of the table
_SHEAR = 40  # largest shear, per cent
_BATCH = 4  # curves tried at a time
_MAX_TRIES = 64  # batches
_NEAR = 14  # corners this close along the curve may be close in space
_CLEARANCE = 2 * fixed.HALF * 7 // 100  # distance that others keep, 7 % of the box


@lru_cache(maxsize=4096)
def outline(key: int, number: int) -> Ints:
    """The curve of one squiggle.

    Args:
        key: Philox key of the family, from the seed.
        number: which squiggle, >= 0.

    Returns:
        (160, 2) int64 corners of a simple closed polygon whose box fills [-HALF, HALF] along its
        longer side; read-only.

    Raises:
        RuntimeError: if no simple curve is found in 256 tries.
    """
    for attempt in range(_MAX_TRIES):
        tries = attempt * _BATCH + np.arange(_BATCH)
        for curve in list[Ints](_curves(rng.mix(key, number, tries))):
            if _is_clear(curve) and is_simple(curve, _NEAR):
                curve.flags.writeable = False
                return curve
    raise RuntimeError(f"squiggle {number} of key {key}: no simple curve in {_MAX_TRIES} batches")


def _curves(states: rng.Words) -> Ints:
    """(n, POINTS, 2) int64 curves, one for each state."""
    k = np.arange(2, HARMONICS + 1)
    words = rng.mix(0, states[:, None].view(np.int64), np.arange(2 * len(k) + 2))
    offsets = rng.normal_offsets(rng.MAX_SIGMA)[words >> rng.U64(48)].astype(np.int64)
    turn = fixed.circle(_TABLE)[k[:, None] * np.arange(POINTS) * (_TABLE // POINTS) % _TABLE]
    cos, sin = (offsets[:, i : 2 * len(k) : 2] * _weights() for i in (0, 1))
    radius = _RADIUS + ((cos @ turn[..., 0] + sin @ turn[..., 1]) >> 14)
    radius = np.maximum(radius, _RADIUS // 4)
    twist = rng.below(words[:, -2:-1], 2 * _TWIST + 1) - _TWIST
    angle = np.arange(POINTS) * (_TABLE // POINTS) + twist * radius // _RADIUS
    x, y = (radius * fixed.circle(_TABLE)[angle % _TABLE, axis] >> 14 for axis in (0, 1))
    shear = rng.below(words[:, -1:], 2 * _SHEAR + 1) - _SHEAR
    return fixed.centred(np.stack([x + shear * y // 100, y], axis=-1))


_RADIUS = 1 << 20


@lru_cache(maxsize=1)
def _weights() -> Ints:
    """(HARMONICS - 1,) int64: amplitude of each harmonic, as 1 / k, for an offset of one."""
    k = np.arange(2, HARMONICS + 1)
    total = fixed.integer_sqrt((10**12 // k**2).sum(keepdims=True))[0]  # 10**6 * root of sum 1/k^2
    return np.asarray(_RADIUS * _SPREAD * 10**4 // (k * rng.MAX_SIGMA * total), dtype=np.int64)


def _is_clear(curve: Ints) -> bool:
    """Whether parts far apart along the curve are far apart in space, further than any edge.

    Edges that cross have ends nearer to each other than the longer edge is long; so a curve that
    is clear can cross itself between near edges only.
    """
    x, y = curve[:, 0], curve[:, 1]
    longest = ((x - np.roll(x, 1)) ** 2 + (y - np.roll(y, 1)) ** 2).max()
    first, second = _far_pairs()
    nearest = ((x[first] - x[second]) ** 2 + (y[first] - y[second]) ** 2).min()
    return bool(nearest >= max(_CLEARANCE**2, longest))


@lru_cache(maxsize=1)
def _far_pairs() -> tuple[Ints, Ints]:
    first, second = np.triu_indices(POINTS, k=_NEAR + 1)
    keep = second - first < POINTS - _NEAR
    return first[keep], second[keep]


def is_simple(polygon: Ints, near: int | None = None) -> bool:
    """Whether no two edges of a closed polygon cross or touch, neighbours' common corners apart.

    Args:
        polygon: (n, 2) int64 corners, |x| and |y| below 2**30.
        near: look only at edges up to this many apart along the polygon; at all when None.
    """
    first, second = _apart(len(polygon), near)
    x, y = polygon[:, 0], polygon[:, 1]
    dx, dy = np.roll(x, -1) - x, np.roll(y, -1) - y
    gap_x, gap_y = x[second] - x[first], y[second] - y[first]
    one = dx[first] * gap_y - dy[first] * gap_x  # the side of an edge's line that a corner is on
    two = one + dx[first] * dy[second] - dy[first] * dx[second]
    three = dy[second] * gap_x - dx[second] * gap_y
    four = three + dx[second] * dy[first] - dy[second] * dx[first]
    crossing = (np.sign(one) * np.sign(two) <= 0) & (np.sign(three) * np.sign(four) <= 0)
    if not crossing.any():
        return True
    straight = (one == 0) & (two == 0)  # on one line: they touch if their boxes do
    boxes = np.abs(2 * gap_x + dx[second] - dx[first]) <= np.abs(dx[first]) + np.abs(dx[second])
    boxes &= np.abs(2 * gap_y + dy[second] - dy[first]) <= np.abs(dy[first]) + np.abs(dy[second])
    return not bool((crossing & (boxes | ~straight)).any())


@lru_cache(maxsize=8)
def _apart(n: int, near: int | None) -> tuple[Ints, Ints]:
    """Pairs of edges of an n-gon that are not neighbours."""
    if near is not None:
        first, step = np.divmod(np.arange(n * (near - 1)), near - 1)
        return first, (first + step + 2) % n
    first, second = np.triu_indices(n, k=2)
    keep = second - first < n - 1
    return first[keep], second[keep]


PEN = 32  # parts of the square's side that a line is wide: 2 of 64 pixels


@dataclass(frozen=True)
class Squiggles:
    """The squiggles of a seed; see `samediff_stimuli.families.Family`.

    Attributes:
        key: Philox key of the family.
    """

    key: int
    count: None = None
    looks: None = None

    def attributes(self, numbers: Ints) -> dict[str, Ints]:
        """None: a squiggle is its number."""
        return {}

    def ink(self, numbers: Ints) -> Ints:
        """The lengths of the curves."""
        curves = [outline(self.key, number) for number in numbers.tolist()]
        return np.array([fixed.perimeter(curve, closed=True) for curve in curves])

    def draw(self, number: int, size: int, angle: int, scale: int) -> Sprite:
        """A black line of 1/32 of the square's side, whatever the scale, on white."""
        width = max(1, size * strokes.FINE // PEN)
        span = size * strokes.FINE - width - 2
        points = fixed.placed(outline(self.key, number), span, angle, scale)
        line = np.concatenate([points, points[:1]])
        return inked(strokes.stroke([line], size, width), strokes.FINE**2)
