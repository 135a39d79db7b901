"""A desk lamp with two jointed brass arms and a green enamelled shade."""

from __future__ import annotations

from samediff_stimuli.blender_scenes.curves import arc, direction
from samediff_stimuli.blender_scenes.data import Material, Mesh, Model, Vector
from samediff_stimuli.blender_scenes.meshes import (
    cylinder,
    ellipsoid,
    join,
    lathe,
    moved,
    sweep,
    turned,
)
from samediff_stimuli.blender_scenes.shapes import limb

ENAMEL, BRASS, BULB, BLACK, WHITE = range(5)
FOOT: Vector = (-0.08, 0.0, 0.15)
ELBOW: Vector = (-0.43, 0.0, 0.76)
WRIST: Vector = (0.14, 0.0, 1.27)
TILT = -38.0  # of the shade's axis from upright, in degrees


def build() -> Mesh:
    """The lamp shines along x."""
    parts: list[tuple[Mesh, int]] = [*_base(), *_arms(), *_cord()]
    for mesh, material in _head():
        leaning = turned(mesh, "y", TILT)
        parts.append((moved(leaning, (WRIST[0] + 0.10, 0.0, WRIST[2] - 0.05)), material))
    return join(parts)


def _base() -> list[tuple[Mesh, int]]:
    """A heavy round foot with a brass collar and a switch."""
    foot = [(0.0, 0.0), (0.39, 0.0), *arc((0.385, 0.028), 0.028, -90, 75, 5)]
    foot += [(0.30, 0.082), (0.18, 0.098), (0.0, 0.10)]
    collar = [(0.10, 0.08), (0.10, 0.115), (0.085, 0.13), (0.05, 0.135), (0.045, 0.16), (0.0, 0.16)]
    x, y, _ = FOOT
    switch = [(0.045, 0.07), (0.045, 0.105), (0.038, 0.118), (0.0, 0.122)]
    return [
        (lathe(foot, 64), ENAMEL),
        (moved(lathe(collar, 32), (x, y, 0.0)), BRASS),
        (moved(lathe(switch, 24), (0.21, -0.10, 0.0)), BRASS),
    ]


def _arms() -> list[tuple[Mesh, int]]:
    """Two pairs of rods, three joints with knobs, and springs beside the lower pair."""
    parts: list[tuple[Mesh, int]] = []
    for start, end, apart, thick in ((FOOT, ELBOW, 0.052, 0.024), (ELBOW, WRIST, 0.036, 0.022)):
        for y in (-apart, apart):
            rod = cylinder((start[0], y, start[2]), (end[0], y, end[2]), thick, sides=12)
            parts.append((rod, BRASS))
    for x, _, z in (FOOT, ELBOW, WRIST):
        pin = [(0.0, -0.085), (0.046, -0.085), (0.056, -0.075), (0.056, 0.075), (0.046, 0.085)]
        pin += [(0.022, 0.088), (0.022, 0.115), (0.034, 0.122), (0.030, 0.135), (0.0, 0.14)]
        parts.append((moved(turned(lathe(pin, 24), "x", 90), (x, 0.0, z)), BRASS))
    return [*parts, (_spring(), BLACK)]


def _spring() -> Mesh:
    """A coil along the middle of the lower arm."""
    path: list[Vector] = []
    coils, pieces = 13, 8
    ahead = (ELBOW[0] - FOOT[0], ELBOW[2] - FOOT[2])
    across = (-0.868, -0.497)  # at right angles to the arm
    for i in range(coils * pieces + 1):
        cos, sin = direction(360 * i / pieces)
        t = 0.22 + 0.5 * i / (coils * pieces)
        x = FOOT[0] + t * ahead[0] + 0.03 * cos * across[0]
        z = FOOT[2] + t * ahead[1] + 0.03 * cos * across[1]
        path.append((x, 0.03 * sin, z))
    return sweep(path, 0.009, 4)


def _head() -> list[tuple[Mesh, int]]:
    """Shade, white inside, with its neck and a bulb, about the shade's neck."""
    shade = [(0.0, 0.30), (0.055, 0.30), (0.085, 0.285), (0.092, 0.26), (0.092, 0.17)]
    shade += [(0.115, 0.135), (0.17, 0.07), (0.26, -0.055), (0.345, -0.195), (0.352, -0.212)]
    shade += [(0.348, -0.222), (0.336, -0.212)]
    inside = [(0.336, -0.212), (0.25, -0.06), (0.16, 0.06), (0.08, 0.13), (0.0, 0.14)]
    parts = [(lathe(shade[::-1], 56), ENAMEL), (lathe(inside[::-1], 56), WHITE)]
    for z in (0.185, 0.255):
        ring = [(0.092, z - 0.012), (0.099, z - 0.006), (0.099, z + 0.006), (0.092, z + 0.012)]
        parts.append((lathe(ring, 40), BRASS))
    tail = [(0.0, 0.345), (0.016, 0.342), (0.026, 0.325), (0.03, 0.30)]
    parts.append((lathe(tail[::-1], 20), BRASS))
    rim = lathe(arc((0.346, -0.214), 0.012, 0, 360, 8), 56)
    parts.append((rim, BRASS))
    parts.append((moved(ellipsoid((0.115, 0.115, 0.125), 28, 14), (0.0, 0.0, -0.055)), BULB))
    parts.append((cylinder((0.0, 0.0, 0.04), (0.0, 0.0, 0.15), 0.06, sides=20), BRASS))
    parts.append((cylinder((-0.16, 0.0, 0.0), (-0.05, 0.0, 0.17), 0.03, sides=12), BRASS))
    return parts


def _cord() -> list[tuple[Mesh, int]]:
    """A black cord that leaves the foot at the back and ends in a bend on the table."""
    points = [(-0.34, 0.0, 0.03, 0.019), (-0.47, 0.02, 0.0225, 0.019), (-0.55, 0.12, 0.0215, 0.019)]
    points += [(-0.53, 0.26, 0.0215, 0.019), (-0.42, 0.36, 0.0215, 0.019)]
    plug = limb([(-0.43, 0.352, 0.0325, 0.02), (-0.40, 0.376, 0.0325, 0.03),
                 (-0.33, 0.43, 0.0325, 0.03), (-0.31, 0.445, 0.0325, 0.022)], 3, 12)  # fmt: skip
    return [(limb(points, 5, 8), BLACK), (plug, BLACK)]


MODEL = Model(
    name="desk_lamp",
    about="a jointed desk lamp",
    color="green",
    symmetric=False,
    materials=(
        Material(name="green enamel", color=(0.006, 0.115, 0.058), roughness=0.2, coat=0.5),
        Material(name="brass", color=(0.60, 0.32, 0.07), roughness=0.25, metallic=1.0),
        Material(name="bulb", color=(1.0, 0.80, 0.50), roughness=0.3, emission=1.2),
        Material(name="black rubber", color=(0.012, 0.012, 0.012), roughness=0.6),
        Material(name="white enamel", color=(0.72, 0.70, 0.64), roughness=0.35),
    ),
    build=build,
)
