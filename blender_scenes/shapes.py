"""Round bodies as fields of distance, and the surface where a field is zero, in plain arithmetic.

A field is negative inside, positive outside, and grows about as fast as the distance does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli.blender_scenes.curves import cross, curve, dot, length
from samediff_stimuli.blender_scenes.data import Floats, Ints, Mesh, Vector
from samediff_stimuli.blender_scenes.meshes import join, moved, sweep

Field = Callable[[Floats], Floats]
Limb = tuple[float, float, float, float]

_PULLS = 3  # steps of Newton's method; two leave less than 1e-4 of a cell
_EDGES = [(axis, i, j) for axis in range(3) for i in (0, 1) for j in (0, 1)]


# Fields


def egg(center: Vector, radii: Vector, axes: tuple[Vector, Vector, Vector] | None = None) -> Field:
    """An ellipsoid.

    Args:
        center: of the ellipsoid.
        radii: half-axes.
        axes: directions of the half-axes, unit vectors; None for x, y and z.
    """

    def field(points: Floats) -> Floats:
        p = points - np.array(center)
        if axes is not None:
            p = np.stack([dot(p, np.array(axis)) for axis in axes], axis=-1)
        p = p / np.array(radii)
        near, steep = length(p), length(p / np.array(radii))
        return np.asarray(near * (near - 1) / np.maximum(steep, 1e-9))

    return field


def rounded_box(center: Vector, half: Vector, radius: float) -> Field:
    """A cuboid with rounded edges, `half` its half-edges with the rounding."""

    def field(points: Floats) -> Floats:
        q = np.abs(points - np.array(center)) - (np.array(half) - radius)
        inside = np.minimum(np.maximum(np.maximum(q[..., 0], q[..., 1]), q[..., 2]), 0)
        return np.asarray(length(np.maximum(q, 0)) + inside - radius)

    return field


def barrel(center: Vector, radius: float, half: float) -> Field:
    """A cylinder along y, of half-length `half`."""

    def field(points: Floats) -> Floats:
        p = points - np.array(center)
        side = length(p[..., [0, 2]]) - radius
        q = np.stack([side, np.abs(p[..., 1]) - half], axis=-1)
        inside = np.minimum(np.maximum(q[..., 0], q[..., 1]), 0)
        return np.asarray(inside + length(np.maximum(q, 0)))

    return field


def rod(start: Vector, end: Vector, radius: float, end_radius: float) -> Field:
    """A round rod that grows thinner or thicker from one point to another."""

    def field(points: Floats) -> Floats:
        a, way = np.array(start), np.array(end) - np.array(start)
        share = np.clip(dot(points - a, way) / dot(way, way), 0.0, 1.0)
        axis = a + share[..., None] * way
        return np.asarray(length(points - axis) - (radius + share * (end_radius - radius)))

    return field


def united(first: Field, *others: Field, blend: float = 0.0) -> Field:
    """All bodies together, their seams filled over a width of `blend` (Quilez' polynomial)."""

    def field(points: Floats) -> Floats:
        out = first(points)
        for other in others:
            out = _lower(out, other(points), blend)
        return out

    return field


def without(body: Field, *others: Field, blend: float = 0.0) -> Field:
    """A body with others cut out of it, the edges rounded over a width of `blend`."""

    def field(points: Floats) -> Floats:
        out = -body(points)
        for other in others:
            out = _lower(out, other(points), blend)
        return -out

    return field


def grounded(body: Field) -> Field:
    """A body cut flat at z = 0."""

    def field(points: Floats) -> Floats:
        return np.maximum(body(points), -points[..., 2])

    return field


# Surfaces


def limb(points: Sequence[Limb], steps: int = 5, sides: int = 20, **options: Any) -> Mesh:
    """A bent tube of changing thickness.

    Args:
        points: (x, y, z, radius) along its middle, joined by a smooth curve.
        steps: pieces between two of them.
        sides: around, a multiple of 4.
        options: of `meshes.sweep`.
    """
    line: list[Any] = curve(list(points), steps)
    return sweep([p[:3] for p in line], [max(p[3], 1e-3) for p in line], sides, **options)


def frame(upward: Vector, side: Vector) -> tuple[Vector, Vector, Vector]:
    """Three directions at right angles: near `side`, across, and along `upward`."""
    z = np.array(upward) / length(np.array(upward))
    y = cross(z, np.array(side))
    y = y / length(y)
    x = cross(y, z)
    first, second, third = (tuple(v.tolist()) for v in (x, y, z))
    return first, second, third


def standing(parts: Sequence[tuple[Mesh, int]]) -> Mesh:
    """`meshes.join` of parts that are lowered or raised together until they stand on z = 0."""
    low = min(float(mesh.vertices[:, 2].min()) for mesh, _ in parts)
    return join([(moved(mesh, (0.0, 0.0, -low)), material) for mesh, material in parts])


def skin(field: Field, low: Vector, high: Vector, step: float) -> Mesh:
    """The surface of a field, by surface nets whose vertices are pulled onto the field's zero.

    Gibson, "Constrained elastic surface nets", 1998; the pull is by Newton's method.

    Args:
        field: positive all round the edge of the box.
        low: corner of the box that holds the body.
        high: opposite corner.
        step: edge of a cell.

    Returns:
        Quadrangles, smooth; u along x, v along z over the body's own extent.

    Raises:
        ValueError: if the body leaves the box.
    """
    counts = [int((b - a) / step) + 2 for a, b in zip(low, high, strict=True)]
    grids = np.meshgrid(*(np.arange(n) for n in counts), indexing="ij")
    corners = np.stack(grids, axis=-1) * step + np.array(low)
    values = field(corners)
    inside = values < 0
    if any(np.take(inside, i, axis=axis).any() for axis in range(3) for i in (0, -1)):
        raise ValueError("skin: the body leaves the box")
    vertices, index = _cell_points(values, inside, np.array(low), step)
    for _ in range(_PULLS):
        vertices = _pulled(field, vertices, step)
    faces = np.concatenate([_crossings(inside, index, axis) for axis in range(3)])
    span = vertices.min(axis=0), vertices.max(axis=0)
    place = ((vertices - span[0]) / (span[1] - span[0]))[:, [0, 2]]
    return Mesh(
        vertices=vertices,
        faces=faces,
        uv=place[faces],
        material=np.zeros(len(faces), dtype=np.int64),
        smooth=np.ones(len(faces), dtype=np.bool_),
    )


def _cell_points(
    values: Floats, inside: NDArray[np.bool_], low: Floats, step: float
) -> tuple[Floats, Ints]:
    """The mean of the crossings on each crossed cell's edges, and each cell's number or -1."""
    shape = np.array(values.shape) - 1
    total = np.zeros((*shape, 3))
    hits = np.zeros(shape)
    for axis, i, j in _EDGES:
        others = [k for k in range(3) if k != axis]
        start = np.zeros(3, dtype=np.int64)
        start[others] = i, j
        stop = start.copy()
        stop[axis] = 1
        a, b = (
            values[tuple(slice(s, s + n) for s, n in zip(at, shape, strict=True))]
            for at in (start, stop)
        )
        crossed = (a < 0) != (b < 0)
        share = np.where(crossed, a / np.where(crossed, a - b, 1.0), 0.0)
        total += np.where(crossed[..., None], start, 0)
        total[..., axis] += share
        hits += crossed
    cells = np.nonzero(hits)
    index = np.full(shape, -1, dtype=np.int64)
    index[cells] = np.arange(len(cells[0]))
    offsets = total[cells] / hits[cells][:, None]
    return (np.stack(cells, axis=-1) + offsets) * step + low, index


def _crossings(inside: NDArray[np.bool_], index: Ints, axis: int) -> Ints:
    """(n, 4) int64: the four cells round each grid edge along an axis that crosses the surface."""
    u, v = (axis + 1) % 3, (axis + 2) % 3
    a = np.take(inside, np.arange(inside.shape[axis] - 1), axis=axis)
    b = np.take(inside, np.arange(1, inside.shape[axis]), axis=axis)
    edges = np.stack(np.nonzero(a != b), axis=-1)
    leaving = a[tuple(edges.T)]
    quads = []
    for du, dv in ((-1, -1), (0, -1), (0, 0), (-1, 0)):
        cell = edges.copy()
        cell[:, u] += du
        cell[:, v] += dv
        quads.append(index[tuple(cell.T)])
    faces = np.stack(quads, axis=-1)
    return np.where(leaving[:, None], faces, faces[:, ::-1])


def _pulled(field: Field, points: Floats, step: float) -> Floats:
    """Points moved along the field's slope towards its zero, by half a cell at most."""
    reach = step / 16
    slopes = []
    for axis in range(3):
        shift = np.zeros(3)
        shift[axis] = reach
        slopes.append((field(points + shift) - field(points - shift)) / (2 * reach))
    slope = np.stack(slopes, axis=-1)
    steep = np.maximum(dot(slope, slope), 1e-3)
    move = np.clip(field(points) / steep, -step / 2, step / 2)
    return np.asarray(points - move[:, None] * slope)


def _lower(a: Floats, b: Floats, blend: float) -> Floats:
    """The lower of two fields, rounded over a width."""
    if not blend:
        return np.minimum(a, b)
    near = np.maximum(blend - np.abs(a - b), 0) / blend
    return np.minimum(a, b) - near * near * (blend / 4)
