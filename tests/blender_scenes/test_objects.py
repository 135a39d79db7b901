"""Every object stands on the table, is the same anywhere, and shows its turn unless symmetric."""

import subprocess
import sys
from functools import lru_cache

import numpy as np
import pytest

from samediff_stimuli.blender_scenes import meshes
from samediff_stimuli.blender_scenes.data import NO_CORNER
from samediff_stimuli.blender_scenes.objects import mesh_of, registry

NAMES = list(registry())
SYMMETRIC = [name for name in NAMES if registry()[name].symmetric]
OTHERS = [name for name in NAMES if not registry()[name].symmetric]
TURNS = range(15, 360, 15)
SIDE = 56  # pixels of the small views
GAP = 0.025  # between the points that are drawn


def quads(mesh):
    """(m, 4) corners, the first one again in the place of a missing fourth."""
    return np.where(mesh.faces == NO_CORNER, mesh.faces[:, :1], mesh.faces)


def volumes(mesh):
    """Volume of each closed piece of a mesh, as welded, and the share of edges that are loose."""
    _, same = np.unique(np.rint(mesh.vertices * 1e6), axis=0, return_inverse=True)
    faces = same.ravel()[quads(mesh)]
    label = np.arange(faces.max() + 1)
    while True:  # the smallest vertex of each piece, by jumping
        new = label.copy()
        for i in range(4):
            np.minimum.at(new, faces[:, i], label[faces].min(axis=1))
        new = new[new]
        if (new == label).all():
            break
        label = new
    a, b, c, d = (mesh.vertices[quads(mesh)[:, i]] for i in range(4))
    parts = (np.cross(a, b) * c + np.cross(a, c) * d).sum(axis=1) / 6
    ends = np.roll(faces, -1, axis=1)
    real = (faces != ends).ravel()
    start, end, piece = faces.ravel()[real], ends.ravel()[real], label[faces].ravel()[real]
    key = np.minimum(start, end) * len(label) + np.maximum(start, end)
    _, edge = np.unique(key, return_inverse=True)
    balance = np.bincount(edge.ravel(), weights=np.where(start < end, 1, -1))
    open_pieces = set(piece[balance[edge.ravel()] != 0].tolist())
    total = np.bincount(label[faces[:, 0]], weights=parts, minlength=len(label))
    used = set(label[faces[:, 0]].tolist())
    return [total[p] for p in used - open_pieces], (balance != 0).mean()


@lru_cache(maxsize=64)
def cloud(name):
    """Points spread over a mesh, and each one's colour in its picture."""
    mesh, model = mesh_of(name), registry()[name]
    corners, uv = mesh.vertices[quads(mesh)], mesh.uv.copy()
    pictures = [kind.picture and kind.picture() for kind in model.materials]
    uv[mesh.faces[:, 3] == NO_CORNER, 3] = uv[mesh.faces[:, 3] == NO_CORNER, 0]
    edges = np.linalg.norm(np.roll(corners, -1, axis=1) - corners, axis=2)
    counts = 1 + np.floor(np.maximum(edges[:, :2], edges[:, 2:]) / GAP).astype(int)
    points, colors = [], []
    for one, two in np.unique(counts, axis=0):
        chosen = (counts == (one, two)).all(axis=1)
        s, t = np.meshgrid((np.arange(one) + 0.5) / one, (np.arange(two) + 0.5) / two)
        s, t = s.ravel(), t.ravel()
        weights = np.stack([(1 - s) * (1 - t), s * (1 - t), s * t, (1 - s) * t], axis=1)
        points.append((weights[None, :, :, None] * corners[chosen][:, None]).sum(axis=2))
        places = (weights[None, :, :, None] * uv[chosen][:, None]).sum(axis=2).reshape(-1, 2)
        kinds = np.repeat(mesh.material[chosen], one * two)
        colors.append(painted(model, pictures, kinds, places))
    points = [part.reshape(-1, 3) for part in points]
    return np.concatenate(points), np.concatenate(colors)


