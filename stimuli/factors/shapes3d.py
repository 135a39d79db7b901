"""A renderer of our own for the grid of 3D Shapes: one object in the middle of a room.

The factors, their values and their order are those of the published set (Burgess & Kim 2018,
github.com/deepmind/3d-shapes: its README puts scale in [0, 1], its labels in [0.75, 1.25]), and so
is the subject: floor, walls and object of one saturated hue each, and a camera that looks down a
little and goes round the room. No code or image of that set was used, so all that its labels do not
say differs: the proportions of the room and the shapes, the place and lens of the camera, the side
to which it goes first (here negative is left of the middle), the lamp, its soft shadow, the shading
and highlights, the blends along edges. Models trained on one set are not expected to fit the other.

Hues only tint: the light on a pixel depends on scale, shape and orientation, so each of these 480
views is traced once, into four planes of integers, and an image is a weighted sum of them. All is
exactly rounded arithmetic (see `raycast`), so the bytes are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli.factors import Factor, FactorSpace, Levels
from samediff_stimuli.factors.raycast import (
    Floats,
    Hit,
    Ints,
    Solid,
    Vector,
    along,
    blocked,
    box,
    capsule,
    cylinder,
    dot,
    half_space,
    nearest,
    placed,
    rays,
    seen_from,
    sphere,
)
from samediff_stimuli.fixed import UNIT, circle

_SIDE = 64  # px
_SAMPLES = 4  # along each side of a pixel
_HUES = tuple(level / 10 for level in range(10))

SPACE = FactorSpace(
    name="shapes3d",
    factors=(
        Factor(name="floor_hue", values=_HUES, about="hue of the floor, in turns"),
        Factor(name="wall_hue", values=_HUES, about="hue of the walls, in turns"),
        Factor(name="object_hue", values=_HUES, about="hue of the object, in turns"),
        Factor(
            name="scale",
            values=tuple((21 + 2 * level) / 28 for level in range(8)),
            about="size of the object, 1 in the middle",
        ),
        Factor(
            name="shape",
            values=("cube", "cylinder", "sphere", "capsule"),
            about="what the object is",
            held=False,
        ),
        Factor(
            name="orientation",
            values=tuple((level - 7) * 30 / 7 for level in range(15)),
            about="azimuth of the camera around the room, in degrees",
        ),
    ),
)

# The scene: z is up, y goes back, the object stands on the origin. Lengths are about object sizes.
_HALF_ROOM = 2.45  # from the middle to each wall
_FLOOR = half_space((0.0, 0.0, 1.0), (0.0, 0.0, 0.0))
_WALLS = (
    half_space((0.0, -1.0, 0.0), (0.0, _HALF_ROOM, 0.0)),
    half_space((1.0, 0.0, 0.0), (-_HALF_ROOM, 0.0, 0.0)),
    half_space((-1.0, 0.0, 0.0), (_HALF_ROOM, 0.0, 0.0)),
)
_DISTANCE, _HEIGHT = 7.0, 3.0  # of the camera: level, from the axis it goes round, and above floor
_TARGET: Vector = (0.0, 0.0, 0.6)
_LENS = 0.27  # half the image's height at distance 1: an angle of view of 30 degrees
_LAMP: Vector = (-4.8, -2.7, 5.6)  # fixed in the room: front left, above
_LAMP_SIDE = 1.5
_KEY, _SKY, _GLOSS = 0.8, 0.28, 0.5  # light of the lamp and from all around; mirrored light

# A channel is a sum of planes times fifths, over 256, and that sum stays below 2**16.
_FIFTHS = 5  # channels of saturated hues a tenth of a turn apart are multiples of a fifth
_HALF = 128  # rounds
_FULL = (2**16 - 1 - _HALF) // (_FIFTHS * _SAMPLES**2)  # the most that a sample adds to a plane


def draw(levels: Levels) -> Iterator[NDArray[np.uint8]]:
    """Images of combinations of levels, one by one; each is good until the next is asked for.

    Args:
        levels: (n, 6) int64, in the range of `SPACE` (its `rows` checks that).

    Yields:
        (64, 64, 3) uint8 RGB, C-contiguous.
    """
    total, part = np.empty((2, 3, _SIDE * _SIDE), dtype=np.uint16)
    image = np.empty((_SIDE, _SIDE, 3), dtype=np.uint8)
    pixels = image.reshape(-1, 3)
    for *hues, scale, shape, orientation in levels.tolist():
        planes = _view(scale, shape, orientation)
        total[:] = planes[3]
        for plane, hue in zip(planes, hues, strict=False):
            np.multiply(plane, _TINTS[hue], out=part)
            np.add(total, part, out=total)
        np.right_shift(total, 8, out=total)
        for channel in range(3):
            pixels[:, channel] = total[channel]
        yield image


def _tint(hue: int) -> list[int]:
    """Red, green and blue, in fifths, of the saturated hue of a level (HSV, S = V = 1)."""
    return [min(max(abs((6 * hue + shift) % 60 - 30) - 10, 0), 10) // 2 for shift in (0, 40, 20)]


_TINTS = np.array([_tint(hue) for hue in range(len(_HUES))], dtype=np.uint16)[:, :, None]


@lru_cache(maxsize=480)  # every view there is: 16 MB
def _view(scale: int, shape: int, orientation: int) -> NDArray[np.uint16]:
    """How strongly a scene shows its hues, pixel by pixel.

    Args:
        scale: level.
        shape: level.
        orientation: level.

    Returns:
        (4, 4096) uint16, read-only: what to multiply with the hues of floor, walls and object, in
        fifths, and what to add to that as white; then a channel is the sum over 256.
    """
    scene = _scene(scale, shape, orientation)
    heading = rays(scene.eye, _TARGET, _LENS, _SIDE, _SIDE, _SAMPLES)
    sums = np.zeros((4, _SIDE * _SIDE), dtype=np.int64)
    sums[3] = _HALF
    for some, lamp in zip(np.split(heading, _SAMPLES, axis=1), _bulbs(), strict=True):
        _add(sums, scene, some, lamp)  # a quarter at a time, which stays in the processor's cache
    planes = sums.astype(np.uint16)
    planes.flags.writeable = False
    return planes


def _add(sums: Ints, scene: _Scene, heading: Floats, lamp: Floats) -> None:
    """Adds what some rays for each pixel show, each in the light of a lamp, to the planes."""
    hit = nearest(scene.backdrop + scene.thing, scene.eye, heading)
    points = along(scene.eye, heading, hit.t)
    diffuse, mirrored = _lit(scene, hit, points, heading, lamp)
    white = _rounded(_FULL * mirrored)
    tinted = _rounded(np.sqrt(diffuse) * (_FULL - white))  # a gamma of 2
    kind = np.where(hit.which < len(scene.backdrop), np.minimum(hit.which, 1), 2)
    for plane in range(3):
        sums[plane] += _summed(np.where(kind == plane, tinted, 0))
    sums[3] += _FIFTHS * _summed(white)


def _summed(values: Ints) -> Ints:
    """(4096,) int64 sums of the samples of each pixel; of integers, so their order is free."""
    return np.asarray(values.reshape(-1, _SIDE * _SIDE).sum(axis=0), dtype=np.int64)


def _rounded(values: Floats) -> Ints:
    """The nearest integers, halves up."""
    return np.floor(values + 0.5).astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class _Scene:
    """What there is to see.

    Attributes:
        eye: where the camera is.
        backdrop: the floor, then the walls; those seen from behind are left out.
        thing: the object: solids that overlap.
        girth: half the thickness of the object.
    """

    eye: Vector
    backdrop: tuple[Solid, ...]
    thing: tuple[Solid, ...]
    girth: float


def _scene(scale: int, shape: int, orientation: int) -> _Scene:
    """The scene of three levels."""
    cos, sin = (circle(84)[orientation - 7] / UNIT).tolist()  # 60 degrees are 14 of 84 steps
    eye = (_DISTANCE * sin, -_DISTANCE * cos, _HEIGHT)
    walls = (wall for wall in _WALLS if dot(wall.planes[0][0], seen_from(wall, eye)) > 0)
    size = (21 + 2 * scale) / 28
    girth = (0.58, 0.58, 0.7, 0.46)[shape] * size
    foot, middle, top = (0.0, 0.0, girth), (0.0, 0.0, 0.6 * size), (0.0, 0.0, 1.2 * size)
    thing = (
        (placed(box(girth, girth, girth), foot),),
        (placed(cylinder(girth, 0.6 * size), middle),),
        (placed(sphere(girth), foot),),
        capsule(foot, top, girth),
    )[shape]
    return _Scene(eye=eye, backdrop=(_FLOOR, *walls), thing=thing, girth=girth)


@lru_cache(maxsize=1)
def _bulbs() -> tuple[Floats, ...]:
    """(3, n) places on the lamp for each row of samples: a sample has its own, for soft shadows."""
    cells = np.divmod(5 * np.arange(_SAMPLES**2) % _SAMPLES**2, _SAMPLES)  # not in their order
    across, up = ((2.0 * cell + 1 - _SAMPLES) * (_LAMP_SIDE / (2 * _SAMPLES)) for cell in cells)
    places = np.stack([_LAMP[0] + across, _LAMP[1] - across, _LAMP[2] + up])
    return tuple(np.split(np.repeat(places, _SIDE * _SIDE, axis=1), _SAMPLES, axis=1))


def _lit(
    scene: _Scene, hit: Hit, points: Floats, heading: Floats, lamp: Floats
) -> tuple[Floats, Floats]:
    """The light at points: (n,) diffuse in [0, 1], and (n,) mirrored by the object, to `_GLOSS`."""
    away = lamp - points
    square = dot(away, away)
    far = np.sqrt(square)
    ray = np.stack([part / far for part in away])
    raised = along(points, hit.normal, np.full(len(far), 1e-6))
    glow = np.where(blocked(scene.thing, raised, ray), 0.0, 120.0 / (60.0 + square))
    key = _KEY * glow * np.maximum(dot(hit.normal, ray), 0.0)
    sky = _SKY * (0.75 + 0.25 * hit.normal[2]) * _open(scene, hit, points)
    half = ray - heading  # the highlight of Blinn 1977, to the 32nd power
    shine = np.maximum(dot(hit.normal, half), 0.0) / np.sqrt(dot(half, half))
    for _ in range(5):
        shine = shine * shine
    glossy = (hit.which >= len(scene.backdrop)) & (glow > 0)
    return np.minimum(key + sky, 1.0), np.where(glossy, _GLOSS * np.minimum(shine, 1.0), 0.0)


def _open(scene: _Scene, hit: Hit, points: Floats) -> Floats:
    """(n,) share of the light from all around: less in creases of the room and by the object."""
    out = np.ones(points.shape[1])
    for index, plane in enumerate(scene.backdrop):
        gap = np.maximum(dot(plane.planes[0][0], seen_from(plane, points)), 0.0)
        depth = 1 + 4 * gap
        out = out * np.where(hit.which == index, 1.0, 1 - 0.4 / (depth * depth))
    ball = np.stack([-points[0], -points[1], scene.girth - points[2]])  # stands for the object
    square = dot(ball, ball)
    facing = np.maximum(dot(hit.normal, ball), 0.0) / np.sqrt(square)
    shut = np.minimum(scene.girth * scene.girth * facing / square, 1.0)
    return out * np.where(hit.which < len(scene.backdrop), 1 - 0.8 * shut, 1.0)
