"""The scene of our MPI3D: a stage before a coloured wall, an arm of two joints, an object it holds.

Lengths are in radii of the stage; z is up, from the stage's top, along the axis of the arm's
pedestal; the cameras look along y. What is seen comes in layers that are cast once and laid over
each other as integers: stage and wall, the arm over them, the object over the arm. The hand points
away from the arm and never away from the cameras, so that nothing hides the object.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli import fixed
from samediff_stimuli.factors import raycast as rc

Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]

SIDE = 64  # pixels
SAMPLES = 4  # along each side of a pixel
SHAPES = ("cone", "cube", "cylinder", "hexagonal", "pyramid", "sphere")
SIZES = (0.21, 0.31)  # radius of the sphere
CAMERAS = ((-38, 0.62), (-14, 0.75), (8, 0.92))  # degrees it looks up, height of what it looks at
WALLS = ((132, 68, 172), (48, 156, 106), (250, 138, 116))  # purple, sea green, salmon

_DISTANCE = 7.0  # of the cameras from the axis
_HALF = 1.59  # half the height that is seen at that distance
_TENTHS = 3600  # of a degree, in a turn
_PAN = (-741, 38)  # tenths of a degree: the first step, and from each step to the next
_LIFT = (-340, 20)
_YAW = 200  # of the object against the hand, so that a cube seldom shows one face alone

_SHOULDER = (0.02, 0.34)  # out from the axis, up
_ELBOW = (-0.2, 1.0)
_FOREARM = 0.90
_HAND = 0.12  # from the wrist to the object
_FLOOR = -0.6
_RING = (2.7, 1.8)  # radius and top of the wall

_KEY = (-6 / 11, -6 / 11, 7 / 11)  # unit vectors to where light comes from
_FILL = (6 / 11, -7 / 11, 6 / 11)


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """What covers a part of the image.

    Attributes:
        top: its first row of pixels.
        left: its first column.
        parts: (3, height, width) uint8: how much shows of what is behind, the light that takes the
            layer's colour, the light that stays white; together at most 255.
    """

    top: int
    left: int
    parts: Bytes


@dataclass(frozen=True, kw_only=True)
class Surface:
    """How a surface answers to light.

    Attributes:
        matte: part of the light that it scatters.
        gloss: brightness of its highlight.
        squarings: how often the cosine that forms the highlight is squared.
    """

    matte: float
    gloss: float = 0.0
    squarings: int = 0


_STEEL = Surface(matte=0.62, gloss=0.32, squarings=5)
_IRON = Surface(matte=0.20, gloss=0.25, squarings=4)
_RUBBER = Surface(matte=0.11)
_BOARD = Surface(matte=0.30, gloss=0.10, squarings=4)
_CLOTH = Surface(matte=1.0)
_PAINT = Surface(matte=1.0, gloss=0.35, squarings=5)
_DUSK = 24  # the room above the wall
_FIELD = 16  # bits: sums over a pixel's samples of three small integers share one of 64 bits


@dataclass(frozen=True, kw_only=True)
class Part:
    """A solid and a rod with round ends that holds it: the rod only saves time."""

    solid: rc.Solid
    surface: Surface
    start: rc.Vector
    end: rc.Vector
    radius: float


@dataclass(frozen=True, kw_only=True)
class View:
    """A camera.

    Attributes:
        eye: where it is.
        forward: unit vector.
        down: unit vector along the columns of pixels; along their rows it is x.
        halfway: normal of a surface that mirrors the light into the camera.
        rays: (3, SIDE**2, SAMPLES**2) float64 unit vectors.
    """

    eye: rc.Vector
    forward: rc.Vector
    down: rc.Vector
    halfway: rc.Vector
    rays: Floats

    def project(self, point: rc.Vector) -> tuple[float, float, float]:
        """Column and row in pixels from the top left corner; pixels to a unit of length there."""
        ray = _minus(point, self.eye)
        scale = SIDE * _DISTANCE / (2.0 * _HALF * float(rc.dot(ray, self.forward)))
        return SIDE / 2 + ray[0] * scale, SIDE / 2 + float(rc.dot(ray, self.down)) * scale, scale


@lru_cache(maxsize=len(CAMERAS))
def view(height: int) -> View:
    """The camera at a level of the height."""
    degrees, z = CAMERAS[height]
    cos, sin = _angle(10 * degrees)
    eye, forward = (0.0, -_DISTANCE * cos, z - _DISTANCE * sin), (0.0, cos, sin)
    rays = rc.rays(eye, (0.0, 0.0, z), _HALF / _DISTANCE, SIDE, SIDE, SAMPLES)
    return View(
        eye=eye,
        forward=forward,
        down=(0.0, sin, -cos),
        halfway=rc.unit(_minus(_KEY, forward)),
        rays=np.ascontiguousarray(rays.reshape(3, SAMPLES**2, SIDE**2).swapaxes(1, 2)),
    )


def _angle(tenths: int) -> tuple[float, float]:
    """Cosine and sine of tenths of a degree, rounded to the same bits everywhere."""
    cos, sin = fixed.circle(_TENTHS)[tenths % _TENTHS].tolist()
    return cos / fixed.UNIT, sin / fixed.UNIT


def _minus(a: rc.Vector, b: rc.Vector) -> rc.Vector:
    """The vector from b to a."""
    return (a[0] - b[0], a[1] - b[1], a[2] - b[2])


def _moved(point: rc.Vector, along: rc.Vector, by: float) -> rc.Vector:
    """A point moved along a direction."""
    return (point[0] + by * along[0], point[1] + by * along[1], point[2] + by * along[2])


def joints(pan: int, lift: int) -> tuple[rc.Vector, rc.Vector, rc.Vector, rc.Vector]:
    """Shoulder, elbow and wrist at steps of the axes, and the hand's direction, which is level."""
    cos, sin = _angle(_PAN[0] + _PAN[1] * pan)
    flat, steep = _angle(_LIFT[0] + _LIFT[1] * lift)
    out = (sin, -cos, 0.0)
    ends = (_SHOULDER, _ELBOW, (_ELBOW[0] + _FOREARM * flat, _ELBOW[1] + _FOREARM * steep))
    shoulder, elbow, wrist = ((far * out[0], far * out[1], z) for far, z in ends)
    return shoulder, elbow, wrist, out


