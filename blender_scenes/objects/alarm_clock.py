"""A twin-bell alarm clock: copper case, cream dial, black hands, hammer and feet."""

from __future__ import annotations

from samediff_stimuli.blender_scenes.curves import arc, direction
from samediff_stimuli.blender_scenes.data import Material, Mesh, Model, Vector
from samediff_stimuli.blender_scenes.meshes import (
    box,
    cylinder,
    ellipsoid,
    faceted,
    lathe,
    moved,
    pointed,
    prism,
    torus,
    turned,
)
from samediff_stimuli.blender_scenes.shapes import limb, standing

COPPER, DIAL, BLACK, STEEL, RED, DARK, BRASS = range(7)
RADIUS = 0.44
DEPTH = 0.19  # half of the case's depth
MIDDLE = 0.57  # height of the dial's middle
FACE = -DEPTH + 0.012  # where the dial is along y; the clock looks along -y
HANDS = {"hour": (305.0, 0.21, 0.037), "minute": (60.0, 0.32, 0.027)}  # 10:10
BELLS = (-33.0, 33.0)  # degrees from upright
_BELL = 0.205  # radius


def build() -> Mesh:
    """Case, dial, bells, hammer, handle, feet and keys."""
    parts = [*_case(), *_dial(), *_hands(), *_hammer(), *_feet(), *_back()]
    for lean in BELLS:
        parts += _bell(lean)
    return standing(parts)


def _forward(mesh: Mesh, y: float) -> Mesh:
    """What was drawn looking up, now looking out of the dial."""
    return moved(turned(mesh, "x", 90), (0.0, y, MIDDLE))


def _case() -> list[tuple[Mesh, int]]:
    """A drum with rounded edges and a wide polished ring in front."""
    drum = [(0.0, -DEPTH), (0.36, -DEPTH), *arc((0.39, -DEPTH + 0.05), 0.05, -90, 0, 5)]
    drum += [(0.44, 0.0), (0.44, DEPTH - 0.06), (0.462, DEPTH - 0.045), (0.468, DEPTH - 0.01)]
    drum += [(0.462, DEPTH + 0.02), (0.445, DEPTH + 0.034), (0.42, DEPTH + 0.036)]
    drum += [(0.392, DEPTH + 0.012), (0.385, DEPTH - 0.02)]
    return [(_forward(lathe(drum, 72), 0.0), COPPER)]


def _dial() -> list[tuple[Mesh, int]]:
    """A cream disc with twelve bars, forty-eight dots and a small dial for the alarm."""
    parts = [(_forward(lathe([(0.392, 0.0), (0.0, 0.004)], 72), FACE), DIAL)]
    for minute in range(60):
        long = minute % 15 == 0
        if minute % 5 == 0:
            size = (0.034, 0.092, 0.008) if long else (0.022, 0.068, 0.008)
            mark, radius = faceted(box(size, 0.0)), 0.352 - size[1] / 2
        else:
            mark, radius = faceted(box((0.009, 0.022, 0.006), 0.0)), 0.341
        bar = turned(moved(mark, (0.0, radius, 0.006)), "z", -6.0 * minute)
        parts.append((_forward(bar, FACE), BLACK))
    ring = moved(lathe(arc((0.075, 0.0), 0.006, 0, 360, 6), 32), (0.0, -0.15, 0.006))
    parts.append((_forward(ring, FACE), BLACK))
    needle = prism([(-0.009, -0.015), (0.009, -0.015), (0.0, 0.06)], 0.006)
    needle = moved(turned(needle, "z", 40), (0.0, -0.15, 0.008))
    return [*parts, (_forward(faceted(needle), FACE), RED)]


def _hands() -> list[tuple[Mesh, int]]:
    """Two pointed hands and their knob."""
    parts: list[tuple[Mesh, int]] = []
    for level, (angle, far, wide) in enumerate(HANDS.values()):
        outline = [(-0.4 * wide, -0.06), (0.4 * wide, -0.06), (wide, 0.62 * far), (0.0, far)]
        outline.append((-wide, 0.62 * far))
        hand = turned(faceted(prism(outline, 0.008)), "z", -angle)
        parts.append((_forward(moved(hand, (0.0, 0.0, 0.016 + 0.014 * level)), FACE), BLACK))
    knob = [(0.032, 0.0), (0.032, 0.05), (0.024, 0.058), (0.0, 0.06)]
    return [*parts, (_forward(lathe(knob, 24), FACE), COPPER)]


def _bell(lean: float) -> list[tuple[Mesh, int]]:
    """A hollow bell on its stem with a nut on top, leaning to a side."""
    outside = [(_BELL + 0.006, 0.0), (_BELL + 0.008, 0.012), (_BELL, 0.03)]
    outside += [(_BELL * cos, 0.03 + 0.155 * sin) for cos, sin in
                (direction(15 * i) for i in range(1, 6))]  # fmt: skip
    outside += [(0.03, 0.186), (0.0, 0.186)]
    inside = [(0.0, 0.15), (0.10, 0.13), (_BELL - 0.02, 0.03), (_BELL + 0.006, 0.0)]
    nut = [(0.04, 0.178), (0.04, 0.205), (0.03, 0.21), (0.034, 0.228), (0.022, 0.25), (0.0, 0.254)]
    stem = cylinder((0.0, 0.0, -0.12), (0.0, 0.0, 0.18), 0.025, sides=16)
    cos, sin = direction(lean)
    parts = [(lathe(outside, 48), COPPER), (lathe(inside, 48), DARK), (lathe(nut, 24), STEEL)]
    out = []
    for mesh, material in [*parts, (stem, STEEL)]:
        placed = moved(turned(mesh, "y", lean), (0.515 * sin, 0.0, MIDDLE + 0.515 * cos))
        out.append((placed, material))
    return out


