"""Polylines from plain arithmetic (+ - * / sqrt and exact cosines): the same bytes everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli.blender_scenes.data import Floats, Vector
from samediff_stimuli.fixed import UNIT, circle

Point = tuple[float, float]
P = TypeVar("P", Point, Vector)

_QUARTERS = 1440  # angles are whole quarters of a degree


def dot(a: NDArray[np.float64], b: NDArray[np.float64]) -> Any:
    """Scalar products along the last axis, which has 2 or 3 places, added up in order."""
    products = a * b
    total = products[..., 0] + products[..., 1]
    return total + products[..., 2] if products.shape[-1] == 3 else total


def cross(a: Floats, b: Floats) -> Floats:
    """Vector products along the last axis."""
    x, y, z = ((a[..., i - 2] * b[..., i - 1] - a[..., i - 1] * b[..., i - 2]) for i in range(3))
    return np.stack([x, y, z], axis=-1)


def length(a: Floats) -> Any:
    """Lengths along the last axis."""
    return np.sqrt(dot(a, a))


def unit(a: Floats) -> Floats:
    """Vectors of length 1 along the last axis; null vectors stay."""
    lengths = length(a)[..., None]
    return np.asarray(a / np.where(lengths == 0, 1.0, lengths))


def shares(points: Floats) -> Floats:
    """How far along a polyline each of its points is, from 0 to 1."""
    out = [0.0]
    for step in length(points[1:] - points[:-1]).tolist():
        out.append(out[-1] + step)
    return np.array(out) / (out[-1] or 1.0)


def around(count: int) -> Floats:
    """(count, 2) float64: equally spaced points on the unit circle, `count` a multiple of 4."""
    return unit(circle(count).astype(np.float64) / UNIT)


def direction(degrees: float) -> Point:
    """Cosine and sine of an angle, which is rounded to a quarter of a degree."""
    cos, sin = around(_QUARTERS)[round(degrees * 4) % _QUARTERS].tolist()
    return cos, sin


def arc(center: Point, radius: float, start: float, end: float, steps: int) -> list[Point]:
    """Points on a circle from one angle to another in degrees, both ends included."""
    turns = [direction(start + (end - start) * i / steps) for i in range(steps + 1)]
    return [(center[0] + radius * cos, center[1] + radius * sin) for cos, sin in turns]


def curve(points: Sequence[P], steps: int = 4) -> list[P]:
    """A smooth curve (Catmull-Rom) through points, `steps` pieces between two of them."""
    p = np.array(points, dtype=np.float64)
    p = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    out: list[Any] = []
    for a, b, c, d in zip(p[:-3], p[1:-2], p[2:-1], p[3:], strict=True):
        linear, square, cube = c - a, 2 * a - 5 * b + 4 * c - d, 3 * b - a - 3 * c + d
        for t in (i / steps for i in range(steps)):
            out.append((2 * b + t * (linear + t * (square + t * cube))) / 2)
    return [tuple(point.tolist()) for point in [*out, p[-2]]]


def rounded(
    points: Sequence[Point], radius: float | Sequence[float], steps: int = 3, closed: bool = False
) -> list[Point]:
    """A polyline with its corners rounded by parabolas.

    Args:
        points: corners.
        radius: how far from a corner the rounding starts, at most half of the edge (0: a sharp
            corner); one for each corner or one for all.
        steps: pieces a corner.
        closed: whether the last point is joined to the first.
    """
    p = np.array(points, dtype=np.float64)
    cuts = [radius] * len(p) if isinstance(radius, int | float) else list(radius)
    out: list[Point] = []
    for i, cut in enumerate(cuts):
        if cut == 0 or (not closed and i in (0, len(p) - 1)):
            out.append((float(p[i, 0]), float(p[i, 1])))
            continue
        edges = [p[j] - p[i] for j in (i - 1, (i + 1) % len(p))]
        start, end = (p[i] + e * (min(cut, float(length(e)) / 2) / length(e)) for e in edges)
        for t in (k / steps for k in range(steps + 1)):
            x, y = (1 - t) * (1 - t) * start + 2 * t * (1 - t) * p[i] + t * t * end
            out.append((float(x), float(y)))
    return out


def frames(path: Floats, up: Vector | None, closed: bool) -> tuple[Floats, Floats]:
    """Two unit vectors across a path at each of its points, carried by parallel transport.

    Args:
        path: (n, 3); a closed one ends where it starts.
        up: what the second vector is nearest to at the start; None for z, or y if that is steep.
        closed: whether the last point is the first.
    """
    steps = unit(path[1:] - path[:-1])
    before, after = np.concatenate([steps[:1], steps]), np.concatenate([steps, steps[-1:]])
    if closed:
        before[0], after[-1] = steps[-1], steps[0]
    tangents = unit(before + after)
    if up is None:
        up = (0.0, 1.0, 0.0) if abs(float(tangents[0, 2])) > 0.7 else (0.0, 0.0, 1.0)
    second, seconds = np.array(up, dtype=np.float64), []
    for tangent in tangents:
        second = unit(second - tangent * dot(second, tangent))
        seconds.append(second)
    return cross(np.array(seconds), tangents), np.array(seconds)


def mitres(outline: Floats) -> Floats:
    """(n, 2): how far each corner of an anticlockwise outline moves if all edges move inwards 1."""
    before = unit(outline - np.roll(outline, 1, axis=0))
    after = np.roll(before, -1, axis=0)
    inward = np.stack([-before[:, 1] - after[:, 1], before[:, 0] + after[:, 0]], axis=1)
    return np.asarray(inward / (1.0 + dot(before, after))[:, None])


def ears(outline: Floats) -> list[tuple[int, int, int]]:
    """An anticlockwise outline that does not cross itself, cut into triangles."""
    left, out = list(range(len(outline))), []
    while len(left) > 3:
        best: tuple[float, int] | None = None
        for k in range(len(left)):
            corner = (left[k - 1], left[k], left[(k + 1) % len(left)])
            a, b, c = outline[list(corner)]
            if _area(a, b, c) <= 0 or any(
                _inside(outline[i], a, b, c) for i in left if i not in corner
            ):
                continue
            longest = max(float(length(b - a)), float(length(c - b)), float(length(a - c)))
            if best is None or longest < best[0]:
                best = longest, k
        if best is None:
            raise ValueError("outline crosses itself or is not anticlockwise")
        k = best[1]
        out.append((left[k - 1], left[k], left[(k + 1) % len(left)]))
        del left[k]
    return [*out, (left[0], left[1], left[2])]


def _area(a: Floats, b: Floats, c: Floats) -> float:
    """Twice a triangle's area, positive if anticlockwise."""
    return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))


def _inside(p: Floats, a: Floats, b: Floats, c: Floats) -> bool:
    """Whether a point lies in an anticlockwise triangle or on its edge."""
    return _area(a, b, p) >= 0 and _area(b, c, p) >= 0 and _area(c, a, p) >= 0
