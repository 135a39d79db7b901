"""MPI3D: the grid of the published set, drawn to the byte, each image unlike every other."""

import ast
import itertools
from pathlib import Path

import numpy as np
import pytest
import xxhash

from samediff_stimuli import rng
from samediff_stimuli.factors import mpi3d, mpi3d_scene

SPACE = mpi3d.SPACE
GOLDENS = {
    0: "3418b1ff93fb4fb2",
    123_456: "842c80d12c2d04e2",
    345_678: "deaa32318250ec68",
    518_400: "4a8b51f3459cbb48",
    777_777: "5ae588c5162f0d7d",
    1_036_799: "f136bc8a8b22b125",
}
PAN, LIFT = SPACE.names.index("horizontal_axis"), SPACE.names.index("vertical_axis")
HEIGHTS, SHAPES = range(3), range(6)
EXACT = {  # rounded exactly, or on integers alone, or moving numbers without changing them
    *("arange", "array", "asarray", "ascontiguousarray", "empty", "full", "stack", "zeros"),
    *("clip", "flatnonzero", "maximum", "minimum", "rint", "where", "inf"),
    *("float64", "int64", "uint8", "uint16"),
}


def images(levels):
    """(n, 64, 64, 3) uint8 of rows of levels."""
    return np.stack([image.copy() for image in mpi3d.draw(np.asarray(levels, dtype=np.int64))])


def forget():
    """Drops all layers, so that what comes next is cast anew."""
    for cache in (mpi3d._arm, mpi3d._object, mpi3d_scene._lower, mpi3d_scene.plate):
        cache.cache_clear()


def rows(count, *key):
    """(count,) different rows from all over the grid."""
    tweak = np.zeros(count, dtype=np.int64)
    return rng.permute(rng.stream_key("test mpi3d", *key), np.arange(count), len(SPACE), tweak)


def like(image, color):
    """How many pixels of an image are a paint in more or less light."""
    paint = np.array(mpi3d.PAINTS[color], dtype=np.float64)
    light = (image @ paint) / (paint @ paint)
    return ((np.abs(image - light[..., None] * paint).max(axis=-1) < 22) & (light > 0.25)).sum()


def test_grid_is_the_published_one():
    """Seven factors in the published order, 1,036,800 rows, the vertical axis fastest."""
    assert SPACE.sizes == (6, 6, 2, 3, 3, 40, 40)
    assert len(SPACE) == 1_036_800
    assert SPACE.factor("object_color").values[:2] == ("white", "green")
    assert SPACE.factor("background_color").values == ("purple", "sea green", "salmon")
    assert [factor.name for factor in SPACE.factors if not factor.held] == ["object_shape"]
    assert SPACE.levels(np.array([41])).tolist() == [[0, 0, 0, 0, 0, 1, 1]]


@pytest.mark.parametrize("row", tuple(GOLDENS))
def test_golden(row):
    """A row has the same bytes on every machine."""
    forget()
    image = next(mpi3d.draw(SPACE.levels(np.array([row]))))
    assert (image.shape, image.dtype, image.flags.c_contiguous) == ((64, 64, 3), np.uint8, True)
    assert xxhash.xxh3_64_hexdigest(image.tobytes()) == GOLDENS[row]


def test_rows_do_not_depend_on_each_other():
    """A row alone, in a batch, in another order, and across borders of blocks is the same."""
    block = 40 * 40
    chosen = np.concatenate([rows(40, "alone"), np.arange(3 * block - 4, 3 * block + 4)])
    forget()
    batch = images(SPACE.levels(chosen))
    forget()
    assert np.array_equal(images(SPACE.levels(chosen[::-1])), batch[::-1])
    for row, image in itertools.islice(zip(chosen, batch, strict=True), 0, None, 6):
        forget()
        assert np.array_equal(next(mpi3d.draw(SPACE.levels(np.array([row])))), image), row


@pytest.mark.parametrize("height", HEIGHTS)
def test_every_step_of_an_axis_moves_pixels(height):
    """Next steps of both axes differ in many pixels, seen from every height, small object held."""
    for axis, other in itertools.product((PAN, LIFT), (0, 39)):
        levels = np.tile([0, 5, 0, height, 0, other, other], (40, 1))
        levels[:, axis] = range(40)
        drawn = images(levels).astype(np.int64)
        changed = (np.abs(np.diff(drawn, axis=0)).max(axis=-1) >= 8).sum(axis=(1, 2))
        assert changed.min() >= 20, (axis, other, changed.argmin())


@pytest.mark.parametrize("factor", SPACE.names[:5])
def test_every_level_changes_the_image(factor):
    """Two levels of any other factor show different images, wherever the rest stands."""
    column, size = SPACE.names.index(factor), len(SPACE.factor(factor))
    for levels in SPACE.levels(rows(12, factor)):
        family = np.tile(levels, (size, 1))
        family[:, column] = range(size)
        drawn = images(family).astype(np.int64)
        for a, b in itertools.combinations(drawn, 2):
            assert (np.abs(a - b).max(axis=-1) >= 8).sum() >= 8, levels.tolist()


def test_no_two_images_are_the_same():
    """2,000 rows from all over the grid, of few poses to save time, have 2,000 different images."""
    levels = SPACE.levels(rows(2000, "different"))
    levels[:, PAN], levels[:, LIFT] = levels[:, PAN] // 6 * 6, levels[:, LIFT] // 6 * 6
    levels = np.unique(levels, axis=0)
    digests = {xxhash.xxh3_64_hexdigest(image.data) for image in mpi3d.draw(levels)}
    assert len(digests) == len(levels) > 1900