def _hammer() -> list[tuple[Mesh, int]]:
    """A hammer between the bells under a handle that arches over them."""
    top = MIDDLE + RADIUS
    handle = [(-0.30, 0.0, top + 0.155, 0.022), (-0.24, 0.0, top + 0.27, 0.022)]
    handle += [(0.0, 0.0, top + 0.345, 0.022), (0.24, 0.0, top + 0.27, 0.022)]
    handle.append((0.30, 0.0, top + 0.155, 0.022))
    return [
        (cylinder((0.0, 0.0, top - 0.02), (0.0, 0.0, top + 0.145), 0.014, sides=12), STEEL),
        (cylinder((-0.065, 0.0, top + 0.155), (0.065, 0.0, top + 0.155), 0.036, sides=20), STEEL),
        (limb(handle, 6, 16, up=(0.0, 1.0, 0.0)), STEEL),
    ]


def _feet() -> list[tuple[Mesh, int]]:
    """Two splayed feet in front and one behind."""
    parts: list[tuple[Mesh, int]] = []
    foot = [(0.0, -0.16), (0.03, -0.155), (0.042, -0.135), (0.036, -0.105), (0.022, -0.085)]
    foot += [(0.024, 0.0), (0.036, 0.06), (0.0, 0.07)]
    for x, y in ((-0.30, -0.06), (0.30, -0.06)):
        leg = pointed(lathe(foot, 24), (-x * 1.7, 0.12, 1.0))
        parts.append((moved(leg, (x, y, MIDDLE - 0.41)), COPPER))
    rear = cylinder((0.0, DEPTH - 0.03, MIDDLE - 0.38), (0.0, DEPTH + 0.05, 0.045), 0.024, sides=12)
    parts.append((rear, COPPER))
    parts.append(
        (moved(ellipsoid((0.04, 0.04, 0.035), 16, 10), (0.0, DEPTH + 0.05, 0.045)), COPPER)
    )
    return parts


def _back() -> list[tuple[Mesh, int]]:
    """A brass plate behind with a dark groove, screws, two winding keys and two knobs."""
    plate = [(0.0, -0.014), (0.30, -0.014), (0.305, -0.006), (0.325, -0.006), (0.33, -0.014)]
    plate += [(0.375, -0.010), (0.38, 0.004)]
    parts = [(_forward(lathe(plate, 56), DEPTH), BRASS)]
    groove = moved(turned(torus(0.315, 0.011, 48, 8), "x", 90), (0.0, DEPTH + 0.006, MIDDLE))
    parts.append((groove, DARK))
    y = DEPTH + 0.01
    for turn in (90, 210, 330):
        cos, sin = direction(turn)
        screw = lathe([(0.024, 0.0), (0.022, 0.01), (0.0, 0.013)], 16)
        parts.append((moved(turned(screw, "x", -90), (0.25 * cos, y, MIDDLE + 0.25 * sin)), STEEL))
    for x, z, tilt, size in ((0.12, -0.05, 65.0, 1.25), (-0.11, 0.10, -20.0, 1.0)):
        parts += _key((x, y, MIDDLE + z), tilt, size)
    knob = [(0.0, -0.01), (0.05, -0.01), (0.05, 0.04), (0.042, 0.05), (0.0, 0.05)]
    for x, z in ((-0.10, -0.14), (0.11, 0.18)):
        parts.append((moved(turned(lathe(knob, 24), "x", -90), (x, y, MIDDLE + z)), COPPER))
    return parts


def _key(foot: Vector, tilt: float, size: float) -> list[tuple[Mesh, int]]:
    """A winding key with two round wings, on a collar."""
    x, y, z = foot
    place = (x, y + 0.09, z)
    collar = lathe([(0.045, 0.0), (0.042, 0.014), (0.0, 0.016)], 20)
    parts = [(cylinder(foot, place, 0.02, sides=12), STEEL)]
    parts.append((moved(turned(collar, "x", -90), foot), DARK))
    for way in (-1.0, 1.0):
        ring = turned(torus(0.042 * size, 0.015 * size, 20, 8), "x", 90)
        wing = moved(ring, (way * 0.052 * size, 0.0, 0.0))
        parts.append((moved(turned(wing, "y", tilt), place), STEEL))
    return parts


MODEL = Model(
    name="alarm_clock",
    about="an alarm clock with two bells",
    color="copper",
    symmetric=False,
    materials=(
        Material(name="copper", color=(0.52, 0.16, 0.065), roughness=0.22, metallic=1.0),
        Material(name="cream dial", color=(0.68, 0.60, 0.43), roughness=0.5),
        Material(name="black paint", color=(0.008, 0.008, 0.008), roughness=0.4),
        Material(name="steel", color=(0.50, 0.50, 0.50), roughness=0.25, metallic=1.0),
        Material(name="red paint", color=(0.40, 0.008, 0.006), roughness=0.4),
        Material(name="dark metal", color=(0.04, 0.03, 0.026), roughness=0.5, metallic=1.0),
        Material(name="brass", color=(0.30, 0.20, 0.075), roughness=0.45, metallic=1.0),
    ),
    build=build,
)
