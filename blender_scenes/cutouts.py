"""Object cut-outs: as many distinct objects as are asked for, from the models, without Blender.

Object number i is one of the models, its form stretched, its materials coloured, seen from
somewhere; it depends on i alone. Pixels are the same on every machine; see `shading`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli.blender_scenes import masks, shading, solids
from samediff_stimuli.blender_scenes.curves import cross, length
from samediff_stimuli.blender_scenes.data import Color, Floats, Ints, Material, Picture
from samediff_stimuli.blender_scenes.objects import mesh_of, registry
from samediff_stimuli.blender_scenes.shading import Matrix, Pattern, Surface
from samediff_stimuli.blender_scenes.solids import Reals, Solid
from samediff_stimuli.recipe import InputError
from samediff_stimuli.rng import below, mix, stream_key

SIZE = 128
MIN_SIZE, MAX_SIZE = 16, 512
MAX_OBJECTS = 10**6
_KEY = stream_key("cutouts", 1)
_MARGIN = 3
_PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53)
_PATTERNS = ("own", "bands", "own", "dots", "own", "stripes", "clouds", "checks")
_FINISHES = (  # coded sRGB of metals
    (0.86, 0.87, 0.88), (0.90, 0.72, 0.38), (0.88, 0.56, 0.42), (0.36, 0.37, 0.40),
    (0.95, 0.80, 0.50), (0.66, 0.50, 0.38), (0.62, 0.66, 0.72), (0.80, 0.62, 0.60),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Variation:
    """One object.

    Attributes:
        number: which object it is.
        model: name of its model.
        wide: factors of its two horizontal axes and its height, in thousandths.
        taper: how much wider it is above than below, in thousandths.
        bulge: how much wider it is at half its height, in thousandths.
        hue: whole degrees that its colours are turned by.
        light: how much lighter its colours are, in thousandths, below 0 darker.
        vivid: factor of their saturation, in thousandths.
        finish: of its metals: a plain metal's number, else they are dyed, or enamelled.
        pattern: what is painted on it: "own", "bands", "stripes", "checks", "dots" or "clouds".
        scale: size of the pattern, in thousandths.
        other: whole degrees of hue from the ground to the pattern.
        contrast: how much lighter the pattern is, in thousandths.
        azimuth: whole degrees that it is turned by.
        elevation: whole degrees of the camera above the horizon.
    """

    number: int
    model: str
    wide: tuple[int, int, int]
    taper: int
    bulge: int
    hue: int
    light: int
    vivid: int
    finish: int
    pattern: str
    scale: int
    other: int
    contrast: int
    azimuth: int
    elevation: int


_WIDE, _HIGH = (840, 1200), (780, 1280)
_FORMS = {  # ranges of width and height, of thin ones
    "candlestick": ((900, 1700), (560, 1100)),
    "pawn": ((850, 1400), (680, 1250)),
}
# model -> the azimuth from which it shows most, and how far to either side it is turned
_FRONTS = {
    "mug": (270, 140), "teapot": (20, 75), "book": (20, 50), "toy_car": (-40, 75),
    "desk_lamp": (-30, 70), "rubber_duck": (-40, 80), "watering_can": (0, 75),
    "bird_house": (0, 60), "alarm_clock": (0, 50),
}  # fmt: skip
_LOW = {"book": (24, 52), "mug": (12, 40)}  # elevations
_GAINS = {"pawn": 2200, "vase": 1500, "book": 1400, "die": 1300}  # thousandths, of dark models
_VIVID = {"candlestick": 2600, "teapot": 1500}  # likewise, of pale ones
_MARKS = ("white pips",)  # materials that no pattern hides
_COLORED = 3  # of each kind for every eight plain ones
_DYE = (0.72, 0.16, 0.13)  # coded sRGB of coloured metal before its hue is turned
_ZINC = 0.72  # about the mean of pictures of metal


def variation(number: int) -> Variation:
    """Object `number`: models take turns, and each walks evenly through its forms and colours.

    Raises:
        InputError: if there is no such object.
    """
    if not 0 <= number < MAX_OBJECTS:
        raise InputError(f"object {number!r} is out of range; legal: 0 .. {MAX_OBJECTS - 1}")
    models = list(registry())
    turn, place = divmod(number, len(models))
    model = models[place]
    words = mix(_KEY, place, np.arange(len(_PRIMES)))
    values = [_walk(int(word), prime, turn) for word, prime in zip(words, _PRIMES, strict=True)]

    def between(which: int, low: int, high: int) -> int:
        return low + (values[which] * (high - low + 1) >> 64)

    wide, high = _FORMS.get(model, (_WIDE, _HIGH))
    across = between(0, *wide)
    front, spread = _FRONTS.get(model, (0, 180))
    return Variation(
        number=number,
        model=model,
        wide=(across * between(2, 960, 1040) // 1000, across, between(1, *high)),
        taper=between(3, -260, 260),
        bulge=between(4, -160, 160),
        hue=between(5, 0, 359),
        light=between(6, -700, 450),
        vivid=between(7, 450, 1300) * _VIVID.get(model, 1000) // 1000,
        finish=between(8, 0, len(_FINISHES) + 2 * _COLORED - 1),
        pattern=_PATTERNS[between(9, 0, len(_PATTERNS) - 1)],
        scale=between(10, 600, 1500),
        other=between(11, 20, 340),
        contrast=between(12, -800, 800),
        azimuth=(front + between(13, -spread, spread - 1)) % 360,
        elevation=between(14, *_LOW.get(model, (10, 34))),
    )


def _walk(start: int, prime: int, turn: int) -> int:
    """A place in [0, 2**64) of a walk in steps of an irrational share of the whole."""
    return (start + turn * (math.isqrt(prime << 128) & (2**64 - 1))) % 2**64


def cutout(number: int, size: int = SIZE) -> NDArray[np.uint8]:
    """(size, size, 4) uint8: an object on transparency, sRGB and straight alpha.

    Raises:
        InputError: if there is no such object, or the size is out of range.
    """
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise InputError(f"size {size!r} is out of range; legal: {MIN_SIZE} .. {MAX_SIZE}")
    chosen = variation(number)
    thing = solid_of(chosen.model)
    points = formed(thing.points, chosen)
    margin = max(1, _MARGIN * size // SIZE)
    surfaces = [surface_of(chosen, material) for material in registry()[chosen.model].materials]
    return shading.photograph(
        thing, points, surfaces, chosen.azimuth, chosen.elevation, size, margin
    )


@lru_cache(maxsize=32)
def solid_of(model: str) -> Solid:
    """A model's mesh made ready, once."""
    return solids.solid(mesh_of(model))


