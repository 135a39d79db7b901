"""The room as meshes: table, floor, walls, window and what stands along the walls.

The window is in the wall to the right (+x), the back wall is at +y. Backgrounds are arranged in one
of three ways, each of which also comes mirrored.
"""

from __future__ import annotations

import numpy as np

from samediff_stimuli.blender_scenes.curves import direction
from samediff_stimuli.blender_scenes.data import Mesh, Vector
from samediff_stimuli.blender_scenes.decor import BOOKS, TILE_NAMES, WALLS, Decor
from samediff_stimuli.blender_scenes.meshes import (
    box,
    ellipsoid,
    framed,
    join,
    lathe,
    moved,
    projected,
    scaled,
    sweep,
    turned,
)
from samediff_stimuli.blender_scenes.pictures import TABLE_SIZE, TILE, TILES
from samediff_stimuli.rng import below, mix, stream_key

FLOOR, CEILING = -7.4, 18.0
WEST, EAST, SOUTH, NORTH = -20.0, 11.0, -18.0, 18.0  # inner faces of the walls
WINDOW = (-8.0, 8.0, -0.6, 15.0)  # y from and to, z from and to
PANES = (4, 3)  # across and up
THICK = 0.42  # of the table's top
_BAR = 0.32  # width of a glazing bar, thin enough that its shadow on the table has a core
_MIDDLE = (WEST + EAST) / 2  # the back wall is mirrored about it

Part = tuple[Mesh, str]  # a mesh and its tile


def table_mesh() -> Mesh:
    """The table, its top at z = 0; uv covers the picture of a table once over its top."""
    width, depth = TABLE_SIZE
    top = moved(box((width, depth, THICK), 0.07, 3), (0.0, 0.0, -THICK / 2))
    edge = 0.09  # keeps the gap at the picture's border off the table's edge
    low, high = (-width / 2, -depth / 2 - edge), (width / 2, depth / 2 + edge)
    parts = [(projected(top, "xy", low, high), 0)]
    height = -THICK - FLOOR
    for x in (-6.7, 6.7):
        for y in (-4.0, 4.0):
            leg = framed(box((0.7, 0.7, height), 0.06), (0.0, 0.02), (0.1, 0.1))
            parts.append((moved(leg, (x, y, -THICK - height / 2)), 0))
    return join(parts)


def floor_mesh() -> Mesh:
    """The floor; uv 0 to 1 over the whole room."""
    size = (EAST - WEST + 1.2, NORTH - SOUTH + 1.2, 0.2)
    middle = ((EAST + WEST) / 2, (NORTH + SOUTH) / 2, FLOOR - 0.1)
    return join([(moved(box(size, 0.0), middle), 0)])


def background_mesh(number: int) -> Mesh:
    """All of background `WALLS[number]` but table and floor; uv in its picture's tiles."""
    decor = WALLS[number]
    parts = _shell() + _window() + _outside()
    if decor.arrangement == 0:
        parts += _chest()
    arranged = (_with_shelf, _with_sofa, _with_sideboard)[decor.arrangement](decor)
    if decor.mirrored:
        shift = (2 * _MIDDLE, 0.0, 0.0)
        arranged = [(moved(_mirrored(mesh), shift), tile) for mesh, tile in arranged]
    return join([(_tiled(mesh, tile), 0) for mesh, tile in parts + arranged])


def _mirrored(mesh: Mesh) -> Mesh:
    """A mesh with left and right exchanged."""
    return scaled(mesh, (-1.0, 1.0, 1.0))


def _tiled(mesh: Mesh, tile: str) -> Mesh:
    """A mesh whose uv lie in a tile, a pixel and a half from its border."""
    row, column = divmod(TILE_NAMES.index(tile), TILES)
    side, rim = 1 / TILES, 1.5 / (TILE * TILES)
    low = (column * side + rim, 1 - (row + 1) * side + rim)
    return framed(mesh, low, (low[0] + side - 2 * rim, low[1] + side - 2 * rim))