def lower_arm(pan: int) -> tuple[Part, ...]:
    """What turns but does not rise."""
    shoulder, elbow, _, out = joints(pan, 0)
    return (
        _axle(shoulder, out, 0.15, 0.15),
        _bar(shoulder, elbow, out, 0.075, 0.10),
        _axle(elbow, out, 0.125, 0.13),
    )


def forearm(pan: int, lift: int) -> tuple[Part, ...]:
    """What rises: a bar, the link above it that keeps the hand level, and the hand."""
    _, elbow, wrist, out = joints(pan, lift)
    link = (_moved(elbow, (0.0, 0.0, 1.0), 0.13), _moved(wrist, (0.0, 0.0, 1.0), 0.13))
    return (
        _bar(elbow, wrist, out, 0.06, 0.075),
        _rod(*link, 0.028, _STEEL),
        _axle(wrist, out, 0.085, 0.09),
        _rod(wrist, _moved(wrist, out, _HAND), 0.06, _RUBBER),
    )


def _rod(start: rc.Vector, end: rc.Vector, radius: float, surface: Surface) -> Part:
    """A round rod with flat ends."""
    solid = rc.rod(start, end, radius)
    return Part(solid=solid, surface=surface, start=start, end=end, radius=radius)


def _axle(centre: rc.Vector, out: rc.Vector, radius: float, half: float) -> Part:
    """A level cylinder across the arm."""
    side = (-out[1], out[0], 0.0)
    return _rod(_moved(centre, side, -half), _moved(centre, side, half), radius, _IRON)


def _bar(start: rc.Vector, end: rc.Vector, out: rc.Vector, wide: float, high: float) -> Part:
    """A bar in the plane of the arm, of these half sides."""
    run = _minus(end, start)
    axis, half = rc.unit(run), rc.length(run) / 2
    side = (-out[1], out[0], 0.0)
    upright = rc.transposed((side, rc.cross(axis, side), axis))
    solid = rc.placed(rc.box(wide, high, half), _moved(start, axis, half), upright)
    radius = rc.length((wide, high, 0.0))
    return Part(solid=solid, surface=_STEEL, start=start, end=end, radius=radius)


def held(shape: int, size: int, pan: int, lift: int) -> Part:
    """The object before the hand: it turns with the arm and stays upright, as the hand is level."""
    r = SIZES[size]
    solid, low, depth, radius = _object(SHAPES[shape], r)
    _, _, wrist, out = joints(pan, lift)
    x, y, z = middle = _moved(wrist, out, _HAND + depth)
    turned = rc.about_z(*_angle(_PAN[0] + _PAN[1] * pan + _YAW))
    solid = rc.placed(solid, (x, y, z + low), turned)
    return Part(solid=solid, surface=_PAINT, start=middle, end=middle, radius=radius)


