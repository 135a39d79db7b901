"""What the 3D Shapes renderer promises: exact geometry, the same bytes everywhere, no two alike."""

import ast
import colorsys
import inspect
import math
from itertools import pairwise

import numpy as np
import pytest
import xxhash

from samediff_stimuli import rng
from samediff_stimuli.factors import raycast, shapes3d
from samediff_stimuli.factors.shapes3d import SPACE, draw

TOLERANCE = 1e-12
GOLDEN = {  # row: XXH3-64
    0: "114402c745d8b688",
    62507: "2068593c7a112ca4",
    129610: "ca6889b3a631ec6b",
    217777: "8d808d3130e374d0",
    250013: "4fcdee5481a3c6f7",
    333333: "1a5215415240862e",
    402931: "a1218ba23b6b6f69",
    479999: "c0e38155a11d5f6c",
}
# What the renderer may use: exactly rounded, or of integers, or no arithmetic at all
EXACT = {
    "np": {"abs", "add", "divmod", "floor", "maximum", "minimum", "multiply", "right_shift", "sqrt"}
    | {"arange", "array", "asarray", "empty", "full", "indices", "ones", "repeat", "split", "stack"}
    | {"broadcast_shapes", "flatnonzero", "isfinite", "ndarray", "shape", "size", "where", "zeros"}
    | {"bool_", "float64", "inf", "int64", "uint16", "uint8"},
    "math": {"inf", "isinf", "sqrt"},
}
TURN = raycast.product(raycast.about_z(0.8, 0.6), raycast.towards((1.0, -2.0, 2.0)))
SHIFT = (0.3, -1.7, 2.2)


def image(*levels):
    """A copy of one image."""
    return next(draw(np.array([levels], dtype=np.int64))).copy()


def sampled(purpose, n):
    """(n, 6) random levels."""
    words = rng.blocks(rng.stream_key("test_shapes3d", purpose), 0, n)[:, 0]
    return SPACE.levels(rng.below(words, len(SPACE)))


def cast(solids, origin, direction):
    """Distance, solid and normal of one ray's hit."""
    column = np.array(raycast.unit(direction))[:, None]
    hit = raycast.nearest(solids, origin, column)
    return hit.t[0], hit.which[0], tuple(hit.normal[:, 0])


def hue(rgb):
    """Hue in tenths of a turn."""
    return 10 * colorsys.rgb_to_hsv(*(np.asarray(rgb, dtype=float) / 255))[0]


ROOT = math.sqrt(0.5)
HITS = {
    # solid, origin, direction, distance, normal
    "sphere": (raycast.sphere(0.5), (-3, 0, 0.3), (1, 0, 0), 2.6, (-0.8, 0, 0.6)),
    "ellipsoid": (raycast.ellipsoid(2, 1, 0.5), (0, 0, 9), (0, 0, -1), 8.5, (0, 0, 1)),
    "box": (raycast.box(1, 2, 3), (-4, 1, 2), (1, 0, 0), 3, (-1, 0, 0)),
    "box, from above": (raycast.box(1, 1, 1), (0, -2, 3), (0, 3, -4), 2.5, (0, 0, 1)),
    "cylinder": (raycast.cylinder(0.5, 1), (0.3, -5, 0.9), (0, 1, 0), 4.6, (0.6, -0.8, 0)),
    "cylinder's end": (raycast.cylinder(0.5, 1), (0.3, 0.3, 5), (0, 0, -1), 4, (0, 0, 1)),
    "cone": (raycast.cone(1, 1), (-3, 0, 0.25), (1, 0, 0), 2.25, (-ROOT, 0, ROOT)),
    "cone, steeply": (raycast.cone(1, 2), (0, 0.5, 9), (0, 0, -1), 8, (0, 2 / 5**0.5, 1 / 5**0.5)),
    "cone, from below": (raycast.cone(1, 2), (0.5, 0, -3), (0, 0, 1), 3, (0, 0, -1)),
    "pyramid": (raycast.pyramid(1, 1), (0, -3, 0.5), (0, 1, 0), 2.5, (0, -ROOT, ROOT)),
    "hexagon": (raycast.hexagonal_prism(0.5, 1), (-3, 0.1, 0), (1, 0, 0), 2.5, (-1, 0, 0)),
    "hexagon's slant": (
        raycast.hexagonal_prism(math.sqrt(0.75), 1),
        (0.5, 5, 0),
        (0, -1, 0),
        4 + 0.25 / math.sqrt(0.75),
        (0.5, math.sqrt(0.75), 0),
    ),
    "rod": (raycast.rod((0, 0, 0), (4, 0, 0), 0.5), (3, -2, 0), (0, 1, 0), 1.5, (0, -1, 0)),
    "floor": (raycast.half_space((0, 0, 1), (7, 7, 1)), (0, 0, 5), (3, 0, -4), 5, (0, 0, 1)),
}
MISSES = {
    "sphere": (raycast.sphere(0.5), (-3, 0, 0.51), (1, 0, 0)),
    "box": (raycast.box(1, 1, 1), (-3, 1.01, 0), (1, 0, 0)),
    "cylinder, beside": (raycast.cylinder(0.5, 1), (0.51, 0, 5), (0, 0, -1)),
    "cylinder, above": (raycast.cylinder(0.5, 1), (-3, 0, 1.01), (1, 0, 0)),
    "cone, beside": (raycast.cone(1, 1), (-3, 0.76, 0.25), (1, 0, 0)),
    "cone, the other half": (raycast.cone(1, 1), (-3, 0, 1.5), (1, 0, 0)),
    "cone, steeply": (raycast.cone(1, 2), (1.01, 0, 9), (0, 0, -1)),
    "pyramid": (raycast.pyramid(1, 1), (-3, 0.51, 0.5), (1, 0, 0)),
    "hexagon": (raycast.hexagonal_prism(0.5, 1), (0.51, -3, 0), (0, 1, 0)),
    "behind": (raycast.sphere(0.5), (3, 0, 0), (1, 0, 0)),
    "floor": (raycast.half_space((0, 0, 1), (0, 0, 0)), (0, 0, 1), (1, 0, 0)),
}


