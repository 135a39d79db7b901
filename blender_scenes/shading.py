"""Pictures of single objects by a z-buffer of our own: product photographs on transparency.

Nothing but integer work and elementwise + - * / and square roots, in a fixed order, decides a
byte, so a picture has the same pixels on every machine. Relief (`Material.bump`) is not drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli.blender_scenes import masks
from samediff_stimuli.blender_scenes.curves import cross, unit
from samediff_stimuli.blender_scenes.data import Color, Floats, Ints, Picture, Vector
from samediff_stimuli.blender_scenes.solids import (
    BITS,
    SUB,
    Reals,
    Solid,
    Steps,
    along,
    lit,
    nearest,
    normals,
)

FINE = 3  # samples along a pixel's side
_SAMPLES = 1 << 13  # samples lit together: fits the caches
_AWAY = 5.0  # distance of the camera in radii of the object
_SHADOW_SIDE = 128  # samples along the side of the map of what the key light reaches
_TAPS = tuple((2.1 * i, 2.1 * j) for i in (-1, 0, 1) for j in (-1, 0, 1))  # blur its edges
_LEVELS = 4096

Matrix = tuple[tuple[float, float, float, float], ...]  # of coded colours: 3 x 3, then an offset
Pattern = Callable[[Reals], Reals]  # (3, n) places in the object -> (n,) share of the second look


def _frame(toward: Vector) -> tuple[Vector, Vector, Vector]:
    """A direction of length 1, and what is to its right and above it."""
    ahead = unit(np.array(toward, dtype=np.float64))
    right = unit(cross(np.array((0.0, 1.0, 0.0)), ahead))
    found = [(float(x), float(y), float(z)) for x, y, z in (ahead, right, cross(ahead, right))]
    return found[0], found[1], found[2]


# Lights in the camera's frame: x right, y up, z towards the camera.
_KEY, _FILL, _RIM = ((-0.56, 0.62, 0.55), (0.83, 0.10, 0.55), (0.45, 0.60, -0.66))
_KEY, _FILL, _RIM = (_frame(toward)[0] for toward in (_KEY, _FILL, _RIM))
_BOXES = (  # soft boxes: their frame, half their width and height at distance 1, their strength
    (_frame(_KEY), (0.42, 0.52), 4.6),
    (_frame(_FILL), (0.13, 0.90), 1.7),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Surface:
    """How a material looks in one picture.

    Attributes:
        color: coded sRGB in [0, 1].
        picture: (h, w, 3) uint8 in place of the colour, or None.
        recolor: of the colour or picture.
        pattern: where the second look shows, or None.
        second: of the second look, in place of `recolor`.
        roughness: see `data.Material`, as for all that follow.
        metallic: 0 or 1.
        coat: 0 to 1.
        soft: weight of scattering under the surface.
        emission: strength of its own light.
    """

    color: Color
    picture: Picture | None
    recolor: Matrix
    pattern: Pattern | None
    second: Matrix
    roughness: float
    metallic: float
    coat: float
    soft: float
    emission: float


def photograph(
    thing: Solid,
    points: Floats,
    surfaces: Sequence[Surface],
    azimuth: int,
    elevation: int,
    size: int,
    margin: int,
) -> NDArray[np.uint8]:
    """An object on transparency, as large as fits within a margin.

    Args:
        thing: its triangles.
        points: (n, 3) its vertices, moved from where `thing` has them.
        surfaces: of its materials.
        azimuth: whole degrees that the object is turned by.
        elevation: whole degrees of the camera above the horizon.
        size: side of the picture in pixels.
        margin: pixels around the object.

    Returns:
        (size, size, 4) uint8: sRGB and straight alpha.
    """
    seen = _turned(points, azimuth, elevation)
    x, y, nearness, focus = _projected(seen, size, margin)
    side = size * FINE
    keys, grid = nearest(x, y, nearness, thing.corners, side)
    where = np.flatnonzero(keys)
    facing = normals(seen, thing.corners)
    shadow = lit(seen, thing.corners, facing, _KEY, _SHADOW_SIDE, _TAPS)
    known = np.column_stack([facing, thing.ambient, shadow, thing.points]).astype(np.float32)
    tilt = masks.cos_sin(float(elevation))
    light = np.empty((3, len(where)), dtype=np.float32)
    for start in range(0, len(where), _SAMPLES):
        part = slice(start, start + _SAMPLES)
        at = where[part]
        owner = (1 << BITS) - 1 - (keys[at] & ((1 << BITS) - 1))
        corners = thing.corners[:, owner]
        row, column = at // side, at % side
        shares = _shares(grid, corners, nearness, row, column)
        values = _blend(known, corners, shares).T.copy()
        uv = _blend_uv(thing.uv[:, owner], shares)
        color, material = _colors(surfaces, thing.material[owner], uv, values[5:])
        middle = np.stack([column + 0.5 - focus[0], row + 0.5 - focus[1]])
        place = (middle / focus[2]).astype(np.float32)
        light[:, part] = _light(values, place, color, material, tilt)
    return _developed(light, where, size)


def _turned(points: Floats, azimuth: int, elevation: int) -> Floats:
    """(n, 3): vertices in the camera's frame, about the middle of their box."""
    cos, sin = masks.cos_sin(float(azimuth))
    low, high = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    x, y, z = (points[:, i] - (low[i] + high[i]) / 2 for i in range(3))
    x, y = x * cos - y * sin, x * sin + y * cos
    cos, sin = masks.cos_sin(float(elevation))
    return np.stack([x, z * cos + y * sin, z * sin - y * cos], axis=1)