def _object(kind: str, r: float) -> tuple[rc.Solid, float, float, float]:
    """An object about z; what its middle lacks to z = 0, its depth up to the hand, its radius."""
    if kind == "cone":
        return rc.cone(0.84 * r, 2.2 * r), -1.1 * r, 0.42 * r, 1.39 * r
    if kind == "cube":
        return rc.box(0.77 * r, 0.77 * r, 0.77 * r), 0.0, 0.79 * r, 1.34 * r
    if kind == "cylinder":
        return rc.cylinder(0.66 * r, 1.05 * r), 0.0, 0.62 * r, 1.25 * r
    if kind == "hexagonal":
        return rc.hexagonal_prism(0.95 * r, 0.55 * r), 0.0, 0.92 * r, 1.24 * r
    if kind == "pyramid":
        return rc.pyramid(0.9 * r, 1.5 * r), -0.75 * r, 0.48 * r, 1.49 * r
    return rc.sphere(r), 0.0, 0.95 * r, r


def _shade(normal: Floats, surface: Surface, halfway: rc.Vector) -> tuple[Ints, Ints]:
    """(n,) int64 twice: the light that a surface scatters and that it mirrors, together to 255.

    Args:
        normal: (3, n) unit vectors.
        surface: what is lit.
        halfway: of the camera.
    """
    key = np.maximum(rc.dot(_KEY, normal), 0.0)
    fill = np.maximum(rc.dot(_FILL, normal), 0.0)
    light = 0.34 + 0.06 * normal[2] + 0.61 * key + 0.24 * fill
    matte = np.rint(255.0 * np.minimum(surface.matte * light, 1.0))
    shine = np.maximum(rc.dot(halfway, normal), 0.0)
    for _ in range(surface.squarings):
        shine = shine * shine
    gloss = np.minimum(np.rint(255.0 * surface.gloss * shine), 255.0 - matte)
    return matte.astype(np.int64), gloss.astype(np.int64)


def near(height: int, part: Part) -> Ints:
    """(n,) int64 all pixels that a part touches, and a few more."""
    x, y, scale = view(height).project(part.start)
    u, v, other = view(height).project(part.end)
    reach = 1.1 * part.radius * max(scale, other) + 1.0
    low, high = max(int(min(y, v) - reach), 0), min(int(max(y, v) + reach) + 1, SIDE)
    first, last = max(int(min(x, u) - reach), 0), min(int(max(x, u) + reach) + 1, SIDE)
    rows, columns = np.arange(low, high)[:, None], np.arange(first, last)
    px, py = columns + (0.5 - x), rows + (0.5 - y)
    u, v = u - x, v - y
    nearest = np.clip((px * u + py * v) / max(u * u + v * v, 1e-9), 0.0, 1.0)
    dx, dy = px - nearest * u, py - nearest * v
    pixels = rows * SIDE + columns
    return np.asarray(pixels[dx * dx + dy * dy <= reach * reach], dtype=np.int64)


def _cast(part: Part, height: int, pixels: Ints, nearest: Floats) -> tuple[Ints, Floats, Ints]:
    """Which samples see a part, how far off it is for each of them, and what each sees, packed.

    Args:
        part: what to look at.
        height: of the camera.
        pixels: (n,) where to look.
        nearest: (n, SAMPLES**2) float64 what is farther than this is hidden.

    Returns:
        (m,) int64 indices into all samples of the pixels; (m,) float64; (m,) int64, see `_layer`.
    """
    camera = view(height)
    rays = camera.rays[:, pixels].reshape(3, -1)
    span = rc.span(part.solid, camera.eye, rays)
    hit = np.flatnonzero((span.enter < span.leave) & (span.enter < nearest.reshape(-1)))
    t = span.enter[hit]
    points = rc.along(camera.eye, rays[:, hit], t)
    normal = rc.normals(part.solid, points, span.face[hit])
    matte, gloss = _shade(normal, part.surface, camera.halfway)
    return hit, t, (1 << 2 * _FIELD) + (matte << _FIELD) + gloss


def _sums(samples: Ints) -> Ints:
    """(n,) int64 sums of (n, m) integers, whose order is free."""
    return np.asarray(samples.sum(axis=1), dtype=np.int64)


