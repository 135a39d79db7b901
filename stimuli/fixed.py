"""Geometry in integers: turning and scaling points gives the same bytes on every machine."""

from __future__ import annotations

from decimal import Decimal, localcontext
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

UNIT = 1 << 14  # cosines and sines are integers in units of 1 / UNIT
HALF = 1 << 15  # outlines lie in the square [-HALF, HALF] x [-HALF, HALF], y down
FULL_SCALE = 1000  # scales are in thousandths
_PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494")


@lru_cache(maxsize=16)
def circle(n: int) -> Ints:
    """(n, 2) int64: UNIT times cosine and sine of n equally spaced angles, exactly rounded.

    Args:
        n: points on the circle, a multiple of 4.
    """
    quarter = [_cos(Decimal(i) / n) for i in range(n // 4 + 1)]
    cosines = np.array(
        [*quarter, *(-q for q in quarter[-2::-1]), *(-q for q in quarter[1:]), *quarter[-2:0:-1]],
        dtype=np.int64,
    )
    table = np.stack([cosines, np.roll(cosines, n // 4)], axis=1)
    table.flags.writeable = False
    return table


def _cos(turns: Decimal) -> int:
    """round(UNIT * cos(2 pi turns)) by the Taylor series."""
    with localcontext() as context:
        context.prec = 50
        x = 2 * _PI * turns
        term = total = Decimal(1)
        for n in range(1, 40):
            term *= -x * x / (2 * n * (2 * n - 1))
            total += term
        return int((total * UNIT).to_integral_value())


def turned(points: Ints, angle: int) -> Ints:
    """Points turned clockwise (y is down) about the origin; lengths grow by UNIT.

    Args:
        points: (..., 2) int64, |x| and |y| below 2**31.
        angle: whole degrees in [0, 360).

    Returns:
        (..., 2) int64.
    """
    cos, sin = circle(360)[angle].tolist()
    x, y = points[..., 0], points[..., 1]
    return np.stack([x * cos - y * sin, x * sin + y * cos], axis=-1)


def shrink(angle: int) -> int:
    """UNIT times the side of the upright square around a unit square turned by `angle` degrees."""
    cos, sin = circle(360)[angle].tolist()
    return int(abs(cos) + abs(sin))


def placed(points: Ints, span: int, angle: int, scale: int) -> Ints:
    """Points of an outline in a square of `span` steps, turned and shrunk so that all fits.

    A turned square is shrunk until it fits its upright square, as the stimuli of Tartaglini et al.
    2023 are (turned with expansion, then resized).

    Args:
        points: (..., 2) int64 in [-HALF, HALF].
        span: side of the target square in steps, below 2**14.
        angle: whole degrees in [0, 360).
        scale: thousandths in [1, 1000].

    Returns:
        (..., 2) int64 steps from the square's centre, rounded.
    """
    whole = 2 * HALF * shrink(angle) * FULL_SCALE
    return (2 * turned(points, angle) * (span * scale) + whole) // (2 * whole)


def integer_sqrt(values: Ints) -> Ints:
    """Floor of the square root of non-negative integers below 2**52, exactly."""
    root = np.sqrt(values.astype(np.float64)).astype(np.int64)  # IEEE: off by one at most
    root = np.where(root * root > values, root - 1, root)
    root = np.where((root + 1) * (root + 1) <= values, root + 1, root)
    return np.asarray(root, dtype=np.int64)


def perimeter(points: Ints, closed: bool) -> int:
    """Length of a polyline, each edge rounded down."""
    steps = np.diff(np.concatenate([points, points[:1]]) if closed else points, axis=0)
    return int(integer_sqrt((steps**2).sum(axis=1)).sum())


def centred(points: Ints) -> Ints:
    """Points moved and scaled, one factor for x and y, so that their box fills [-HALF, HALF]."""
    low, high = points.min(axis=-2, keepdims=True), points.max(axis=-2, keepdims=True)
    extent = np.maximum((high - low).max(axis=-1, keepdims=True), 1)
    return np.asarray((2 * points - low - high) * HALF // extent)


@lru_cache(maxsize=32)
def source(side: int, target: int, angle: int, scale: int) -> Ints:
    """Where each step of a square looks in a picture that is turned and scaled; see `placed`.

    Args:
        side: steps along the square.
        target: side of the picture.
        angle: whole degrees in [0, 360) by which the picture is turned.
        scale: thousandths in [1, 1000].

    Returns:
        (side, side) int64 flat indices into the picture, -1 beyond its edge; append a blank to it.
    """
    steps = 2 * np.arange(side, dtype=np.int64) + 1 - side
    along, across = turned(np.stack([steps, 0 * steps], axis=1), -angle % 360).T
    whole = UNIT**2 * scale * side
    grow = shrink(angle) * FULL_SCALE
    x = ((along[None, :] - across[:, None]) * grow + whole) * target // (2 * whole)
    y = ((across[None, :] + along[:, None]) * grow + whole) * target // (2 * whole)
    inside = (x >= 0) & (x < target) & (y >= 0) & (y < target)
    return np.where(inside, y * target + x, -1)
