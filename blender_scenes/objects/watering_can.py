"""A galvanised watering can with a rose and two handles."""

from __future__ import annotations

import numpy as np

from samediff_stimuli.blender_scenes.curves import arc, around
from samediff_stimuli.blender_scenes.data import Material, Mesh, Model, Picture, Vector
from samediff_stimuli.blender_scenes.meshes import (
    cylinder,
    ellipsoid,
    join,
    lathe,
    moved,
    pointed,
    prism,
)
from samediff_stimuli.blender_scenes.pictures import bytes_of, clouds, shaded
from samediff_stimuli.blender_scenes.shapes import limb
from samediff_stimuli.rng import below, mix, stream_key

METAL, DARK, RIM, WATER = range(4)
SHIFT = -0.18  # of the can's axis, so that can and spout together stand about the origin
HEIGHT = 0.82
ROSE: Vector = (1.02, 0.0, 0.90)  # middle of the rose's face
WAY: Vector = (0.80, 0.0, 0.60)  # the way it looks, of length 1
CELLS = 32  # crystals of zinc along the picture's side


def build() -> Mesh:
    """The spout points along x."""
    parts = [*_can(), *_spout(), *_rose(), *_handles()]
    return join([(moved(mesh, (SHIFT, 0.0, 0.0)), material) for mesh, material in parts])


def _wall(z: float) -> float:
    """Radius of the can's wall at a height."""
    return 0.45 - 0.075 * z / HEIGHT


def _can() -> list[tuple[Mesh, int]]:
    """A tapered wall, hollow above, with rolled rims, two raised bands and half a cover."""
    outer = [(0.0, 0.02), (0.42, 0.02), (0.425, 0.0), (0.455, 0.0), (0.462, 0.012), (0.455, 0.03)]
    outer.append((_wall(0.04), 0.04))
    for z in (0.20, 0.62):
        outer += [
            (_wall(z + dz) + out, z + dz)
            for dz, out in ((-0.03, 0.0), (-0.015, 0.010), (0.015, 0.010), (0.03, 0.0))
        ]
    outer.append((_wall(HEIGHT), HEIGHT))
    inner = [(0.37, HEIGHT), (0.39, 0.5), (0.41, 0.05)]
    rim = [(0.372 + x, HEIGHT + z) for x, z in arc((0.0, 0.0), 0.022, 0, 360, 8)]
    half = [(0.0, -0.37), *arc((0.0, 0.0), 0.37, -90, 90, 20), (0.0, 0.37)][1:-1]
    cover = moved(prism(half, 0.02), (0.0, 0.0, HEIGHT - 0.008))
    edge = cylinder((0.0, -0.365, HEIGHT + 0.004), (0.0, 0.365, HEIGHT + 0.004), 0.016, sides=12)
    water = [(0.395, 0.56), (0.0, 0.56)]
    return [
        (lathe(outer, 64), METAL),
        (lathe(inner, 48), DARK),
        (lathe(rim, 56), RIM),
        (cover, METAL),
        (edge, RIM),
        (lathe(water, 40), WATER),
    ]


def _spout() -> list[tuple[Mesh, int]]:
    """A straight tapered tube from low on the can, its foot flared, and a brace to the rim."""
    x, _, z = ROSE
    neck = (x - 0.17 * WAY[0], z - 0.17 * WAY[2])
    points = [(0.34, 0.0, 0.14, 0.15), (0.45, 0.0, 0.23, 0.105), (0.58, 0.0, 0.395, 0.082)]
    points += [(0.74, 0.0, 0.61, 0.066), (neck[0], 0.0, neck[1], 0.058)]
    brace = cylinder((0.36, 0.0, 0.76), (0.77, 0.0, 0.665), 0.02, sides=12)
    return [(limb(points, 5, 28), METAL), (brace, RIM)]