def _block(low: Vector, high: Vector, tile: str, bevel: float = 0.0) -> Part:
    """A box from its corners."""
    size = (high[0] - low[0], high[1] - low[1], high[2] - low[2])
    middle = tuple((a + b) / 2 for a, b in zip(low, high, strict=True))
    return moved(box(size, bevel, 1 if bevel < 0.2 else 3), (middle[0], middle[1], middle[2])), tile


def _shell() -> list[Part]:
    """Walls round the window, ceiling and skirting."""
    y0, y1, z0, z1 = WINDOW
    out = EAST + 0.7  # outer face of the window's wall
    bottom, top = FLOOR - 0.2, CEILING + 0.2
    return [
        _block((WEST - 0.4, NORTH, bottom), (out, NORTH + 0.4, top), "accent"),
        _block((WEST - 0.4, SOUTH - 0.4, bottom), (out, SOUTH, top), "wall"),
        _block((WEST - 0.4, SOUTH, bottom), (WEST, NORTH, top), "wall"),
        _block((WEST - 0.4, SOUTH - 0.4, CEILING), (out, NORTH + 0.4, top), "white"),
        _block((EAST, SOUTH, bottom), (out, y0, top), "wall"),
        _block((EAST, y1, bottom), (out, NORTH, top), "wall"),
        _block((EAST, y0, bottom), (out, y1, z0), "wall"),
        _block((EAST, y0, z1), (out, y1, top), "wall"),
        _block((WEST, NORTH - 0.2, FLOOR), (EAST, NORTH, FLOOR + 1.0), "white", 0.04),
        _block((WEST, SOUTH, FLOOR), (WEST + 0.2, NORTH, FLOOR + 1.0), "white", 0.04),
    ]


def _window() -> list[Part]:
    """Frame, glazing bars, sill and curtains."""
    y0, y1, z0, z1 = WINDOW
    parts = [_block((EAST - 0.9, y0 - 0.5, z0 - 0.3), (EAST + 0.2, y1 + 0.5, z0), "white", 0.06)]
    for k in range(PANES[0] + 1):
        y, half = y0 + (y1 - y0) * k / PANES[0], _BAR / 2 + 0.1 * (k in (0, PANES[0]))
        parts.append(_block((EAST + 0.2, y - half, z0), (EAST + 0.5, y + half, z1), "white", 0.04))
    for k in range(PANES[1] + 1):
        z, half = z0 + (z1 - z0) * k / PANES[1], _BAR / 2 + 0.1 * (k in (0, PANES[1]))
        parts.append(_block((EAST + 0.2, y0, z - half), (EAST + 0.5, y1, z + half), "white", 0.04))
    for side in (-1.0, 1.0):
        for k in range(6):  # folds
            fold = ellipsoid((0.34, 0.36, 10.0), 16, 8)
            parts.append((moved(fold, (EAST - 0.6, side * (8.4 + 0.5 * k), 6.0)), "curtain"))
    return parts


def _outside() -> list[Part]:
    """Lawn and a hedge, which the low sun clears."""
    low = FLOOR - 8.0
    return [
        _block((EAST + 0.8, -160.0, low - 0.2), (200.0, 160.0, low), "grass"),
        _block((58.0, -120.0, low), (62.0, 120.0, 3.0), "hedge"),
    ]


