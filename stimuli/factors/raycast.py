"""Where rays meet convex solids: numbers that are the same to the last bit on every machine.

Only +, -, *, / and square roots of float64 are used, element by element and in a fixed order, which
IEEE 754 rounds exactly; there are no products of matrices and no sums along axes. A quantity that
depends on a ray does not depend on the rays beside it. Right-handed axes, z up.

A vector is three numbers, or three rows of an array with one column for each ray.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Vector = tuple[float, float, float]
Vectors = Vector | Floats  # one for all rays, or (3, n): one for each
Matrix = tuple[Vector, Vector, Vector]  # rows

UPRIGHT: Matrix = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
_Z: Vector = (0.0, 0.0, 1.0)
CURVED = -1  # the `face` of the quadric; planes count from 0
EPSILON = 1e-9  # what ends nearer than this to a point casts no shadow on it
_TINY = 1e-30  # stands for a divisor of 0; what it divides is then far beyond any scene


def dot(a: Vectors, b: Vectors) -> Floats:
    """The scalar product, summed from x to z: () or (n,) float64."""
    return np.asarray(a[0] * b[0] + a[1] * b[1] + a[2] * b[2])


def length(vector: Vector) -> float:
    """The Euclidean length."""
    x, y, z = vector
    return math.sqrt(x * x + y * y + z * z)


def unit(vector: Vector) -> Vector:
    """The vector over its length."""
    x, y, z = vector
    size = length(vector)
    return (x / size, y / size, z / size)


def cross(a: Vector, b: Vector) -> Vector:
    """The vector product."""
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def turn(matrix: Matrix, vector: Vector) -> Vector:
    """The product of a matrix and a vector."""
    x, y, z = (row[0] * vector[0] + row[1] * vector[1] + row[2] * vector[2] for row in matrix)
    return (x, y, z)


def transposed(matrix: Matrix) -> Matrix:
    """The matrix with rows for columns: of a rotation, its inverse."""
    first, second, third = zip(*matrix, strict=True)
    return (first, second, third)


def product(a: Matrix, b: Matrix) -> Matrix:
    """The product of two matrices: b first, then a."""
    first, second, third = (turn(a, column) for column in transposed(b))
    return transposed((first, second, third))


def about_z(cos: float, sin: float) -> Matrix:
    """The rotation about the vertical by an angle, counter-clockwise from above."""
    return ((cos, -sin, 0.0), (sin, cos, 0.0), (0.0, 0.0, 1.0))


def towards(axis: Vector) -> Matrix:
    """A rotation that turns z into a direction.

    Args:
        axis: of any length but 0.
    """
    third = unit(axis)
    helper = (1.0, 0.0, 0.0) if abs(third[0]) < 0.75 else (0.0, 1.0, 0.0)
    second = unit(cross(third, helper))
    return transposed((cross(second, third), second, third))


@dataclass(frozen=True, kw_only=True)
class Solid:
    """The points p, seen from `centre`, that lie inside every plane and inside the quadric.

    Attributes:
        planes: pairs (outward unit normal n, offset): inside is n . p <= offset.
        form: a symmetric matrix A, or none: inside is p . A p <= level. A double cone has its apex
            in the centre and a plane through it that leaves one half: every solid is convex.
        level: see `form`.
        centre: where the planes and the quadric are.
        reach: a ball of this radius about the centre holds all; it only saves time.
    """

    planes: tuple[tuple[Vector, float], ...] = ()
    form: Matrix | None = None
    level: float = 1.0
    centre: Vector = (0.0, 0.0, 0.0)
    reach: float = math.inf


def placed(solid: Solid, shift: Vector, rotation: Matrix = UPRIGHT) -> Solid:
    """The solid, turned about the origin of the axes, then shifted."""
    x, y, z = turn(rotation, solid.centre)
    form = solid.form
    if form is not None:
        form = product(product(rotation, form), transposed(rotation))
    return replace(
        solid,
        planes=tuple((turn(rotation, normal), offset) for normal, offset in solid.planes),
        form=form,
        centre=(x + shift[0], y + shift[1], z + shift[2]),
    )


def half_space(normal: Vector, point: Vector) -> Solid:
    """All behind a plane through a point: a floor, or a wall that faces along the normal."""
    return Solid(planes=((unit(normal), 0.0),), centre=point)


def ellipsoid(x: float, y: float, z: float) -> Solid:
    """Of these half axes, about the origin; its level is 1."""
    form = ((1 / (x * x), 0.0, 0.0), (0.0, 1 / (y * y), 0.0), (0.0, 0.0, 1 / (z * z)))
    return Solid(form=form, reach=max(x, y, z))


def sphere(radius: float) -> Solid:
    """About the origin."""
    return Solid(form=UPRIGHT, level=radius * radius, reach=radius)


def box(x: float, y: float, z: float) -> Solid:
    """Of these half sides, about the origin."""
    planes = _faces((1.0, 0.0, 0.0), x) + _faces((0.0, 1.0, 0.0), y)
    return Solid(planes=planes + _faces(_Z, z), reach=length((x, y, z)))


def cylinder(radius: float, half: float) -> Solid:
    """About z from -half to half."""
    form = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 0.0))
    reach = length((radius, half, 0.0))
    return Solid(planes=_faces(_Z, half), form=form, level=radius * radius, reach=reach)


def cone(radius: float, height: float) -> Solid:
    """From a disc about the origin up to its apex on z."""
    slope = radius / height
    form = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, -(slope * slope)))
    planes = (((0.0, 0.0, 1.0), 0.0), ((0.0, 0.0, -1.0), height))
    reach = length((radius, height, 0.0))
    return Solid(planes=planes, form=form, level=0.0, centre=(0.0, 0.0, height), reach=reach)


def pyramid(half: float, height: float) -> Solid:
    """From a square of half side `half` about the origin, along x and y, up to its apex on z."""
    out, _, up = unit((height, 0.0, half))
    sides = ((out, 0.0, up), (-out, 0.0, up), (0.0, out, up), (0.0, -out, up))
    planes = (*((side, out * half) for side in sides), ((0.0, 0.0, -1.0), 0.0))
    return Solid(planes=planes, reach=length((half, half, height)))


def hexagonal_prism(inner: float, half: float) -> Solid:
    """About z from -half to half; the faces are `inner` from z, two of them across x."""
    root = math.sqrt(0.75)
    sides = ((1.0, 0.0, 0.0), (0.5, root, 0.0), (-0.5, root, 0.0))
    planes = sum((_faces(side, inner) for side in sides), _faces(_Z, half))
    return Solid(planes=planes, reach=length((inner / root, half, 0.0)))


def rod(start: Vector, end: Vector, radius: float) -> Solid:
    """A cylinder with flat ends between two points."""
    axis = (end[0] - start[0], end[1] - start[1], end[2] - start[2])
    middle = (start[0] + axis[0] / 2, start[1] + axis[1] / 2, start[2] + axis[2] / 2)
    return placed(cylinder(radius, length(axis) / 2), middle, towards(axis))


def capsule(start: Vector, end: Vector, radius: float) -> tuple[Solid, Solid, Solid]:
    """A rod with a ball at each end: three solids."""
    ball = sphere(radius)
    return (rod(start, end, radius), placed(ball, start), placed(ball, end))


def _faces(normal: Vector, offset: float) -> tuple[tuple[Vector, float], ...]:
    """Two opposite planes."""
    return ((normal, offset), ((-normal[0], -normal[1], -normal[2]), offset))


def rays(eye: Vector, target: Vector, half: float, height: int, width: int, samples: int) -> Floats:
    """The directions of samples x samples rays through each pixel of an upright pinhole camera.

    Args:
        eye: where the camera is.
        target: what the middle of the image shows; not straight above or below the eye.
        half: half the height of the image at distance 1: the tangent of half the angle of view.
        height: pixels.
        width: pixels, as wide as high.
        samples: along each side of a pixel.

    Returns:
        (3, samples**2 * height * width) float64 unit vectors: sample by sample, each of rows of
        pixels from the top left.
    """
    forward = unit((target[0] - eye[0], target[1] - eye[1], target[2] - eye[2]))
    right = unit(cross(forward, _Z))
    down = cross(forward, right)
    shape = (samples, samples, height, width)
    row, column, y, x = np.indices(shape, dtype=np.float64).reshape(4, -1)
    step = half / (height * samples)  # half the distance of two samples
    y = (2 * (y * samples + row) + (1 - height * samples)) * step
    x = (2 * (x * samples + column) + (1 - width * samples)) * step
    return _units(np.stack([forward[i] + right[i] * x + down[i] * y for i in range(3)]))


def along(origin: Vectors, direction: Vectors, t: Floats) -> Floats:
    """(3, n) points at finite distances t along rays."""
    return np.stack([origin[i] + direction[i] * t for i in range(3)])


@dataclass(frozen=True, kw_only=True)
class Span:
    """The part of each ray's line inside a solid; none where `enter` is not below `leave`.

    Attributes:
        enter: (n,) float64 distance; may be negative (behind the origin) or infinite.
        leave: (n,) float64 distance.
        face: (n,) int64 the plane through which it enters, or CURVED.
    """

    enter: Floats
    leave: Floats
    face: Ints


def seen_from(solid: Solid, points: Vectors) -> Floats:
    """(3,) or (3, n) float64: points, from the centre of a solid."""
    return np.stack([points[i] - solid.centre[i] for i in range(3)])


def span(solid: Solid, origin: Vectors, direction: Vectors) -> Span:
    """Where lines run inside a solid.

    Args:
        solid: a convex one.
        origin: of the rays; it or the direction has a column for each ray.
        direction: unit vectors.
    """
    start = seen_from(solid, origin)
    shape = np.broadcast_shapes(np.shape(start[0]), np.shape(direction[0]))
    enter, leave = np.full(shape, -np.inf), np.full(shape, np.inf)
    face = np.full(shape, CURVED, dtype=np.int64)
    for index, (normal, offset) in enumerate(solid.planes):
        rate = dot(normal, direction)
        at = (offset - dot(normal, start)) / np.where(rate == 0, _TINY, rate)
        inward = rate < 0
        later = inward & (at > enter)
        enter, face = np.where(later, at, enter), np.where(later, index, face)
        leave = np.where(inward, leave, np.minimum(leave, at))
    if solid.form is not None:
        first, last = _inside(solid.form, solid.level, start, direction, leave)
        face = np.where(first > enter, CURVED, face)
        enter, leave = np.maximum(enter, first), np.minimum(leave, last)
    return Span(enter=enter, leave=leave, face=face)


def _inside(
    form: Matrix, level: float, start: Vectors, direction: Vectors, leave: Floats
) -> tuple[Floats, Floats]:
    """Where lines run inside a quadric; `leave` tells which half of a double cone is meant."""
    bent = _applied(form, direction)
    a, b = dot(direction, bent), dot(start, bent)
    c = dot(start, _applied(form, start)) - level
    a = np.where(np.abs(a) < _TINY, _TINY, a)
    square = b * b - a * c
    root = np.sqrt(np.maximum(square, 0.0))
    sum_ = b + np.where(b < 0, -root, root)  # no difference of near equals (Numerical Recipes 5.6)
    sum_ = np.where(sum_ == 0, _TINY, sum_)
    one, other = -sum_ / a, -c / sum_
    low, high = np.minimum(one, other), np.maximum(one, other)
    ahead = leave > high
    first = np.where(a > 0, low, np.where(ahead, high, -np.inf))
    last = np.where(a > 0, high, np.where(ahead, np.inf, low))
    missed = square < 0
    first = np.where(missed, np.where(a > 0, np.inf, -np.inf), first)
    return first, np.where(missed, -first, last)


def _applied(form: Matrix, vectors: Vectors) -> Floats:
    """(3,) or (3, n) float64: the product of a matrix and each vector."""
    return np.stack([dot(row, vectors) for row in form])


def _units(vectors: Floats) -> Floats:
    """(3, n) float64: vectors over their lengths, which may be 0."""
    x, y, z = vectors
    size = np.sqrt(np.maximum(x * x + y * y + z * z, _TINY))
    return np.stack([x / size, y / size, z / size])


def normals(solid: Solid, points: Floats, face: Ints) -> Floats:
    """(3, n) float64 outward unit normals at points of the surface.

    Args:
        solid: a convex one.
        points: (3, n) on the surface.
        face: (n,) the faces they are on, as in `Span`.
    """
    out = np.zeros((3, len(face)))
    if solid.form is not None:
        out = _units(_applied(solid.form, seen_from(solid, points)))
    if solid.planes:
        table = np.array([normal for normal, _ in solid.planes]).T
        out = np.where(face == CURVED, out, table[:, np.maximum(face, 0)])
    return out


@dataclass(frozen=True, kw_only=True)
class Hit:
    """The first surface that each ray enters.

    Attributes:
        t: (n,) float64 distance, infinite where there is none.
        which: (n,) int64 index of the solid, -1 where there is none.
        normal: (3, n) float64 outward unit normal, 0 where there is none.
    """

    t: Floats
    which: Ints
    normal: Floats


def nearest(solids: Sequence[Solid], origin: Vectors, direction: Floats) -> Hit:
    """The first of several solids that each ray enters in front of its origin.

    Args:
        solids: may overlap; the first one wins a tie.
        origin: of the rays: one point, or (3, n).
        direction: (3, n) float64 unit vectors.
    """
    n = direction.shape[1]
    t, which, normal = np.full(n, np.inf), np.full(n, -1, dtype=np.int64), np.zeros((3, n))
    for index, solid in enumerate(solids):
        near = _near(solid, origin, direction)
        start, heading = _picked(origin, near), _picked(direction, near)
        part = span(solid, start, heading)
        first = (part.enter > 0) & (part.enter < part.leave) & (part.enter < t[near])
        seen = np.flatnonzero(first)
        kept, at = near[seen], part.enter[seen]
        points = along(_picked(start, seen), _picked(heading, seen), at)
        t[kept], which[kept] = at, index
        normal[:, kept] = normals(solid, points, part.face[seen])
    return Hit(t=t, which=which, normal=normal)


def blocked(
    solids: Sequence[Solid], points: Floats, direction: Vectors, distance: float = math.inf
) -> NDArray[np.bool_]:
    """(n,) bool: whether anything lies between points and a light.

    Args:
        solids: what casts shadows.
        points: (3, n) float64; those on a surface a little in front of it, along its normal.
        direction: unit vector towards the light, or (3, n).
        distance: how far the light is.
    """
    out = np.zeros(points.shape[1], dtype=np.bool_)
    for solid in solids:
        near = _near(solid, points, direction)
        part = span(solid, _picked(points, near), _picked(direction, near))
        out[near] |= (part.enter < part.leave) & (part.leave > EPSILON) & (part.enter < distance)
    return out


def _near(solid: Solid, origin: Vectors, direction: Vectors) -> Ints:
    """Indices of the rays whose line comes near a solid's ball, a little more than touching."""
    if math.isinf(solid.reach):
        return np.arange(max(np.size(origin[0]), np.size(direction[0])))
    start = seen_from(solid, origin)
    ahead = dot(start, direction)
    apart = dot(start, start) - ahead * ahead
    return np.flatnonzero(apart <= solid.reach * solid.reach * 1.000001 + EPSILON)


def _picked(vectors: Vectors, index: Ints) -> Vectors:
    """The vectors of some rays, given by different indices in order."""
    if not isinstance(vectors, np.ndarray) or vectors.ndim == 1 or len(index) == vectors.shape[1]:
        return vectors
    return vectors[:, index]
