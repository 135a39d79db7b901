"""What a camera sees of which object, from the meshes alone: masks, depth, boxes, visibility.

A z-buffer of our own in numpy. Corners are rounded to a grid of 1 / 2**14 pixel; whether a pixel's
centre lies in a triangle is then exact integer arithmetic, so neighbours leave no gaps, and the
order of triangles does not matter. Floats meet only elementwise + - * / and square roots, so that
the same meshes give the same bytes on every machine.

Places in a picture are (x, y) in pixels from the outer corner of the top left pixel, x to the right
and y down: the pixel in column c and row r is the square [c, c + 1) x [r, r + 1), and is sampled at
its centre. Subtract 0.5 from both, and from the last column of the first two rows of K, for the
convention in which the centre of the top left pixel is (0, 0).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli.blender_scenes.data import (
    NO_CORNER,
    Camera,
    Floats,
    Ints,
    Mesh,
    Pose,
    Scene,
    Vector,
)
from samediff_stimuli.blender_scenes.pictures import TABLE_SIZE
from samediff_stimuli.recipe import InputError

SENSOR = 36.0  # width of the sensor in mm
NEAREST = 0.1  # an object must lie wholly farther than this from the camera
WHOLE = 1000  # visibility is in thousandths
MAX_OBJECTS = 255  # instance maps are uint8
_SUB = 1 << 14  # steps a pixel
_FARTHEST = 1 << 14  # pixels from the picture's corner; keeps products of differences below 2**61
_BLOCK = 1 << 17  # candidate pixels looked at together: fits the caches
_PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494")


@dataclass(frozen=True, kw_only=True, eq=False)
class Annotation:
    """What is known of a picture without rendering it; k objects in the scene's order.

    Attributes:
        instances: (h, w) uint8: 0 where no object is nearest, else j for object j - 1.
        full_masks: (k, h, w) bool: where each object would be if it were alone.
        depth: (h, w) float32: distance along the camera's axis of the nearest object, else of the
            table's top, else inf.
        full_pixels: (k,) int64: pixels of each full mask.
        visible_pixels: (k,) int64: pixels of each object in `instances`.
        visibility: (k,) int64: visible of full pixels, in thousandths; 0 if there are none.
        full_boxes: (k, 4) int64: x0, y0, x1, y1 around each full mask; see `boxes`.
        visible_boxes: (k, 4) int64: the same of the visible pixels.
    """

    instances: NDArray[np.uint8]
    full_masks: NDArray[np.bool_]
    depth: NDArray[np.float32]
    full_pixels: Ints
    visible_pixels: Ints
    visibility: Ints
    full_boxes: Ints
    visible_boxes: Ints


def annotate(scene: Scene, meshes: Mapping[str, Mesh]) -> Annotation:
    """Everything that the meshes tell about a scene's picture; depth of field does not enter.

    Args:
        scene: 1 to 255 objects.
        meshes: by name of model; caches are kept per mesh.

    Raises:
        InputError: if there are too many objects, one has no mesh, or one reaches the camera.
    """
    size = scene.size
    if not 1 <= len(scene.objects) <= MAX_OBJECTS:
        raise InputError(f"a scene of {len(scene.objects)} objects; legal: 1 .. {MAX_OBJECTS}")
    absent = sorted({pose.model for pose in scene.objects} - set(meshes))
    if absent:
        raise InputError(f"no mesh for {', '.join(map(repr, absent))}; known: {', '.join(meshes)}")
    depths = [depth_map(meshes[pose.model], pose, scene.camera, size) for pose in scene.objects]
    full = np.isfinite(np.stack(depths))
    instances, depth = layered(depths, table_depth(scene.camera, size))
    ids = np.arange(1, len(full) + 1, dtype=np.uint8)
    visible = instances[None] == ids[:, None, None]
    return Annotation(
        instances=instances,
        full_masks=full,
        depth=depth.astype(np.float32),
        full_pixels=np.count_nonzero(full, axis=(1, 2)).astype(np.int64),
        visible_pixels=np.count_nonzero(visible, axis=(1, 2)).astype(np.int64),
        visibility=visibility(depths),
        full_boxes=boxes(full),
        visible_boxes=boxes(visible),
    )


def layered(depths: Sequence[Floats], ground: Floats) -> tuple[NDArray[np.uint8], Floats]:
    """Which object is nearest in each pixel; the earlier one where two are equally near.

    Args:
        depths: (h, w) float64 of each object, inf where it is not.
        ground: (h, w) float64 of what is behind all objects.

    Returns:
        (h, w) uint8: 0 where there is no object, else j for object j - 1; and (h, w) float64 depth.
    """
    nearest = np.full(ground.shape, np.inf)
    instances = np.zeros(ground.shape, dtype=np.uint8)
    for number, depth in enumerate(depths):
        nearer = depth < nearest
        nearest[nearer] = depth[nearer]
        instances[nearer] = number + 1
    return instances, np.where(instances == 0, ground, nearest)


def visibility(depths: Sequence[Floats]) -> Ints:
    """(k,) int64: how much of each object's full mask the others leave in sight, in thousandths.

    Args:
        depths: (h, w) float64 of each object, inf where it is not; an empty one has 0.
    """
    instances, _ = layered(depths, depths[0])
    visible = np.bincount(instances.reshape(-1), minlength=len(depths) + 1)[1:]
    full = np.array([np.count_nonzero(np.isfinite(depth)) for depth in depths])
    return np.asarray((2 * WHOLE * visible + full) // np.maximum(2 * full, 1), dtype=np.int64)


def boxes(masks: NDArray[np.bool_]) -> Ints:
    """(k, 4) int64: x0, y0, x1, y1 around each mask, x1 and y1 excluded; zeros for an empty one.

    Args:
        masks: (k, h, w) bool.
    """
    found = np.zeros((len(masks), 4), dtype=np.int64)
    for number, mask in enumerate(masks):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if len(rows):
            found[number] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return found


def camera_matrices(camera: Camera, size: int) -> tuple[Floats, Floats, Floats]:
    """The camera as matrices: intrinsics, Blender's pose, OpenCV's pose.

    Args:
        camera: whose target is neither the pinhole nor straight above or below it.
        size: side of the picture in pixels.

    Returns:
        K (3, 3): pixels from OpenCV's camera frame (x right, y down, z ahead);
        cam_to_world (4, 4): from Blender's camera frame (x right, y up, looks along -z);
        world_to_cam (4, 4): into OpenCV's camera frame. All float64.

    Raises:
        InputError: if the target gives no upright view.
    """
    right, up, ahead = _axes(camera)
    focal = camera.lens / SENSOR * size
    k = np.array([[focal, 0.0, size / 2], [0.0, focal, size / 2], [0.0, 0.0, 1.0]])
    cam_to_world, world_to_cam = np.eye(4), np.eye(4)
    for row in range(3):
        cam_to_world[row] = right[row], up[row], -ahead[row], camera.position[row]
    for row, axis in enumerate((right, _times(up, -1.0), ahead)):
        world_to_cam[row] = (*axis, -_inner(axis, camera.position))
    return k, cam_to_world + 0.0, world_to_cam + 0.0  # no negative zeros


def project(points: Floats, camera: Camera, size: int) -> tuple[Floats, Floats]:
    """Where a pinhole camera sees points.

    Args:
        points: (n, 3) float64 in the world.
        camera: what sees them.
        size: side of the picture in pixels.

    Returns:
        (n, 2) float64 pixels (see the module), and (n,) float64 distance along the camera's axis.
        Where the distance is not above 0 the place has no meaning.
    """
    k, _, world_to_cam = camera_matrices(camera, size)
    x, y, z = points[:, 0], points[:, 1], points[:, 2]
    across, down, depth = (x * a + y * b + z * c + d for a, b, c, d in world_to_cam[:3].tolist())
    with np.errstate(divide="ignore", invalid="ignore"):
        places = [across / depth * k[0, 0] + k[0, 2], down / depth * k[1, 1] + k[1, 2]]
    return np.stack(places, axis=1), depth


def posed(mesh: Mesh, pose: Pose) -> Floats:
    """(n, 3) float64: a mesh's vertices in the world: scaled, turned about z, moved."""
    cos, sin = cos_sin(pose.turn)
    x, y, z = (mesh.vertices[:, axis] * pose.scale for axis in range(3))
    return np.stack([x * cos - y * sin + pose.x, x * sin + y * cos + pose.y, z], axis=1)


