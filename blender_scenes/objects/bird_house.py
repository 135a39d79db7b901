"""A bird house of weathered planks with a blue shingled roof, a round hole and a perch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from samediff_stimuli.blender_scenes.curves import Point, around, cross, dot, unit
from samediff_stimuli.blender_scenes.data import Floats, Material, Mesh, Model, Picture
from samediff_stimuli.blender_scenes.meshes import (
    box,
    cylinder,
    faceted,
    framed,
    join,
    lathe,
    moved,
    prism,
    projected,
    scaled,
    surface,
    torus,
    turned,
)
from samediff_stimuli.blender_scenes.pictures import bytes_of, clouds, noise, shaded

PLANKS, ROOF, DARK, PALE = range(4)
HALF = 0.36  # of the front's width
DEPTH = 0.34  # half
FLOOR = 0.07
EAVES = 0.66
RIDGE = 1.06
HOLE: Point = (0.0, 0.56)
RADIUS = 0.135
_SPOKES = 48
_BOARDS = 5  # along the height of a wall's picture


def build() -> Mesh:
    """The front with the hole looks along -y."""
    parts = [*_front(), *_walls(), *_roof(), *_perch()]
    base = box((2 * HALF + 0.22, 2 * DEPTH + 0.26, FLOOR), 0.012)
    parts.append((moved(faceted(base), (0.0, -0.02, FLOOR / 2)), PALE))
    return join(parts)


def _gable() -> list[Point]:
    """The front's outline (x, z), anticlockwise from its lower right corner."""
    return [(HALF, FLOOR), (HALF, EAVES), (0.0, RIDGE), (-HALF, EAVES), (-HALF, FLOOR)]


def _outline() -> Floats:
    """(_SPOKES, 2): where rays from the hole meet the gable; rays near a corner end in it."""
    corners = np.array(_gable())
    middle = np.array(HOLE)
    out = []
    for ray in around(_SPOKES):
        best = np.inf
        for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            edge, start = b - a, a - middle
            slope = ray[0] * edge[1] - ray[1] * edge[0]
            if slope <= 1e-9:  # parallel, or seen from outside
                continue
            far = (start[0] * edge[1] - start[1] * edge[0]) / slope
            share = (start[0] * ray[1] - start[1] * ray[0]) / slope
            if far > 0 and -1e-6 <= share <= 1 + 1e-6:
                best = min(best, float(far))
        out.append(middle + best * ray)
    points = np.array(out)
    for corner in corners:
        away = points - corner
        points[np.argmin(dot(away, away))] = corner
    return points


def _front() -> list[tuple[Mesh, int]]:
    """A board with a round hole, its thickness, the dark behind it, and a ring round it."""
    middle = np.array(HOLE)
    circle = middle + RADIUS * around(_SPOKES)
    rows = []
    for loop, y in ((_outline(), -DEPTH), (circle, -DEPTH), (circle, -DEPTH + 0.07)):
        loop = np.concatenate([loop, loop[:1]])
        rows.append(np.column_stack([loop[:, 0], np.full(len(loop), y), loop[:, 1]]))
    points, us = np.stack(rows), np.linspace(0, 1, _SPOKES + 1)
    board = _boarded(faceted(surface(points[:2], us, np.array([0.0, 1.0]))), "xz")
    tunnel = surface(points[1:], us, np.array([0.0, 1.0]))
    hidden = turned(lathe([(RADIUS + 0.01, 0.0), (0.0, 0.0)], _SPOKES), "x", 90)
    ring = scaled(turned(torus(RADIUS + 0.012, 0.018, _SPOKES, 8), "x", 90), (1.0, 0.8, 1.0))
    return [
        (board, PLANKS),
        (tunnel, DARK),
        (moved(hidden, (HOLE[0], -DEPTH + 0.065, HOLE[1])), DARK),
        (moved(ring, (HOLE[0], -DEPTH, HOLE[1])), PALE),
    ]


def _boarded(mesh: Mesh, axes: str) -> Mesh:
    """A wall with the planks' picture on it."""
    return projected(mesh, axes, (-0.5, FLOOR), (0.5, FLOOR + 1.0))


def _walls() -> list[tuple[Mesh, int]]:
    """The house behind its front, and upright corner posts."""
    body = moved(prism(_gable(), 2 * DEPTH - 0.004), (0.0, 0.0, -DEPTH))
    body = faceted(turned(body, "x", 90))
    normals = _normals(body)
    sideways = np.abs(normals[:, 0]) > 0.9
    uv = np.where(sideways[:, None, None], _boarded(body, "yz").uv, _boarded(body, "xz").uv)
    open_ = normals[:, 1] > -0.9  # its own front would close the hole
    shell = replace(
        body,
        faces=body.faces[open_],
        uv=uv[open_],
        material=body.material[open_],
        smooth=body.smooth[open_],
    )
    post = faceted(box((0.07, 0.07, EAVES - FLOOR + 0.01), 0.012))
    places = [(x * (HALF - 0.008), y * (DEPTH - 0.008)) for x in (-1.0, 1.0) for y in (-1.0, 1.0)]
    posts = [(moved(post, (x, y, (EAVES + FLOOR) / 2)), PALE) for x, y in places]
    return [(shell, PLANKS), *posts]


