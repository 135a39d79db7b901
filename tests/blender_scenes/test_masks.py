"""The z-buffer: cameras, exact pixels, occlusion, ray casting by brute force, boxes, visibility."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samediff_stimuli.blender_scenes import masks
from samediff_stimuli.blender_scenes.data import (
    NO_CORNER,
    Camera,
    Light,
    Mesh,
    Pose,
    Room,
    Scene,
)
from samediff_stimuli.recipe import InputError
from samediff_stimuli.tokens import patch_coverage

# Level, so that the picture's plane is the x-z plane: 36 mm and size 40 give 40 pixels a unit at 1.
LEVEL = Camera(position=(0.0, -4.0, 1.0), target=(0.0, 0.0, 1.0), lens=36.0, f_stop=2.8, focus=4.0)
OBLIQUE = Camera(
    position=(2.1, -5.0, 3.2), target=(0.1, 0.2, 0.4), lens=50.0, f_stop=2.8, focus=6.0
)
HERE = Pose(model="a", x=0.0, y=0.0, turn=0.0)


def mesh(vertices, faces):
    """A mesh with nothing but a form; faces of three or four corners."""
    corners = np.array([[*face, *[NO_CORNER] * (4 - len(face))] for face in faces])
    n = len(corners)
    return Mesh(
        vertices=np.array(vertices, dtype=np.float64),
        faces=corners,
        uv=np.zeros((n, 4, 2)),
        material=np.zeros(n, dtype=np.int64),
        smooth=np.zeros(n, dtype=np.bool_),
    )


def square(x0, x1, z0, z1, y=0.0):
    """An upright square that faces a level camera."""
    return mesh([(x0, y, z0), (x1, y, z0), (x1, y, z1), (x0, y, z1)], [(0, 1, 2, 3)])


def blob(seed, n=14, m=9):
    """A closed, lumpy surface of triangles and quadrangles above the table."""
    words = np.random.Philox(key=seed).random_raw(m + 1)
    radii = 0.3 + 0.4 * (words >> np.uint64(40)) / 2**24
    angles = 2 * np.pi * np.arange(n) / n
    rings = [
        [(r * math.cos(t) * (1 + 0.3 * (t < 2)), r * math.sin(t), 1.2 * j / m) for t in angles]
        for j, r in enumerate(radii)
    ]
    vertices = [v for ring in rings for v in ring] + [(0, 0, 0), (0, 0, 1.2)]
    faces = [
        (j * n + i, j * n + (i + 1) % n, (j + 1) * n + (i + 1) % n, (j + 1) * n + i)
        for j in range(m)
        for i in range(n)
    ]
    faces += [((i + 1) % n, i, (m + 1) * n) for i in range(n)]
    faces += [(m * n + i, m * n + (i + 1) % n, (m + 1) * n + 1) for i in range(n)]
    return mesh(vertices, faces)


def scene(objects, camera=LEVEL, size=40):
    """A scene of which only geometry matters."""
    return Scene(
        objects=tuple(objects),
        camera=camera,
        light=Light(azimuth=0.0, elevation=30.0, sun=5.0, sky=1.3),
        room=Room(table=0, wall=0, shift=0.0),
        size=size,
        samples=4,
        seed=0,
    )


def test_a_square_at_known_depth_covers_exact_pixels():
    """A square of 2 x 1 units, 4 units away, is 20 x 10 pixels at depth 4 and nowhere else."""
    depth = masks.depth_map(square(-1.0, 1.0, 0.5, 1.5), HERE, LEVEL, 40)
    expected = np.zeros((40, 40), dtype=bool)
    expected[15:25, 10:30] = True
    assert np.array_equal(np.isfinite(depth), expected)
    assert np.abs(depth[expected] - 4.0).max() < 1e-14


def test_pixels_are_sampled_at_their_centres():
    """An edge just beyond a column of centres takes that column in; just before, it does not."""
    for shift, columns in ((0.0001, 21), (-0.0001, 20)):
        depth = masks.depth_map(square(-1.0, 1.05 + shift, 0.5, 1.5), HERE, LEVEL, 40)
        assert np.count_nonzero(np.isfinite(depth[20])) == columns


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_nearer_hides_farther_and_counts_are_exact(order):
    """Half of the far square is hidden by the near one, whichever comes first."""
    meshes = {"far": square(-1, 1, 0.5, 1.5), "near": square(0, 0.5, 0.75, 1.25)}
    poses = [Pose(model="far", x=0, y=0, turn=0), Pose(model="near", x=0, y=-2, turn=0)]
    got = masks.annotate(scene([poses[i] for i in order]), meshes)
    at = [order.index(0), order.index(1)]
    assert got.full_pixels[at].tolist() == [200, 100]
    assert got.visible_pixels[at].tolist() == [100, 100]
    assert got.visibility[at].tolist() == [500, 1000]
    assert got.full_boxes[at].tolist() == [[10, 15, 30, 25], [20, 15, 30, 25]]
    assert got.visible_boxes[at].tolist() == [[10, 15, 20, 25], [20, 15, 30, 25]]


def test_equally_near_objects_give_the_earlier_one():
    """Where two objects coincide the first is seen, the second is wholly hidden."""
    got = masks.annotate(scene([HERE, HERE]), {"a": square(-1, 1, 0.5, 1.5)})
    assert set(np.unique(got.instances)) == {0, 1}
    assert got.visibility.tolist() == [1000, 0]
    assert got.visible_boxes[1].tolist() == [0, 0, 0, 0]


def rays(camera, size):
    """(size**2, 3) directions of unit depth through the centres of pixels, from the formulae."""
    ahead = np.subtract(camera.target, camera.position)
    ahead = ahead / np.linalg.norm(ahead)
    right = np.cross(ahead, (0, 0, 1))
    right /= np.linalg.norm(right)
    up = np.cross(right, ahead)
    offsets = ((np.arange(size) + 0.5) / size - 0.5) * 36 / camera.lens
    across, down = np.meshgrid(offsets, offsets)
    return (ahead + across[..., None] * right - down[..., None] * up).reshape(-1, 3)


def cast(shape, pose, camera, size):
    """Depth by Moller and Trumbore's test of every ray with every triangle; and what is too close.

    Returns (size, size) depth, and where a ray passes within 1e-4 of a triangle's edge.
    """
    turn = math.radians(pose.turn)
    cos, sin = math.cos(turn), math.sin(turn)
    v = shape.vertices @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]]) + (pose.x, pose.y, 0)
    three = [f[[0, a, a + 1]] for f in shape.faces for a in ((1, 2) if f[3] >= 0 else (1,))]
    way = rays(camera, size)
    best, edge = np.full(len(way), np.inf), np.zeros(len(way), dtype=bool)
    for a, b, c in v[np.array(three)]:
        p = np.cross(way, c - a)
        det = p @ (b - a)
        start = np.array(camera.position) - a
        u = p @ start / det
        q = np.cross(start, b - a)
        w = way @ q / det
        depth = (c - a) @ q / det
        margin = np.minimum(np.minimum(u, w), 1 - u - w)
        edge |= np.abs(margin) < 1e-3
        hit = (margin >= 0) & (depth > 0)
        best = np.where(hit, np.minimum(best, depth), best)
    return best.reshape(size, size), edge.reshape(size, size)


@pytest.mark.parametrize("seed", range(3))
def test_depth_is_that_of_rays(seed):
    """Each pixel whose ray keeps clear of edges has the depth that brute force finds."""
    pose = Pose(model="a", x=0.2, y=-0.3, turn=30.0 + 77.7 * seed)
    found = masks.depth_map(blob(seed), pose, OBLIQUE, 64)
    wanted, edge = cast(blob(seed), pose, OBLIQUE, 64)
    assert np.count_nonzero(np.isfinite(wanted)) > 300
    assert np.count_nonzero(edge) < 200
    assert np.array_equal(np.isfinite(found)[~edge], np.isfinite(wanted)[~edge])
    seen = np.isfinite(wanted) & ~edge
    assert np.abs(found[seen] - wanted[seen]).max() < 2e-3


def test_closed_surfaces_have_no_gaps():
    """A finely cut square has every pixel of the plain one, and none beside."""
    steps = 37
    line = np.linspace(0, 1, steps + 1)
    vertices = [(2 * x - 1, 0, 0.5 + z) for z in line for x in line]
    faces = [
        (k, k + 1, k + steps + 2, k + steps + 1)
        for k in (r * (steps + 1) + c for r in range(steps) for c in range(steps))
    ]
    depth = masks.depth_map(mesh(vertices, faces), HERE, LEVEL, 200)
    assert np.array_equal(
        np.isfinite(depth),
        np.isfinite(masks.depth_map(square(-1, 1, 0.5, 1.5), HERE, LEVEL, 200)),
    )


def test_the_order_of_faces_does_not_matter():
    """Faces in reverse give the same mask, and the same depth to the last digits."""
    shape = blob(5)
    back = dataclasses.replace(shape, faces=shape.faces[::-1].copy())
    one, other = (masks.depth_map(m, HERE, OBLIQUE, 96) for m in (shape, back))
    assert np.array_equal(one, other)


def test_intrinsics_are_the_formula():
    """K has focal length lens / 36 * size, square pixels and the centre in the middle."""
    k, _, _ = masks.camera_matrices(OBLIQUE, 224)
    focal = 50.0 / 36.0 * 224
    assert np.allclose(k, [[focal, 0, 112], [0, focal, 112], [0, 0, 1]], rtol=0, atol=1e-12)


def test_both_forms_of_the_pose_agree():
    """Blender's pose is a right-handed frame; with y and z turned over its inverse is OpenCV's."""
    _, cam_to_world, world_to_cam = masks.camera_matrices(OBLIQUE, 224)
    turn = cam_to_world[:3, :3]
    assert np.allclose(turn.T @ turn, np.eye(3), atol=1e-14)
    assert np.linalg.det(turn) == pytest.approx(1.0)
    flip = np.diag([1.0, -1.0, -1.0, 1.0])
    assert np.allclose(flip @ np.linalg.inv(cam_to_world), world_to_cam, atol=1e-14)
    assert turn[2, 0] == 0.0  # upright: its x axis is level
    assert turn[2, 1] > 0.0


def test_projection_and_back():
    """A pixel and its depth lead back to the point; the target is in the middle of the picture."""
    points = np.array([(0.3, -0.2, 0.5), (-1.1, 0.7, 0.0), OBLIQUE.target])
    places, depth = masks.project(points, OBLIQUE, 224)
    k, cam_to_world, world_to_cam = masks.camera_matrices(OBLIQUE, 224)
    beams = np.linalg.inv(k) @ np.c_[places, np.ones(3)].T * depth
    back = (np.linalg.inv(world_to_cam) @ np.r_[beams, np.ones((1, 3))])[:3].T
    assert np.allclose(back, points, atol=1e-12)
    assert np.allclose(places[2], 112.0)
    assert cam_to_world[:3, 3].tolist() == list(OBLIQUE.position)


def test_left_is_left_and_up_is_up():
    """From the front, a point to the right has a larger x, a higher one a smaller y."""
    places, _ = masks.project(np.array([(0, 0, 1), (1, 0, 1), (0, 0, 2.0)]), LEVEL, 40)
    assert places.tolist() == [[20, 20], [30, 20], [20, 10]]


def test_the_table_is_a_plane_with_an_end():
    """Depth off the objects is that of z = 0 within the table's top, and infinite beyond."""
    got = masks.annotate(scene([HERE], OBLIQUE, 48), {"a": blob(1)})
    way = rays(OBLIQUE, 48).reshape(48, 48, 3)
    depth = -OBLIQUE.position[2] / way[..., 2]
    place = np.array(OBLIQUE.position) + depth[..., None] * way
    inside = (depth > 0) & (np.abs(place[..., 0]) < 7.5) & (np.abs(place[..., 1]) < 4.75)
    bare = got.instances == 0
    assert np.allclose(got.depth[bare & inside], depth[bare & inside], rtol=1e-6)
    assert np.isinf(got.depth[bare & ~inside]).all()
    assert np.count_nonzero(bare & ~inside) > 50
    assert (got.depth[~bare] < depth[~bare]).all()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.floats(-2, 2), st.floats(-2, 2), st.floats(0, 360)),
        min_size=1,
        max_size=4,
    )
)
def test_masks_boxes_and_visibility_agree(places):
    """In random scenes everything that is told of an object can be counted from its masks."""
    meshes = {name: blob(seed) for seed, name in enumerate("abc")}
    poses = [Pose(model=n, x=x, y=y, turn=t) for n, x, y, t in places]
    got = masks.annotate(scene(poses, OBLIQUE, 56), meshes)
    assert np.array_equal(got.instances > 0, got.full_masks.any(axis=0))
    for j, pose in enumerate(poses):
        visible, full = got.instances == j + 1, got.full_masks[j]
        assert not (visible & ~full).any()
        assert got.visible_pixels[j] == visible.sum()
        assert got.full_pixels[j] == full.sum()
        if full.any():
            exact = 1000 * visible.sum() / full.sum()
            assert abs(got.visibility[j] - exact) <= 0.5
            x0, y0, x1, y1 = got.full_boxes[j]
            assert full[y0:y1, x0:x1].sum() == full.sum()
            assert full[y0].any()
            assert full[y1 - 1].any()
            assert full[:, x0].any()
            assert full[:, x1 - 1].any()
            edges = [56 * e for e in masks.bounds(meshes[pose.model], pose, OBLIQUE)]
            assert edges[0] <= x0 + 1
            assert edges[1] <= y0 + 1
            assert edges[2] >= x1 - 1
            assert edges[3] >= y1 - 1
    cover = patch_coverage(got.instances[None], 8, len(poses))[0]
    assert np.array_equal((cover * 64).sum(axis=1), got.visible_pixels)