def formed(points: Floats, chosen: Variation) -> Floats:
    """(n, 3): vertices in the variation's form."""
    x, y, z = points.T
    t = z / float(z.max())
    grow = 1.0 + chosen.taper / 1000 * (t - 0.5) + chosen.bulge / 1000 * (4 * t * (1 - t) - 0.5)
    wx, wy, wz = (w / 1000 for w in chosen.wide)
    return np.stack([x * grow * wx, y * grow * wy, z * wz], axis=1)


def surface_of(chosen: Variation, material: Material) -> Surface:
    """How a material looks in a variation."""
    metal, enamel = material.metallic > 0, chosen.finish >= len(_FINISHES) + _COLORED
    hue, vivid, gain = chosen.hue, chosen.vivid, _GAINS.get(chosen.model, 1000)
    r, g, b = (shading.coded(c) for c in material.color)
    color, picture = (r, g, b), picture_of(chosen.model, material.name)
    recolor = _matrix(hue, vivid, gain, chosen.light)
    if metal:
        color, picture, recolor = _metal(chosen, picture)
    painted = chosen.pattern != "own" and (enamel or not metal)
    painted = painted and material.name in main_materials(chosen.model)
    second = max(-800, min(600, chosen.light + chosen.contrast))
    return Surface(
        color=color,
        picture=picture,
        recolor=recolor,
        pattern=_pattern(chosen.pattern, chosen.scale) if painted else None,
        second=_matrix((hue + chosen.other) % 360, vivid * 3 // 4, gain, second),
        roughness=0.2 if metal and enamel else material.roughness,
        metallic=0.0 if enamel else material.metallic,
        coat=0.5 if metal and enamel else material.coat,
        soft=material.subsurface,
        emission=material.emission,
    )


def _metal(chosen: Variation, picture: Picture | None) -> tuple[Color, Picture | None, Matrix]:
    """Colour, picture and recolouring of a metal: plain but tinted a little, dyed or enamelled."""
    if chosen.finish >= len(_FINISHES):
        gain = 1000 if chosen.finish >= len(_FINISHES) + _COLORED else 1250
        return _DYE, None, _matrix(chosen.hue, 1000, gain, max(-500, chosen.light))
    color = _FINISHES[chosen.finish]
    recolor = _matrix((chosen.hue % 60 - 30) % 360, 1000, 1000, chosen.light // 2)
    if picture is not None:
        r, g, b = (part / _ZINC for part in color)
        recolor = tuple((row[0] * r, row[1] * g, row[2] * b, row[3]) for row in recolor)
    return color, picture, recolor


@lru_cache(maxsize=32)
def main_materials(model: str) -> tuple[str, ...]:
    """Names of the materials that cover at least a seventh of a model, marks apart."""
    thing, known = solid_of(model), registry()[model].materials
    a, b, c = thing.points[thing.corners]
    areas = np.bincount(thing.material, length(cross(b - a, c - a)), len(known)).tolist()
    pairs = zip(known, areas, strict=True)
    return tuple(m.name for m, area in pairs if 7 * area > sum(areas) and m.name not in _MARKS)


_LUMA = (0.213, 0.715, 0.072)
_ACROSS = ((-0.213, -0.715, 0.928), (0.143, 0.140, -0.283), (-0.787, 0.715, 0.072))


def _matrix(hue: int, vivid: int, gain: int, light: int) -> Matrix:
    """Colours turned about grey, made more or less grey, then lighter or darker."""
    cos, sin = masks.cos_sin(float(hue))
    share = light / 1000
    factor, offset = (1 + 0.75 * share, 0.0) if share < 0 else (1 + 0.1 * share, 0.35 * share)
    factor *= gain / 1000
    rows = []
    for i in range(3):
        turned = [
            _LUMA[j] + vivid / 1000 * (cos * ((i == j) - _LUMA[j]) + sin * _ACROSS[i][j])
            for j in range(3)
        ]
        rows.append((turned[0] * factor, turned[1] * factor, turned[2] * factor, offset))
    return tuple(rows)


@lru_cache(maxsize=256)
def picture_of(model: str, material: str) -> Picture | None:
    """A material's picture, averaged down to at most 384 pixels a side, or None."""
    make = next(m.picture for m in registry()[model].materials if m.name == material)
    if make is None:
        return None
    picture = make()[..., :3].astype(np.int64)
    down, across = (max(1, -(-side // 384)) for side in picture.shape[:2])
    height, width = picture.shape[0] // down, picture.shape[1] // across
    tiles = picture[: height * down, : width * across].reshape(height, down, width, across, 3)
    total = tiles.sum(axis=(1, 3))
    return np.asarray((2 * total + down * across) // (2 * down * across), dtype=np.uint8)


def _pattern(kind: str, scale: int) -> Pattern:
    """Where the second look shows, by the place in the object."""
    size = 0.20 * scale / 1000

    def share(places: Reals) -> Reals:
        x, y, z = places
        if kind == "clouds":
            return _clouds(places, size * 1.3)
        if kind == "dots":
            return _dots(places, size)
        bands, stripes = _half(z / size), _half(_around(x, y) * (1.2 / size))
        if kind == "checks":
            return bands + stripes - 2 * bands * stripes
        return bands if kind == "bands" else stripes

    return share


def _half(values: Reals) -> Reals:
    """1 in the first half of every unit, else 0."""
    return (values - np.floor(values) < 0.5).astype(np.float32)


def _around(x: Reals, y: Reals) -> Reals:
    """(n,) in [0, 4): the angle about z as a square's circumference counts it."""
    part = y / np.maximum(np.abs(x) + np.abs(y), 1e-9)
    return np.asarray(np.where(x >= 0, np.where(y >= 0, part, 4 + part), 2 - part))


def _dots(places: Reals, size: float) -> Reals:
    """1 inside balls on a lattice, else 0."""
    x, y, z = places / (1.5 * size)
    level = np.floor(z)
    shift = (level - 2 * np.floor(level / 2)) * 0.5
    away = np.zeros_like(x)
    for value in (x + shift, y + shift, z):
        part = value - np.floor(value) - 0.5
        away = away + part * part
    return np.asarray(away < 0.13, dtype=np.float32)


def _clouds(places: Reals, size: float) -> Reals:
    """Smooth patches of either look, by hashed noise on a lattice."""
    total = 0.65 * _noise(places / size) + 0.35 * _noise(places / size * 2 + 7.3)
    return np.asarray(np.clip((total - 0.5) * 7 + 0.5, 0, 1))


def _noise(places: Reals) -> Reals:
    """(n,) float32 in [0, 1]: smooth noise."""
    lattice = _lattice()
    whole = np.floor(places)
    part = places - whole
    px, py, pz = part * part * (3 - 2 * part)
    first = whole.astype(np.int64) & 15
    (x0, y0, z0), (x1, y1, z1) = first, (first + 1) & 15

    def line(y: Ints, z: Ints) -> Reals:
        low: Reals = lattice[x0, y, z]
        return np.asarray(low + (lattice[x1, y, z] - low) * px)

    low, high = (line(y0, z) + (line(y1, z) - line(y0, z)) * py for z in (z0, z1))
    return np.asarray(low + (high - low) * pz)


@lru_cache(maxsize=1)
def _lattice() -> Reals:
    """(16, 16, 16) float32 in [0, 1)."""
    i = np.arange(16, dtype=np.int64)
    words = mix(_KEY, i[:, None, None], i[None, :, None], i[None, None, :])
    return below(words, 1 << 20).astype(np.float32) / np.float32(1 << 20)