def _projected(
    seen: Floats, size: int, margin: int
) -> tuple[Floats, Floats, Floats, tuple[float, float, float]]:
    """Vertices in samples (x right, y up), their nearness, and the lens: middle and length."""
    x, y, z = seen.T
    away = _AWAY * float(np.sqrt(x * x + y * y + z * z).max())
    near = 1.0 / (away - z)
    x, y = x * near, y * near
    low, high = (float(x.min()), float(y.min())), (float(x.max()), float(y.max()))
    side = size * FINE
    scale = (size - 2 * margin) * FINE / max(high[0] - low[0], high[1] - low[1])
    left = side / 2 - (low[0] + high[0]) / 2 * scale
    base = side / 2 - (low[1] + high[1]) / 2 * scale
    return x * scale + left, y * scale + base, near * (away * 0.5), (left, base, scale)


def _shares(grid: Steps, corners: Ints, nearness: Floats, row: Ints, column: Ints) -> Reals:
    """(3, n): how much each corner says at each sample, in perspective."""
    gx, gy = grid[0][corners], grid[1][corners]
    px, py = column * SUB + SUB // 2, row * SUB + SUB // 2
    near = nearness[corners]
    first = ((gx[2] - gx[1]) * (py - gy[1]) - (gy[2] - gy[1]) * (px - gx[1])) * near[0]
    second = ((gx[0] - gx[2]) * (py - gy[2]) - (gy[0] - gy[2]) * (px - gx[2])) * near[1]
    third = ((gx[1] - gx[0]) * (py - gy[0]) - (gy[1] - gy[0]) * (px - gx[0])) * near[2]
    total = first + second + third
    return np.stack([first / total, second / total, third / total]).astype(np.float32)


def _blend(rows: Reals, corners: Ints, shares: Reals) -> Reals:
    """(n, k): what is known of vertices, (vertices, k), at samples."""
    parts = [rows[corner] * share[:, None] for corner, share in zip(corners, shares, strict=True)]
    return np.asarray(parts[0] + parts[1] + parts[2])


def _blend_uv(uv: Reals, shares: Reals) -> Reals:
    """(n, 2): places in pictures at samples."""
    parts = [place * share[:, None] for place, share in zip(uv, shares, strict=True)]
    return np.asarray(parts[0] + parts[1] + parts[2])