@pytest.mark.parametrize("case", HITS)
def test_rays_hit_solids_where_they_should(case):
    """The distance and the normal of a hit are right, also when ray and solid are moved as one."""
    solid, origin, direction, distance, normal = HITS[case]
    for thing, turned in ((solid, False), (raycast.placed(solid, SHIFT, TURN), True)):
        if turned:
            origin = tuple(a + b for a, b in zip(raycast.turn(TURN, origin), SHIFT, strict=True))
            direction, normal = raycast.turn(TURN, direction), raycast.turn(TURN, normal)
        t, which, found = cast([thing], origin, direction)
        assert which == 0
        assert t == pytest.approx(distance, abs=TOLERANCE)
        assert found == pytest.approx(normal, abs=TOLERANCE)


@pytest.mark.parametrize("case", MISSES)
def test_rays_miss_solids_where_they_should(case):
    """A ray that passes a solid, or starts beyond it, does not hit it."""
    solid, origin, direction = MISSES[case]
    t, which, normal = cast([solid], origin, direction)
    assert (t, which, normal) == (math.inf, -1, (0, 0, 0))


def test_capsule_is_a_rod_with_round_ends():
    """A ray along a capsule hits its ball, one across hits its rod, one past its ball misses."""
    pill = raycast.capsule((0, 0, 0), (0, 0, 2), 0.5)
    t, which, normal = cast(pill, (0.3, 0, 9), (0, 0, -1))
    assert (t, which, *normal) == pytest.approx((6.6, 2, 0.6, 0, 0.8), abs=TOLERANCE)
    t, which, normal = cast(pill, (-3, 0, 1), (1, 0, 0))
    assert (t, which, *normal) == pytest.approx((2.5, 0, -1, 0, 0), abs=TOLERANCE)
    assert cast(pill, (-3, 0.4, 2.4), (1, 0, 0))[1] == -1


def test_the_nearest_solid_is_seen():
    """Of two solids on a ray the nearer one is hit, in whichever order they are given."""
    near, far = raycast.sphere(1), raycast.placed(raycast.box(1, 1, 1), (4, 0, 0))
    assert cast([near, far], (-5, 0, 0), (1, 0, 0))[:2] == (4, 0)
    assert cast([far, near], (-5, 0, 0), (1, 0, 0))[:2] == (4, 1)


