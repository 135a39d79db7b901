"""Shapes from plain arithmetic (+ - * / sqrt and exact cosines): the same bytes everywhere.

Shapes may hold collapsed faces and doubled vertices; `join` ends in `canonical`, which removes
them. All faces are smooth until `faceted`; `canonical` splits vertices along sharp edges, so a
renderer need not look for creases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from samediff_stimuli.blender_scenes.curves import (
    Point,
    arc,
    around,
    direction,
    ears,
    frames,
    mitres,
    shares,
    unit,
)
from samediff_stimuli.blender_scenes.data import NO_CORNER, Floats, Ints, Mesh, Vector
from samediff_stimuli.blender_scenes.welding import collapsed, rotated, split

GRAIN = 10**6  # vertices are whole multiples of 1 / GRAIN
CREASE = 0.79  # cosine of the angle (38 degrees) from which an edge is sharp
_AXES = {"x": 0, "y": 1, "z": 2}


def surface(points: Floats, us: Floats, vs: Floats) -> Mesh:
    """A sheet of quadrangles; seen from outside u runs to the right and v up.

    Args:
        points: (rows, columns, 3) float64.
        us: of the columns, in [0, 1].
        vs: of the rows, in [0, 1].
    """
    rows, columns = points.shape[:2]
    index = np.arange(rows * columns, dtype=np.int64).reshape(rows, columns)
    uv = np.stack(np.broadcast_arrays(us[None, :], vs[:, None]), axis=-1)
    corners = [(slice(None, -1), slice(None, -1)), (slice(None, -1), slice(1, None))]
    corners += [(slice(1, None), slice(1, None)), (slice(1, None), slice(None, -1))]
    faces = np.stack([index[c] for c in corners], axis=-1).reshape(-1, 4)
    places = np.stack([uv[c] for c in corners], axis=-2).reshape(-1, 4, 2)
    return _plain(points.reshape(-1, 3), faces, places)


def lathe(
    profile: Sequence[Point],
    segments: int = 64,
    *,
    along: str = "length",
    ribs: Floats | None = None,
) -> Mesh:
    """A surface of revolution about z; u runs around, v along the profile.

    Args:
        profile: (r, z) points; the outside is to the right of the way along them, so a solid is
            drawn from the axis at the bottom outwards, up and back to the axis.
        segments: around, a multiple of 4.
        along: what v measures, "length" of the profile or "height".
        ribs: (segments,) factors of the radius, or None for a circle.
    """
    p = np.array(profile, dtype=np.float64)
    ring = around(segments)
    if ribs is not None:
        ring = ring * ribs[:, None]
    ring = np.concatenate([ring, ring[:1]])
    points = np.empty((len(p), segments + 1, 3))
    points[..., :2] = p[:, 0, None, None] * ring
    points[..., 2] = p[:, 1, None]
    low, high = p[:, 1].min(), p[:, 1].max()
    vs = shares(p) if along == "length" else (p[:, 1] - low) / (high - low)
    return surface(points, np.arange(segments + 1) / segments, vs)


def torus(radius: float, tube: float, segments: int = 48, sides: int = 12) -> Mesh:
    """A ring about z in the plane z = 0."""
    return lathe(arc((radius, 0.0), tube, 0, 360, sides), segments)


def ellipsoid(radii: Vector, segments: int = 32, rings: int = 16) -> Mesh:
    """An ellipsoid about the origin; u runs around z, v from its lower to its upper pole."""
    profile = arc((0.0, 0.0), 1.0, -90, 90, rings)
    return scaled(lathe([(0.0, -1.0), *profile[1:-1], (0.0, 1.0)], segments), radii)


def sweep(
    path: Sequence[Vector],
    radius: float | Sequence[float],
    sides: int = 16,
    *,
    up: Vector | None = None,
    flat: Point = (1.0, 1.0),
    ribs: Floats | None = None,
    caps: bool = True,
    closed: bool = False,
) -> Mesh:
    """A tube along a path, its frame carried by parallel transport; u around, v along.

    Args:
        path: points of its middle.
        radius: of the tube, one for each point or one for all.
        sides: around, a multiple of 4.
        up: what the second half-axis of the section is nearest to at the start, not along it; None
            for z, or y if the start is steep.
        flat: factors of the section's two half-axes.
        ribs: (sides,) factors of the radius, or None.
        caps: whether the ends are closed by flat discs.
        closed: whether the last point is joined to the first (then without caps); for plane paths
            with `up` across their plane.
    """
    p = np.array([*path, path[0]] if closed else path, dtype=np.float64)
    r = np.array([radius] * len(path) if isinstance(radius, int | float) else radius)
    r = np.concatenate([r, r[:1]]) if closed else r
    first, second = frames(p, up, closed)
    ring = around(sides) * np.array(flat)
    if ribs is not None:
        ring = ring * ribs[:, None]
    ring = np.concatenate([ring, ring[:1]])
    points = ring[None, :, :1] * first[:, None] + ring[None, :, 1:] * second[:, None]
    points, vs = p[:, None] + r[:, None, None] * points, shares(p)
    if caps and not closed:
        ends = [np.broadcast_to(p[i], (1, sides + 1, 3)) for i in (0, -1)]
        points = np.concatenate([ends[0], points, ends[1]])
        vs = np.concatenate([[0.0], vs, [1.0]])
    return surface(points, np.arange(sides + 1) / sides, vs)


def pipe(
    path: Sequence[Vector],
    radius: Sequence[float],
    wall: float,
    sides: int = 16,
    *,
    deep: int = 1,
    up: Vector | None = None,
    flat: Point = (1.0, 1.0),
) -> Mesh:
    """A tube with a hole in its far end, e.g. a spout; u around, v along and back inside.

    Args:
        path: points of its middle, see `sweep`.
        radius: of the tube at each point.
        wall: its thickness.
        sides: around, a multiple of 4.
        deep: pieces of the path that the hole is deep.
        up: see `sweep`.
        flat: see `sweep`.
    """
    tubes = [
        sweep(path, [r - less for r in radius], sides, up=up, flat=flat, caps=False)
        for less in (0.0, wall)
    ]
    outer, inner = (tube.vertices.reshape(len(path), sides + 1, 3) for tube in tubes)
    p = np.array(path, dtype=np.float64)
    ends = [np.broadcast_to(p[i], (1, sides + 1, 3)) for i in (0, -1 - deep)]
    points = np.concatenate([ends[0], outer, inner[::-1][: deep + 1], ends[1]])
    return surface(points, np.arange(sides + 1) / sides, shares(points[:, 0]))


def cylinder(
    start: Vector,
    end: Vector,
    radius: float,
    end_radius: float | None = None,
    sides: int = 24,
    *,
    caps: bool = True,
) -> Mesh:
    """A rod or cone between two points; u around, v along."""
    radii = (radius, radius if end_radius is None else end_radius)
    return sweep([start, end], radii, sides, caps=caps)


# axis of a side, its sign, the axes along which its picture's u and v run, the sign of u
_SIDES = [(0, 1, 1, 2, 1), (0, -1, 1, 2, -1), (1, 1, 0, 2, -1), (1, -1, 0, 2, 1)]
_SIDES += [(2, 1, 0, 1, 1), (2, -1, 0, 1, -1)]


def box(size: Vector, bevel: float = 0.02, steps: int = 2) -> Mesh:
    """A cuboid about the origin with rounded edges; each side has the whole of its picture.

    Sides have v up; top and bottom have v to the back.

    Args:
        size: its edges.
        bevel: radius of the rounding, 0 for none.
        steps: pieces of half a rounding.
    """
    half = np.array(size, dtype=np.float64) / 2
    core = half - bevel
    turns = [direction(45 * i / steps) for i in range(steps + 1)] if bevel else [(1.0, 0.0)]
    offsets = np.array([bevel * sin / cos for cos, sin in turns])
    lines = [np.concatenate([-c - offsets[::-1], c + offsets]) for c in core]
    sides = []
    for axis, sign, across, upward, way in _SIDES:
        columns, rows = way * lines[across], lines[upward]
        points = np.empty((len(rows), len(columns), 3))
        points[..., axis] = sign * half[axis]
        points[..., across] = columns[None, :]
        points[..., upward] = rows[:, None]
        us, vs = ((line - line[0]) / (line[-1] - line[0]) for line in (columns, rows))
        inner = np.minimum(np.maximum(points, -core), core)
        sides.append(surface(inner + unit(points - inner) * bevel, us, vs))
    return _stacked(sides)


def prism(outline: Sequence[Point], height: float, bevel: float = 0.0, steps: int = 2) -> Mesh:
    """An outline drawn up from z = 0; the ends show their picture with u along x and v along y.

    Args:
        outline: corners (x, y), anticlockwise; it may be concave but not cross itself.
        height: of the prism.
        bevel: radius of the rounding at the two ends, 0 for none.
        steps: pieces of a rounding.
    """
    p = np.array(outline, dtype=np.float64)
    turns = [direction(90 * i / steps) for i in range(steps + 1)] if bevel else [(1.0, 1.0)]
    lower = [(bevel * (1 - sin), bevel * (1 - cos)) for cos, sin in turns]  # inset, height
    rows = [*lower, *((inset, height - z) for inset, z in reversed(lower))]
    loop, moves = np.concatenate([p, p[:1]]), mitres(p)
    moves = np.concatenate([moves, moves[:1]])
    points = np.empty((len(rows), len(loop), 3))
    for row, (inset, z) in zip(points, rows, strict=True):
        row[:, :2], row[:, 2] = loop + inset * moves, z
    low, high = p.min(axis=0), p.max(axis=0)
    triangles = np.array(ears(p), dtype=np.int64)
    faces = np.concatenate([triangles, np.full_like(triangles[:, :1], NO_CORNER)], axis=1)
    uv = ((p - low) / (high - low))[faces]
    flipped = np.concatenate([faces[:, 2::-1], faces[:, 3:]], axis=1)
    back = np.concatenate([uv[:, 2::-1], uv[:, 3:]], axis=1)
    ends = [_plain(points[0, :-1], flipped, back), _plain(points[-1, :-1], faces, uv)]
    return _stacked([surface(points, shares(loop), shares(points[:, 0])), *ends])


def moved(mesh: Mesh, by: Vector) -> Mesh:
    """A mesh somewhere else."""
    return replace(mesh, vertices=mesh.vertices + np.array(by))


def scaled(mesh: Mesh, by: float | Vector) -> Mesh:
    """A mesh with its axes stretched; negative factors mirror it and keep its outside outside."""
    factors = np.array([by] * 3 if isinstance(by, int | float) else by, dtype=np.float64)
    out = replace(mesh, vertices=mesh.vertices * factors)
    if (factors < 0).sum() % 2 == 0:
        return out
    triangle = mesh.faces[:, 3] == NO_CORNER
    order = np.where(triangle[:, None], [2, 1, 0, 3], [3, 2, 1, 0])
    faces = np.take_along_axis(mesh.faces, order, axis=1)
    return replace(out, faces=faces, uv=np.take_along_axis(mesh.uv, order[..., None], axis=1))


def turned(mesh: Mesh, axis: str, degrees: float) -> Mesh:
    """A mesh turned about "x", "y" or "z", anticlockwise seen from the axis's positive end."""
    cos, sin = direction(degrees)
    a, b = (_AXES[axis] + 1) % 3, (_AXES[axis] + 2) % 3
    vertices = mesh.vertices.copy()
    vertices[:, a] = mesh.vertices[:, a] * cos - mesh.vertices[:, b] * sin
    vertices[:, b] = mesh.vertices[:, a] * sin + mesh.vertices[:, b] * cos
    return replace(mesh, vertices=vertices)