def _colors(
    surfaces: Sequence[Surface], which: Ints, uv: Reals, places: Reals
) -> tuple[Reals, Reals]:
    """(3, n) linear colours at samples, and (5, n) what else their surfaces are."""
    shown = np.zeros((3, len(which)), dtype=np.float32)
    for number in np.flatnonzero(np.bincount(which)).tolist():
        surface, at = surfaces[number], np.flatnonzero(which == number)
        plain = np.empty((3, len(at)), dtype=np.float32)
        plain[:] = np.array(surface.color, dtype=np.float32)[:, None]
        if surface.picture is not None:
            height, width = surface.picture.shape[:2]
            across = np.clip(uv[at, 0] * width, 0, width - 1).astype(np.int64)
            down = np.clip((1 - uv[at, 1]) * height, 0, height - 1).astype(np.int64)
            plain = surface.picture[down, across].T.astype(np.float32) / 255
        look = _recolored(plain, surface.recolor)
        if surface.pattern is not None:
            share = surface.pattern(places[:, at])
            look = look + (_recolored(plain, surface.second) - look) * share
        shown[:, at] = look
    linear = decoding()[(shown * (_LEVELS - 1) + 0.5).astype(np.int64)]
    rows = [(s.roughness, s.metallic, s.coat, s.soft, s.emission) for s in surfaces]
    table = np.array(rows, dtype=np.float32)
    return linear, table[which].T.copy()


def _recolored(coded: Reals, matrix: Matrix) -> Reals:
    """(3, n) coded colours in [0, 1], turned by a matrix and kept from pure black and white."""
    r, g, b = coded
    rows = [r * row[0] + g * row[1] + b * row[2] + row[3] for row in matrix]
    return np.asarray(np.clip(np.stack(rows), 0.015, 0.975))


def _light(
    values: Reals, place: Reals, color: Reals, material: Reals, tilt: tuple[float, float]
) -> Reals:
    """(3, n) linear light that samples send to the camera.

    Args:
        values: (8, n) normal, share of ambient light, share of the key light, place.
        place: (2, n) where samples are in the picture, by its distance.
        color: (3, n) linear.
        material: (5, n) roughness, metallic, coat, scattering, emission.
        tilt: cosine and sine of the camera's elevation.
    """
    rough, metal, coat, soft, glow = material
    normal = values[:3] * _inverse(values[:3])
    view = np.stack([-place[0], -place[1], np.ones_like(place[0])])
    view = view * _inverse(view)
    facing = np.maximum(_dot(normal, view), 0)
    open_, shadow = values[3] * (1.25 - 0.25 * values[3]), values[4]
    around = _around(normal, open_, shadow, soft, tilt)
    mirror = 2 * facing * normal - view
    above = mirror[1] * tilt[0] + mirror[2] * tilt[1]
    edge = 1 - facing
    edge = edge * edge * (edge * edge) * edge
    seen = (0.35 + 0.65 * open_) * (0.45 + 0.55 * shadow)
    dull = (1 - rough) * (1 - rough)
    gloss = (0.04 + 0.96 * edge * dull) * dull * (1 - metal)
    blurred = _studio(mirror, above, rough) * seen
    shine = metal * (blurred + 0.16 * around[1])
    light = (around * ((1 - metal) * (1 - gloss)) + glow) * color
    light = light + shine * (color + (1 - color) * edge) + gloss * blurred
    at = np.flatnonzero(coat > 0)
    if len(at):
        clear = coat[at] * (0.04 + 0.5 * edge[at])
        smooth = np.full(len(at), 0.06, dtype=np.float32)
        sharp = _studio(mirror[:, at], above[at], smooth) * seen[at]
        light[:, at] = light[:, at] * (1 - clear) + clear * sharp
    return np.asarray(light)


def _around(
    normal: Reals, open_: Reals, shadow: Reals, soft: Reals, tilt: tuple[float, float]
) -> Reals:
    """(3, n) light that falls on samples: a warm key, a cool fill, a light behind, and the sky."""
    key = np.maximum(along(normal, _KEY) * (1 - 0.25 * soft) + 0.25 * soft, 0)
    key = key * (shadow + (1 - shadow) * (0.2 * soft))
    fill = np.maximum(along(normal, _FILL) * 0.75 + 0.25, 0) * open_
    rim = np.maximum(along(normal, _RIM), 0)
    rise = normal[1] * tilt[0] + normal[2] * tilt[1]
    sky = (0.62 + 0.38 * rise) * open_
    bounce = open_ * open_ * 0.05
    rows = [
        key * 1.62 + fill * 0.17 + rim * 0.30 + sky * 0.50 + bounce,
        key * 1.56 + fill * 0.19 + rim * 0.31 + sky * 0.52 + bounce,
        key * 1.46 + fill * 0.23 + rim * 0.34 + sky * 0.57 + bounce,
    ]
    return np.stack(rows)