def test_spans_end_where_lines_leave():
    """Just inside both ends of a span a point is in the solid, just outside it is not."""
    words = rng.blocks(rng.stream_key("test_shapes3d", "spans"), 0, 6000).reshape(6, -1)
    spread = rng.below(words, 2001) / 500 - 2  # in [-2, 2]
    origin, direction = spread[:3], spread[3:] + 1e-3
    direction = direction / np.sqrt(raycast.dot(direction, direction))
    for case, (solid, *_) in HITS.items():
        thing = raycast.placed(solid, SHIFT, TURN)
        part = raycast.span(thing, origin + np.array(SHIFT)[:, None], direction)
        met = np.flatnonzero(
            (part.leave - part.enter > 0.01) & np.isfinite(part.leave - part.enter)
        )
        assert len(met) > 100 or case == "floor"
        for end, step in ((part.enter, 1e-6), (part.leave, -1e-6)):
            start = origin[:, met] + np.array(SHIFT)[:, None]
            assert inside(thing, raycast.along(start, direction[:, met], end[met] + step)).all()
            assert not inside(thing, raycast.along(start, direction[:, met], end[met] - step)).any()


def inside(solid, points):
    """Whether points are in a solid, by its definition."""
    seen = raycast.seen_from(solid, points)
    out = np.ones(points.shape[1], dtype=bool)
    for normal, offset in solid.planes:
        out &= np.array(normal) @ seen <= offset
    if solid.form is not None:
        out &= np.einsum("in,ij,jn->n", seen, np.array(solid.form), seen) <= solid.level
    return out


def test_shadows_fall_away_from_the_light():
    """A point behind a ball is in its shadow; one beside it or on its lit side is not."""
    points = np.array([[0, 0, 0], [2, 0, 0], [0, 0, 3], [0, 0, 2.000001]], dtype=float).T
    ball = [raycast.placed(raycast.sphere(0.5), (0, 0, 1.5))]
    lit = raycast.blocked(ball, points, (0.0, 0.0, 1.0))
    assert lit.tolist() == [True, False, False, False]
    assert not raycast.blocked(ball, points, (0.0, 0.0, 1.0), distance=0.9).any()


def test_rays_go_through_the_pixels():
    """Rays of an image are symmetric about its middle, and its edge is at the angle of view."""
    found = raycast.rays((0, -5, 0), (0, 0, 0), 0.5, 2, 4, 3).reshape(3, 3, 3, 2, 4)
    along = found / found[1]
    assert found[:, 1, 1].shape == (3, 2, 4)
    assert along[0, 1, 1, 0] == pytest.approx([-0.75, -0.25, 0.25, 0.75])
    assert along[2, 0, 0, 0, 0] == pytest.approx(0.5 * 5 / 6)
    assert along[2, 2, 0, 1, 0] == pytest.approx(-0.5 * 5 / 6)
    assert np.sqrt((found**2).sum(axis=0)) == pytest.approx(1)


def test_the_grid_is_the_published_one():
    """Factors, sizes, values and order are those of the published labels; only shape is free."""
    assert SPACE.names == (
        "floor_hue",
        "wall_hue",
        "object_hue",
        "scale",
        "shape",
        "orientation",
    )
    assert SPACE.sizes == (10, 10, 10, 8, 4, 15)
    assert len(SPACE) == 480_000
    assert SPACE.factor("floor_hue").values == pytest.approx(np.linspace(0, 0.9, 10))
    assert SPACE.factor("scale").values == pytest.approx(np.linspace(0.75, 1.25, 8))
    assert SPACE.factor("orientation").values == pytest.approx(np.linspace(-30, 30, 15))
    assert SPACE.factor("shape").names == ("cube", "cylinder", "sphere", "capsule")
    assert [factor.name for factor in SPACE.factors if not factor.held] == ["shape"]
    assert not any(factor.twins for factor in SPACE.factors)


def test_golden_images():
    """The bytes of a handful of images never change."""
    for row, digest in GOLDEN.items():
        (levels,) = SPACE.levels(np.array([row])).tolist()
        found = xxhash.xxh3_64_hexdigest(image(*levels).tobytes())
        assert found == digest, f"shapes3d row {row}: {found}"
    assert len(GOLDEN) == 8


def test_an_image_does_not_depend_on_its_batch():
    """A row drawn alone has the bytes that it has in a batch, in any order, traced anew or not."""
    levels = sampled("batch", 24)
    forward = [shown.copy() for shown in draw(levels)]
    backward = [shown.copy() for shown in draw(levels[::-1])][::-1]
    shapes3d._view.cache_clear()
    alone = [image(*row) for row in levels.tolist()]
    for one, two, three in zip(forward, backward, alone, strict=True):
        assert one.shape == (64, 64, 3)
        assert one.dtype == np.uint8
        assert one.flags.c_contiguous
        assert one.tobytes() == two.tobytes() == three.tobytes()


