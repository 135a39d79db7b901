"""Pictures and meshes of the room: bytes, borders, relief, and what lies where."""

import hashlib

import numpy as np
import pytest

from samediff_stimuli.blender_scenes import decor, pictures, room
from samediff_stimuli.blender_scenes.data import NO_CORNER

PIXELS = 16  # a unit, so that tests are quick


def digest(array):
    """The first half of an array's SHA-256."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:32]


def made(name):
    """One picture or mesh by name, as its digest."""
    kind, number = name.split()
    if kind == "table":
        return digest(pictures.table_picture(int(number), PIXELS))
    if kind == "floor":
        return digest(pictures.floor_picture(int(number), PIXELS))
    if kind == "colors":
        return digest(decor.background_picture(int(number)))
    return room.background_mesh(int(number)).digest()[:32]


GOLDENS = {}


@pytest.mark.parametrize("name", GOLDENS)
def test_bytes_are_the_same_everywhere(name):
    """A picture or mesh has the bytes that it had on the machine that first made it."""
    assert made(name) == GOLDENS[name]


@pytest.mark.parametrize("wood", pictures.TABLES, ids=lambda wood: wood.name)
def test_a_table_repeats_without_a_seam(wood):
    """The step from a wood's right edge to its left is no larger than steps inside it."""
    picture = pictures.wood_picture(wood, pictures.TABLE_SIZE, PIXELS).astype(np.int64)
    inside = np.abs(np.diff(picture, axis=1)).mean(axis=(0, 2))
    seam = np.abs(picture[:, 0] - picture[:, -1]).mean()
    assert seam <= 1.5 * inside.max()


def test_tables_show_planks():
    """Rows where planks meet are darker and deeper than the wood beside them."""
    wood = pictures.TABLES[0]
    picture = pictures.table_picture(0, 60).astype(np.float64)
    tone, relief = picture[..., :3].mean(axis=(1, 2)), picture[..., 3].mean(axis=1)
    gaps = [picture.shape[0] * k // wood.planks for k in range(1, wood.planks)]
    for row in gaps:
        near = slice(row + 5, row + 20)
        assert tone[row - 1 : row + 1].max() < 0.6 * tone[near].min()
        assert relief[row - 1 : row + 1].max() < 0.6 * relief[near].min()


def test_planks_differ_in_tone_and_grain():
    """No two planks of a table are alike, in mean colour or pixel by pixel."""
    picture = pictures.table_picture(0, 30)
    edges = [picture.shape[0] * k // 7 for k in range(8)]
    planks = [picture[a + 3 : a + 38, :, :3].astype(np.float64) for a in edges[:-1]]
    means = np.array([plank.mean(axis=(0, 1)) for plank in planks])
    for k in range(1, 7):
        assert np.abs(means[k] - means[:k]).max(axis=1).min() > 1
        assert min(np.abs(planks[k] - other).mean() for other in planks[:k]) > 4


def test_woods_are_told_apart_by_color():
    """Any two tables differ in mean colour by more than 6 levels of some channel."""
    means = [
        pictures.wood_picture(wood, pictures.TABLE_SIZE, 8)[..., :3].mean(axis=(0, 1))
        for wood in pictures.TABLES
    ]
    for k, mean in enumerate(means):
        assert all(np.abs(mean - other).max() > 6 for other in means[:k])


def test_noise_keeps_to_its_range_and_name():
    """Noise fills most of [0, 1], is periodic along rows, and another name gives other noise."""
    first, second = (pictures.noise(name, (60, 90), 6, 9) for name in ("a", "b"))
    assert first.dtype == np.float32
    assert first.min() >= 0
    assert first.max() <= 1
    assert first.max() - first.min() > 0.8
    assert np.abs(first[:, 0] - first[:, -1]).max() < 0.3
    assert np.abs(first - second).mean() > 0.1


def test_backgrounds_differ():
    """All backgrounds differ in picture and in mesh."""
    numbers = range(len(decor.WALLS))
    assert len({digest(decor.background_picture(k)) for k in numbers}) == len(numbers)
    assert len({room.background_mesh(k).digest() for k in numbers}) == len(numbers)


@pytest.mark.parametrize("number", range(len(decor.WALLS)))
def test_furnishings_leave_the_table_free(number):
    """Nothing of a background reaches over the table or between it and the window's panes."""
    mesh = room.background_mesh(number)
    x, y, z = mesh.vertices.T
    width, depth = pictures.TABLE_SIZE
    over = (np.abs(x) < width / 2 + 0.5) & (np.abs(y) < depth / 2 + 0.1) & (z > room.FLOOR + 0.2)
    assert not (over & (z < room.CEILING)).any()
    y0, y1, z0, z1 = room.WINDOW
    pane = (x > width / 2) & (x < room.EAST) & (y > y0 + 1) & (y < y1 - 1)
    assert not (pane & (z > z0) & (z < z1)).any()


def test_uv_stay_in_the_picture():
    """Every corner of table, floor and background has its place inside the picture."""
    for mesh in (room.table_mesh(), room.floor_mesh(), room.background_mesh(0)):
        there = mesh.faces != NO_CORNER
        assert mesh.uv[there].min() >= 0
        assert mesh.uv[there].max() <= 1
    assert room.table_mesh().vertices[:, 2].max() == 0
