"""Shapes are closed, look outwards, and are ordered however they were made."""

from dataclasses import replace

import numpy as np
import pytest

from samediff_stimuli.blender_scenes import meshes
from samediff_stimuli.blender_scenes.curves import arc, around, curve, ears, rounded
from samediff_stimuli.blender_scenes.data import NO_CORNER

SQUARE = [(0.0, 0.0), (2.0, 0.0), (2.0, 1.0), (1.0, 0.4), (0.0, 1.0)]  # with a notch
BENT = [(0.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.5, 0.0, 1.5), (1.5, 0.0, 1.5)]
# name -> (shape, its volume if it had no corners, how far below that its facets may be)
SHAPES = {
    "box": (meshes.box((1, 2, 3), 0.0), 6.0, 0.0),
    "bevelled box": (meshes.box((1, 2, 3), 0.1), 6.0, 0.02),
    "lathe": (meshes.lathe([(0, 0), (1, 0), (1, 1), (0, 1)]), np.pi, 0.005),
    "ellipsoid": (meshes.ellipsoid((1, 2, 3)), 8 * np.pi, 0.03),
    "torus": (meshes.torus(1.0, 0.25), np.pi**2 / 8, 0.06),
    "cylinder": (meshes.cylinder((0, 0, 0), (1, 2, 2), 0.5), 0.75 * np.pi, 0.02),
    "cone": (meshes.cylinder((0, 0, 0), (0, 0, 1), 0.5, 0.0), np.pi / 12, 0.02),
    "sweep": (meshes.sweep(BENT, 0.1, 32), 0.0271 * np.pi, 0.08),
    "ring": (
        meshes.sweep([(x, y, 0.0) for x, y in arc((0, 0), 1, 0, 355, 71)], 0.2, 32, closed=True),
        0.08 * np.pi**2,
        0.02,
    ),
    "pipe": (
        meshes.pipe([(0, 0, 0), (0, 0, 1), (0, 0, 2)], [0.5] * 3, 0.25, 32),
        0.4375 * np.pi,
        0.01,
    ),
    "prism": (meshes.prism(SQUARE, 1.0), 1.4, 1e-9),
    "bevelled prism": (meshes.prism(SQUARE, 1.0, 0.05), 1.4, 0.02),
    "mirrored prism": (meshes.scaled(meshes.prism(SQUARE, 1.0), (1, -1, 1)), 1.4, 1e-9),
    "turned prism": (meshes.turned(meshes.prism(SQUARE, 1.0), "y", 33), 1.4, 1e-4),
    "pointed prism": (meshes.pointed(meshes.prism(SQUARE, 1.0), (1, 2, -1)), 1.4, 1e-4),
    "moved prism": (meshes.moved(meshes.prism(SQUARE, 1.0), (5, -3, 2)), 1.4, 1e-4),
}


def volume(mesh):
    """Enclosed volume, positive if faces are anticlockwise seen from outside."""
    full = np.where(mesh.faces == NO_CORNER, mesh.faces[:, :1], mesh.faces)
    a, b, c, d = (mesh.vertices[full[:, i]] for i in range(4))
    return (np.cross(a, b) * c + np.cross(a, c) * d).sum() / 6


def loose_edges(mesh):
    """Edges, after welding, that do not run as often one way as the other."""
    _, same = np.unique(np.rint(mesh.vertices * 1e6), axis=0, return_inverse=True)
    balance = {}
    for face in mesh.faces.tolist():
        corners = [int(same.ravel()[c]) for c in face if c != NO_CORNER]
        for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
            balance[min(a, b), max(a, b)] = balance.get((min(a, b), max(a, b)), 0) + (
                1 if a < b else -1
            )
    return sum(value != 0 for value in balance.values())


@pytest.mark.parametrize("name", SHAPES)
def test_solid(name):
    """Every shape is closed and encloses its volume, so its faces look outwards."""
    shape, ideal, share = SHAPES[name]
    mesh = meshes.join([(shape, 0)])
    assert loose_edges(mesh) == 0
    found = volume(mesh)
    assert ideal * (1 - share) - 1e-5 <= found <= ideal + 1e-4