def _normals(mesh: Mesh) -> Floats:
    """(m, 3): unit normals of faces, from their first three corners."""
    a, b, c = (mesh.vertices[mesh.faces[:, i]] for i in range(3))
    return unit(cross(b - a, c - a))


def _roof() -> list[tuple[Mesh, int]]:
    """Four overlapping boards down each slope, and a cap along the ridge."""
    parts: list[tuple[Mesh, int]] = []
    slope = 48.0  # steeper than the slope of the gable by half a degree
    for side in (-1.0, 1.0):
        for row in range(4):
            board = framed(
                box((0.215, 2 * DEPTH + 0.26, 0.035), 0.008), (0.0, row / 4), (1.0, (row + 1) / 4)
            )
            away = 0.085 + 0.163 * row
            tilted = turned(faceted(board), "y", side * (slope - 5.0))
            x, z = side * away * 0.669, RIDGE + 0.045 - away * 0.743
            parts.append((moved(tilted, (x, 0.0, z)), ROOF))
    cap = box((0.15, 2 * DEPTH + 0.30, 0.04), 0.012)
    for side in (-1.0, 1.0):
        tilted = turned(faceted(cap), "y", side * slope)
        parts.append((moved(tilted, (side * 0.045, 0.0, RIDGE + 0.035)), ROOF))
    return parts


def _perch() -> list[tuple[Mesh, int]]:
    """A dowel under the hole with a round end."""
    z = 0.335
    dowel = cylinder((0.0, -DEPTH + 0.02, z), (0.0, -DEPTH - 0.19, z), 0.030, sides=20)
    knob = [
        (0.0, -0.02),
        (0.036, -0.02),
        (0.044, -0.008),
        (0.044, 0.008),
        (0.03, 0.022),
        (0.0, 0.026),
    ]
    end = moved(turned(lathe(knob, 20), "x", 90), (0.0, -DEPTH - 0.19, z))
    return [(dowel, PALE), (end, PALE)]


def _planks() -> Picture:
    """Bare weathered boards, brown to silver, with grain, knots of dark and gaps between."""
    shape = (320, 320)
    streaks = clouds("bird house streaks", shape, 5, 90, 3)
    fine = noise("bird house grain", shape, 1.6, 40)
    boards = np.arange(shape[0]) * _BOARDS // shape[0]
    tones = noise("bird house boards", (_BOARDS, 1), 1, 1)[boards]
    tone = np.float32(0.45) * streaks + np.float32(0.3) * fine + np.float32(0.35) * tones
    color = shaded(tone, (82, 56, 36), (142, 108, 76), (186, 160, 130))
    place = (np.arange(shape[0]) * _BOARDS % shape[0]) / _BOARDS
    edge = np.minimum(place, shape[0] / _BOARDS - place)[:, None]
    gap = np.clip((3.0 - edge) / 2.0, 0, 1).astype(np.float32)
    return bytes_of(color * (1 - np.float32(0.8) * gap[..., None]))


def _pale() -> Picture:
    """Planed wood with grain along the picture's height."""
    shape = (96, 96)
    grain = clouds("bird house pale", shape, 60, 3, 3)
    fine = noise("bird house fibres", shape, 30, 1.5)
    tone = np.float32(0.7) * grain + np.float32(0.3) * fine
    return bytes_of(shaded(tone, (118, 84, 54), (166, 130, 92), (196, 166, 128)))


def _blue() -> Picture:
    """Blue paint, thin in places."""
    shape = (160, 160)
    soft = clouds("bird house paint", shape, 30, 8, 3)
    worn = np.clip((noise("bird house wear", shape, 10, 3) - np.float32(0.86)) * 9, 0, 1)
    color = shaded(soft, (18, 52, 116), (30, 78, 152), (56, 108, 180))
    bare = np.array((150, 124, 96), dtype=np.float32)
    return bytes_of(color + (bare - color) * (np.float32(0.6) * worn[..., None]))


MODEL = Model(
    name="bird_house",
    about="a wooden bird house with a blue roof",
    color="brown",
    symmetric=False,
    materials=(
        Material(
            name="planks", color=(0.25, 0.16, 0.09), roughness=0.85, bump=0.012, picture=_planks
        ),
        Material(name="blue paint", color=(0.01, 0.05, 0.2), roughness=0.55, picture=_blue),
        Material(name="dark inside", color=(0.010, 0.007, 0.005), roughness=0.95),
        Material(name="pale wood", color=(0.33, 0.20, 0.10), roughness=0.8, picture=_pale),
    ),
    build=build,
)
