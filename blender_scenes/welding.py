"""What `meshes.canonical` does with faces: collapsed ones, their first corners, sharp edges."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli.blender_scenes.curves import cross, dot, unit
from samediff_stimuli.blender_scenes.data import NO_CORNER, Floats, Ints


def collapsed(faces: Ints, uv: Floats) -> tuple[Ints, Floats]:
    """Faces without corners that fell together: third corner NO_CORNER where nothing is left."""
    same = faces == np.roll(faces, -1, axis=1)
    triangle = faces[:, 3] == NO_CORNER
    same[triangle, 2] = faces[triangle, 2] == faces[triangle, 0]
    same |= faces == NO_CORNER
    left = 4 - same.sum(axis=1)
    order = np.argsort(same, axis=1, kind="stable")
    faces, uv = np.take_along_axis(faces, order, 1), np.take_along_axis(uv, order[..., None], 1)
    gone = np.arange(4) >= left[:, None]
    faces, uv = np.where(gone, NO_CORNER, faces), np.where(gone[..., None], 0.0, uv)
    folded = (left == 4) & ((faces[:, 0] == faces[:, 2]) | (faces[:, 1] == faces[:, 3]))
    faces[folded, 2] = NO_CORNER
    return faces, uv


def rotated(faces: Ints, uv: Floats) -> tuple[Ints, Floats]:
    """Faces that start at their smallest vertex."""
    triangle = faces[:, 3] == NO_CORNER
    first = np.argmin(np.where(faces == NO_CORNER, np.iinfo(np.int64).max, faces), axis=1)
    sides = np.where(triangle, 3, 4)[:, None]
    order = np.where(np.arange(4) < sides, (np.arange(4) + first[:, None]) % sides, np.arange(4))
    return np.take_along_axis(faces, order, 1), np.take_along_axis(uv, order[..., None], 1)


def split(
    faces: Ints, vertices: Floats, smooth: NDArray[np.bool_], crease: float
) -> tuple[Ints, Ints]:
    """Faces with vertices of their own on either side of sharp edges.

    Args:
        faces: (m, 4) corners.
        vertices: (n, 3) float64.
        smooth: (m,) bool; all edges of the others are sharp.
        crease: cosine of the angle between two faces from which their edge is sharp.

    Returns:
        The faces with new numbers, and (k,) which old vertex each new one is; equal old numbers
        follow each other.
    """
    size = faces.size
    pairs = _soft(faces, vertices, smooth, crease)
    label = _least(pairs, size)
    starts = np.where(faces == NO_CORNER, faces[:, :1], faces).ravel()
    groups, index = np.unique(starts * size + label, return_inverse=True)
    numbers = index.reshape(faces.shape)
    used = np.unique(numbers[faces != NO_CORNER])
    return np.where(faces == NO_CORNER, NO_CORNER, np.searchsorted(used, numbers)), (
        groups[used] // size
    )


def _soft(faces: Ints, vertices: Floats, smooth: NDArray[np.bool_], crease: float) -> Ints:
    """(2, k): pairs of corners that share a vertex across an edge that is not sharp."""
    full = np.where(faces == NO_CORNER, faces[:, :1], faces)
    a, b, c, d = (vertices[full[:, i]] for i in range(4))
    normals = unit(cross(c - a, d - b))
    corners = np.arange(faces.size, dtype=np.int64).reshape(faces.shape)
    following = np.roll(corners, -1, axis=1)
    triangle = faces[:, 3] == NO_CORNER
    following[triangle, 2] = corners[triangle, 0]
    nexts, starts, ends = following.ravel(), full.ravel(), np.roll(full, -1, axis=1).ravel()
    real = np.flatnonzero((faces != NO_CORNER).ravel())
    low, high = np.minimum(starts, ends)[real], np.maximum(starts, ends)[real]
    order = np.lexsort([real, high, low])
    edges, key = real[order], (low * len(vertices) + high)[order]
    new = np.concatenate([[True], key[1:] != key[:-1], [True, True]])
    first = np.flatnonzero(new[:-2] & ~new[1:-1] & new[2:])  # edges of exactly two faces
    e, f = edges[first], edges[first + 1]
    g, h = e // 4, f // 4
    soft = (starts[e] == ends[f]) & smooth[g] & smooth[h] & (dot(normals[g], normals[h]) > crease)
    e, f = e[soft], f[soft]
    return np.concatenate([np.stack([e, nexts[f]]), np.stack([nexts[e], f])], axis=1)


def _least(pairs: Ints, count: int) -> Ints:
    """The smallest number that each of `count` numbers is linked with by a chain of pairs."""
    label: Ints = np.arange(count, dtype=np.int64)
    while True:
        new = label.copy()
        np.minimum.at(new, pairs[0], label[pairs[1]])
        np.minimum.at(new, pairs[1], label[pairs[0]])
        if (new == label).all():
            return label
        label = new
