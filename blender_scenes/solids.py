"""Meshes made ready for a z-buffer of our own: triangles, normals, and what light reaches them.

Nothing but integer work and elementwise + - * / and square roots, in a fixed order, decides a
byte, so all of it is the same on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli.blender_scenes import masks
from samediff_stimuli.blender_scenes.curves import cross, unit
from samediff_stimuli.blender_scenes.data import NO_CORNER, Floats, Ints, Mesh

Reals = NDArray[np.floating[Any]]  # float32, of samples: half the memory, and IEEE as well
Steps = NDArray[np.int32]

SUB = 16  # steps a sample: products of coordinates stay below 2**31
BITS = 20  # of a triangle's number in the keys of `nearest`
_NEARNESS = float(1 << 40)  # steps of nearness
_BLOCK = 1 << 15  # candidate samples looked at together: fits the caches
_COUNT = np.arange(1 << 12, dtype=np.int32)
_SPANS = np.array([1, 2, 4, 6, 8, 12, 16, 24, 32, *(2**k for k in range(6, 13))])
_LONGEST = 0.14  # edges are cut until they are shorter, so that light may change along them
_SKY = 40  # directions from which ambient light comes
_SIDE = 144  # samples along the side of maps of what light reaches
_LIFT = 0.02  # a vertex looks for light from this far above itself


@dataclass(frozen=True, kw_only=True, eq=False)
class Solid:
    """A mesh made ready: triangles alone, none long, and how open each vertex is to the sky.

    Attributes:
        points: (n, 3) float64.
        corners: (3, t) int64.
        uv: (3, t, 2) float32.
        material: (t,) int64.
        ambient: (n,) float64 in [0, 1].
    """

    points: Floats
    corners: Ints
    uv: Reals
    material: Ints
    ambient: Floats


def solid(mesh: Mesh) -> Solid:
    """A mesh made ready."""
    corners = masks.triangles(mesh)
    quads = mesh.faces[:, 3] != NO_CORNER
    uv = np.concatenate([mesh.uv[:, [0, 1, 2]], mesh.uv[quads][:, [0, 2, 3]]]).swapaxes(0, 1)
    material = np.concatenate([mesh.material, mesh.material[quads]])
    points, corners, uv, material = _refined(mesh.vertices, corners, uv, material)
    ambient = _ambient(points, corners)
    places = uv.astype(np.float32)
    return Solid(points=points, corners=corners, uv=places, material=material, ambient=ambient)


def _refined(
    points: Floats, corners: Ints, uv: Floats, material: Ints
) -> tuple[Floats, Ints, Floats, Ints]:
    """Triangles whose long edges are halved, again and again; neighbours halve the same edges."""
    while True:
        ends = points[corners]
        step = ends[[1, 2, 0]] - ends
        long = (
            step[..., 0] * step[..., 0] + step[..., 1] * step[..., 1] + step[..., 2] * step[..., 2]
        )
        cut = long > _LONGEST * _LONGEST  # (3, t): the edges from each corner to the next
        count = cut.sum(axis=0)
        if not count.any():
            return points, corners, uv, material
        # Turned so that one cut is the first edge, and of two cuts the last edge is whole.
        first = np.where(count == 2, np.argmin(cut, axis=0) + 1, np.argmax(cut, axis=0)) % 3
        order = (first + np.arange(3)[:, None]) % 3
        corners = np.take_along_axis(corners, order, 0)
        uv = np.take_along_axis(uv, order[..., None], 0)
        low = np.minimum(corners, corners[[1, 2, 0]])
        high = np.maximum(corners, corners[[1, 2, 0]])
        cut = np.take_along_axis(cut, order, 0)
        names, where = np.unique((low * len(points) + high)[cut], return_inverse=True)
        middle = np.full(corners.shape, -1, dtype=np.int64)
        middle[cut] = len(points) + where.reshape(-1)
        halves = (points[names // len(points)] + points[names % len(points)]) * 0.5
        points = np.concatenate([points, halves])
        (a, b, c), (ab, bc, ca) = corners, middle
        (ta, tb, tc), (tab, tbc, tca) = uv, (uv + uv[[1, 2, 0]]) * 0.5
        whole, one, two, three = (count == n for n in range(4))
        parts = [
            (whole, (a, b, c), (ta, tb, tc)),
            (one, (a, ab, c), (ta, tab, tc)), (one, (ab, b, c), (tab, tb, tc)),
            (two, (ab, b, bc), (tab, tb, tbc)), (two, (a, ab, bc), (ta, tab, tbc)),
            (two, (a, bc, c), (ta, tbc, tc)),
            (three, (a, ab, ca), (ta, tab, tca)), (three, (ab, b, bc), (tab, tb, tbc)),
            (three, (ca, bc, c), (tca, tbc, tc)), (three, (ab, bc, ca), (tab, tbc, tca)),
        ]  # fmt: skip
        corners = np.concatenate([np.stack(c3)[:, which] for which, c3, _ in parts], axis=1)
        uv = np.concatenate([np.stack(t3)[:, which] for which, _, t3 in parts], axis=1)
        material = np.concatenate([material[which] for which, _, _ in parts])


def normals(points: Floats, corners: Ints) -> Floats:
    """(n, 3) float64 unit vectors: of each vertex, the mean over its triangles by their area."""
    a, b, c = points[corners]
    across = cross(b - a, c - a)
    flat = corners.reshape(-1)
    total = [np.bincount(flat, np.tile(across[:, i], 3), len(points)) for i in range(3)]
    return unit(np.stack(total, axis=-1))


def _ambient(points: Floats, corners: Ints) -> Floats:
    """(n,) share of the light from all around that reaches each vertex past the object itself."""
    facing = normals(points, corners)
    total, most = np.zeros(len(points)), np.zeros(len(points))
    for number in range(_SKY):
        z = 1 - (2 * number + 1) / _SKY
        level = float(np.sqrt(1 - z * z))
        cos, sin = masks.cos_sin(137.5 * number)
        toward = (cos * level, sin * level, z)
        weight = np.maximum(along(facing.T, toward), 0.0)
        total += weight * lit(points, corners, facing, toward, _SIDE, ((0.0, 0.0),))
        most += weight
    return np.asarray(total / np.maximum(most, 1e-9))


def along(vectors: Reals, toward: Sequence[float]) -> Any:
    """Scalar products of (3, n) with a direction."""
    return vectors[0] * toward[0] + vectors[1] * toward[1] + vectors[2] * toward[2]


def lit(
    points: Floats,
    corners: Ints,
    facing: Floats,
    toward: Sequence[float],
    side: int,
    taps: Sequence[tuple[float, float]],
) -> Floats:
    """(n,) in [0, 1]: how much of a far light reaches each vertex: 1 where nothing is before it."""
    ahead = unit(np.array(toward, dtype=np.float64))
    helper = np.array((0.0, 0.0, 1.0) if abs(ahead[2]) < 0.9 else (1.0, 0.0, 0.0))
    right = unit(cross(helper, ahead))
    up = cross(ahead, right)
    axes = [axis.tolist() for axis in (right, up, ahead)]
    x, y, near = (along(points.T, axis) for axis in axes)
    low, high = (float(x.min()), float(y.min())), (float(x.max()), float(y.max()))
    scale = (side - 2) / max(high[0] - low[0], high[1] - low[1], 1e-6)
    x, y = (x - low[0]) * scale + 1, (y - low[1]) * scale + 1
    deep = near - float(near.min())
    deep = deep / max(float(deep.max()), 1e-6) * 0.5 + 0.25
    key = nearest(x, y, deep, corners, side)[0].reshape(side, side)
    height = (key >> BITS).astype(np.float64) / _NEARNESS
    unit_depth = 0.5 / max(float(near.max() - near.min()), 1e-6)
    px, py, pz = (along(facing.T, axis) * _LIFT for axis in axes)
    mine = deep + pz * unit_depth
    total = np.zeros(len(points))
    for dx, dy in taps:
        column = np.clip(np.floor(x + px * scale + dx), 0, side - 1).astype(np.int64)
        row = np.clip(np.floor(y + py * scale + dy), 0, side - 1).astype(np.int64)
        total += mine + 0.012 * unit_depth >= height[row, column]
    return total / len(taps)


def nearest(x: Floats, y: Floats, nearness: Floats, corners: Ints, side: int) -> tuple[Ints, Steps]:
    """The nearest triangle at each sample's centre; those seen from behind do not count.

    Args:
        x: (n,) vertices in samples, in [0, side].
        y: the same, up: triangles count whose corners run anticlockwise.
        nearness: (n,) float64 in [0, 1], larger is nearer.
        corners: (3, t).
        side: of the square of samples.

    Returns:
        (side * side,) int64: nearness in steps, then BITS bits that tell the triangle, 0 where
        there is none; and (2, n) int32 vertices in steps of 1 / SUB sample.
    """
    grid = np.stack([np.rint(x * SUB), np.rint(y * SUB)]).astype(np.int32)
    gx, gy = grid[0][corners], grid[1][corners]
    area = (gx[1] - gx[0]) * (gy[2] - gy[0]) - (gx[2] - gx[0]) * (gy[1] - gy[0])
    front = np.flatnonzero(area > 0)
    gx, gy, area = gx[:, front], gy[:, front], area[front]
    low, high = (fold(np.stack([gx, gy]), axis=1) for fold in (np.min, np.max))
    first = (low + (SUB // 2 - 1)) // SUB  # the first sample whose centre is not before it
    span = np.maximum((high - SUB // 2) // SUB + 1 - first, 0)
    kind = np.searchsorted(_SPANS, span)  # triangles of about one size are looked at together
    kind = np.where(span.min(axis=0) > 0, kind[0] * len(_SPANS) + kind[1], -1)
    order = np.argsort(kind, kind="stable")
    kinds, starts = np.unique(kind[order], return_index=True)
    weights = nearness[corners[:, front]] / area
    edges = [_edge(gx, gy, a, b) for a, b in ((1, 2), (2, 0))]  # facing corners 0 and 1
    corner = first * SUB + SUB // 2
    values = [down * corner[0] + across * corner[1] + rest for down, across, rest in edges]
    buffer = np.zeros(side * side, dtype=np.int64)
    for name, group in zip(kinds.tolist(), np.split(order, starts[1:].tolist()), strict=True):
        if name < 0:
            continue
        wide, tall = (int(_SPANS[part]) for part in divmod(name, len(_SPANS)))
        most = max(1, _BLOCK // (wide * tall))
        for start in range(0, len(group), most):
            part = group[start : start + most]
            sums = []
            for (down, across, _), value in zip(edges, values, strict=True):
                rows = (across[part] * SUB)[:, None] * _COUNT[:tall] + value[part][:, None]
                columns = (down[part] * SUB)[:, None] * _COUNT[:wide]
                sums.append(rows[:, :, None] + columns[:, None, :])
            sums.append(area[part][:, None, None] - sums[0] - sums[1])
            hit = np.flatnonzero((sums[0] | sums[1] | sums[2]) >= 0)
            which, place = np.divmod(hit, wide * tall)
            row, column = np.divmod(place, wide)
            own = part[which]
            shares = [value.reshape(-1)[hit] * weights[i][own] for i, value in enumerate(sums)]
            steps = ((shares[0] + shares[1] + shares[2]) * _NEARNESS).astype(np.int64)
            keys = (steps << BITS) | ((1 << BITS) - 1 - front[own])
            places = (row + first[1][own]) * side + (column + first[0][own])
            np.maximum.at(buffer, places, keys)
    return buffer, grid


def _edge(x: Steps, y: Steps, a: int, b: int) -> tuple[Steps, Steps, Steps]:
    """Factors of px, py and 1 of twice the area between an edge and a point, >= 0 inside."""
    down, across = y[a] - y[b], x[b] - x[a]
    return down, across, -(down * x[a] + across * y[a])