def _rose() -> list[tuple[Mesh, int]]:
    """A flared cup with a domed face full of holes."""
    cup = [(0.058, -0.20), (0.066, -0.19), (0.066, -0.165), (0.060, -0.15), (0.10, -0.08)]
    cup += [(0.168, -0.012), (0.176, -0.004), (0.176, 0.006), (0.166, 0.010)]
    face = [(0.166, 0.010), (0.13, 0.026), (0.08, 0.038), (0.0, 0.044)]
    parts = [(lathe(cup, 40), METAL), (lathe(face, 40), RIM)]
    hole = ellipsoid((0.0135, 0.0135, 0.006), 8, 6)
    for radius, count, z in (
        (0.0, 1, 0.044),
        (0.045, 8, 0.0415),
        (0.09, 12, 0.036),
        (0.135, 20, 0.0245),
    ):
        ring = around(max(count, 4))[:count] * radius
        parts += [(moved(hole, (x, y, z)), DARK) for x, y in ring.tolist()]
    return [(moved(pointed(mesh, WAY), ROSE), material) for mesh, material in parts]


def _handles() -> list[tuple[Mesh, int]]:
    """A strap over the top, from front to back, and a loop behind."""
    top = [(0.30, 0.0, 0.80, 0.036), (0.29, 0.0, 0.95, 0.036), (0.17, 0.0, 1.11, 0.036)]
    top += [(-0.03, 0.0, 1.165, 0.036), (-0.22, 0.0, 1.09, 0.036), (-0.32, 0.0, 0.95, 0.036)]
    top += [(-0.345, 0.0, 0.80, 0.036)]
    back = [(-0.36, 0.0, 0.74, 0.036), (-0.50, 0.0, 0.76, 0.036), (-0.63, 0.0, 0.68, 0.036)]
    back += [(-0.67, 0.0, 0.53, 0.036), (-0.61, 0.0, 0.36, 0.036), (-0.50, 0.0, 0.25, 0.036)]
    back += [(-0.42, 0.0, 0.21, 0.036)]
    style = {"up": (0.0, 1.0, 0.0), "flat": (0.5, 1.35)}
    return [(limb(line, 5, 16, **style), RIM) for line in (top, back)]


def _zinc() -> Picture:
    """Crystals of zinc: cells of a jittered grid, each of its own grey, with weathered streaks."""
    side = 192
    key = stream_key("watering can", "zinc")
    grid = np.arange(CELLS, dtype=np.int64)
    words = mix(key, grid[:, None, None], grid[None, :, None], np.arange(3)[None, None, :])
    chance = (below(words, 1024) / 1024).astype(np.float32)
    place = (np.arange(side, dtype=np.float32) + np.float32(0.5)) * np.float32(CELLS / side)
    base = place.astype(np.int64)
    near = np.full((side, side), np.inf, dtype=np.float32)
    tone = np.zeros((side, side), dtype=np.float32)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            row, column = base[:, None] + dy, base[None, :] + dx
            cell = chance[row % CELLS, column % CELLS]
            x = column + cell[..., 0] - place[None, :]
            y = row + cell[..., 1] - place[:, None]
            away = x * x + y * y
            tone = np.where(away < near, cell[..., 2], tone)
            near = np.minimum(near, away)
    streaks = clouds("zinc streaks", (side, side), 70, 12, 3)
    value = np.float32(0.45) * tone + np.float32(0.55) * streaks
    return bytes_of(shaded(value, (128, 134, 140), (158, 164, 170), (186, 192, 197)))


MODEL = Model(
    name="watering_can",
    about="a galvanised watering can",
    color="grey",
    symmetric=False,
    materials=(
        Material(
            name="galvanised steel",
            color=(0.32, 0.34, 0.36),
            roughness=0.38,
            metallic=1.0,
            picture=_zinc,
        ),
        Material(name="dark inside", color=(0.03, 0.032, 0.034), roughness=0.7),
        Material(name="bare steel", color=(0.36, 0.38, 0.40), roughness=0.3, metallic=1.0),
        Material(name="water", color=(0.015, 0.03, 0.035), roughness=0.03, coat=0.5),
    ),
    build=build,
)