def painted(model, pictures, material, places):
    """(n, 3) colours in [0, 1] at places in the pictures of materials."""
    out = np.empty((len(places), 3))
    for number, kind in enumerate(model.materials):
        here = material == number
        out[here] = np.sqrt(kind.color)  # about sRGB
        if pictures[number] is not None:
            picture = pictures[number]
            high, wide = picture.shape[:2]
            x = np.minimum((places[here, 0] * wide).astype(int), wide - 1)
            y = np.minimum(((1 - places[here, 1]) * high).astype(int), high - 1)
            out[here] = picture[y, x] / 255
    return out


def views(name, degrees):
    """(2, SIDE, SIDE, 4): colour and silhouette of a turned object from above and the side."""
    points, colors = cloud(name)
    angle = np.deg2rad(degrees)
    x = points[:, 0] * np.cos(angle) - points[:, 1] * np.sin(angle)
    y = points[:, 0] * np.sin(angle) + points[:, 1] * np.cos(angle)
    z = points[:, 2]
    reach = max(np.sqrt(points[:, 0] ** 2 + points[:, 1] ** 2).max(), z.max() / 2) * 1.02
    out = np.zeros((2, SIDE * SIDE, 4))
    for view, (u, v, depth) in enumerate([(x, y, z), (x, z - z.max() / 2, -y)]):
        column, row = (((w / reach + 1) * SIDE / 2).astype(int) for w in (u, v))
        order = np.argsort(depth, kind="stable")  # what is nearest is written last
        pixel = (row * SIDE + column)[order]
        out[view, pixel, :3] = colors[order]
        out[view, pixel, 3] = 1
    return out.reshape(2, SIDE, SIDE, 4)


def test_registry():
    """Each model is named like its module; the first five, and they alone, are symmetric."""
    assert len(NAMES) == len(set(NAMES))
    for name, model in registry().items():
        assert model.name == name
        assert model.about
        assert model.color
    assert set(SYMMETRIC) == {"pawn", "vase", "candlestick", "spinning_top", "honey_jar"}
    assert NAMES[:8] == [*NAMES[:5], "mug", "teapot", "book"]


@pytest.mark.parametrize("name", NAMES)
def test_stands_on_the_table(name):
    """An object touches z = 0, stands near the z axis and has the size of a thing on a table."""
    mesh = mesh_of(name)
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    assert abs(low[2]) <= 1e-6
    assert 0.25 <= high[2] <= 2.2
    assert 0.6 <= (high - low).max() <= 2.3
    assert np.abs(low + high)[:2].max() / 2 < 0.25
    assert 600 <= len(mesh.faces) <= 12_000


@pytest.mark.parametrize("name", NAMES)
def test_mesh_is_sound(name):
    """Nearly all edges join two faces, closed pieces look outwards, all indices are legal."""
    mesh, model = mesh_of(name), registry()[name]
    pieces, loose = volumes(mesh)
    assert loose < 0.12  # what is open is stuck into something else
    assert pieces
    assert min(pieces) > 0
    assert mesh.uv.min() >= 0
    assert mesh.uv.max() <= 1
    assert set(mesh.material.tolist()) == set(range(len(model.materials)))
    assert mesh.faces[:, :3].min() == 0
    assert mesh.faces.max() == len(mesh.vertices) - 1
    corners = mesh.vertices[quads(mesh)]
    normals = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
    assert np.linalg.norm(normals, axis=1).min() > 0


@pytest.mark.parametrize("name", NAMES)
def test_materials_are_legal(name):
    """Weights and colours lie in [0, 1]; pictures are uint8 with three channels, and repeat."""
    for material in registry()[name].materials:
        weights = [*material.color, material.roughness, material.metallic, material.coat]
        weights += [material.subsurface, material.transmission]
        assert min(weights) >= 0
        assert max(weights) <= 1
        if material.picture is not None:
            picture = material.picture()
            assert picture.dtype == np.uint8
            assert picture.ndim == 3
            assert picture.shape[2] == 3
            assert (picture == material.picture()).all()