@pytest.mark.parametrize("base", [(1, 6, 0, 0, 2, 7), (5, 5, 5, 7, 3, 14)])
def test_every_level_shows(base):
    """From a sphere and from a capsule all in one hue: no two levels of a factor look the same."""
    for column, size in enumerate(SPACE.sizes):
        shown = [image(*base[:column], level, *base[column + 1 :]) for level in range(size)]
        for level, one in enumerate(shown):
            for other in shown[:level]:
                changed = np.abs(one.astype(int) - other).max(axis=2) > 8
                assert changed.sum() >= 25, (SPACE.names[column], level)


def test_no_two_of_many_images_are_equal():
    """Some 3,000 images of random hues in 30 random views differ from each other."""
    views = sampled("views", 30)[:, 3:]
    rows = sampled("many", 3000)[:, :3]
    levels = np.concatenate([rows, views[np.arange(len(rows)) % 30]], axis=1)
    levels = np.unique(levels, axis=0)
    digests = {xxhash.xxh3_128_digest(shown) for shown in draw(levels)}
    assert len(digests) == len(levels) > 2800


@pytest.mark.slow
def test_no_two_images_are_equal():
    """All 480,000 images differ from each other."""
    digests = set()
    for start in range(0, len(SPACE), 48_000):
        levels = SPACE.levels(np.arange(start, start + 48_000))
        digests.update(xxhash.xxh3_128_digest(shown) for shown in draw(levels))
    assert len(digests) == len(SPACE)


@pytest.mark.parametrize("level", range(10))
def test_hues_are_those_of_the_levels(level):
    """An image has the hue of the floor at its bottom, the walls' on top, the object's inside."""
    floor, wall, thing = level, (level + 3) % 10, (level + 6) % 10
    shown = image(floor, wall, thing, 4, level % 4, 4)
    assert hue(shown[63, 32]) == pytest.approx(floor, abs=0.1)
    assert hue(shown[0, 20]) == pytest.approx(wall, abs=0.1)
    assert hue(shown[34, 32]) == pytest.approx(thing, abs=0.1)
    nearest = np.array([round(hue(rgb)) % 10 for rgb in shown.reshape(-1, 3)])
    shares = [(nearest == k).mean() for k in (floor, wall, thing)]
    assert min(shares[:2]) > 0.3
    assert shares[2] > 0.05
    assert sum(shares) > 0.95
    assert shown.max() > 230


@pytest.mark.parametrize("shape", range(4))
def test_larger_levels_of_scale_show_larger_objects(shape):
    """The object covers at least 8 % more of the image at each level of scale."""
    areas = [(shapes3d._view(scale, shape, 3)[2] > 0).sum() for scale in range(8)]
    assert all(100 * large >= 108 * small for small, large in pairwise(areas))


def test_views_fit_their_integers_and_their_cache():
    """No channel passes 2**16 whatever the hues, and the cache holds every view in 16 MB."""
    for view in ((0, 0, 0), (7, 2, 14), (3, 1, 7), (5, 3, 11)):
        planes = shapes3d._view(*view).astype(np.int64)
        assert (5 * planes[:3].sum(axis=0) + planes[3]).max() < 2**16
        assert ((planes[:3] > 0).sum(axis=0) > 0).all()
    assert planes.shape == (4, 4096)
    assert shapes3d._view.cache_parameters()["maxsize"] == math.prod(SPACE.sizes[3:]) == 480


@pytest.mark.parametrize("module", [raycast, shapes3d])
def test_the_arithmetic_is_exactly_rounded(module):
    """Only functions of known last bit and order are used, and sums along axes are of integers."""
    tree = ast.parse(inspect.getsource(module))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == "_summed":
            node.body = []  # takes integers
    for node in ast.walk(tree):
        assert not isinstance(node, ast.MatMult)
        if isinstance(node, ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            assert node.attr in EXACT.get(owner, {node.attr}), ast.unparse(node)
            assert node.attr not in ("sum", "mean", "dot", "prod", "std", "var"), ast.unparse(node)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
            assert ast.unparse(node.left) in ("2", "_SAMPLES"), ast.unparse(node)