def bounds(mesh: Mesh, pose: Pose, camera: Camera) -> tuple[float, float, float, float]:
    """x0, y0, x1, y1 around an object in a picture of side 1; beyond 0 and 1 where it is cut off.

    Raises:
        InputError: if the object reaches up to the camera.
    """
    places, _ = _seen(mesh, pose, camera, 1)
    low, high = places.min(axis=0).tolist(), places.max(axis=0).tolist()
    return low[0], low[1], high[0], high[1]


def apart(a: Sequence[float], b: Sequence[float], grid: int) -> bool:
    """Whether no cell of a grid over the picture touches both of two boxes from `bounds`."""
    return any(
        math.ceil(one[axis + 2] * grid) <= math.floor(other[axis] * grid)
        for axis in (0, 1)
        for one, other in ((a, b), (b, a))
    )


@lru_cache(maxsize=128)
def radius(mesh: Mesh) -> float:
    """Of the circle on the table that an object fills when it is turned about z."""
    x, y = mesh.vertices[:, 0], mesh.vertices[:, 1]
    return float(np.sqrt(x * x + y * y).max())


@lru_cache(maxsize=32)  # the scenes of a group share objects, and are drawn, then annotated
def depth_map(mesh: Mesh, pose: Pose, camera: Camera, size: int) -> Floats:
    """(size, size) float64: depth of an object alone, as in `Annotation`; inf where it is not.

    The array is read-only.

    Faces are seen from both sides, as rays see them. A quadrangle is two triangles, cut from its
    first to its third corner.

    Args:
        mesh: of the object.
        pose: where it stands; its model's name does not matter.
        camera: what sees it.
        size: side of the picture in pixels.

    Raises:
        InputError: if the object reaches up to the camera.
    """
    places, depth = _seen(mesh, pose, camera, size)
    if float(np.abs(places).max()) > _FARTHEST:
        raise InputError(f"{pose.model!r} at ({pose.x}, {pose.y}) is too near to the camera")
    steps = np.rint(places * _SUB).astype(np.int64)
    corners = triangles(mesh)
    x, y, nearness = steps[:, 0][corners], steps[:, 1][corners], (1.0 / depth)[corners]
    buffer = np.zeros(size * size)  # the largest 1 / depth, which is linear over the picture
    for pixels, values in _fragments(x, y, nearness, size):
        np.maximum.at(buffer, pixels, values)
    with np.errstate(divide="ignore"):
        found: Floats = (1.0 / buffer).reshape(size, size)
    found.flags.writeable = False
    return found