@pytest.mark.parametrize("name", NAMES)
def test_canonical(name):
    """A model's mesh is rounded, in canonical order, and built the same twice."""
    mesh = mesh_of(name)
    assert (mesh.vertices == np.rint(mesh.vertices * 1e6) / 1e6).all()
    assert meshes.canonical(mesh).vertices.shape == registry()[name].build().vertices.shape
    assert registry()[name].build().digest() == mesh.digest()


def test_same_in_a_fresh_process():
    """Another process that builds the models in the opposite order gets the same digests."""
    code = (
        "from samediff_stimuli.blender_scenes.objects import registry\n"
        "for name in reversed(registry()):\n"
        "    print(name, registry()[name].build().digest())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = dict(line.split() for line in done.stdout.splitlines())
    assert found == {name: mesh_of(name).digest() for name in NAMES}


@pytest.mark.parametrize("name", SYMMETRIC)
def test_symmetric_form(name):
    """All vertices off the axis lie in full rings of equal steps."""
    vertices = np.unique(mesh_of(name).vertices, axis=0)
    radius = np.hypot(vertices[:, 0], vertices[:, 1])
    order = np.lexsort([radius, vertices[:, 2]])
    order = order[radius[order] > 1e-9]
    near = np.abs(np.diff(np.stack([radius, vertices[:, 2]], axis=1)[order], axis=0)).max(axis=1)
    rings = np.split(order, np.flatnonzero(near > 1e-5) + 1)
    sizes = {len(ring) for ring in rings}
    assert len(sizes) == 1
    assert min(sizes) >= 48
    for ring in rings:
        turns = np.sort(np.arctan2(vertices[ring, 1], vertices[ring, 0]))
        steps = np.diff(turns, append=turns[0] + 2 * np.pi)
        assert np.allclose(steps, 2 * np.pi / len(ring), atol=2e-4 + 3e-6 / radius[ring].mean())


@pytest.mark.parametrize("name", SYMMETRIC)
def test_symmetric_faces(name):
    """Every ring of faces has one material, and the same heights of its picture all around."""
    mesh = mesh_of(name)
    corners = mesh.vertices[quads(mesh)]
    radius = np.hypot(corners[..., 0], corners[..., 1])
    shape = np.sort(np.concatenate([radius, corners[..., 2]], axis=1).round(4), axis=1)
    rows = np.sort(mesh.uv[..., 1], axis=1)
    rows[mesh.faces[:, 3] == NO_CORNER] = rows[mesh.faces[:, 3] == NO_CORNER][:, [1, 1, 2, 3]]
    seen = {}
    for key, material, row in zip(map(tuple, shape), mesh.material, rows.round(4), strict=True):
        seen.setdefault(key, set()).add((int(material), *row))
    assert all(len(looks) == 1 for looks in seen.values())


@pytest.mark.parametrize("name", SYMMETRIC)
def test_symmetric_pictures(name):
    """Every picture of a symmetric object is the same in all its columns."""
    for material in registry()[name].materials:
        if material.picture is not None:
            picture = material.picture()
            assert (picture == picture[:, :1]).all()


def difference(name, degrees):
    """Mean difference of a turned object, where no pixel next to it has the colour either."""
    start, turned = padded(name, 0), padded(name, degrees)
    inner = turned[:, 1:-1, 1:-1]
    shifts = [start[:, i : i + SIDE, j : j + SIDE] for i in range(3) for j in range(3)]
    least = np.min([np.abs(inner - shift).max(axis=-1) for shift in shifts], axis=0)
    return least.sum() / inner[..., 3].sum()


@lru_cache(maxsize=64)
def padded(name, degrees):
    """The views of an object with a blank edge."""
    return np.pad(views(name, degrees), ((0, 0), (1, 1), (1, 1), (0, 0)))


@pytest.mark.parametrize("name", NAMES)
def test_turning_shows(name):
    """Turned by 15 to 345 degrees, what is not symmetric looks clearly different, and only that."""
    differences = [difference(name, turn) for turn in TURNS]
    if registry()[name].symmetric:
        assert max(differences) < 0.015
    else:
        assert min(differences) > 0.015