def pointed(mesh: Mesh, way: Vector) -> Mesh:
    """A mesh turned the shortest way so that what pointed up (z) points along `way`."""
    x, y, z = unit(np.array(way, dtype=np.float64)).tolist()
    if z < -0.999999:
        return turned(mesh, "x", 180)
    k = 1 / (1 + z)
    columns = [(1 - k * x * x, -k * x * y, -x), (-k * x * y, 1 - k * y * y, -y), (x, y, z)]
    v = mesh.vertices
    a, b, c = (v[:, i, None] * np.array(column) for i, column in enumerate(columns))
    return replace(mesh, vertices=a + b + c)


def faceted(mesh: Mesh) -> Mesh:
    """A mesh with flat faces."""
    return replace(mesh, smooth=np.zeros_like(mesh.smooth))


def framed(mesh: Mesh, low: Point, high: Point) -> Mesh:
    """A mesh whose picture is the part of a larger one between two (u, v) corners."""
    start, end = np.array(low), np.array(high)
    return replace(mesh, uv=start + mesh.uv * (end - start))


def projected(mesh: Mesh, axes: str, low: Point, high: Point) -> Mesh:
    """A mesh whose picture is thrown on it along an axis.

    Args:
        mesh: to change.
        axes: which run along u and v, e.g. "xy" from above or "xz" from the front.
        low: place of the picture's lower left corner on these axes.
        high: place of its upper right corner.
    """
    start, end = np.array(low), np.array(high)
    places = (mesh.vertices[:, [_AXES[axis] for axis in axes]] - start) / (end - start)
    return replace(mesh, uv=np.minimum(np.maximum(places[mesh.faces], 0.0), 1.0))


