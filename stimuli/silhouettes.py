"""Twenty silhouettes of our own drawing: 16 for training and 4 for out-of-distribution sets.

Each is a vector outline on a 240 x 240 canvas (origin top-left, x right, y down), filled solid.
At every size all ink the same number of pixels, 4/9 of their square. At 24, 21 and 12 px each
touches all four sides, so that neither ink nor bounding box tells one from another; each is one
4-connected piece; and any two differ by at least 0.43 of their ink under every rotation, mirror and
shift of up to 1 px.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

CANVAS = 240
N_TRAIN = 16
N_OOD = 4
SMALLEST = 8  # px; below it the outlines fall apart


@dataclass(frozen=True)
class Disc:
    """A closed disc, in canvas units; it may reach beyond the canvas."""

    cx: int
    cy: int
    r: int


@dataclass(frozen=True)
class Polygon:
    """A closed polygon, in canvas units, filled by the even-odd rule with its outline."""

    points: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Silhouette:
    """The union of `parts` less the union of `holes`."""

    name: str
    parts: tuple[Disc | Polygon, ...]
    holes: tuple[Disc | Polygon, ...] = ()


def _poly(points: str) -> Polygon:
    """The polygon through "x,y x,y ...", as SVG writes it."""
    pairs = (pair.split(",") for pair in points.split())
    return Polygon(tuple((int(x), int(y)) for x, y in pairs))


def _box(left: int, top: int, right: int, bottom: int) -> Polygon:
    """The axis-parallel rectangle between two corners."""
    return Polygon(((left, top), (right, top), (right, bottom), (left, bottom)))


SILHOUETTES: tuple[Silhouette, ...] = (
    Silhouette(
        "stair",
        (
            _poly(
                "0,240 0,187 60,187 60,132 132,132 132,60 187,60 187,0 240,0 240,96 185,185 96,240"
            ),
        ),
    ),
    Silhouette("spool", (_box(0, 0, 240, 240),), (Disc(-5, 120, 104), Disc(245, 120, 104))),
    Silhouette(
        "trefoil",
        (
            Disc(120, 46, 46),
            Disc(46, 194, 46),
            Disc(194, 194, 46),
            _poly("101,60 139,60 139,117 194,167 168,201 120,161 72,201 46,167 101,117"),
        ),
    ),
    Silhouette(
        "scroll",
        (_poly("0,0 240,0 240,240 0,240 0,92 113,92 113,121 28,121 28,210 205,210 205,24 0,24"),),
    ),
    Silhouette(
        "pinwheel",
        (
            Disc(120, 120, 24),
            _poly("120,120 93,0 196,0"),
            _poly("120,120 240,93 240,196"),
            _poly("120,120 147,240 44,240"),
            _poly("120,120 0,147 0,44"),
        ),
    ),
    Silhouette(
        "pennant",
        (_poly("0,0 240,0 240,13 132,49 240,86 240,99 38,99 38,240 0,240"),),
    ),
    Silhouette(
        "link",
        (Disc(77, 77, 77), Disc(163, 163, 77)),
        (Disc(75, 75, 39), Disc(165, 165, 39)),
    ),
    Silhouette(
        "lozenge",
        (_poly("0,81 0,103 103,240 136,240 240,154 240,136 112,0 80,0"),),
        (Disc(136, 136, 51),),
    ),
    Silhouette(
        "fishbone",
        (
            _box(102, 0, 138, 240),
            _poly("0,0 0,40 120,98 240,40 240,0 120,60"),
            _poly("0,115 0,157 120,218 240,157 240,115 120,180"),
        ),
    ),
    Silhouette(
        "latchkey",
        (
            Disc(75, 75, 75),
            _box(130, 54, 240, 89),
            _box(138, 89, 175, 164),
            _box(207, 54, 240, 240),
        ),
        (Disc(75, 75, 31),),
    ),
    Silhouette(
        "pipes",
        (
            _box(0, 0, 240, 39),
            _box(0, 39, 40, 240),
            _box(100, 39, 140, 170),
            _box(200, 39, 240, 108),
        ),
    ),
    Silhouette("dart", (_poly("97,0 143,0 240,208 240,240 120,141 0,240 0,208"),)),
    Silhouette(
        "cog",
        (
            Disc(120, 120, 83),
            _poly("89,0 127,0 151,60 89,60"),
            _poly("240,89 240,127 180,151 180,89"),
            _poly("151,240 113,240 89,180 151,180"),
            _poly("0,151 0,113 60,89 60,151"),
        ),
        (Disc(120, 120, 33),),
    ),
    Silhouette(
        "moth",
        (
            _poly(
                "0,0 21,0 120,106 219,0 240,0 240,104 150,125 196,240 176,240"
                " 120,166 64,240 44,240 90,125 0,104"
            ),
        ),
    ),
    Silhouette(
        "vane",
        (Disc(120, 120, 120),),
        (
            _poly("120,0 240,0 240,120 178,120 120,62"),
            _poly("120,240 0,240 0,120 62,120 120,178"),
        ),
    ),
    Silhouette("pendulum", (_box(0, 0, 240, 44), _box(143, 44, 175, 135), Disc(159, 175, 65))),
    # Out of distribution from here on.
    Silhouette("gusset", (_poly("0,206 218,0 240,0 240,240 0,240"),), (Disc(153, 162, 55),)),
    Silhouette(
        "grub",
        (
            Disc(50, 190, 50),
            Disc(66, 110, 46),
            Disc(109, 40, 40),
            Disc(169, 66, 34),
            Disc(208, 106, 32),
        ),
    ),
    Silhouette(
        "plug",
        (
            _box(60, 0, 93, 91),
            _box(147, 0, 180, 91),
            _box(0, 91, 240, 131),
            _poly("39,131 201,131 156,208 84,208"),
            _box(100, 208, 140, 240),
        ),
    ),
    Silhouette(
        "brick",
        (
            _poly(
                "60,0 125,0 125,54 240,54 240,113 122,113 122,240 63,240 63,182 0,182 0,123 60,123"
            ),
        ),
    ),
)


def _covers(
    part: Disc | Polygon, x: NDArray[np.int64], y: NDArray[np.int64], scale: int
) -> NDArray[np.bool_]:
    """Which points lie in a part or on its outline.

    Args:
        part: The part, in canvas units.
        x: (1, size) int64 abscissae in canvas units times `scale`.
        y: (size, 1) int64 ordinates in canvas units times `scale`.
        scale: Points per canvas unit.

    Returns:
        (size, size) bool, row-major in y.
    """
    if isinstance(part, Disc):
        return (x - part.cx * scale) ** 2 + (y - part.cy * scale) ** 2 <= (part.r * scale) ** 2
    corners = [(px * scale, py * scale) for px, py in part.points]
    inside = np.zeros((y.size, x.size), dtype=np.bool_)
    outline = inside.copy()
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        side = (x1 - x0) * (y - y0) - (x - x0) * (y1 - y0)  # 0 on the edge's line
        inside ^= ((y0 <= y) != (y1 <= y)) & (side > 0 if y1 > y0 else side < 0)
        within_x = (min(x0, x1) <= x) & (x <= max(x0, x1))
        outline |= (side == 0) & within_x & (min(y0, y1) <= y) & (y <= max(y0, y1))
    return inside | outline


def ink_of(size: int) -> int:
    """Pixels that every silhouette inks in a square of size x size: 4/9 of it, rounded."""
    return (8 * size * size + 9) // 18


@lru_cache(maxsize=256)
def rasterise(index: int, size: int) -> NDArray[np.bool_]:
    """One silhouette in pixels, exactly `ink_of(size)` of them.

    Ink is where the pixel's centre is inside; then the least covered ink pixels go, or the most
    covered others come, until the count is right (at 24, 21 and 12 px that is 3 pixels at most).
    The arithmetic is in integers alone, so the bytes are the same on every machine.

    Args:
        index: Silhouette, in [0, 20): 0-15 training, 16-19 out of distribution.
        size: Side of the square in px, at least 8.

    Returns:
        (size, size) bool, True = ink; cached and read-only.

    Raises:
        ValueError: If there is no such silhouette or the size is too small.
    """
    if size < SMALLEST:
        raise ValueError(f"a silhouette needs at least {SMALLEST} px, got {size}")
    if not 0 <= index < len(SILHOUETTES):
        raise ValueError(f"silhouette index must be in [0, {len(SILHOUETTES)}), got {index}")
    fine = inside(index, size * _FINE).reshape(size, _FINE, size, _FINE)
    rank = inside(index, size) * (_FINE**2 + 1) + fine.sum(axis=(1, 3))
    ink = np.zeros((size, size), dtype=np.bool_)
    ink.reshape(-1)[np.argsort(-rank, axis=None, kind="stable")[: ink_of(size)]] = True
    ink.flags.writeable = False
    return ink


_FINE = 8  # subdivisions of a pixel's side when its coverage is counted


def inside(index: int, size: int) -> NDArray[np.bool_]:
    """(size, size) bool: whether a pixel's centre is in a part and in no hole.

    Outlines belong to their part or hole. Integer arithmetic (canvas units times 2 * size).
    """
    centres = (2 * np.arange(size, dtype=np.int64) + 1) * CANVAS
    x, y = centres[None, :], centres[:, None]
    ink = np.zeros((size, size), dtype=np.bool_)
    for part in SILHOUETTES[index].parts:
        ink |= _covers(part, x, y, 2 * size)
    for hole in SILHOUETTES[index].holes:
        ink &= ~_covers(hole, x, y, 2 * size)
    return ink


@lru_cache(maxsize=16)
def masks(size: int) -> NDArray[np.bool_]:
    """All silhouettes in pixels.

    Args:
        size: Side of the square in px, at least 8.

    Returns:
        (20, size, size) bool, True = ink; rows 0-15 training, 16-19 out of distribution;
        cached and read-only.

    Raises:
        ValueError: If the size is too small.
    """
    stack = np.stack([rasterise(index, size) for index in range(len(SILHOUETTES))])
    stack.flags.writeable = False
    return stack