@pytest.mark.parametrize("name", SHAPES)
def test_canonical_order(name):
    """Shuffled faces, corners and vertices give the same mesh, and so does doing it twice."""
    mesh = meshes.join([(SHAPES[name][0], 0)])
    random = np.random.default_rng(5)
    order = random.permutation(len(mesh.vertices))
    place = np.argsort(order)
    faces = np.where(mesh.faces == NO_CORNER, NO_CORNER, place[mesh.faces])
    uv, quads = mesh.uv.copy(), faces[:, 3] != NO_CORNER
    faces[quads], uv[quads] = np.roll(faces[quads], 1, axis=1), np.roll(uv[quads], 1, axis=1)
    rows = random.permutation(len(faces))
    shuffled = replace(
        mesh,
        vertices=mesh.vertices[order],
        faces=faces[rows],
        uv=uv[rows],
        material=mesh.material[rows],
        smooth=mesh.smooth[rows],
    )
    assert shuffled.digest() != mesh.digest()
    assert meshes.canonical(shuffled).digest() == mesh.digest()
    assert meshes.canonical(mesh).digest() == mesh.digest()


def test_creases():
    """Vertices are doubled on sharp edges alone: a cube has 24, a ball none twice, facets all."""
    assert len(meshes.join([(meshes.box((1, 1, 1), 0.0), 0)]).vertices) == 24
    ball = meshes.join([(meshes.ellipsoid((1, 1, 1)), 0)])
    assert len(ball.vertices) == len(np.unique(ball.vertices, axis=0))
    flat = meshes.join([(meshes.faceted(meshes.ellipsoid((1, 1, 1))), 0)])
    assert len(flat.vertices) == (flat.faces != NO_CORNER).sum()
    assert len(meshes.join([(meshes.box((1, 1, 1), 0.0), 0)], crease=-1.0).vertices) == 8


def test_materials_and_pictures_follow_their_faces():
    """After sorting, each face still has the material and the place in the picture it was given."""
    low = meshes.box((1, 1, 1), 0.0)
    high = meshes.projected(meshes.moved(low, (0, 0, 2)), "xz", (-0.5, 1.5), (0.5, 2.5))
    mesh = meshes.join([(high, 3), (meshes.framed(low, (0.5, 0.5), (1.0, 1.0)), 1)])
    middle = mesh.vertices[mesh.faces].mean(axis=1)[:, 2]
    assert (mesh.material == np.where(middle > 1, 3, 1)).all()
    corners = mesh.vertices[mesh.faces[middle > 1]]
    assert np.allclose(mesh.uv[middle > 1], corners[..., [0, 2]] - (-0.5, 1.5))
    assert mesh.uv[middle < 1].min() == 0.5


def test_box_sides_show_their_picture_upright():
    """On each upright side of a box u runs to the right of who looks at it, and v up."""
    mesh = meshes.join([(meshes.box((1, 1, 1), 0.0), 0)])
    for face, uv in zip(mesh.faces, mesh.uv, strict=True):
        p = mesh.vertices[face]
        normal = np.cross(p[1] - p[0], p[2] - p[1])
        right = p[uv[:, 0] == 1].mean(axis=0) - p[uv[:, 0] == 0].mean(axis=0)
        up = p[uv[:, 1] == 1].mean(axis=0) - p[uv[:, 1] == 0].mean(axis=0)
        assert np.allclose(np.cross(right, up), normal)
        assert up[2] == 1 or abs(normal[2]) == 1


def test_turned_and_pointed():
    """Turning is anticlockwise about each axis; pointing carries z to where it is told."""
    rod = meshes.cylinder((0, 0, 0), (0, 0, 1), 0.01)
    assert meshes.turned(rod, "x", 90).vertices[:, 1].min() < -0.98
    assert meshes.turned(rod, "y", 90).vertices[:, 0].max() > 0.98
    away = meshes.pointed(rod, (3, -4, 0)).vertices
    assert np.allclose(away[np.argmax((away * away).sum(axis=1))], (0.6, -0.8, 0), atol=0.02)
    assert meshes.pointed(rod, (0, 0, -1)).vertices[:, 2].min() < -0.98


def test_curves():
    """Circles have radius 1; curves pass through their points; rounding cuts corners."""
    assert np.allclose((around(72) ** 2).sum(axis=1), 1, atol=1e-12)
    points = [(0.0, 0.0), (1.0, 2.0), (3.0, 1.0)]
    assert curve(points, 4)[::4] == points
    cut = rounded(points, 0.2)
    assert (cut[0], cut[-1]) == (points[0], points[-1])
    assert points[1] not in cut
    assert rounded(points, [0, 0, 0]) == points
    assert len(rounded(SQUARE, 0.1, 3, closed=True)) == 4 * len(SQUARE)


def test_ears():
    """Triangles of a notched outline add up to its area; a clockwise outline is refused."""
    p = np.array(SQUARE)
    area = sum(np.linalg.det(np.stack([p[b] - p[a], p[c] - p[a]])) / 2 for a, b, c in ears(p))
    assert area == pytest.approx(1.4)
    with pytest.raises(ValueError, match="anticlockwise"):
        ears(p[::-1])
