"""A toy car of the 1950s: yellow body with doors and wheel arches, dark glass, tyres, chrome."""

from __future__ import annotations

import numpy as np

from samediff_stimuli.blender_scenes.curves import Point, arc, curve, rounded, shares
from samediff_stimuli.blender_scenes.data import Floats, Material, Mesh, Model, Vector
from samediff_stimuli.blender_scenes.meshes import (
    box,
    cylinder,
    ellipsoid,
    lathe,
    moved,
    scaled,
    surface,
    sweep,
    torus,
    turned,
)
from samediff_stimuli.blender_scenes.shapes import (
    Field,
    barrel,
    egg,
    limb,
    rounded_box,
    skin,
    standing,
    united,
    without,
)

PAINT, GLASS, RUBBER, CHROME, LAMP, TAIL, CREAM, GAP = range(8)
AXLES = (-0.56, 0.57)  # where along the car the wheels are
WHEELS = [(x, side) for x in AXLES for side in (-1.0, 1.0)]
WHEEL = 0.225  # radius
STEP = 0.039
_SEAM = 0.015  # half the width of a gap between two sheets
_HALVINGS = 30
# height, rear, front, half-width and corner radius of the windows' rings
_CABIN = [
    (0.50, -0.68, 0.36, 0.325, 0.14),
    (0.66, -0.62, 0.22, 0.300, 0.13),
    (0.80, -0.52, 0.08, 0.262, 0.12),
]


def build() -> Mesh:
    """The car looks along x."""
    parts: list[tuple[Mesh, int]] = [
        (skin(_body(), (-1.1, -0.5, 0.0), (1.1, 0.5, 0.75), STEP), PAINT)
    ]
    parts += _cabin() + _front() + _rear() + _trim() + _seams() + _grille()
    for x, side in WHEELS:
        parts += [(moved(mesh, (x, side * 0.335, WHEEL)), m) for mesh, m in _wheel(side)]
        # a lip hides that the mudguard's edge is thinner than a cell of the skin
        lip = [(a, side * 0.373, b) for a, b in arc((x, WHEEL + 0.01), 0.268, -15, 195, 12)]
        parts.append((sweep(lip, 0.021, 8, up=(0.0, 1.0, 0.0)), PAINT))
    return standing(parts)


def _body() -> Field:
    """Hull, bonnet and boot, bulging mudguards, and hollows for the wheels."""
    hull = united(
        rounded_box((0.0, 0.0, 0.345), (0.93, 0.345, 0.175), 0.13),
        egg((0.50, 0.0, 0.44), (0.48, 0.30, 0.155)),
        egg((-0.52, 0.0, 0.44), (0.44, 0.31, 0.15)),
        blend=0.09,
    )
    guards = [barrel((x, 0.0, WHEEL + 0.015), 0.285, 0.385) for x in AXLES]
    hollows = [barrel((x, side * 0.45, WHEEL + 0.005), 0.252, 0.20) for x, side in WHEELS]
    road = rounded_box((0.0, 0.0, -0.35), (2.0, 2.0, 0.5), 0.02)
    return without(united(hull, *guards, blend=0.07), *hollows, road, blend=0.025)


def _loop(rear: float, front: float, half: float, corner: float) -> Floats:
    """(n + 1, 2): a rounded rectangle seen from above, anticlockwise."""
    corners: list[Point] = [(rear, -half), (front, -half), (front, half), (rear, half)]
    loop = np.array(rounded(corners, corner, 5, closed=True))
    return np.concatenate([loop, loop[:1]])


def _loft(rings: list[tuple[float, Floats]]) -> Mesh:
    """A skin over rings (height, loop) from below up."""
    points = np.stack([np.column_stack([loop, np.full(len(loop), z)]) for z, loop in rings])
    return surface(points, shares(rings[0][1]), np.linspace(0, 1, len(rings)))


def _cabin() -> list[tuple[Mesh, int]]:
    """Dark windows all round under a painted roof on painted pillars."""
    windows = _loft([(z, _loop(a, b, half, corner)) for z, a, b, half, corner in _CABIN])
    top = _CABIN[-1]
    roof = []
    for z, grow in ((0.775, 0.0), (0.775, 0.022), (0.80, 0.030), (0.835, 0.012), (0.868, -0.045)):
        roof.append((z, _loop(top[1] - grow, top[2] + grow, top[3] + grow, top[4])))
    middle = (top[1] + top[2]) / 2
    for z, share in ((0.885, 0.55), (0.89, 0.0)):
        loop = _loop(top[1] + 0.045, top[2] - 0.045, top[3] - 0.045, top[4])
        roof.append((z, (loop - (middle, 0.0)) * share + (middle, 0.0)))
    parts = [(windows, GLASS), (_loft(roof), PAINT)]
    for side in (-1.0, 1.0):
        for along, back, thick, inset in (
            (0.0, 0.035, 0.045, 0.04),
            (1.0, -0.03, 0.036, 0.035),
            (0.47, 0.0, 0.030, 0.012),
        ):
            line = []
            for z, rear, front, half, _ in _CABIN:
                x = rear + along * (front - rear) + back
                line.append((x, side * (half - inset), z, thick))
            parts.append((limb(line, 3, 12), PAINT))
    return parts