def table_depth(camera: Camera, size: int) -> Floats:
    """(size, size) float64: distance along the camera's axis of the bare table's top, else inf."""
    k, cam_to_world, _ = camera_matrices(camera, size)
    (rx, ux, bx, px), (ry, uy, by, py), (rz, uz, bz, pz) = cam_to_world[:3].tolist()
    offsets = (np.arange(size) + 0.5 - size / 2) / k[0, 0]
    across, down = offsets[None, :], offsets[:, None]
    falling = rz * across - uz * down - bz  # rise along the ray per unit of depth
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = np.where(falling != 0, -pz / falling, np.inf)
        x = px + depth * (rx * across - ux * down - bx)
        y = py + depth * (ry * across - uy * down - by)
        on_table = (depth > 0) & (np.abs(x) <= TABLE_SIZE[0] / 2) & (np.abs(y) <= TABLE_SIZE[1] / 2)
    return np.where(on_table, depth, np.inf)


@lru_cache(maxsize=128)
def triangles(mesh: Mesh) -> Ints:
    """(3, t) int64 corners of a mesh's triangles, read-only: first those that begin each face."""
    faces = mesh.faces
    quads = faces[faces[:, 3] != NO_CORNER]
    both = np.concatenate([faces[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    corners = np.ascontiguousarray(both.T)
    corners.flags.writeable = False
    return corners


@lru_cache(maxsize=1 << 14)
def cos_sin(degrees: float) -> tuple[float, float]:
    """Cosine and sine of an angle, from 60 digits rounded to 18: the same on every machine."""
    with localcontext() as context:
        context.prec = 60
        x = Decimal(degrees) % 360 * _PI / 180
        terms = [Decimal(1)]
        while abs(terms[-1]) > Decimal("1e-40") or len(terms) < 8:
            terms.append(terms[-1] * x / len(terms))
        even, odd = terms[0::2], terms[1::2]
        sums = [sum((-t if n % 2 else t for n, t in enumerate(s)), Decimal(0)) for s in (even, odd)]
        cos, sin = (float(total.quantize(Decimal("1e-18"))) for total in sums)
    return cos + 0.0, sin + 0.0  # no negative zeros


def _seen(mesh: Mesh, pose: Pose, camera: Camera, size: int) -> tuple[Floats, Floats]:
    """Pixels and depth of an object's vertices, all in front of the camera."""
    places, depth = project(posed(mesh, pose), camera, size)
    if not float(depth.min()) > NEAREST:
        raise InputError(
            f"{pose.model!r} at ({pose.x}, {pose.y}) reaches up to the camera at "
            f"{camera.position}; all of it must be more than {NEAREST} in front"
        )
    return places, depth


def _fragments(x: Ints, y: Ints, nearness: Floats, size: int) -> Iterator[tuple[Ints, Floats]]:
    """The pixels whose centres lie in triangles or on their edges, with 1 / depth there.

    Args:
        x: (3, t) int64 corners in steps.
        y: the same, down.
        nearness: (3, t) float64: 1 / depth of the corners.
        size: side of the picture.

    Yields:
        Flat pixel numbers, with repeats, and their float64 values.
    """
    half = _SUB // 2
    left, right = -((half - x.min(axis=0)) // _SUB), (x.max(axis=0) - half) // _SUB + 1
    top, bottom = -((half - y.min(axis=0)) // _SUB), (y.max(axis=0) - half) // _SUB + 1
    left, top = np.maximum(left, 0), np.maximum(top, 0)
    wide, high = np.minimum(right, size) - left, np.minimum(bottom, size) - top
    area = (x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0])
    kept = np.flatnonzero((wide > 0) & (high > 0) & (area != 0))
    x, y, nearness, area = x[:, kept], y[:, kept], nearness[:, kept], area[kept]
    left, top, wide, high = left[kept], top[kept], wide[kept], high[kept]
    sign = np.sign(area)
    area = area * sign
    weights = nearness / area
    counts = wide * high
    ends = np.cumsum(counts)
    edges = [_edge(x, y, sign, a, b) for a, b in ((1, 2), (2, 0))]  # facing corners 0 and 1
    start = 0
    while start < len(ends):
        done = int(ends[start] - counts[start])
        stop = max(start + 1, int(np.searchsorted(ends, done + _BLOCK, side="right")))
        part = slice(start, stop)
        which = np.repeat(np.arange(start, stop), counts[part])
        place = np.arange(done, int(ends[stop - 1])) - (ends - counts)[which]
        row, column = np.divmod(place, wide[which])
        row += top[which]
        column += left[which]
        px, py = column * _SUB + half, row * _SUB + half
        first, second = (a[which] * px + b[which] * py + c[which] for a, b, c in edges)
        third = area[which] - first - second
        hit = np.flatnonzero((first >= 0) & (second >= 0) & (third >= 0))
        owner = which[hit]
        value = first[hit] * weights[0][owner] + second[hit] * weights[1][owner]
        yield row[hit] * size + column[hit], value + third[hit] * weights[2][owner]
        start = stop


def _edge(x: Ints, y: Ints, sign: Ints, a: int, b: int) -> tuple[Ints, Ints, Ints]:
    """Factors of px, py and 1 of twice the area between an edge and a point, >= 0 inside."""
    down, across = (y[a] - y[b]) * sign, (x[b] - x[a]) * sign
    return down, across, -(down * x[a] + across * y[a])


def _axes(camera: Camera) -> tuple[Vector, Vector, Vector]:
    """Unit vectors to the right, up and ahead of a camera that stands upright."""
    px, py, pz = camera.position
    tx, ty, tz = camera.target
    ahead = (tx - px, ty - py, tz - pz)
    level = ahead[0] * ahead[0] + ahead[1] * ahead[1]
    if not level > 0:
        raise InputError(
            f"camera target {camera.target} is straight above or below its position; move one of "
            "them sideways"
        )
    ahead = _times(ahead, 1.0 / math.sqrt(_inner(ahead, ahead)))
    right = (ahead[1], -ahead[0], 0.0)
    right = _times(right, 1.0 / math.sqrt(_inner(right, right)))
    up = (right[1] * ahead[2], -right[0] * ahead[2], right[0] * ahead[1] - right[1] * ahead[0])
    return right, up, ahead


def _inner(a: Vector, b: Vector) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _times(a: Vector, factor: float) -> Vector:
    return a[0] * factor, a[1] * factor, a[2] * factor