def join(parts: Sequence[tuple[Mesh, int]], crease: float = CREASE) -> Mesh:
    """One canonical mesh of parts, each with the index of its material.

    Args:
        parts: meshes and materials.
        crease: cosine of the angle between two faces from which their edge is sharp.
    """
    meshes = [replace(mesh, material=np.full_like(mesh.material, m)) for mesh, m in parts]
    return canonical(_stacked(meshes), crease)


def canonical(mesh: Mesh, crease: float = CREASE) -> Mesh:
    """The same surface in an order that does not depend on how it was built.

    Vertices are rounded, welded and sorted; faces start at their smallest vertex and are sorted,
    collapsed ones dropped; then vertices on sharp edges and edges of flat faces are doubled.

    Args:
        mesh: any.
        crease: cosine of the angle between two faces from which their edge is sharp.
    """
    grains = np.rint(mesh.vertices * GRAIN).astype(np.int64)
    unique, index = np.unique(grains, axis=0, return_inverse=True)
    faces, uv = collapsed(
        np.where(mesh.faces == NO_CORNER, NO_CORNER, index.ravel()[mesh.faces]), mesh.uv
    )
    keep = faces[:, 2] != NO_CORNER
    faces, uv = rotated(faces[keep], np.round(uv[keep], 6) + 0.0)
    material, smooth = mesh.material[keep], mesh.smooth[keep]
    keys = [*uv.reshape(-1, 8).T[::-1], smooth, material, *faces.T[::-1]]
    order = np.lexsort(keys)
    faces, uv, material, smooth = faces[order], uv[order], material[order], smooth[order]
    vertices = unique / GRAIN
    faces, source = split(faces, vertices, smooth, crease)
    return Mesh(vertices=vertices[source], faces=faces, uv=uv, material=material, smooth=smooth)


def _plain(vertices: Floats, faces: Ints, uv: Floats) -> Mesh:
    """A smooth mesh of the first material."""
    zeros = np.zeros(len(faces), dtype=np.int64)
    return Mesh(vertices=vertices, faces=faces, uv=uv, material=zeros, smooth=zeros == 0)


def _stacked(meshes: Sequence[Mesh]) -> Mesh:
    """Meshes as one, as they are."""
    faces, start = [], 0
    for mesh in meshes:
        faces.append(np.where(mesh.faces == NO_CORNER, NO_CORNER, mesh.faces + start))
        start += len(mesh.vertices)
    return Mesh(
        vertices=np.concatenate([mesh.vertices for mesh in meshes]),
        faces=np.concatenate(faces),
        uv=np.concatenate([mesh.uv for mesh in meshes]),
        material=np.concatenate([mesh.material for mesh in meshes]),
        smooth=np.concatenate([mesh.smooth for mesh in meshes]),
    )