def test_scale_and_turn_are_those_of_the_pose():
    """A point is scaled, turned anticlockwise seen from above, and moved, in this order."""
    shape = mesh([(1.0, 0.0, 0.5)] * 3, [(0, 1, 2)])
    at = masks.posed(shape, Pose(model="a", x=3.0, y=1.0, turn=90.0, scale=2.0))[0]
    assert at.tolist() == [3.0, 3.0, 1.0]


@pytest.mark.parametrize("degrees", [0.0, 30.25, 90.0, 180.0, 270.0, 359.99, -17.001])
def test_cosines_and_sines(degrees):
    """Cosines and sines are exact at right angles, and within one unit in the last place else."""
    cos, sin = masks.cos_sin(degrees)
    assert cos == pytest.approx(math.cos(math.radians(degrees)), abs=1e-15)
    assert sin == pytest.approx(math.sin(math.radians(degrees)), abs=1e-15)
    if degrees % 90 == 0:
        assert {cos, sin} <= {0.0, 1.0, -1.0}


def test_boxes_are_apart_if_no_cell_touches_both():
    """Boxes in neighbouring cells are apart; boxes that share a cell are not."""
    left, right = (0.1, 0.1, 0.24, 0.9), (0.26, 0.1, 0.4, 0.9)
    assert masks.apart(left, right, 4)
    assert not masks.apart(left, right, 2)
    assert masks.apart(right, left, 4)
    assert not masks.apart(left, left, 4)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"objects": (Pose(model="b", x=0, y=0, turn=0),)}, "no mesh for 'b'; known: a"),
        ({"objects": ()}, "0 objects"),
        ({"objects": (Pose(model="a", x=0, y=-3.9, turn=0),)}, "reaches up to the camera"),
        (
            {"camera": dataclasses.replace(LEVEL, target=(0.0, -4.0, 0.0))},
            "straight above or below",
        ),
    ],
)
def test_errors_are_one_line(change, part):
    """What cannot be drawn is refused in one line that says why."""
    with pytest.raises(InputError, match=part) as caught:
        masks.annotate(dataclasses.replace(scene([HERE]), **change), {"a": blob(0)})
    assert "\n" not in str(caught.value)