@pytest.mark.slow
@pytest.mark.parametrize("height", HEIGHTS)
def test_all_poses_differ(height):
    """The smallest objects show 1,600 different images from each height."""
    poses = list(itertools.product(range(40), range(40)))
    for shape in (0, 4):
        levels = np.array([(4, shape, 0, height, 0, *pose) for pose in poses])
        assert len({xxhash.xxh3_64_hexdigest(image.data) for image in mpi3d.draw(levels)}) == 1600


@pytest.mark.parametrize("shape", SHAPES)
def test_the_small_object_shows_its_colour(shape):
    """In all poses its pixels are those of its paint, and of no other object's in its place."""
    poses = itertools.product(HEIGHTS, range(3), (0, 20, 39), (0, 20, 39))
    for pose in poses:
        drawn = images([(color, shape, 0, *pose) for color in range(6)]).astype(np.float64)
        for color in range(6):
            counts = [like(image, color) for image in drawn]
            assert counts.pop(color) - max(counts) >= 12, (mpi3d.COLORS[color], pose)


@pytest.mark.parametrize("size", range(2))
@pytest.mark.parametrize("shape", SHAPES)
def test_the_object_is_inside_the_image(size, shape):
    """No object touches the image's edge, and a large one is larger than a small one ever is."""
    corners = list(itertools.product(HEIGHTS, (0, 4, 20, 35, 39), (0, 20, 39)))
    areas = []
    for pose in corners:
        layer = mpi3d_scene.object_layer(shape, size, *pose)
        _, height, width = layer.parts.shape
        assert min(layer.top, layer.left) > 0, pose
        assert max(layer.top + height, layer.left + width) < mpi3d_scene.SIDE, pose
        areas.append((255 - layer.parts[0].astype(np.int64)).sum())
    others = [mpi3d_scene.object_layer(shape, 1 - size, *pose).parts[0] for pose in corners]
    other = [(255 - part.astype(np.int64)).sum() for part in others]
    assert min(areas) > max(other) if size else max(areas) < min(other)


def test_the_arm_lies_behind_the_object():
    """Hardly a sample of the object lies behind the arm: some where the hand presses on it."""
    for height, pan, lift in itertools.product(HEIGHTS, (0, 7, 20, 32, 39), (0, 20, 39)):
        depth, packed = (array.copy() for array in mpi3d_scene._lower(height, pan))
        mpi3d_scene._add(mpi3d_scene.forearm(pan, lift), height, depth, packed)
        for size, shape in itertools.product(range(2), SHAPES):
            part = mpi3d_scene.held(shape, size, pan, lift)
            pixels = mpi3d_scene.near(height, part)
            before = depth[pixels]
            anywhere = np.full(before.shape, np.inf)
            hit, t, _ = mpi3d_scene._cast(part, height, pixels, anywhere)
            assert (before.reshape(-1)[hit] < t).mean() < 0.1, (height, pan, lift, size, shape)


def test_saving_time_changes_nothing(monkeypatch):
    """Casting a part in the pixels near it gives what casting it in all pixels gives."""
    poses = [(0, 0, 0), (1, 39, 39), (2, 20, 5), (0, 31, 39)]
    arms = [mpi3d_scene.arm_layer(*pose) for pose in poses]
    objects = [mpi3d_scene.object_layer(shape, 1, *pose) for shape in SHAPES for pose in poses]
    everywhere = np.arange(mpi3d_scene.SIDE**2)
    monkeypatch.setattr(mpi3d_scene, "near", lambda height, part: everywhere)
    forget()
    again = [mpi3d_scene.arm_layer(*pose) for pose in poses]
    again += [mpi3d_scene.object_layer(shape, 1, *pose) for shape in SHAPES for pose in poses]
    forget()
    for one, other in zip(arms + objects, again, strict=True):
        assert (one.top, one.left) == (other.top, other.left)
        assert np.array_equal(one.parts, other.parts)


def test_layers_never_overflow():
    """The parts of a layer add up to 255 at most, so that laying it over an image fits 16 bits."""
    for pose in itertools.product(HEIGHTS, (0, 13, 39), (0, 25, 39)):
        layers = [mpi3d_scene.object_layer(shape, 1, *pose) for shape in SHAPES]
        for layer in (mpi3d_scene.arm_layer(*pose), *layers):
            assert layer.parts.astype(np.int64).sum(axis=0).max() <= 255


@pytest.mark.parametrize("module", [mpi3d, mpi3d_scene])
def test_arithmetic_is_exact(module):
    """Only functions of NumPy that round exactly are used, no powers but of whole constants."""
    tree = ast.parse(Path(module.__file__).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert node.value.id != "np" or node.attr in EXACT, node.attr
            assert node.attr not in {"dot", "mean", "prod", "std"} or node.value.id == "rc"
        if isinstance(node, ast.BinOp):
            assert not isinstance(node.op, ast.MatMult)
            if isinstance(node.op, ast.Pow):
                assert isinstance(node.left, ast.Name)
                assert node.left.id.isupper()
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name for alias in node.names}
            assert not names & {"math", "cmath", "random", "time"}
    adders = [
        function.name
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        and any(
            isinstance(node, ast.Attribute) and node.attr == "sum" for node in ast.walk(function)
        )
    ]
    assert adders == (["_sums"] if module is mpi3d_scene else [])