def _front() -> list[tuple[Mesh, int]]:
    """Headlights in chrome rings, and a bumper."""
    parts = [(_bumper(1.0), CHROME)]
    for side in (-1.0, 1.0):
        place = (0.885, side * 0.245, 0.425)
        parts.append((moved(turned(torus(0.085, 0.02, 32, 10), "y", 90), place), CHROME))
        lens = scaled(ellipsoid((1.0, 1.0, 1.0), 24, 12), (0.045, 0.083, 0.083))
        parts.append((moved(lens, place), LAMP))
        parts.append((cylinder((0.80, *place[1:]), (0.885, *place[1:]), 0.075, 0.1), PAINT))
    return parts


def _rear() -> list[tuple[Mesh, int]]:
    """Red lights, a plate and a bumper."""
    parts = [(_bumper(-1.0), CHROME)]
    for side in (-1.0, 1.0):
        lens = scaled(ellipsoid((1.0, 1.0, 1.0), 24, 12), (0.04, 0.05, 0.075))
        parts.append((moved(lens, (-0.905, side * 0.265, 0.405)), TAIL))
        ring = scaled(turned(torus(0.062, 0.014, 28, 8), "y", 90), (1.0, 0.85, 1.28))
        parts.append((moved(ring, (-0.905, side * 0.265, 0.405)), CHROME))
    parts.append((moved(box((0.03, 0.22, 0.09), 0.01), (-0.93, 0.0, 0.36)), CREAM))
    return parts


def _bumper(way: float) -> Mesh:
    """A chrome bar bent round an end of the car."""
    bends: list[Vector] = [(0.86, -0.36, 0.25), (0.965, -0.27, 0.25), (0.995, 0.0, 0.25)]
    bends += [(x, -y, z) for x, y, z in bends[1::-1]]
    line = [(way * x, way * y, z, 0.038) for x, y, z in bends]
    return limb(line, 5, 12, up=(0.0, 0.0, 1.0), flat=(0.6, 1.0))


def _trim() -> list[tuple[Mesh, int]]:
    """Chrome lines along the sides, door handles, running boards, and a badge on the bonnet."""
    parts = []
    for side in (-1.0, 1.0):
        y = side * 0.347
        parts.append((cylinder((-0.26, y, 0.335), (0.27, y, 0.335), 0.016, sides=8), CHROME))
        parts.append((moved(box((0.11, 0.036, 0.026), 0.011, 1), (-0.105, y, 0.425)), CHROME))
        board = box((0.56, 0.07, 0.035), 0.01, 1)
        parts.append((moved(board, (0.005, side * 0.335, 0.19)), GAP))
    parts.append((moved(ellipsoid((0.05, 0.016, 0.022), 16, 8), (0.72, 0.0, 0.572)), CHROME))
    return parts