def _books(name: str, left: float, right: float, z: float, y: float) -> list[Part]:
    """A row of books with a gap here and there, their backs towards -y."""
    words = mix(stream_key("room", name), np.arange(64), round(1000 * z))
    numbers = below(words, 1 << 20).tolist()
    parts: list[Part] = []
    x = left
    for number in numbers:
        wide, tall = 0.26 + (number % 45) / 100, 1.9 + (number // 45 % 100) / 100
        if x + wide > right:
            break
        if number // 4500 % 8:
            tile = f"book {number // 36000 % BOOKS}"
            deep = 1.5 + (number // 4500 % 3) / 10
            parts.append(_block((x, y - deep, z), (x + wide, y, z + tall), tile, 0.03))
        x += wide + 0.03
    return parts


def _shelf(name: str, left: float, right: float, top: float) -> list[Part]:
    """A bookcase against the back wall."""
    front, back = NORTH - 2.3, NORTH - 0.05
    parts = [_block((left, back - 0.1, FLOOR), (right, back, top), "wood")]
    for x in (left, right - 0.3):
        parts.append(_block((x, front, FLOOR), (x + 0.3, back, top), "wood", 0.03))
    boards = round((top - FLOOR) / 3.7)
    for k in range(boards + 1):
        z = FLOOR + 0.1 + (top - FLOOR - 0.4) * k / boards
        parts.append(_block((left + 0.3, front, z), (right - 0.3, back, z + 0.28), "wood", 0.03))
        if 0 < k < boards:
            parts += _books(name, left + 0.4, right - 0.4, z + 0.28, back - 0.2)
    return parts


def _frame(x: float, z: float, wide: float, tall: float, tile: str) -> list[Part]:
    """A framed picture on the back wall."""
    rim, y = 0.28, NORTH - 0.3
    low, high = (x - wide / 2 - rim, y, z - tall / 2 - rim), (x + wide / 2 + rim, NORTH)
    outer = _block(low, (*high, z + tall / 2 + rim), "dark", 0.05)
    inner = ((x - wide / 2, y - 0.03, z - tall / 2), (x + wide / 2, y + 0.1, z + tall / 2))
    return [outer, _block(*inner, tile)]


def _plant(x: float, y: float, leaves: int = 42) -> list[Part]:
    """A palm in a pot."""
    pot = lathe([(0, 0), (1.2, 0), (1.6, 2.8), (1.4, 2.8), (1.3, 2.5), (0, 2.5)], 32)
    parts: list[Part] = [(moved(pot, (x, y, FLOOR)), "pot")]
    numbers = below(mix(stream_key("room", "plant"), np.arange(leaves)), 10000).tolist()
    for k, number in enumerate(numbers):
        cos, sin = direction(137.5 * k)
        flat, rise = direction(28 + 50 * (number % 100) / 100)
        long = 4.2 + 3.4 * (number // 100) / 100
        path: list[Vector] = []
        for i in range(7):
            s = i / 6
            out = long * s * flat * (1 + 0.3 * s)
            path.append((out * cos, out * sin, long * (s * rise - 0.4 * s * s * s)))
        leaf = sweep(
            path,
            [0.05, 0.25, 0.42, 0.48, 0.40, 0.24, 0.02],
            8,
            up=(-sin, cos, 0.0),
            flat=(1.0, 0.06),
        )
        parts.append((moved(leaf, (x, y, FLOOR + 2.5)), "leaf"))
    return parts


def _lamp(x: float, y: float, z: float, tall: float) -> list[Part]:
    """A lamp with a shade: on a sideboard if short, on the floor if tall."""
    foot = lathe([(0, 0), (0.9, 0), (0.85, 0.15), (0.12, 0.3), (0.12, tall), (0, tall)], 24)
    shade = lathe([(1.6, 0.0), (1.1, 2.2), (1.06, 2.2), (1.56, 0.0)], 32)
    return [(moved(foot, (x, y, z)), "metal"), (moved(shade, (x, y, z + tall - 0.9)), "shade")]


def _sofa(x: float, y: float, wide: float) -> list[Part]:
    """A sofa with its back to the back wall, and two cushions."""
    parts = [
        _block((x - wide / 2, y - 4.4, FLOOR + 0.5), (x + wide / 2, y, FLOOR + 3.2), "sofa", 0.5),
        _block((x - wide / 2, y - 1.4, FLOOR + 0.5), (x + wide / 2, y, FLOOR + 6.4), "sofa", 0.6),
    ]
    for side in (-1, 1):
        end = x + side * (wide / 2 - 0.6)
        arm = ((end - 0.8, y - 4.5, FLOOR + 0.5), (end + 0.8, y, FLOOR + 4.6))
        parts.append(_block(*arm, "sofa", 0.6))
        pillow = turned(turned(box((2.6, 0.9, 2.6), 0.4, 3), "x", -18), "z", 12 * side)
        parts.append((moved(pillow, (x + side * wide * 0.28, y - 2.0, FLOOR + 4.6)), "cushion"))
    return parts


def _sideboard(x: float, wide: float) -> list[Part]:
    """A cupboard against the back wall with doors, a vase and a lamp."""
    front, top = NORTH - 3.2, FLOOR + 6.2
    parts = [_block((x - wide / 2, front, FLOOR + 1.0), (x + wide / 2, NORTH, top), "wood", 0.06)]
    doors = 4
    for k in range(doors):
        left = x - wide / 2 + 0.2 + (wide - 0.4) * k / doors
        right = left + (wide - 0.4) / doors - 0.12
        parts.append(
            _block((left, front - 0.1, FLOOR + 1.3), (right, front, top - 0.4), "wood", 0.04)
        )
        knob = ((right - 0.4, front - 0.25, FLOOR + 3.8), (right - 0.25, front - 0.1, FLOOR + 4.4))
        parts.append(_block(*knob, "metal", 0.03))
    vase = lathe([(0, 0), (0.5, 0), (0.95, 1.0), (0.35, 2.2), (0.5, 2.6), (0.4, 2.6), (0, 2.2)], 32)
    parts.append((moved(vase, (x - wide * 0.33, NORTH - 1.6, top)), "ceramic"))
    return parts + _lamp(x + wide * 0.36, NORTH - 1.6, top, 2.6)


def _chest() -> list[Part]:
    """A chest with a lamp at the wall across from the window, which is never mirrored."""
    chest = ((WEST + 0.1, -3.0, FLOOR), (WEST + 3.4, 7.0, FLOOR + 5.0))
    return [_block(*chest, "wood", 0.06), *_lamp(WEST + 1.8, 4.5, FLOOR + 5.0, 2.6)]


def _with_shelf(decor: Decor) -> list[Part]:
    """A bookcase to the left, two pictures, a plant in the right corner."""
    parts = _shelf(decor.name, -15.5, -6.0, 8.2) + _plant(7.6, 14.4)
    parts += _frame(-1.2, 5.2, 4.6, 6.0, "art 0") + _frame(4.4, 6.2, 3.4, 3.8, "art 1")
    return parts


def _with_sofa(decor: Decor) -> list[Part]:
    """A sofa under a wide picture, a lamp beside it, a plant at the left, a bookcase."""
    parts = _sofa(-5.5, NORTH - 0.8, 13.0) + _frame(-5.5, 5.4, 8.0, 4.6, "art 0")
    parts += _lamp(3.2, NORTH - 2.2, FLOOR, 11.0) + _plant(-16.4, 14.0)
    rug = ((-12.0, 5.0, FLOOR), (1.0, 14.0, FLOOR + 0.1))
    return [*parts, _block(*rug, "rug", 0.03), *_shelf(decor.name, 5.4, 10.6, 7.6)]


def _with_sideboard(decor: Decor) -> list[Part]:
    """A sideboard under three pictures, a narrow bookcase at the right, a plant."""
    parts = _sideboard(-6.5, 12.0) + _plant(-17.0, 14.4, 34)
    for k in range(3):
        parts += _frame(-11.0 + 4.5 * k, 5.2, 3.0, 4.0, f"art {k}")
    return parts + _shelf(decor.name, 3.4, 9.6, 9.0)
