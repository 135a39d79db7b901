"""A die of dark red plastic with rounded edges and hollow white pips."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from samediff_stimuli.blender_scenes.curves import around, direction, unit
from samediff_stimuli.blender_scenes.data import Floats, Material, Mesh, Model
from samediff_stimuli.blender_scenes.meshes import (
    faceted,
    join,
    moved,
    pointed,
    surface,
    turned,
)

HALF = 0.44  # of an edge
BEVEL = 0.095
CORE = HALF - BEVEL  # half of a side's flat part
CELL = CORE / 3  # half of the square that may hold a pip
PIP = 0.085
DEPTH = 0.032
_SPOKES = 24  # round a pip; those at 45 degrees meet the corners of its square
_STEPS = 4  # pieces of half a rounding

# number -> squares with a pip, and the way that side looks; opposite sides add to seven
_CORNERS = [(-1, -1), (1, 1)]
_OTHERS = [(-1, 1), (1, -1)]
LAYOUT: dict[int, list[tuple[int, int]]] = {
    1: [(0, 0)],
    2: _CORNERS,
    3: [*_CORNERS, (0, 0)],
    4: [*_CORNERS, *_OTHERS],
    5: [*_CORNERS, *_OTHERS, (0, 0)],
    6: [*_CORNERS, *_OTHERS, (-1, 0), (1, 0)],
}
WAYS = {
    1: (0.0, 0.0, 1.0),
    2: (0.0, -1.0, 0.0),
    3: (1.0, 0.0, 0.0),
    4: (-1.0, 0.0, 0.0),
    5: (0.0, 1.0, 0.0),
    6: (0.0, 0.0, -1.0),
}


def build() -> Mesh:
    """Six sides with their roundings, squares and pips."""
    parts: list[tuple[Mesh, int]] = []
    for number, way in WAYS.items():
        pips = LAYOUT[number]
        side = [(_rim(), 0)]
        for x, y in [(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1)]:
            place = (2 * CELL * x, 2 * CELL * y, HALF)
            side += [(moved(mesh, place), m) for mesh, m in _cell((x, y) in pips)]
        for mesh, material in side:
            parts.append((moved(_facing(mesh, way), (0.0, 0.0, HALF)), material))
    return join(parts)


def _facing(mesh: Mesh, way: tuple[float, float, float]) -> Mesh:
    """A mesh whose top looks a way, turned by whole quarters."""
    if way[2]:
        return pointed(mesh, way)
    quarter = {(0.0, -1.0): 0.0, (1.0, 0.0): 90.0, (0.0, 1.0): 180.0, (-1.0, 0.0): 270.0}
    return turned(turned(mesh, "x", 90), "z", quarter[way[:2]])


def _ticks() -> Floats:
    """(7,) float64: where the spokes of a cell meet its lower edge, from -CELL to CELL."""
    eighth = around(_SPOKES)[: _SPOKES // 8 + 1]
    right = CELL * eighth[:, 1] / eighth[:, 0]
    right[-1] = CELL
    return np.concatenate([-right[:0:-1], right])


def _rim() -> Mesh:
    """The rounding round a side that looks up, without its flat part."""
    turns = [direction(45 * i / _STEPS) for i in range(1, _STEPS + 1)]
    out = CORE + np.array([BEVEL * sin / cos for cos, sin in turns])
    ticks = np.concatenate([c + _ticks()[i:] for i, c in ((0, -2 * CELL), (1, 0.0), (1, 2 * CELL))])
    line = np.concatenate([-out[::-1], ticks, out])
    points = np.empty((len(line), len(line), 3))
    points[..., 0], points[..., 1], points[..., 2] = line[None, :], line[:, None], HALF
    inner = np.clip(points, -CORE, CORE)
    share = (line - line[0]) / (line[-1] - line[0])
    sheet = surface(inner + unit(points - inner) * BEVEL, share, share)
    flat = np.zeros((len(line) - 1, len(line) - 1), dtype=np.bool_)
    flat[_STEPS:-_STEPS, _STEPS:-_STEPS] = True
    keep = ~flat.ravel()
    return replace(
        sheet,
        faces=sheet.faces[keep],
        uv=sheet.uv[keep],
        material=sheet.material[keep],
        smooth=sheet.smooth[keep],
    )


def _cell(pip: bool) -> list[tuple[Mesh, int]]:
    """A square of a side about the origin, with its pip."""
    ticks = _ticks()
    if not pip:
        flat = np.zeros((len(ticks), len(ticks), 3))
        flat[..., 0], flat[..., 1] = ticks[None, :], ticks[:, None]
        share = (ticks + CELL) / (2 * CELL)
        return [(faceted(surface(flat, share, share)), 0)]
    ring = around(_SPOKES)
    edge = np.concatenate(
        [_edge(ticks, turn) for turn in range(4)]
    )  # anticlockwise from the lower right corner
    start = len(ring) // 8
    ring = np.concatenate([ring[-start:], ring[:-start]])
    shares = (1.0, 0.94, 0.8, 0.55, 0.28, 0.0)
    rows = [np.column_stack([edge, np.zeros(len(edge))])]
    rows += [
        np.column_stack([PIP * share * ring, np.full(len(ring), -DEPTH * (1 - share * share))])
        for share in shares
    ]
    points = np.stack([np.concatenate([row, row[:1]]) for row in rows])
    us, vs = np.linspace(0, 1, len(ring) + 1), np.linspace(0, 1, len(rows))
    return [
        (faceted(surface(points[:2], us, vs[:2])), 0),
        (surface(points[1:], us, vs[1:]), 1),
    ]


def _edge(ticks: Floats, turn: int) -> Floats:
    """(6, 2): the right edge of a cell from below up, turned by quarters, without its end."""
    x, y = np.full(len(ticks) - 1, CELL), ticks[:-1]
    for _ in range(turn):
        x, y = -y, x
    return np.column_stack([x, y])


MODEL = Model(
    name="die",
    about="a die with white pips",
    color="red",
    symmetric=False,
    materials=(
        Material(name="red plastic", color=(0.23, 0.001, 0.004), roughness=0.22, coat=0.2),
        Material(name="white pips", color=(0.80, 0.77, 0.68), roughness=0.4),
    ),
    build=build,
)