def _seams() -> list[tuple[Mesh, int]]:
    """Dark gaps round the doors, the bonnet and the boot's lid."""
    parts = []
    door: list[Point] = [(-0.20, 0.48), (-0.20, 0.215), (0.27, 0.215), (0.30, 0.48)]
    outline = np.array(rounded(door, 0.06, 4))
    # more points where a straight edge lies on a bent flank
    steps = np.arange(len(outline) * 2 - 1) // 2
    outline = (outline[steps] + outline[(np.arange(len(steps)) + 1) // 2]) / 2
    for side in (-1.0, 1.0):
        line = np.insert(outline, 1, 0.0, axis=1)
        parts.append((_seam(_on_body(line, 1, side * 0.05, side * 0.6, _SEAM / 4)), GAP))
    bonnet: list[Point] = [(0.33, -0.225), (0.52, -0.225), (0.70, -0.17), (0.80, -0.08), (0.82, 0)]
    boot: list[Point] = [(-0.65, 0.205), (-0.75, 0.20), (-0.83, 0.14), (-0.865, 0.06), (-0.87, 0)]
    for half in (bonnet, boot):
        whole = [*half, *((x, -y) for x, y in half[-2::-1])]
        line = np.insert(np.array(curve(whole, 3)), 2, 0.0, axis=1)
        parts.append((_seam(_on_body(line, 2, 0.3, 0.9, _SEAM / 4)), GAP))
    return parts


def _seam(line: Floats) -> Mesh:
    """A thin dark bead that looks like a gap."""
    return sweep([(x, y, z) for x, y, z in line.tolist()], _SEAM, 4)


def _grille() -> list[tuple[Mesh, int]]:
    """A dark opening in the nose behind chrome bars, in a chrome frame."""
    low, high, half = 0.315, 0.475, 0.155
    ys, zs = np.linspace(-half, half, 9), np.linspace(low, high, 5)
    sheet = np.stack([np.stack([0 * ys, ys, 0 * ys + z], axis=1) for z in zs])
    sheet = _on_body(sheet, 0, 0.7, 1.2, -0.006)
    parts = [(surface(sheet, (ys + half) / (2 * half), (zs - low) / (high - low)), GAP)]
    for z in (0.355, 0.395, 0.435):
        bar = _on_body(np.stack([0 * ys, ys, 0 * ys + z], axis=1), 0, 0.7, 1.2, -0.008)
        parts.append((sweep([(x, y, z) for x, y, z in bar.tolist()], 0.011, 8), CHROME))
    corners = [(-half, low), (half, low), (half, high), (-half, high)]
    ring = np.insert(np.array(rounded(corners, 0.07, 4, closed=True)), 0, 0.0, axis=1)
    ring = _on_body(ring, 0, 0.7, 1.2, -0.004)
    frame = sweep([(x, y, z) for x, y, z in ring.tolist()], 0.016, 8, up=(1.0, 0.0, 0.0),
                  closed=True)  # fmt: skip
    return [*parts, (frame, CHROME)]


def _on_body(points: Floats, axis: int, inner: float, outer: float, deep: float) -> Floats:
    """Points moved along an axis until they lie in the body, `deep` under its surface.

    Args:
        points: (..., 3).
        axis: number of the axis.
        inner: place on the axis inside the body.
        outer: place outside of it.
        deep: negative for above the surface.
    """
    body, out = _body(), points.copy()
    near, far = np.full(points.shape[:-1], inner), np.full(points.shape[:-1], outer)
    for _ in range(_HALVINGS):
        out[..., axis] = (near + far) / 2
        inside = body(out) < -deep
        near, far = np.where(inside, out[..., axis], near), np.where(inside, far, out[..., axis])
    return out


def _wheel(side: float) -> list[tuple[Mesh, int]]:
    """A tyre with a white ring, and a chrome hub cap that looks to a side."""
    tyre = [(0.0, -0.075), (0.17, -0.075), *arc((0.185, -0.035), 0.04, -90, 0, 4)]
    tyre += [*arc((0.185, 0.035), 0.04, 0, 90, 4), (0.172, 0.073)]
    white = [(0.172, 0.075), (0.165, 0.079), (0.128, 0.077), (0.122, 0.06)]
    cap = [(0.125, 0.05), (0.124, 0.072), (0.108, 0.084), (0.090, 0.078), (0.078, 0.082)]
    cap += [(0.060, 0.100), (0.034, 0.110), (0.0, 0.113)]
    out = []
    for profile, material in ((tyre, RUBBER), (white, CREAM), (cap, CHROME)):
        out.append((turned(lathe(profile, 32), "x", -90 * side), material))
    return out


MODEL = Model(
    name="toy_car",
    about="a yellow toy car",
    color="yellow",
    symmetric=False,
    materials=(
        Material(name="yellow paint", color=(0.53, 0.285, 0.0), roughness=0.22, coat=0.4),
        Material(name="dark glass", color=(0.008, 0.011, 0.014), roughness=0.05, coat=0.5),
        Material(name="rubber", color=(0.012, 0.012, 0.012), roughness=0.75),
        Material(name="chrome", color=(0.72, 0.73, 0.74), roughness=0.12, metallic=1.0),
        Material(name="headlight", color=(0.80, 0.78, 0.68), roughness=0.08, coat=1.0),
        Material(name="tail light", color=(0.30, 0.002, 0.002), roughness=0.1, coat=1.0),
        Material(name="cream", color=(0.62, 0.58, 0.48), roughness=0.5),
        Material(name="gap", color=(0.010, 0.009, 0.008), roughness=0.6),
    ),
    build=build,
)