def _layer(packed: Ints) -> Layer:
    """The mean over the samples of each pixel, cropped.

    Args:
        packed: (SIDE**2,) int64 sums over samples: how many are covered, light, gloss, in fields.
    """
    whole = packed.reshape(SIDE, SIDE)
    rows, columns = np.flatnonzero(whole.any(axis=1)), np.flatnonzero(whole.any(axis=0))
    top, left = int(rows[0]), int(columns[0])
    crop = whole[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1]
    n, ones = SAMPLES * SAMPLES, (1 << _FIELD) - 1
    count, matte, gloss = crop >> 2 * _FIELD, crop >> _FIELD & ones, crop & ones
    # Rounding down the last keeps the sum of the parts at 255 or below.
    parts = np.stack([255 - (255 * count + n // 2) // n, (matte + n // 2) // n, gloss // n])
    return Layer(top=top, left=left, parts=parts.astype(np.uint8))


def _add(parts: tuple[Part, ...], height: int, depth: Floats, packed: Ints) -> None:
    """Sees parts of the arm wherever they are nearest so far; changes the (n, m) arrays."""
    for part in parts:
        pixels = near(height, part)
        hit, t, seen = _cast(part, height, pixels, depth[pixels])
        at = pixels[hit // SAMPLES**2] * SAMPLES**2 + hit % SAMPLES**2
        depth.reshape(-1)[at] = t
        packed.reshape(-1)[at] = seen


@lru_cache(maxsize=2)
def _lower(height: int, pan: int) -> tuple[Floats, Ints]:
    """What turns but does not rise, before what is still; steps of the vertical axis share it."""
    depth = _still(height)[0].copy()
    packed = np.zeros(depth.shape, dtype=np.int64)
    _add(lower_arm(pan), height, depth, packed)
    return depth, packed


def arm_layer(height: int, pan: int, lift: int) -> Layer:
    """The arm at levels of the camera's height and of the two axes."""
    depth, packed = _lower(height, pan)
    depth, packed = depth.copy(), packed.copy()
    _add(forearm(pan, lift), height, depth, packed)
    return _layer(_sums(packed))


def object_layer(shape: int, size: int, height: int, pan: int, lift: int) -> Layer:
    """The object at levels of its shape and size, the camera's height and the two axes."""
    part = held(shape, size, pan, lift)
    pixels = near(height, part)
    packed = np.zeros((len(pixels), SAMPLES**2), dtype=np.int64)
    hit, _, seen = _cast(part, height, pixels, np.full(packed.shape, np.inf))
    packed.reshape(-1)[hit] = seen
    sums = np.zeros(SIDE * SIDE, dtype=np.int64)
    sums[pixels] = _sums(packed)
    return _layer(sums)


@lru_cache(maxsize=len(CAMERAS))
def _still(height: int) -> tuple[Floats, Ints, Ints]:
    """What does not move.

    Returns:
        (SIDE**2, SAMPLES**2) float64 distances, int64 grey light, int64 light that takes the wall's
        colour.
    """
    camera = view(height)
    rays = camera.rays.reshape(3, -1)
    things = (
        (rc.half_space((0.0, 0.0, 1.0), (0.0, 0.0, _FLOOR)), _RUBBER),
        (rc.placed(rc.cylinder(1.0, 0.06), (0.0, 0.0, -0.06)), _BOARD),
        (rc.placed(rc.cylinder(0.9, 0.3), (0.0, 0.0, _FLOOR / 2 - 0.06)), _RUBBER),
        (rc.placed(rc.cylinder(0.3, 0.06), (0.0, 0.0, 0.06)), _IRON),
        (rc.placed(rc.cylinder(0.2, 0.09), (0.0, 0.0, 0.16)), _STEEL),
    )
    hit = rc.nearest([solid for solid, _ in things], camera.eye, rays)
    grey, wall = np.zeros((2, rays.shape[1]), dtype=np.int64)
    for index, (_, surface) in enumerate(things):
        mine = np.flatnonzero(hit.which == index)
        matte, gloss = _shade(hit.normal[:, mine], surface, camera.halfway)
        grey[mine] = matte + gloss
    radius, top = _RING
    far = rc.span(rc.cylinder(radius, 99.0), camera.eye, rays).leave  # its inside is the wall
    behind = np.flatnonzero(far < hit.t)
    x, y, z = rc.along(camera.eye, rays[:, behind], far[behind])
    matte, _ = _shade(np.stack([x / -radius, y / -radius, 0.0 * z]), _CLOTH, camera.halfway)
    wall[behind], grey[behind] = np.where(z < top, matte, 0), np.where(z < top, 0, _DUSK)
    shape = camera.rays.shape[1:]
    return np.minimum(far, hit.t).reshape(shape), grey.reshape(shape), wall.reshape(shape)


@lru_cache(maxsize=len(CAMERAS) * len(WALLS))
def plate(height: int, colour: int) -> Bytes:
    """(64, 64, 3) uint8 the stage before a wall, read-only."""
    _, grey, wall = _still(height)
    n = SAMPLES * SAMPLES
    out = np.empty((SIDE * SIDE, 3), dtype=np.uint8)
    for channel, part in enumerate(WALLS[colour]):
        out[:, channel] = (_sums(grey + wall * part // 255) + n // 2) // n
    out.flags.writeable = False
    return out.reshape(SIDE, SIDE, 3)
