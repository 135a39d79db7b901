"""A cactus with two arms, spines and a pink flower in a terracotta pot."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from samediff_stimuli.blender_scenes.curves import around, curve, direction
from samediff_stimuli.blender_scenes.data import Floats, Material, Mesh, Model, Picture, Vector
from samediff_stimuli.blender_scenes.meshes import (
    ellipsoid,
    join,
    lathe,
    moved,
    pointed,
    turned,
)
from samediff_stimuli.blender_scenes.pictures import bytes_of, clouds, noise, shaded
from samediff_stimuli.blender_scenes.shapes import Limb, limb
from samediff_stimuli.rng import below, mix, stream_key

POT, SOIL, SKIN, SPINE, PETAL, STAMEN = range(6)
RIBS = 10
_DEEP = 0.2  # of the valleys between ribs, as a share of the radius
_TRUNK = [(0.14, 0.44), (0.205, 0.56), (0.245, 0.74), (0.255, 0.94), (0.24, 1.12), (0.19, 1.27)]
_TRUNK += [(0.10, 1.36), (0.0, 1.385)]
_ARMS: list[tuple[float, int, list[Limb]]] = [
    (20.0, 8, [(0.17, 0, 0.76, 0.09), (0.32, 0, 0.77, 0.10), (0.425, 0, 0.86, 0.108),
               (0.45, 0, 1.0, 0.106), (0.445, 0, 1.12, 0.088), (0.44, 0, 1.19, 0.045),
               (0.44, 0, 1.205, 0.002)]),
    (164.0, 8, [(0.16, 0, 0.60, 0.075), (0.29, 0, 0.61, 0.082), (0.375, 0, 0.68, 0.088),
                (0.40, 0, 0.79, 0.08), (0.395, 0, 0.87, 0.055), (0.39, 0, 0.905, 0.002)]),
]  # fmt: skip


def build() -> Mesh:
    """Pot, soil, trunk, arms, spines and flower."""
    smooth = curve(_TRUNK, 4)
    trunk = [(max(r, 0.0), z) for r, z in smooth[:-1]] + [_TRUNK[-1]]
    parts = [(_pot(), POT), (_soil(), SOIL)]
    parts.append((lathe(trunk, 16 * RIBS // 2, ribs=_ribs(16 * RIBS // 2, RIBS)), SKIN))
    for angle, ribs, points in _ARMS:
        arm = limb(points, 5, 6 * ribs, up=(0.0, 1.0, 0.0), ribs=_ribs(6 * ribs, ribs))
        parts.append((turned(arm, "z", angle), SKIN))
    return join([*parts, *_spines(), *_flower()])


def _ribs(sides: int, count: int) -> Floats:
    """(sides,) float64: factors of the radius, 1 on the ribs and less in sharp valleys."""
    half = around(2 * sides)[np.arange(sides) * count % (2 * sides), 0]
    return np.asarray(1.0 - _DEEP * (1.0 - np.abs(half)))


def _pot() -> Mesh:
    """A tapered pot with a thick rim."""
    profile = [(0.0, 0.0), (0.27, 0.0), (0.29, 0.012), (0.37, 0.345), (0.415, 0.345), (0.43, 0.36)]
    profile += [(0.44, 0.46), (0.43, 0.475), (0.40, 0.475), (0.385, 0.46), (0.375, 0.38)]
    return lathe(profile, 64, along="height")


def _soil() -> Mesh:
    """A mound of soil in the pot."""
    return lathe([(0.378, 0.40), (0.30, 0.425), (0.15, 0.445), (0.0, 0.45)], 40)


def _spines() -> list[tuple[Mesh, int]]:
    """Tufts of three along the ribs of trunk and arms."""
    tufts: list[tuple[Vector, Vector]] = []
    for rib in range(RIBS):
        cos, sin = direction(360 * rib / RIBS)
        for level in range(10):
            z = 0.54 + 0.085 * level + 0.02 * (rib % 2)
            r = _radius(z)
            tufts.append(((r * cos, r * sin, z), (cos, sin, 0.9 * max(0.0, z - 1.1))))
    for angle, ribs, points in _ARMS:
        for x, _, z, radius in points[3:-2]:
            for rib in range(ribs):
                across = direction(360 * rib / ribs)
                way = _about((across[0], across[1], 0.1), angle)
                place = _about((x + radius * across[0], radius * across[1], z), angle)
                tufts.append((place, way))
    return [(mesh, SPINE) for i, tuft in enumerate(tufts) for mesh in _tuft(i, *tuft)]


def _radius(z: float) -> float:
    """Of the trunk at a height."""
    (r, low), (s, high) = next(ends for ends in pairwise(_TRUNK) if ends[0][1] <= z <= ends[1][1])
    return r + (s - r) * (z - low) / (high - low)


def _about(point: Vector, degrees: float) -> Vector:
    """A point turned about z."""
    cos, sin = direction(degrees)
    return (point[0] * cos - point[1] * sin, point[0] * sin + point[1] * cos, point[2])


def _tuft(number: int, place: Vector, way: Vector) -> list[Mesh]:
    """Three spines from a point, spread by chance."""
    chance = below(mix(stream_key("cactus", "spine"), number, np.arange(9)), 1000) / 1000 - 0.5
    spread = np.array(way) + 1.5 * chance.reshape(3, 3)
    cone = lathe([(0.0065, 0.0), (0.0, 0.085)], 4)
    return [moved(pointed(cone, (x, y, z)), place) for x, y, z in spread.tolist()]


def _flower() -> list[tuple[Mesh, int]]:
    """Two rings of petals round a yellow middle on the top."""
    parts: list[tuple[Mesh, int]] = []
    petal = moved(ellipsoid((0.082, 0.040, 0.014), 12, 6), (0.078, 0.0, 0.0))
    for count, start, tilt, size in ((8, 0.0, -24.0, 0.0), (7, 25.0, -52.0, 0.012)):
        for i in range(count):
            one = turned(turned(petal, "y", tilt), "z", start + 360 * i / count)
            parts.append((moved(one, (0.0, 0.0, 1.395 + size)), PETAL))
    parts.append((moved(ellipsoid((0.04, 0.04, 0.035), 16, 8), (0.0, 0.0, 1.425)), STAMEN))
    return parts


def _clay() -> Picture:
    """Terracotta with pale salt and darker damp at its foot."""
    shape = (128, 256)
    soft, fine = clouds("clay", shape, 40, 60, 4), noise("clay grain", shape, 2, 2)
    low = np.linspace(0, 1, shape[0], dtype=np.float32)[:, None]
    tone = np.float32(0.6) * soft + np.float32(0.2) * fine + np.float32(0.25) * (1 - low)
    return bytes_of(shaded(tone, (112, 46, 24), (158, 74, 42), (188, 108, 72)))


def _skin() -> Picture:
    """Green that changes from place to place, yellower towards the tips."""
    shape = (128, 256)
    soft, fine = clouds("cactus skin", shape, 30, 40, 4), noise("cactus pores", shape, 2, 2)
    high = np.linspace(1, 0, shape[0], dtype=np.float32)[:, None]
    tone = np.float32(0.5) * soft + np.float32(0.12) * fine + np.float32(0.4) * high
    return bytes_of(shaded(tone, (30, 74, 30), (58, 116, 44), (112, 158, 68)))


def _crumbs() -> Picture:
    """Dark soil with lighter crumbs."""
    crumbs = noise("soil", (96, 192), 4, 5) * noise("soil fine", (96, 192), 2, 2)
    return bytes_of(shaded(crumbs, (20, 12, 8), (58, 40, 28), (120, 96, 74)))


MODEL = Model(
    name="cactus",
    about="a cactus in a terracotta pot",
    color="green",
    symmetric=False,
    materials=(
        Material(name="terracotta", color=(0.33, 0.09, 0.03), roughness=0.85, picture=_clay),
        Material(name="soil", color=(0.03, 0.02, 0.01), roughness=0.95, bump=0.02, picture=_crumbs),
        Material(name="cactus skin", color=(0.03, 0.11, 0.02), roughness=0.5, picture=_skin),
        Material(name="spines", color=(0.72, 0.62, 0.38), roughness=0.6),
        Material(name="petals", color=(0.55, 0.015, 0.16), roughness=0.5),
        Material(name="stamens", color=(0.70, 0.36, 0.01), roughness=0.6),
    ),
    build=build,
)