def _dot(a: Reals, b: Reals) -> Reals:
    """Scalar products of (3, n) and (3, n)."""
    return np.asarray(a[0] * b[0] + a[1] * b[1] + a[2] * b[2])


def _inverse(a: Reals) -> Reals:
    """(n,) one over the length of (3, n)."""
    return np.asarray(1 / np.sqrt(_dot(a, a) + 1e-12))


def _studio(mirror: Reals, above: Reals, rough: Reals) -> Reals:
    """(n,) light that comes from where a mirror would look: a pale table, walls, two soft boxes."""
    soft = 1 / (0.06 + 0.9 * rough)
    floor = _step(-above / (0.20 + 2 * rough) + 0.5)
    wall = 0.16 + 0.5 * np.maximum(above, 0)
    total = wall + (0.62 - wall) * floor
    for (ahead, right, up), (wide, high), strength in _BOXES:
        front = along(mirror, ahead)
        scale = 1 / np.maximum(front, 0.05)
        x, y = np.abs(along(mirror, right)) * scale, np.abs(along(mirror, up)) * scale
        box = _step((wide - x) * soft + 0.5) * _step((high - y) * soft + 0.5)
        spread = strength * wide * high / ((wide + 0.5 * rough) * (high + 0.5 * rough))
        total = total + np.where(front > 0.05, box, 0) * spread
    return np.asarray(total)


def _step(t: Reals) -> Reals:
    """0 below 0, 1 above 1, smooth between."""
    t = np.clip(t, 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def _developed(light: Reals, where: Ints, size: int) -> NDArray[np.uint8]:
    """(size, size, 4) uint8: samples with a film's curve, averaged over the pixels they cover."""
    x = light * 0.80
    film = np.minimum(x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14), 1)
    side = size * FINE
    fine = np.zeros((4, side * side), dtype=np.float32)
    fine[:3, where] = film
    fine[3, where] = 1
    tiles = fine.reshape(4, size, FINE, size, FINE)
    total = np.zeros((4, size, size), dtype=np.float32)
    for row in range(FINE):
        for column in range(FINE):
            total += tiles[:, :, row, :, column]
    total = total[:, ::-1]  # rows from the top
    mean = total[:3] / np.maximum(total[3], 1)
    rgb = encoding()[(mean * (_LEVELS - 1) + 0.5).astype(np.int64)]
    alpha = (2 * total[3].astype(np.int64) * 255 + FINE * FINE) // (2 * FINE * FINE)
    return np.concatenate([rgb, alpha[None].astype(np.uint8)]).transpose(1, 2, 0).copy()


def _linear(coded: Decimal) -> Decimal:
    """The linear value of a coded sRGB one, to 12 digits."""
    with localcontext() as context:
        context.prec = 40
        if coded <= Decimal("0.04045"):
            found = coded / Decimal("12.92")
        else:
            found = ((coded + Decimal("0.055")) / Decimal("1.055")) ** Decimal("2.4")
        return found.quantize(Decimal("1e-12"))


@lru_cache(maxsize=1)
def decoding() -> Reals:
    """(_LEVELS,) float32: linear values of equally spaced coded sRGB values."""
    steps = [_linear(Decimal(i) / (_LEVELS - 1)) for i in range(_LEVELS)]
    return np.array([float(value) for value in steps], dtype=np.float32)


@lru_cache(maxsize=1)
def encoding() -> NDArray[np.uint8]:
    """(_LEVELS,) uint8: sRGB bytes of equally spaced linear values."""
    halves = [_linear((Decimal(i) + Decimal("0.5")) / 255) for i in range(255)]
    steps = [int((value * (_LEVELS - 1)).to_integral_value()) for value in halves]
    return np.searchsorted(np.array(steps), np.arange(_LEVELS), side="left").astype(np.uint8)


def coded(linear: float) -> float:
    """The coded sRGB value of a linear one, to within 1 / _LEVELS."""
    return int(np.searchsorted(decoding(), np.float32(linear))) / (_LEVELS - 1)
